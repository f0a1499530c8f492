"""The key–value cache of the attention layers: each token is read once.

There are S series, each with P sampled paths. The known context of a series is its *prefix*: it is read once and shared by
the paths (S rows). The tokens that a path adds are its *own* (S·P rows, series by series). Prefixes of different lengths
are padded on the right, where causal attention never looks.
"""

from dataclasses import dataclass, field
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from kronos.model.rotary import RotaryEmbedding, RotaryGroups


class Cache(Protocol):
    """The keys and values of one attention layer: `KeyValueCache`, which grows, or `StaticKeyValueCache`, of fixed shape."""

    def rotation_of_next(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rotation tables of x (B, H, T, K), the positions to append next."""
        ...

    def rotation_of_latest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rotation tables of x (B, H, T, K), the latest positions."""
        ...

    def append(self, keys: Tensor, values: Tensor) -> None:
        """Append the prefix (S, H, L, K) first; in later calls, T positions of each path (S·P, H, T, K)."""
        ...

    def attend(self, query: Tensor) -> Tensor:
        """Attend from the latest positions, the prefix (S, H, L, K) or (S·P, H, T, K), to all positions that they may see."""
        ...


class Layout(Protocol):
    """The settings that the caches of all layers share."""

    def build_cache(self, n_heads: int, weight: Tensor, rotary: RotaryEmbedding) -> Cache:
        """Return an empty cache of a layer. weight (D, D): the layer's, for width, device and type."""
        ...


@dataclass(frozen=True)
class CacheLayout:
    """The settings that the caches of all layers share.

    lengths: the S prefix lengths. n_paths: P. capacity: the most positions that a path may add.
    window: the number of latest positions that a query attends to, its own included; None for all of them.
    """

    lengths: tuple[int, ...]
    n_paths: int
    capacity: int
    window: int | None = None
    shared: "SharedRotations" = field(default_factory=lambda: SharedRotations(), compare=False, repr=False)

    def build_cache(self, n_heads: int, weight: Tensor, rotary: RotaryEmbedding) -> "KeyValueCache":
        return KeyValueCache(self, weight.device, rotary)


class SharedRotations:
    """The rotation tables at the positions that all layers read now, computed once for those with the same frequencies."""

    def __init__(self) -> None:
        self._groups = RotaryGroups()
        self._tables: dict[int, tuple[object, tuple[Tensor, Tensor]]] = {}  # by group: where, and the tables there

    def get(
        self, rotary: RotaryEmbedding, x: Tensor, where: object, first_position: int | Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the tables of x (B, H, T, K). where: stands for its positions, the same in all layers."""
        number = self._groups.number_of(rotary)
        if number not in self._tables or self._tables[number][0] != where:
            self._tables[number] = where, rotary.compute_table(x.shape[2], x, first_position)
        return self._tables[number][1]


class KeyValueCache:
    """The keys and values of one attention layer."""

    def __init__(self, layout: CacheLayout, device: torch.device, rotary: RotaryEmbedding) -> None:
        self.layout = layout
        self._rotary = rotary
        self.n_own = 0
        self._prefix: tuple[Tensor, ...] | None = None  # keys, values: (S, H, L, K)
        self._own: tuple[Tensor, Tensor] | None = None  # (S, H, P, capacity, K)
        equal = len(set(layout.lengths)) == 1
        self._lengths = None if equal else torch.tensor(layout.lengths, device=device)  # (S,)

    def rotation_of_next(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._share_rotation(x, self._next_position(), self.n_own)

    def rotation_of_latest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._share_rotation(x, self._latest_position(x.shape[2]), self.n_own - x.shape[2])

    def _share_rotation(self, x: Tensor, first_position: int | Tensor, first_own: int) -> tuple[Tensor, Tensor]:
        in_prefix = isinstance(first_position, int) and first_position == 0
        where = None if in_prefix else first_own, x.shape[2]
        return self.layout.shared.get(self._rotary, x, where, first_position)

    def _next_position(self) -> int | Tensor:
        """Return the index of the next position to append; (S·P,) if the series have different lengths."""
        if self._prefix is None:
            return 0
        if self._lengths is None:
            return self.layout.lengths[0] + self.n_own
        return self._lengths.repeat_interleave(self.layout.n_paths) + self.n_own

    def _latest_position(self, n_query: int) -> int | Tensor:
        """Return the index of the first of the latest n_query positions."""
        if self._prefix is None:
            raise ValueError("nothing has been remembered yet")
        if not self.n_own and n_query == self._prefix[0].shape[2]:  # the prefix itself
            return 0
        return self._next_position() - n_query

    def append(self, keys: Tensor, values: Tensor) -> None:
        if self._prefix is None:  # copies, as views would keep the queries, and each step would copy them again
            self._prefix = tuple(part.clone(memory_format=torch.contiguous_format) for part in (keys, values))
            return
        if self._own is None:
            n_series, n_heads, _, width = self._prefix[0].shape
            shape = (n_series, n_heads, self.layout.n_paths, self.layout.capacity, width)
            self._own = keys.new_empty(shape), values.new_empty(shape)
        added = slice(self.n_own, self.n_own + keys.shape[2])
        for store, new in zip(self._own, (keys, values)):
            store[..., added, :] = self._by_series(new)
        self.n_own = added.stop

    def attend(self, query: Tensor) -> Tensor:
        if self._prefix is None:
            raise ValueError("nothing has been remembered yet")
        keys, values = self._prefix
        if self.n_own == 0 and query.shape[2] == keys.shape[2] and len(query) == len(keys):
            return F.scaled_dot_product_attention(query, keys, values, is_causal=True)
        if self.layout.window is not None and query.shape[2] > 1:
            raise ValueError("with a window, positions are read one by one")
        return self._attend_to_both(self._by_series(query), keys, values)

    def _attend_to_both(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend from query (S, H, P, T, K) to the prefix and to the path's own positions, under one softmax."""
        n_query, width = query.shape[3:]
        seen = slice(self._first_seen(), keys.shape[2])
        query = query * width**-0.5
        over_prefix = query.flatten(2, 3) @ keys[:, :, seen].mT  # (S, H, P·T, L): one product serves all paths
        if self._lengths is not None:
            over_prefix.masked_fill_(self._out_of_view(keys.shape[2]), -torch.inf)
        n_prefix = over_prefix.shape[-1]
        scores = over_prefix.view(*query.shape[:4], n_prefix)
        if self._own is not None:
            own_keys, own_values = (part[..., : self.n_own, :] for part in self._own)
            over_own = query @ own_keys.mT  # (S, H, P, T, n_own)
            if n_query > 1:
                over_own.masked_fill_(_later(n_query, self.n_own, query.device), -torch.inf)
            scores = torch.cat([scores, over_own], dim=-1)
        weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
        mixed = (weights[..., :n_prefix].flatten(2, 3) @ values[:, :, seen]).view_as(query)
        if self._own is not None:
            mixed = mixed + weights[..., n_prefix:] @ own_values
        return mixed.transpose(1, 2).flatten(0, 1)  # (S·P, H, T, K)

    def _by_series(self, x: Tensor) -> Tensor:
        """Map (S·P, H, T, K) to (S, H, P, T, K)."""
        return x.view(-1, self.layout.n_paths, *x.shape[1:]).transpose(1, 2)

    def _first_seen(self) -> int:
        """Return the first prefix position inside the window; 0 if there is none, or if a mask is needed (different lengths)."""
        if self.layout.window is None or self._lengths is not None:
            return 0
        return max(self.layout.lengths[0] + self.n_own - self.layout.window, 0)

    def _out_of_view(self, n_prefix: int) -> Tensor:
        """Return a mask (S, 1, 1, L) of the prefix positions not to attend to: padding, and those before the window."""
        assert self._lengths is not None
        positions = torch.arange(n_prefix, device=self._lengths.device)
        lengths = self._lengths[:, None]
        hidden = positions >= lengths
        if self.layout.window is not None:
            hidden = hidden | (positions < lengths + self.n_own - self.layout.window)
        return hidden[:, None, None]


def _later(n_query: int, n_own: int, device: torch.device) -> Tensor:
    """Return a mask (T, n_own) of the own positions that come after each of the latest T positions."""
    return torch.ones(n_query, n_own, dtype=torch.bool, device=device).triu(n_own - n_query + 1)
