"""Causal rotary attention: self-attention in the blocks, cross-attention in the dependency layer."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kronos.model.cache import Cache, Layout
from kronos.model.dropout import Dropout
from kronos.model.linear import Linear, project
from kronos.model.rotary import RotaryEmbedding, rotate_halves

N_QUERIES = 256  # attend together on a CPU; fewer queries skip more of the future, more queries make larger products


def attend_causally(query: Tensor, key: Tensor, value: Tensor, dropout_p: float, width: int | None = None) -> Tensor:
    """Attend from each position to those up to it (scaled dot product, arXiv 1706.03762, eq. 1).

    Args:
        query: (B, H, Q, K), of the last Q of the T positions.
        key, value: (B, H, T, K).
        width: the number of latest positions that a query attends to, its own included; None for all of them.
    """
    n_query, n_context = query.shape[2], key.shape[2]
    if (width is not None and width < n_context) or 1 < n_query < n_context:
        seen = _mask_future(n_query, n_context, width or n_context, query.device)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=seen, dropout_p=dropout_p)
    if n_query < n_context:
        return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout_p, is_causal=False)
    by_products = query.device.type == "cpu" and query.dtype == torch.bfloat16 and not dropout_p
    if by_products and not torch.compiler.is_compiling():
        return _attend_by_products(query, key, value)
    return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout_p, is_causal=True)


def _mask_future(n_query: int, n_context: int, width: int, device: torch.device) -> Tensor:
    """Return a mask (Q, T), true where one of the last Q of T positions may attend: to itself and the width − 1 before it."""
    own = torch.arange(n_context - n_query, n_context, device=device)[:, None]
    distance = own - torch.arange(n_context, device=device)
    return (distance >= 0) & (distance < width)


def _attend_by_products(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend in batched matrix products: N_QUERIES queries at a time, with only the keys that they may see.

    In bfloat16 on a CPU this takes less than half of the fused kernel's time (benchmarks/train.py). It keeps the attention
    weights for the backward pass: slightly more than B·H·T² / 2 numbers.
    """
    q, k, v = query.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1)  # (B·H, T, K)
    mixed = []
    for start in range(0, q.shape[1], N_QUERIES):
        seen = min(start + N_QUERIES, q.shape[1])
        future = q.new_full((seen - start, seen), -torch.inf).triu(start + 1)
        scores = torch.baddbmm(future, q[:, start:seen], k[:, :seen].mT, alpha=q.shape[2] ** -0.5)
        mixed.append(scores.softmax(-1) @ v[:, :seen])
    return torch.cat(mixed, dim=1).view_as(query)


class Attention(nn.Module):
    """Multi-head causal attention. The query positions belong to the context."""

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
        self.resid_dropout = Dropout(resid_dropout_p)
        self.fused: Linear | None = None  # the three projections as one, in a copy of the model that only decodes

    def forward(self, query: Tensor, context: Tensor, rotate: bool = True, width: int | None = None) -> Tensor:
        """Attend from each query to the context up to the query's own position.

        Args:
            query: (B, Q, D), of the last Q positions of the context.
            context: (B, T, D), source of keys and values.
            rotate: apply the rotary embedding. False is used only to reproduce the reference's one-step decode.
            width: the number of latest positions that a query attends to, its own included; None for all of them.

        Returns:
            (B, Q, D), like query.
        """
        n_query, n_context = query.shape[1], context.shape[1]
        if n_query > n_context:
            raise ValueError(f"query must hold at most the {n_context} positions of the context, got {n_query}")
        if query is context:
            projected = project(context, self.q_proj, self.k_proj, self.v_proj)
        else:
            projected = self.q_proj(query), *project(context, self.k_proj, self.v_proj)
        q, k, v = map(self._split_heads, projected)  # (B, H, T, K)
        if rotate:
            cos, sin = self.rotary.compute_table(n_context, like=k)
            q, k = rotate_halves(q, cos[-n_query:], sin[-n_query:]), rotate_halves(k, cos, sin)
        dropout_p = self.attn_dropout_p if self.training else 0.0
        return self.resid_dropout(self._merge(attend_causally(q, k, v, dropout_p, width)))  # type: ignore[no-any-return]

    def build_cache(self, layout: Layout) -> Cache:
        """Return an empty cache for `remember` and `recall`."""
        return layout.build_cache(self.n_heads, self.k_proj.weight, self.rotary)

    def remember(self, context: Tensor, cache: Cache, rotate: bool = True) -> None:
        """Append to the cache the keys and values of context (B, T, D), the positions after those already in it."""
        keys = self._split_heads(self.k_proj(context))
        if rotate:
            keys = rotate_halves(keys, *cache.rotation_of_next(keys))
        cache.append(keys, self._split_heads(self.v_proj(context)))

    def remember_and_recall(self, x: Tensor, cache: Cache) -> Tensor:
        """Append x (B, T, D) to the cache, then attend from x to everything in the cache. Return the shape of x."""
        projected = self._split_heads(self._project(x), 3 * self.n_heads)  # (B, 3H, T, K)
        turned, values = projected[:, : 2 * self.n_heads], projected[:, 2 * self.n_heads :]
        turned = rotate_halves(turned, *cache.rotation_of_next(turned))
        query, keys = turned.chunk(2, dim=1)
        cache.append(keys, values)
        return self._merge(cache.attend(query))

    def recall(self, query: Tensor, cache: Cache, rotate: bool = True) -> Tensor:
        """Attend from query (B, T, D), the latest cached positions, to everything in the cache. Return the shape of query."""
        q = self._split_heads(self.q_proj(query))
        if rotate:
            q = rotate_halves(q, *cache.rotation_of_latest(q))
        return self._merge(cache.attend(q))

    def _merge(self, heads: Tensor) -> Tensor:
        """Map (B, H, T, K) to (B, T, D)."""
        return self.out_proj(heads.transpose(1, 2).flatten(-2))  # type: ignore[no-any-return]

    def _project(self, x: Tensor) -> Tensor:
        """Return query, key and value of x (B, T, D), side by side (B, T, 3D)."""
        if self.fused is not None:
            return self.fused(x)  # type: ignore[no-any-return]
        return torch.cat(project(x, self.q_proj, self.k_proj, self.v_proj), dim=-1)

    def _split_heads(self, x: Tensor, n_heads: int | None = None) -> Tensor:
        return x.reshape(*x.shape[:2], n_heads or self.n_heads, -1).transpose(1, 2)
