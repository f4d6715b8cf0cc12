"""Every name of `tubelet.probing` in use."""

import torch

from tubelet import probing
from tubelet.demo import write_clips

folder = write_clips("clips", {"train": 3, "test": 1})

probed: probing.ProbeResult = probing.probe("demo", folder, workers=0, neighbours=3)
print(probed.num_train, probed.num_test, probed.notes)

accuracies: probing.HeadProbe = probed.heads["label"]
print(accuracies.knn, accuracies.linear, accuracies.most_frequent)

vectors = torch.randn(60, 16, generator=torch.Generator().manual_seed(0))  # [N, D], of a model of your own
classes = (vectors[:, 0] > 0).long()

votes = probing.knn_votes(vectors[:40], classes[:40], vectors[40:], num_classes=2, neighbours=5)
print((votes.argmax(1) == classes[40:]).float().mean())

fitted = probing.fit_linear(vectors[:40], classes[:40], num_classes=2)
print((fitted(vectors[40:]).argmax(1) == classes[40:]).float().mean())
