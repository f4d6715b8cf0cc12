"""Pure architecture: attention, blocks, tubelet embedding, positions, encoder. No files, no presets."""

from tubelet.nn.attention import (
    AxisAttention,
    DotProduct,
    FactorisedDotProductAttention,
    SelfAttention,
)
from tubelet.nn.blocks import MLP, Block, DropPath, FactorisedSelfAttentionBlock
from tubelet.nn.embedding import ConvStemEmbedding, TubeletEmbedding, UniformFrameEmbedding
from tubelet.nn.encoder import Encoder
from tubelet.nn.positions import Positions, interpolate_grid, sinusoidal_table
from tubelet.nn.recording import manual_attention, record_attention

__all__ = [
    "MLP",
    "AxisAttention",
    "Block",
    "ConvStemEmbedding",
    "DotProduct",
    "DropPath",
    "Encoder",
    "FactorisedDotProductAttention",
    "FactorisedSelfAttentionBlock",
    "Positions",
    "SelfAttention",
    "TubeletEmbedding",
    "UniformFrameEmbedding",
    "interpolate_grid",
    "manual_attention",
    "record_attention",
    "sinusoidal_table",
]
