"""Decoding on a GPU: each step is the same work on buffers of fixed shape, captured once as a CUDA graph and replayed.

A small model's step is some hundred kernels of a few microseconds each. Launched one by one from Python, they leave the
GPU idle most of the time. A graph launches all of them at once.
"""

import copy
from collections import OrderedDict
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor

from kronos.forecast.chunks import measure_total
from kronos.forecast.decoding.options import Decoding, KnownTokens, choose_tokens
from kronos.forecast.decoding.step_graph import StepGraph
from kronos.model import Kronos
from kronos.model.fusing import fuse_projections
from kronos.model.layers import list_blocks
from kronos.model.static_cache import StaticPositions, StaticShape

FEW_ROWS = 512  # up to which the number of series is rounded up, to use a graph again
PREFIX_STEP = 64  # to whose multiples the capacity for known tokens is rounded up
OWN_STEP = 16  # the same for the tokens of a path
ChooseTokens = Callable[..., tuple[Tensor, Tensor]]

KEPT_SHARE = 0.125  # of the memory, which the buffers of earlier calls may hold


class StaticDecoder:
    """Decodes P futures of each of S series in buffers that later calls of the same shape use again."""

    def __init__(
        self, model: Kronos, shape: StaticShape, decoding: Decoding, choose: ChooseTokens = choose_tokens
    ) -> None:
        """Allocate the buffers.

        Args:
            model: one with fused projections.
            choose: `choose_tokens`, or the same compiled.
        """
        self.shape = shape
        self._model = model
        self._decoding = decoding
        self._choose_tokens = choose
        weight = model.dep_layer.cross_attn.k_proj.weight  # (D, D)
        self._positions = StaticPositions(shape, weight)
        self._caches = model.build_caches(self._positions, decoding.rotate_s2)
        self.n_bytes = 2 * len(model.list_attention_layers()) * shape.count_positions() * weight[0].nbytes
        longs = partial(torch.zeros, dtype=torch.long, device=weight.device)
        rows = shape.n_series * shape.n_paths
        self._tokens = longs(2, rows, shape.n_own)  # s1 and s2 of each path
        self._draws = torch.zeros(shape.n_own, 2, rows, 1, device=weight.device)
        self._future = weight.new_zeros(shape.n_own, shape.n_series, len(weight))  # the calendar, embedded
        self._checksum = torch.zeros((), device=weight.device)
        # What a step that reads the context anew needs: all known tokens that fit the context.
        self._known_ids = longs(2, shape.n_series, shape.n_prefix)
        self._known = weight.new_zeros(shape.n_series, shape.n_prefix, len(weight))  # the calendar, embedded
        self._known_lengths = longs(shape.n_series)
        self._graphs = {
            anew: StepGraph(step, weight.device) for anew, step in ((False, self._step), (True, self._step_anew))
        }

    def decode(
        self, known: KnownTokens, future_stamp: Tensor, draws: Tensor, on_step: Callable[[], object]
    ) -> tuple[Tensor, Tensor]:
        """Sample futures; see `decode_growing`."""
        horizon = len(draws)
        self._begin(known, future_stamp, draws)
        on_step()
        kinds = [self._decoding.rolls(known.lengths, step) for step in range(1, horizon)]
        for step, anew in enumerate(kinds):
            self._graphs[anew].run(n_left=kinds[step:].count(anew))
            on_step()
        return self._tokens[:, :, :horizon].clone(), self._checksum.clone()

    def _begin(self, known: KnownTokens, future_stamp: Tensor, draws: Tensor) -> None:
        """Copy the inputs into the buffers, read the prefix and choose the first tokens."""
        horizon = len(draws)
        self._draws[:horizon] = draws
        self._future[:horizon] = self._model.time_emb(future_stamp).transpose(0, 1)
        self._checksum.zero_()
        context = known.latest(self._decoding.count_known(0, horizon))
        n_known = context.s1_ids.shape[1]
        self._known_ids[:, :, :n_known] = torch.stack([context.s1_ids, context.s2_ids])
        self._known[:, :n_known] = self._model.time_emb(context.stamp)
        self._known_lengths.copy_(torch.tensor(context.lengths))
        self._positions.lengths.copy_(self._known_lengths)
        self._positions.n_own.zero_()
        hidden = self._read_prefix(self._known_ids[:, :, :n_known], self._known[:, :n_known])
        latest = hidden.gather(1, (self._known_lengths - 1)[:, None, None].expand(-1, 1, hidden.shape[2]))
        self._positions.look()
        self._choose(latest.repeat_interleave(self.shape.n_paths, dim=0))

    def _step(self) -> None:
        """Read the tokens chosen last, and choose the next."""
        self._positions.advance()
        slot = self._positions.slot
        tokens = self._tokens.index_select(2, slot)  # (2, S·P, 1)
        calendar = self._by_path(self._future.index_select(0, slot).transpose(0, 1))  # (S·P, 1, D)
        self._choose(self._model.read(tokens[0], tokens[1], calendar, self._caches))

    def _step_anew(self) -> None:
        """Read the latest W tokens of each path anew, and choose the next."""
        positions, room = self._positions, self._decoding.max_context
        positions.n_own += 1
        kept = torch.minimum(self._known_lengths, room - positions.n_own)  # (S,)
        positions.lengths.copy_(kept)
        index = (self._known_lengths - kept)[:, None] + torch.arange(self.shape.n_prefix, device=kept.device)
        index = index.clamp(max=self.shape.n_prefix - 1)  # (S, L)
        calendar = self._known.gather(1, index.unsqueeze(-1).expand_as(self._known))
        self._read_prefix(self._known_ids.gather(2, index.expand_as(self._known_ids)), calendar)
        positions.read_own()
        own_calendar = self._by_path(self._future.transpose(0, 1))  # (S·P, N, D)
        hidden = self._model.read(self._tokens[0], self._tokens[1], own_calendar, self._caches)
        positions.look()
        self._choose(hidden.index_select(1, positions.n_own - 1))

    def _read_prefix(self, ids: Tensor, calendar: Tensor) -> Tensor:
        """Read known tokens (2, S, T) with their embedded calendar (S, T, D). Return their hidden states (S, T, D)."""
        self._positions.read_prefix()
        compiled = self._choose_tokens is not choose_tokens
        # The length varies, and each would be compiled anew. Without compiling, loading the compiler would take seconds.
        with torch.compiler.set_stance("force_eager") if compiled else nullcontext():
            return self._model.read(ids[0], ids[1], calendar, self._caches)

    def _choose(self, latest: Tensor) -> None:
        """Choose the tokens that follow hidden states (S·P, 1, D)."""
        at = self._positions.n_own
        draws = self._draws.index_select(0, at)[0]
        tokens, checksum = self._choose_tokens(self._model, latest, self._caches, self._decoding.sampling, draws)
        self._tokens.index_copy_(2, at, tokens)
        self._checksum += checksum

    def _by_path(self, x: Tensor) -> Tensor:
        """Map (S, T, D), the same for all paths of a series, to (S·P, T, D)."""
        return x[:, None].expand(-1, self.shape.n_paths, -1, -1).flatten(0, 1)


