"""Put another attention into every block: here each token is mixed with the mean of all."""

import torch
from torch import Tensor, nn

import tubelet
from tubelet.nn import SelfAttention


class MeanAttention(nn.Module):
    """What takes the place of `SelfAttention` takes and gives tokens [B, N, D]."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mix = nn.Linear(2 * dim, dim)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        mean = tokens.mean(dim=1, keepdim=True).expand_as(tokens)
        return self.mix(torch.cat([tokens, mean], dim=-1))


model = tubelet.create("vivit_tiny_16x2", num_classes=5, num_frames=8, image_size=32, num_layers=2)
for name, module in list(model.named_modules()):
    if isinstance(module, SelfAttention):
        model.set_submodule(name, MeanAttention(model.config.hidden_size))

logits = model(torch.rand(2, 8, 3, 32, 32))
logits.sum().backward()
print(tuple(logits.shape), sum(isinstance(module, MeanAttention) for module in model.modules()), "blocks replaced")

# tubelet.train("clips/", "runs/mine", model=model) trains it as any other.
