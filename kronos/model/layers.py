"""The transformer block of both networks."""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from kronos.model.attention import Attention
from kronos.model.cache import Cache
from kronos.model.dropout import Dropout
from kronos.model.linear import Linear, project


def _product_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype in which a linear layer multiplies x."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + 1e-5), computed in float32, times a learned weight (arXiv 1910.07467, eq. 4)."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model))

    def forward(self, x: Tensor) -> Tensor:
        """Map x (…, D) to the same shape, in the dtype of autocast: one cast here serves all layers that read the result."""
        product_dtype = _product_dtype(x)
        if x.device.type != "cpu" and x.dtype == self.weight.dtype == product_dtype:
            return F.rms_norm(x, self.weight.shape, self.weight, eps=1e-5)  # one kernel, which computes in float32
        wide, weight = x.float(), self.weight.float()
        if x.device.type == "cpu":  # F.rms_norm is slower than these operations on a CPU
            normed = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-5) * weight
        else:
            normed = F.rms_norm(wide, weight.shape, weight, eps=1e-5)
        return normed.to(product_dtype)


class FeedForward(nn.Module):
    """SwiGLU: w2(silu(w1 x) * w3 x) (arXiv 2002.05202, eq. 6)."""

    def __init__(self, d_model: int, ff_dim: int, ffn_dropout_p: float) -> None:
        super().__init__()
        self.w1 = Linear(d_model, ff_dim, bias=False)
        self.w3 = Linear(d_model, ff_dim, bias=False)
        self.w2 = Linear(ff_dim, d_model, bias=False)
        self.dropout = Dropout(ffn_dropout_p)
        self.fused: Linear | None = None  # w1 and w3 as one, in a copy of the model that only decodes

    def forward(self, x: Tensor) -> Tensor:
        gate, value = project(x, self.w1, self.w3) if self.fused is None else self.fused(x).chunk(2, dim=-1)
        return self.dropout(self.w2(F.silu(gate) * value))  # type: ignore[no-any-return]


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

    def forward(self, x: Tensor, cache: Cache | None = None, width: int | None = None) -> Tensor:
        """Map x (B, T, D) to the same shape.

        Args:
            cache: x are the positions after the cached ones, and are added to it.
            width: without a cache, the number of latest positions that a position attends to; None for all of them.
        """
        normed = self.norm1(x)
        if cache is None:
            x = x + self.self_attn(normed, normed, width=width)
        else:
            x = x + self.self_attn.remember_and_recall(normed, cache)
        return x + self.ffn(self.norm2(x))  # type: ignore[no-any-return]


def list_blocks(blocks: nn.ModuleList) -> list[TransformerBlock]:
    """Return the blocks of a network by their type, which nn.ModuleList forgets."""
    return cast(list[TransformerBlock], list(blocks))


def run_blocks(
    blocks: nn.ModuleList,
    x: Tensor,
    caches: Sequence[Cache] | None = None,
    recompute: bool = False,
    width: int | None = None,
) -> Tensor:
    """Map x (B, T, D) through the blocks to the same shape. Each block uses its own cache, if there are caches.

    With recompute, only the inputs of the blocks are kept, and the backward pass computes each block's activations
    again, dropout included (arXiv 1604.06174). Without caches, a position attends to the latest width positions.
    """
    for i, block in enumerate(blocks):
        cache = caches[i] if caches else None
        x = checkpoint(block, x, cache, width, use_reentrant=False) if recompute else block(x, cache, width)
    return x
