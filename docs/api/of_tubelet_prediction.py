"""Every name of `tubelet.prediction` in use."""

from pathlib import Path

import tubelet
from tubelet import prediction
from tubelet.demo import write_clips
from tubelet.paths import packaged_model

clip = packaged_model("demo") / "clip.mp4"

folder = write_clips("clips", {"test": 1})

model = tubelet.load("demo")

result: prediction.Result = prediction.predict(model, clip)
print(result.label, result.probability, result.top(3), result.to_json())

head: prediction.HeadResult = result.heads["label"]
print(head.name, head.logits, head.is_unknown)

source: prediction.Source = tubelet.read_video(clip)  # or a path, or uint8 frames [T, 3, H, W]
print(prediction.predict(model, source).label)

videos = prediction.find_videos(folder)
print(len(videos), ".mov" in prediction.VIDEO_SUFFIXES)

predictor = prediction.Predictor(model)  # loads and optimises once
with prediction.result_lines("results.jsonl") as write:
    for one in predictor.stream(videos):
        write(one)
print(Path("results.jsonl").read_text().count("\n"), "lines")

counted = prediction.Summary()
for one in predictor.stream(videos):
    counted.add(one)
print(*counted.lines(), sep="\n")

frames: prediction.StreamSource = iter(tubelet.read_video(clip).frames)  # a camera's number, an address, a file too
with prediction.stream(model, frames, hop=8, frame_rate=16.0) as live:
    print(next(live))

decisions: prediction.Stream = prediction.stream(model, clip, hop=4)
decision: prediction.Decision = next(decisions)
print(decision.start, decision.end, decision.label, decision.probability)

event: prediction.Event = next(prediction.find_events(prediction.stream(model, clip, hop=4), on=0.5, off=0.3))
print(event.label, event.start, event.end, event.peak)

timeline = prediction.Timeline.of(str(clip), prediction.stream(model, clip, hop=4))
print(timeline.to_srt())

breaks: prediction.Interruptions = timeline.interruptions
print(breaks.dropped)

written: list[prediction.WrittenTimeline] = list(prediction.write_timelines(model, [str(clip)], "timelines"))
print(written[0].files)