class StaticDecoders:
    """The decoders of a model by their shapes, kept for later calls."""

    def __init__(self, model: Kronos, compile: bool = False) -> None:
        """Take the model, of which a copy is made at the first call.

        Args:
            compile: compile the blocks and the choice of tokens: fewer kernels, but a long first call.
        """
        self._source = model
        self._compile = compile
        self._choose: ChooseTokens = torch.compile(choose_tokens) if compile else choose_tokens
        self._model: Kronos | None = None
        self._version = -1
        self._kept: OrderedDict[tuple[StaticShape, Decoding], StaticDecoder] = OrderedDict()

    def decode(
        self,
        known: KnownTokens,
        future_stamp: Tensor,
        draws: Tensor,
        decoding: Decoding,
        on_step: Callable[[], object] = lambda: None,
    ) -> tuple[Tensor, Tensor]:
        """Sample futures; see `decode_growing`."""
        n_series, (horizon, _, n_rows, _) = len(known.lengths), draws.shape
        n_paths = n_rows // n_series
        n_padded = round_up_series(n_series, n_paths)
        series = [min(i, n_series - 1) for i in range(n_padded)]  # the last one fills up; it is computed and dropped
        by_series = draws.view(horizon, 2, n_series, n_paths, 1)[:, :, series].flatten(2, 3)
        n_prefix = min(max(known.lengths), decoding.count_known(0, horizon))
        shape = StaticShape(
            n_padded, n_paths, _round_up(n_prefix, PREFIX_STEP), _round_up(horizon, OWN_STEP), decoding.window
        )
        decoder = self._take(shape, decoding)
        tokens, checksum = decoder.decode(known.select(series), future_stamp[series], by_series, on_step)
        self._keep(decoder, decoding)
        return tokens[:, :n_rows], checksum

    def clear(self) -> None:
        """Forget all buffers: after numbers that are not finite, which would spoil later calls."""
        self._kept.clear()

    def _take(self, shape: StaticShape, decoding: Decoding) -> StaticDecoder:
        """Return the decoder of a shape, which is kept again only if it comes through."""
        model = self._refresh()
        if decoder := self._kept.pop((shape, decoding), None):
            return decoder
        try:
            return StaticDecoder(model, shape, decoding, self._choose)
        except torch.OutOfMemoryError:
            self._kept.clear()
            return StaticDecoder(model, shape, decoding, self._choose)

    def _keep(self, decoder: StaticDecoder, decoding: Decoding) -> None:
        self._kept[decoder.shape, decoding] = decoder
        limit = KEPT_SHARE * measure_total(self._source.head.proj_s1.weight.device)
        while len(self._kept) > 1 and sum(each.n_bytes for each in self._kept.values()) > limit:
            self._kept.popitem(last=False)

    def _refresh(self) -> Kronos:
        """Return a copy of the model with fused projections and its present weights."""
        version = sum(0 if each.is_inference() else each._version for each in self._source.parameters())
        if self._model is None:
            self._model = copy.deepcopy(self._source).eval().requires_grad_(False)
            for block in list_blocks(self._model.transformer) if self._compile else ():
                block.compile()  # once for all of them: they differ only in their weights
        elif version == self._version:
            return self._model
        else:
            own = dict(self._model.named_parameters())
            for name, parameter in self._source.named_parameters():
                own[name].copy_(parameter)
        fuse_projections(self._model)
        self._version = version
        return self._model


def round_up_series(n_series: int, n_paths: int) -> int:
    """Return the number of series to compute: a power of two if the rows are few, so that calls share a graph."""
    return n_series if n_series * n_paths > FEW_ROWS else 2 ** (n_series - 1).bit_length()


def _round_up(n: int, step: int) -> int:
    return -(-n // step) * step
