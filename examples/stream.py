"""Classify a long video window by window, as its frames come."""

import torch

import tubelet
from tubelet.paths import packaged_model

clip = tubelet.read_video(packaged_model("demo") / "clip.mp4").frames
film = torch.cat([clip, clip.flip(0), clip])  # forwards, backwards, forwards

with tubelet.stream("demo", film, frame_rate=16.0, hop=8, smoothing="mean:3") as decisions:
    for decision in decisions:
        print(decision)

# A camera is tubelet.stream("runs/mine", 0), an address tubelet.stream("runs/mine", "rtsp://...").
