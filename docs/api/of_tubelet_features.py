"""Every name of `tubelet.features` in use."""

import typing

import torch

import tubelet
from tubelet import features
from tubelet.data import read_table
from tubelet.demo import write_clips

table = read_table(write_clips("clips", {"train": 1}))

model = tubelet.load("demo")

print(typing.get_args(features.Stage))  # where a model is cut

print(features.default_folder())

video = torch.rand(2, 24, 3, 32, 32)  # views [V, T, C, H, W]

vectors, mask = features.features_of(model, video, None, "spatial")  # [V, t, D]: a vector for each time
print(vectors.shape, mask)

rest = features.AfterFeatures(model, "spatial")
print((rest(vectors[..., None, None]) - model(video)).abs().max())

clips = features.FeatureClips(table, model, "spatial", "stored")
for done, total in clips.fill(workers=0):
    print(done, "of", total)
print(clips[0]["video"].shape)  # [t, D, 1, 1]

store: features.FeatureStore = clips.store
print(store.get(0).values.shape)  # [V, t, D]
