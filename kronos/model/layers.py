"""The transformer block that both networks are made of."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from kronos.model.attention import Attention
from kronos.model.cache import KeyValueCache
from kronos.model.dropout import Dropout
from kronos.model.linear import Linear


def _product_dtype(x: Tensor) -> torch.dtype:
    """The type that a linear layer multiplies x in."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + 1e-5), computed in float32, times a learned weight (arXiv 1910.07467, eq. 4)."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model))

    def forward(self, x: Tensor) -> Tensor:
        """Map x (…, D) to the same shape, in the type that autocast multiplies in: cast once for all layers that read it."""
        wide, weight = x.float(), self.weight.float()
        if x.device.type == "cpu":  # here F.rms_norm is slower than its parts
            normed = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-5) * weight
        else:
            normed = F.rms_norm(wide, weight.shape, weight, eps=1e-5)
        return normed.to(_product_dtype(x))


class FeedForward(nn.Module):
    """SwiGLU: w2(silu(w1 x) * w3 x) (arXiv 2002.05202, eq. 6)."""

    def __init__(self, d_model: int, ff_dim: int, ffn_dropout_p: float) -> None:
        super().__init__()
        self.w1 = Linear(d_model, ff_dim, bias=False)
        self.w3 = Linear(d_model, ff_dim, bias=False)
        self.w2 = Linear(ff_dim, d_model, bias=False)
        self.dropout = Dropout(ffn_dropout_p)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.w2(F.silu(self.w1(x)) * self.w3(x)))  # type: ignore[no-any-return]


class TransformerBlock(nn.Module):
    """Pre-norm causal self-attention, then pre-norm feed-forward, each with a residual."""

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        ff_dim: int,
        ffn_dropout_p: float,
        attn_dropout_p: float,
        resid_dropout_p: float,
    ) -> None:
        super().__init__()
        self.norm1 = RMSNorm(d_model)
        self.self_attn = Attention(d_model, n_heads, attn_dropout_p, resid_dropout_p)
        self.norm2 = RMSNorm(d_model)
        self.ffn = FeedForward(d_model, ff_dim, ffn_dropout_p)

    def forward(self, x: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """Map x (B, T, D) to the same shape; with a cache x follows what the cache remembers, and is added to it."""
        normed = self.norm1(x)
        x = x + (self.self_attn(normed, normed) if cache is None else self.self_attn.remember_and_recall(normed, cache))
        return x + self.ffn(self.norm2(x))  # type: ignore[no-any-return]


def run_blocks(
    blocks: nn.ModuleList, x: Tensor, caches: Sequence[KeyValueCache] | None = None, recompute: bool = False
) -> Tensor:
    """Map x (B, T, D) through blocks, each with its cache where there are caches, to the same shape.

    With recompute the backward pass computes each block's activations again, dropout included, and nothing but the blocks'
    inputs is kept for it (arXiv 1604.06174).
    """
    for i, block in enumerate(blocks):
        cache = caches[i] if caches else None
        x = checkpoint(block, x, cache, use_reentrant=False) if recompute else block(x, cache)
    return x
