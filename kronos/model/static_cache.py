"""The key–value cache in buffers of fixed shape: a decoding step is then the same work each time, as a CUDA graph needs.

Whatever changes from step to step is a tensor on the device: how many tokens are known, how many a path has added, and
which positions a query sees. `KeyValueCache` says what the prefix and the own positions are.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kronos.model.rotary import RotaryEmbedding, RotaryGroups

Rotation = tuple[Tensor, Tensor]


class StaticShape(NamedTuple):
    """The shape of the buffers.

    n_series: S. n_paths: P, of each series. n_prefix: L, the most known tokens. n_own: N, the most tokens that a path adds.
    window: the number of latest positions that a query attends to, its own included; None for all of them.
    """

    n_series: int
    n_paths: int
    n_prefix: int
    n_own: int
    window: int | None = None

    def count_positions(self) -> int:
        """Return how many positions a layer keeps."""
        return self.n_series * (self.n_prefix + self.n_paths * self.n_own)


class StaticPositions:
    """Where the tokens of all paths stand, shared by the caches of all layers.

    Begin with `read_prefix`. Then each step adds one token to each path: `advance`, read the token. Or read all own tokens
    at once, `read_own`, then `look` from the latest.

    lengths: (S,), the known tokens of each series. n_own: (1,), the tokens that each path has added. Both stay on the device
        and are written in place.
    """

    def __init__(self, shape: StaticShape, like: Tensor) -> None:
        """Allocate the counters. like: a weight, for device and type."""
        self.shape = shape
        self.lengths = torch.ones(shape.n_series, dtype=torch.long, device=like.device)
        self.n_own = torch.zeros(1, dtype=torch.long, device=like.device)
        self.slot = self.n_own  # (1,): where the token being read goes among the own ones
        self.in_prefix = True
        self.hidden = like.new_zeros(())  # (S, 1, 1, 1 or T, L + N): −inf for positions not to attend to, else 0
        self._groups = RotaryGroups()
        self._tables: dict[int, Rotation] = {}  # of all positions (L + N, K), by group
        self._turned: dict[int, Rotation] = {}  # the tables at the positions being read (S·P, 1, T, K), by group

    def build_cache(self, n_heads: int, weight: Tensor, rotary: RotaryEmbedding) -> "StaticKeyValueCache":
        group = self._groups.number_of(rotary)
        if group not in self._tables:
            self._tables[group] = rotary.compute_table(self.shape.n_prefix + self.shape.n_own, weight)
        return StaticKeyValueCache(self, n_heads, weight, group)

    def read_prefix(self) -> None:
        """Let the next tokens read be the prefix."""
        self.in_prefix = True

    def advance(self) -> None:
        """Let the next token read be one more of each path."""
        self.slot = self.n_own.clone()
        self.n_own += 1
        self.look()

    def look(self) -> None:
        """Let queries stand at the latest position of each path."""
        self.in_prefix = False
        self._stand_at((self.lengths + self.n_own - 1)[:, None])
        own = torch.arange(self.shape.n_own, device=self.lengths.device)
        self._hide(self.lengths + self.n_own, (own >= self.n_own).expand(self.shape.n_series, 1, -1))

    def read_own(self) -> None:
        """Let the next tokens read be all own positions, of which those beyond n_own mean nothing."""
        self.in_prefix = False
        own = torch.arange(self.shape.n_own, device=self.lengths.device)
        self._stand_at(self.lengths[:, None] + own)
        self._hide(self.lengths + self.n_own, (own > own[:, None]).expand(self.shape.n_series, -1, -1))

    def rotation(self, group: int, n_positions: int) -> Rotation:
        """Return the tables, (T, K) or (S·P, 1, T, K), of the positions being read, n_positions of each row."""
        if self.in_prefix:
            cos, sin = self._tables[group]
            return cos[:n_positions], sin[:n_positions]
        return self._turned[group]

    def _stand_at(self, positions: Tensor) -> None:
        """Stand at positions (S, T) of each path."""
        at = positions[:, None].expand(-1, self.shape.n_paths, -1).flatten(0, 1)  # (S·P, T)
        self._turned = {
            group: (cos[at].unsqueeze(1), sin[at].unsqueeze(1)) for group, (cos, sin) in self._tables.items()
        }

    def _hide(self, ends: Tensor, hidden_own: Tensor) -> None:
        """Hide own positions (S, T, N), padding, and what is before the window that ends at ends (S,)."""
        prefix = torch.arange(self.shape.n_prefix, device=ends.device)
        hidden = prefix >= self.lengths[:, None]  # (S, L)
        if self.shape.window is not None:
            hidden = hidden | (prefix < (ends - self.shape.window)[:, None])
        both = torch.cat([hidden[:, None].expand(-1, hidden_own.shape[1], -1), hidden_own], dim=-1)  # (S, T, L + N)
        self.hidden = self.hidden.new_zeros(both.shape).masked_fill_(both, -torch.inf)


class StaticKeyValueCache:
    """The keys and values of one attention layer, in buffers of fixed shape."""

    def __init__(self, positions: StaticPositions, n_heads: int, weight: Tensor, group: int) -> None:
        """Allocate the buffers of a layer. group: the number of its rotation tables."""
        self._group = group
        shape, width = positions.shape, weight.shape[0] // n_heads
        self._positions = positions
        # Zeros, because weights of 0 times what is not a number would not be 0.
        self._prefix = weight.new_zeros(2, shape.n_series, n_heads, shape.n_prefix, width)  # keys and values
        self._own = weight.new_zeros(2, shape.n_series, n_heads, shape.n_paths, shape.n_own, width)

    def rotation_of_next(self, x: Tensor) -> Rotation:
        return self._positions.rotation(self._group, x.shape[2])

    def rotation_of_latest(self, x: Tensor) -> Rotation:
        return self._positions.rotation(self._group, x.shape[2])

    def append(self, keys: Tensor, values: Tensor) -> None:
        n_added = keys.shape[2]
        for i, new in enumerate((keys, values)):
            if self._positions.in_prefix:
                self._prefix[i, :, :, :n_added] = new
            elif n_added == 1:
                self._own[i].index_copy_(3, self._positions.slot, self._by_series(new))
            else:
                self._own[i].copy_(self._by_series(new))

    def attend(self, query: Tensor) -> Tensor:
        if self._positions.in_prefix:
            keys, values = self._prefix[:, :, :, : query.shape[2]]
            return F.scaled_dot_product_attention(query, keys, values, is_causal=True)
        return self._attend_to_both(query)

    def _attend_to_both(self, query: Tensor) -> Tensor:
        """Attend from query (S·P, H, T, K) to the prefix and to the path's own positions, under one softmax.

        The scores of both are written side by side, so that nothing is concatenated. One product serves all paths of a
        prefix.
        """
        (n_series, n_heads, n_prefix, width), n_own = self._prefix.shape[1:], self._own.shape[4]
        n_paths, n_query = self._own.shape[3], query.shape[2]
        keys, values = self._prefix.flatten(1, 2)  # (S·H, L, K)
        own_keys, own_values = self._own.flatten(1, 3)  # (S·H·P, N, K)
        by_path = self._by_series(query).reshape(-1, n_query, width)  # (S·H·P, T, K)
        by_series = by_path.view(n_series * n_heads, n_paths * n_query, width)
        scores = query.new_empty(n_series, n_heads, n_paths * n_query, n_prefix + n_own)
        over_prefix, over_own = scores.flatten(0, 1), scores.view(-1, n_query, n_prefix + n_own)
        over_prefix[..., :n_prefix].baddbmm_(by_series, keys.mT, beta=0, alpha=width**-0.5)
        over_own[..., n_prefix:].baddbmm_(by_path, own_keys.mT, beta=0, alpha=width**-0.5)
        seen = scores.view(n_series, n_heads, n_paths, n_query, -1) + self._positions.hidden[:, None, None]
        weights = seen.softmax(-1)  # computes in float32, whatever the type
        mixed = torch.bmm(weights.view_as(over_prefix)[..., :n_prefix], values)  # (S·H, P·T, K)
        mixed = mixed.view_as(by_path).baddbmm_(weights.view_as(over_own)[..., n_prefix:], own_values)
        by_series_heads = mixed.view(n_series, n_heads, n_paths, n_query, width)
        return by_series_heads.transpose(1, 2).flatten(0, 1)  # (S·P, H, T, K)

    def _by_series(self, x: Tensor) -> Tensor:
        """Map (S·P, H, T, K) to (S, H, P, T, K)."""
        return x.reshape(-1, self._positions.shape.n_paths, *x.shape[1:]).transpose(1, 2)
