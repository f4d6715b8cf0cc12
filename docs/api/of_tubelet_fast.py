"""Every name of `tubelet.fast` in use."""

import torch

import tubelet
from tubelet import fast

model = tubelet.load("demo")

video = torch.rand(2, 24, 3, 32, 32)  # [B, T, C, H, W]

quick: fast.OptimisedViViT = fast.optimise(model)  # weights are shared with the model
print((quick(video) - model(video)).abs().max())

compiled: fast.OpenVINOViViT = fast.optimise(model, backend="openvino")
print((compiled(video) - model(video)).abs().max())

trainable: fast.TrainingViViT = fast.optimise(model, training=True)
trainable.train()(video).sum().backward()  # the gradients are those of the model
print(model.head.weight.grad.shape)
trainable.eval()  # and with it the model

merged = fast.merge_tokens(model, 0.5)
print((merged(video) - model(video)).abs().max())  # faster, less exact

evaluating = fast.Evaluating(model)
with evaluating() as ready:  # on a CPU the optimised form, made at the first use
    print(type(ready).__name__)

form = fast.training_form(model)  # any module: its blocks are replaced, its parameters shared
print(type(form).__name__, form.head.weight is model.head.weight)
