"""Every name of `tubelet.video` in use."""

import tarfile

from tubelet import video
from tubelet.config import PreprocessingConfig
from tubelet.paths import packaged_model

file = packaged_model("demo") / "clip.mp4"

print(video.BACKENDS)

clip: video.Clip = video.read_video(file)  # all frames, uint8 [T, 3, H, W]
print(clip.frames.shape, clip.timestamps[:3])

part = video.read_video(file, start=0.5, end=1.0)
print(part.indices)

limits = video.Limits(frame_pixels=4096 * 4096, seconds=60)
with video.open_video(file, limits=limits) as decoder:
    assert isinstance(decoder, video.Decoder)
    metadata: video.VideoMetadata = decoder.metadata
    print(metadata.num_frames, metadata.frame_rate, metadata.codec)

with video.open_video(file) as decoder:
    every_fourth = video.read_frames(decoder, lambda one: range(0, one.metadata.num_frames, 4))
    print(every_fourth.indices)

preprocessing = video.Preprocessing(PreprocessingConfig(num_frames=8, resize=32, crop_size=(32, 32)))
with video.open_video(file) as decoder:
    views: video.Views = preprocessing.views(decoder, clips=2, crops=1)
    print(views.video.shape, views.indices)  # float32 [V, T, C, H, W]

how: video.Clips = video.Windows(hop=8)  # what `clips` may be too: windows, or the whole video in one clip
print(how, video.WholeVideo(multiple=2))

print(video.whole_length(num_frames=48, stride=2, multiple=2))

print(video.clip_starts(num_frames=48, span=16, clips=4))  # as an evaluation places its clips

print(video.clip_indices(start=0, num_frames=8, stride=2, total=12, short="loop"))

print(video.random_start(total=48, span=16))

print(video.uniform_indices(total=48, num_frames=8))

print(video.window_starts(num_frames=48, span=16, hop=8))

print(video.window(clip.timestamps, start=0.5, end=1.0))  # first frame, and the one after the last

print(video.sample_at_rate(clip.timestamps.tolist(), rate=8.0)[0])

sampler = video.RateSampler(8.0)  # the same, frame by frame as they come
print(sampler)

written = video.write_video("backwards.mp4", clip.frames.flip(0), metadata.frame_rate)
print(video.video_exists(str(written)))

with tarfile.open("shard.tar", "w") as shard:
    shard.add("backwards.mp4")
with tarfile.open("shard.tar") as shard:
    member = shard.getmember("backwards.mp4")
inside = video.FilePart("shard.tar", member.offset_data, member.size, "backwards.mp4")
print(video.read_video(str(inside)).frames.shape)  # a video inside a tar
