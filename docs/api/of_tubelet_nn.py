"""Every name of `tubelet.nn` in use."""

import torch

import tubelet
from tubelet import nn

video = torch.rand(2, 8, 3, 32, 32)  # [B, T, C, H, W]
tokens = torch.rand(2, 64, 48)  # [B, N, D]

embedding = nn.TubeletEmbedding(in_channels=3, dim=48, tubelet_size=(2, 8, 8))
grid = embedding(video)  # [B, t, h, w, D]
print(grid.shape)

frames = nn.UniformFrameEmbedding(in_channels=3, dim=48, patch_size=(8, 8), sampled_frames=4)
print(frames(video).shape)

stem = nn.ConvStemEmbedding(in_channels=3, dim=48, tubelet_size=(2, 8, 8))
print(stem(video).shape)

attention = nn.SelfAttention(dim=48, num_heads=4)
print(attention(tokens).shape)

query = torch.rand(2, 4, 64, 12)  # [B, heads, N, c]
print(nn.DotProduct()(query, query, query).shape)

mlp = nn.MLP(dim=48, hidden_dim=96, activation="gelu_tanh")
print(mlp(tokens).shape)

block = nn.Block(attention, mlp, dim=48, eps=1e-6, drop_path=0.1)  # models 1, 2 and 4
print(block(tokens).shape)

print(nn.DropPath(0.5).train()(tokens).shape)

space = nn.AxisAttention(dim=48, num_heads=4, axis="space")  # over [B, t, N, D]
time = nn.AxisAttention(dim=48, num_heads=4, axis="time")
print(space(torch.rand(2, 4, 16, 48)).shape)

of_model_3 = nn.FactorisedSelfAttentionBlock(space, time, mlp, order="space_time", dim=48, eps=1e-6)
print(of_model_3(torch.rand(2, 4, 16, 48)).shape)

of_model_4 = nn.FactorisedDotProductAttention(dim=48, num_heads=4)
print(of_model_4(torch.rand(2, 4, 16, 48)).shape)

positions = nn.Positions(grid=(4, 4, 4), dim=48, class_token=True, kind="learned")
print(positions)

encoder = nn.Encoder(
    [block],
    grid=(4, 4, 4),
    dim=48,
    factorised=False,
    pool="mean",
    positions="learned",
    input_norm=False,
    output_norm="before_pool",
    eps=1e-6,
    output_eps=1e-6,
    dropout=0.0,
)
print(sum(one.numel() for one in encoder.parameters()))

print(nn.interpolate_grid(torch.rand(4, 4, 4, 48), (8, 6, 6)).shape)  # positions of another size

print(nn.sinusoidal_table(64, 48).shape)

model = tubelet.create("vivit_tiny_16x2", num_classes=5, num_frames=8, image_size=32, num_layers=2).eval()

with nn.record_attention(model) as recorded:
    model(video)
print({name: tuple(weights.shape) for name, weights in recorded.items()})  # [B, heads, N, N] of each block

with nn.manual_attention(model):  # products and softmax as separate operations, for second derivatives
    model(video)
