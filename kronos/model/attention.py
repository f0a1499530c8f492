"""Causal rotary attention, as self-attention in the blocks and as cross-attention in the dependency layer."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kronos.model.cache import KeyValueCache
from kronos.model.linear import Linear


class RotaryEmbedding(nn.Module):
    """Rotary position embedding, half-split convention (arXiv 2104.09864, eq. 34)."""

    inv_freq: Tensor

    def __init__(self, head_width: int, base: float = 10000.0) -> None:
        super().__init__()
        exponents = torch.arange(0, head_width, 2).float() / head_width
        self.register_buffer("inv_freq", base**-exponents)  # saved: published files carry it

    def forward(self, x: Tensor, first_position: int | Tensor = 0) -> Tensor:
        """Rotate x (B, H, T, K), whose rows stand at first_position, first_position + 1, …; (B,) or one for all."""
        positions = torch.arange(x.shape[-2], device=x.device)
        if isinstance(first_position, Tensor):
            first_position = first_position[:, None, None]  # (B, 1, 1)
        angles = (positions + first_position).float().unsqueeze(-1) * self.inv_freq.float()  # (…, T, K/2)
        angles = torch.cat([angles, angles], dim=-1)  # (T, K) or (B, 1, T, K)
        x1, x2 = x.chunk(2, dim=-1)
        rotated = torch.cat([-x2, x1], dim=-1)
        return x * angles.cos().to(x.dtype) + rotated * angles.sin().to(x.dtype)


class Attention(nn.Module):
    """Multi-head causal attention of a query over a context it belongs to."""

    def __init__(self, d_model: int, n_heads: int, attn_dropout_p: float, resid_dropout_p: float) -> None:
        super().__init__()
        if d_model % n_heads or (d_model // n_heads) % 2:
            raise ValueError(f"d_model / n_heads must be a whole even number, got {d_model} / {n_heads}")
        self.n_heads = n_heads
        self.attn_dropout_p = attn_dropout_p
        self.q_proj = Linear(d_model, d_model)
        self.k_proj = Linear(d_model, d_model)
        self.v_proj = Linear(d_model, d_model)
        self.out_proj = Linear(d_model, d_model)
        self.rotary = RotaryEmbedding(d_model // n_heads)
        self.resid_dropout = nn.Dropout(resid_dropout_p)

    def forward(self, query: Tensor, context: Tensor, rotate: bool = True) -> Tensor:
        """Attend from each query to the context up to the query's own position.

        Args:
            query: (B, T, D), or (B, 1, D) for the context's last position alone.
            context: (B, T, D), keys and values.
            rotate: apply the rotary embedding; False only reproduces the reference's one-step decode.

        Returns:
            (B, T, D) or (B, 1, D), like query.
        """
        n_query, n_context = query.shape[1], context.shape[1]
        if n_query not in (1, n_context):
            raise ValueError(f"query must hold 1 or all {n_context} positions of the context, got {n_query}")
        q = self._split_heads(self.q_proj(query))  # (B, H, T, K)
        k = self._split_heads(self.k_proj(context))
        v = self._split_heads(self.v_proj(context))
        if rotate:
            q = self.rotary(q, first_position=n_context - n_query)
            k = self.rotary(k)
        dropout_p = self.attn_dropout_p if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout_p, is_causal=n_query == n_context)
        return self.resid_dropout(self._merge(mixed))  # type: ignore[no-any-return]

    def remember(self, context: Tensor, cache: KeyValueCache, rotate: bool = True) -> None:
        """Append the keys and values of context (B, T, D), the positions that follow those remembered, to the cache."""
        keys = self._split_heads(self.k_proj(context))
        if rotate:
            keys = self.rotary(keys, cache.next_position())
        cache.append(keys, self._split_heads(self.v_proj(context)))

    def remember_and_recall(self, x: Tensor, cache: KeyValueCache) -> Tensor:
        """Append x (B, T, D) to the cache, and attend from it to what the cache then holds; the same shape."""
        q, k = self._split_heads(self.q_proj(x)), self._split_heads(self.k_proj(x))
        q, k = self.rotary(torch.cat([q, k], dim=1), cache.next_position()).chunk(2, dim=1)
        cache.append(k, self._split_heads(self.v_proj(x)))
        return self._merge(cache.attend(q))

    def recall(self, query: Tensor, cache: KeyValueCache, rotate: bool = True) -> Tensor:
        """Attend from query (B, T, D), the latest positions remembered, to what the cache holds; the same shape."""
        q = self._split_heads(self.q_proj(query))
        if rotate:
            q = self.rotary(q, cache.latest_position(q.shape[2]))
        return self._merge(cache.attend(q))

    def _merge(self, heads: Tensor) -> Tensor:
        """(B, H, T, K) to (B, T, D)."""
        return self.out_proj(heads.transpose(1, 2).flatten(-2))  # type: ignore[no-any-return]

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.n_heads, -1).transpose(1, 2)
