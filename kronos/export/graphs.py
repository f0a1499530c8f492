"""The two models as five graphs whose caches are plain tensors, which come in and go out.

Shapes are those of kronos/model/__init__.py; N is the number of blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kronos.model import Kronos, KronosTokenizer
from kronos.model.base_model import KronosCaches
from kronos.model.cache import Cache
from kronos.model.rotary import RotaryEmbedding

Past = tuple[Tensor, Tensor]  # keys and values (B, H, T, K)


class TensorCache:
    """The keys and values of one attention layer, taken from a tensor and left in one."""

    def __init__(self, rotary: RotaryEmbedding, position: Tensor, past: Past | None) -> None:
        """Begin with the past, None before the context is read. position (1,): of the next token."""
        self._rotary, self._position = rotary, position
        self._past, self._reads_context = past, past is None

    @property
    def past(self) -> Past:
        assert self._past is not None
        return self._past

    def rotation_of_next(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._rotary.compute_table(x.shape[2], x, self._position)

    def rotation_of_latest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.rotation_of_next(x)

    def append(self, keys: Tensor, values: Tensor) -> None:
        if self._past is not None:
            keys, values = (torch.cat([old, new], dim=2) for old, new in zip(self._past, (keys, values)))
        self._past = keys, values

    def attend(self, query: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, *self.past, is_causal=self._reads_context)


class _Reader(nn.Module):
    def __init__(self, model: Kronos) -> None:
        super().__init__()
        self.model = model

    def _read(
        self, s1: Tensor, s2: Tensor, stamp: Tensor, position: Tensor, past: Sequence[Past | None]
    ) -> tuple[Tensor, ...]:
        layers = self.model.list_attention_layers()
        caches = [TensorCache(layer.rotary, position, own) for layer, own in zip(layers, past)]
        blocks: list[Cache] = [*caches[:-1]]
        hidden = self.model.read(s1, s2, self.model.time_emb(stamp), KronosCaches(blocks, caches[-1], True))[:, -1:]
        keys, values = (torch.stack([each.past[i] for each in caches[:-1]]) for i in (0, 1))
        return hidden, self.model.predict_s1(hidden)[:, 0], keys, values, *caches[-1].past


class Prefill(_Reader):
    """Reads the context: tokens s1, s2 (B, T) and calendar rows stamp (B, T, C).

    Returns hidden (B, 1, D) of the latest token, the logits (B, V) of the next s1, keys and values (N, B, H, T, K) of the
    blocks, and those (B, H', T, K') of the layer that predicts s2.
    """

    def forward(self, s1: Tensor, s2: Tensor, stamp: Tensor) -> tuple[Tensor, ...]:
        position = torch.zeros(1, dtype=torch.long, device=s1.device)
        return self._read(s1, s2, stamp, position, [None] * len(self.model.list_attention_layers()))


class Step(_Reader):
    """Reads one more token (B, 1) at a position (1,), counted from the first of the context; returns what `Prefill` does."""

    def forward(
        self,
        s1: Tensor,
        s2: Tensor,
        stamp: Tensor,
        position: Tensor,
        keys: Tensor,
        values: Tensor,
        s2_keys: Tensor,
        s2_values: Tensor,
    ) -> tuple[Tensor, ...]:
        blocks: list[Past | None] = [*zip(keys.unbind(0), values.unbind(0))]
        return self._read(s1, s2, stamp, position, [*blocks, (s2_keys, s2_values)])


class Fine(_Reader):
    """Returns the logits (B, V) of s2, given hidden (B, 1, D) of the latest token, its position (1,), and s1 (B, 1)."""

    def forward(self, hidden: Tensor, s1: Tensor, position: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        cache = TensorCache(self.model.dep_layer.cross_attn.rotary, position, (keys, values))
        return self.model.predict_s2(hidden, s1, KronosCaches([], cache, True))[:, 0]


class Encode(nn.Module):
    """Maps normalised candles (B, T, F) to tokens s1 and s2 (B, T)."""

    def __init__(self, tokenizer: KronosTokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def forward(self, candles: Tensor) -> tuple[Tensor, Tensor]:
        return self.tokenizer.encode(candles, half=True)


class Decode(Encode):
    """Maps tokens s1 and s2 (B, T) to normalised candles (B, T, F)."""

    def forward(self, s1: Tensor, s2: Tensor) -> Tensor:  # type: ignore[override]
        return self.tokenizer.decode((s1, s2), half=True)


class Graph(NamedTuple):
    """A module, inputs to trace it with, and which of their axes are free."""

    module: nn.Module
    inputs: tuple[Tensor, ...]
    axes: tuple[dict[int, str], ...]
    input_names: list[str]
    output_names: list[str]


BATCH, TIME = "batch", "time"
CACHES = ["keys", "values", "s2_keys", "s2_values"]
READ = ["hidden", "s1_logits"]


@torch.no_grad()
def build_graphs(tokenizer: KronosTokenizer, model: Kronos, n_rows: int, n_tokens: int) -> dict[str, Graph]:
    """Return the graphs by name, with random inputs of so many rows and tokens."""
    generator = torch.Generator().manual_seed(0)
    s1, s2 = (
        torch.randint(2**bits, (n_rows, n_tokens), generator=generator) for bits in (model.s1_bits, model.s2_bits)
    )
    candles = torch.randn(n_rows, n_tokens, tokenizer.embed.in_features, generator=generator)
    stamp = torch.randint(1, 7, (n_rows, n_tokens, 5), generator=generator).float()
    prefill = Prefill(model)
    hidden, _, *caches = prefill(s1, s2, stamp)
    position = torch.tensor([n_tokens])
    tokens, rows = {0: BATCH, 1: TIME}, {0: BATCH}
    own: list[dict[int, str]] = [{1: BATCH, 3: TIME}, {1: BATCH, 3: TIME}, {0: BATCH, 2: TIME}, {0: BATCH, 2: TIME}]
    read = [*READ, *(f"new_{name}" for name in CACHES)]
    step = (s1[:, :1], s2[:, :1], stamp[:, :1], position, *caches)
    axes: Any = {"step": (rows, rows, rows, {}, *own), "fine": (rows, rows, {}, *own[2:])}
    return {
        "encode": Graph(Encode(tokenizer), (candles,), (tokens,), ["candles"], ["s1", "s2"]),
        "decode": Graph(Decode(tokenizer), (s1, s2), (tokens, tokens), ["s1", "s2"], ["candles"]),
        "prefill": Graph(prefill, (s1, s2, stamp), (tokens,) * 3, ["s1", "s2", "stamp"], [*READ, *CACHES]),
        "step": Graph(Step(model), step, axes["step"], ["s1", "s2", "stamp", "position", *CACHES], read),
        "fine": Graph(
            Fine(model),
            (hidden, s1[:, :1], position - 1, *caches[2:]),
            axes["fine"],
            ["hidden", "s1", "position", *CACHES[2:]],
            ["s2_logits"],
        ),
    }
