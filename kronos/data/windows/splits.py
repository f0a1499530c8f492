"""Assign windows to train, validation and test; no window crosses a symbol, a long gap or a jump."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from kronos.candles import Array
from kronos.config.data import DataConfig, end_of
from kronos.data.windows.candle_set import CandleSet, SymbolRows
from kronos.data.windows.left_out import describe_dropped
from kronos.errors import DataError

SplitName = Literal["train", "val", "test"]
NAMES: tuple[SplitName, ...] = ("train", "val", "test")
EPOCH = np.datetime64(0, "us")
LAST_MOMENT = 1 << 62
FEWEST_STEPS = 4  # of an epoch of independent windows: validations after fewer would differ by chance alone


@dataclass(frozen=True)
class WindowStarts:
    """The rows at which windows begin, in stretches: first (K,), count (K,), each stretch's rows stride apart."""

    first: Array
    count: Array
    stride: int = 1

    def __len__(self) -> int:
        return int(self.count.sum())

    def __getitem__(self, index: int) -> int:
        return int(self.take(np.asarray([range(len(self))[index]]))[0])

    def take(self, indices: Array) -> Array:
        """Return the starts (B,) of windows numbered by indices (B,)."""
        ends = np.cumsum(self.count)
        stretch = np.searchsorted(ends, indices, side="right")
        starts: Array = self.first[stretch] + (indices - ends[stretch] + self.count[stretch]) * self.stride
        return starts


@dataclass(frozen=True)
class Split:
    """The windows of a split.

    rows: candles from which horizons may be taken. symbol_bounds: (S + 1,) bounds of each symbol's windows, in order.
    dropped: the number of windows left out for each reason. independent: the number of windows that share no candle
    (train) or no candle of the horizon (val, test).
    """

    name: SplitName
    rows: int
    starts: WindowStarts
    symbol_bounds: Array
    dropped: dict[str, int]
    independent: int

    def __len__(self) -> int:
        return len(self.starts)


@dataclass(frozen=True)
class _Span:
    """Rows start to stop of a symbol from which a split takes horizons; embargo: rows left out at their beginning."""

    symbol: SymbolRows
    start: int
    stop: int
    embargo: int = 0


def split_candles(
    candles: CandleSet, config: DataConfig, moments: Sequence[int] | None = None
) -> dict[SplitName, Split]:
    """Split candles in order of time into train, val and, if asked for, test; whole symbols may be held out.

    The boundaries are moments, the same for all symbols. A train window lies within train. A val or test window's
    horizon lies within its split; its lookback may reach back into earlier candles, which a forecast would also know.

    Args:
        moments: the instants at which val and test begin; by default they are computed from these candles.

    Raises:
        DataError: a split has no window, or a symbol to hold out does not exist.
    """
    spans = _bound(candles, config, moments)
    splits = {name: _build(name, spans[name], candles, config) for name in NAMES if name in spans}
    for split in splits.values():
        if not len(split):
            raise _explain_no_windows(split, splits, candles, config)
    return splits


def _bound(candles: CandleSet, config: DataConfig, moments: Sequence[int] | None) -> dict[SplitName, list[_Span]]:
    held_out = {"val": config.val_symbols, "test": config.test_symbols}
    known = {symbol.symbol for symbol in candles.symbols}
    if unknown := [name for names in held_out.values() for name in names if name not in known]:
        shown = ", ".join(sorted(known)[:10]) + (", …" if len(known) > 10 else "")
        template = "data.val_symbols, data.test_symbols: no symbol {unknown}. The candles hold {known}."
        raise DataError(template, unknown=", ".join(unknown), known=shown)
    has_test = bool(config.test_symbols) or (config.val_end is not None if config.train_end else config.test_ratio > 0)
    names = NAMES if has_test else NAMES[:2]
    spans: dict[SplitName, list[_Span]] = {name: [] for name in names}
    moments = find_moments(candles, config) if moments is None else moments
    for symbol in candles.symbols:
        own = next((name for name in NAMES[1:] if symbol.symbol in held_out[name]), None)
        if own:
            spans[own].append(_Span(symbol, symbol.start, symbol.stop))
            continue
        instants = candles.instants[symbol.start : symbol.stop]
        edges = [symbol.start, *(symbol.start + np.searchsorted(instants, moments)).tolist(), symbol.stop]
        for name, start, stop in zip(NAMES, edges, edges[1:]):
            if name in spans:
                spans[name].append(_Span(symbol, start, stop, config.embargo if name != "train" else 0))
    return spans


def windows_after(candles: CandleSet, config: DataConfig, moment: int) -> Split:
    """Return all windows whose horizon lies after an instant, as a test split, perhaps an empty one."""
    spans = []
    for symbol in candles.symbols:
        first = np.searchsorted(candles.instants[symbol.start : symbol.stop], moment, side="right")
        spans.append(_Span(symbol, symbol.start + int(first), symbol.stop))
    return _build("test", spans, candles, config)


def windows_before(candles: CandleSet, config: DataConfig, moment: int) -> Split:
    """Return all windows that end before an instant, as a train split, perhaps an empty one."""
    spans = []
    for symbol in candles.symbols:
        stop = np.searchsorted(candles.instants[symbol.start : symbol.stop], moment)
        spans.append(_Span(symbol, symbol.start, symbol.start + int(stop)))
    return _build("train", spans, candles, config)


def find_moments(candles: CandleSet, config: DataConfig) -> list[int]:
    """Return the instants at which val and test begin, the same for all symbols but those held out."""
    shared = [s for s in candles.symbols if s.symbol not in {*config.val_symbols, *config.test_symbols}]
    return (_moments_of_dates if config.train_end else _moments_of_ratios)(candles, shared, config)


def _moments_of_ratios(candles: CandleSet, symbols: Sequence[SymbolRows], config: DataConfig) -> list[int]:
    """Return the instants at which val and test begin: the ratios of all candles lie before them."""
    n_rows = sum(len(symbol) for symbol in symbols)
    if not n_rows:
        return [0, 0]
    instants = [candles.instants[symbol.start : symbol.stop] for symbol in symbols]
    pooled = np.asarray(instants[0]) if len(instants) == 1 else np.concatenate(instants)
    ranks = [round(n_rows * config.train_ratio), round(n_rows * (config.train_ratio + config.val_ratio))]
    ordered = pooled if len(instants) == 1 else np.partition(pooled, [min(rank, n_rows - 1) for rank in ranks])
    return [int(ordered[rank]) if rank < n_rows else int(pooled.max()) + 1 for rank in ranks]


def _moments_of_dates(candles: CandleSet, symbols: Sequence[SymbolRows], config: DataConfig) -> list[int]:
    """Return the instants after the days, or moments, of the configuration: if clocks differ, the earliest."""
    moments = []
    for end in (config.train_end, config.val_end):
        local = int((np.datetime64(end_of(end), "us") - EPOCH).astype(np.int64)) if end else LAST_MOMENT
        rows = [s.start + np.searchsorted(candles.local(s, s.start, s.stop), local) for s in symbols]
        at = [np.array([min(row, s.stop - 1)]) for s, row in zip(symbols, rows)]
        offsets = [candles.local_at(s, row) - candles.instants[row] for s, row in zip(symbols, at)]
        moments.append(local - int(max((offset[0] for offset in offsets), default=0)))
    return moments


def _build(name: SplitName, spans: Sequence[_Span], candles: CandleSet, config: DataConfig) -> Split:
    """Lay out a split's windows, and count those left out for each reason in turn."""
    stride = config.train_stride if name == "train" else 1
    whole = [replace(span, embargo=0) for span in spans]
    reasons = {
        "the embargo": (spans, ()),
        "gaps": (spans, ("gaps",)),
        "jumps": (spans, ("gaps", "jumps")),
    }
    left = sum(int(count.sum()) for _, count in _lay_out(name, whole, (), config))
    dropped, stretches = {}, []
    for reason, (spans_left, breaks) in reasons.items():
        stretches = _lay_out(name, spans_left, breaks, config)
        kept = sum(int(count.sum()) for _, count in stretches)
        dropped[reason] = left - kept
        left = kept
    per_symbol = [int((-(-count // stride)).sum()) for _, count in stretches]
    dropped["the stride"] = left - sum(per_symbol)
    first = np.concatenate([f for f, _ in stretches]) if stretches else np.empty(0, np.int64)
    count = np.concatenate([c for _, c in stretches]) if stretches else np.empty(0, np.int64)
    unit = config.window if name == "train" else config.predict_window
    independent = int(((count + unit - 1) // unit)[count > 0].sum())
    starts, bounds = WindowStarts(first, -(-count // stride), stride), np.concatenate([[0], np.cumsum(per_symbol)])
    if name == "val" and config.val_windows and len(starts) > config.val_windows:
        chosen = np.linspace(0, len(starts) - 1, config.val_windows).round().astype(np.int64)
        dropped["the cap"] = len(starts) - len(chosen)
        starts, bounds = WindowStarts(starts.take(chosen), np.ones_like(chosen)), np.searchsorted(chosen, bounds)
    return Split(
        name,
        sum(max(span.stop - span.start - span.embargo, 0) for span in spans),
        starts,
        bounds,
        {reason: n for reason, n in dropped.items() if n},
        min(independent, len(starts)),
    )


def _lay_out(
    name: SplitName, spans: Sequence[_Span], breaks: Sequence[str], config: DataConfig
) -> list[tuple[Array, Array]]:
    """Return for each span the first windows (K,) of its unbroken stretches, and how many follow row by row."""
    stretches = []
    for span in spans:
        symbol = span.symbol
        inner = symbol.breaks(config.max_gap, "jumps" in breaks) if breaks else []
        ordered = np.array([symbol.start, *inner, symbol.stop])
        # A horizon begins within the span; in train so does the lookback.
        earliest = span.start if name == "train" else span.start + span.embargo - config.lookback_window
        first = np.maximum(ordered[:-1], earliest)
        count = np.maximum(np.minimum(ordered[1:], span.stop) - config.window + 1 - first, 0)
        stretches.append((first, count))
    return stretches


def _explain_no_windows(
    split: Split, splits: dict[SplitName, Split], candles: CandleSet, config: DataConfig
) -> DataError:
    held_out = {*config.val_symbols, *config.test_symbols}
    symbols = {symbol.symbol for symbol in candles.symbols}
    if split.name == "train" and held_out >= symbols:
        return DataError(
            "every symbol is held out, and none is left to train on. Remove some from data.val_symbols or data.test_symbols."
        )
    needs = "{predict} (predict_window)"
    if split.name == "train":
        needs = "{window} (lookback_window {lookback} + predict_window {predict})"
    values: dict[str, object] = {
        "lookback": config.lookback_window,
        "predict": config.predict_window,
        "window": config.window,
    }
    values |= {"source": candles.source, "name": split.name, "n_rows": len(candles), "n_split": split.rows}
    if len(symbols) == 1 and not (config.train_end or held_out) and not any(s.dropped for s in splits.values()):
        return DataError(
            "{source}: {n_rows} rows, of which {name} gets {n_split} ({name}_ratio {ratio:g}), but it needs at least "
            f"{needs}. Use a file of at least {{enough}} rows, a larger {{name}}_ratio, or shorter windows.",
            **values,
            ratio=getattr(config, f"{split.name}_ratio"),
            enough=_enough_rows(len(candles), config),
        )
    lost = " (windows left out: {lost})" if split.dropped else ""
    return DataError(
        "{source}: no {name} window in {n_split:,} {name} candles (symbols: {n_symbols:,}). A window needs "
        f"{needs} in a row{lost}. Use more candles, other splits, a larger data.max_gap or shorter windows.",
        **values,
        n_symbols=len(symbols),
        lost=describe_dropped(split.dropped),
    )


def _enough_rows(n_rows: int, config: DataConfig) -> int:
    """Return the smallest number of rows of one symbol that gives every split a window."""
    for n in itertools.count(n_rows):
        train, val = round(n * config.train_ratio), round(n * (config.train_ratio + config.val_ratio))
        spans: list[tuple[SplitName, int, int]] = [("train", 0, train), ("val", train, val)]
        if config.test_ratio:
            spans.append(("test", val, n))
        symbol = SymbolRows("", "", 0, n, 1, 1, True, 0)
        stretches = [_lay_out(name, [_Span(symbol, start, stop)], (), config) for name, start, stop in spans]
        if all(count.sum() for ((_, count),) in stretches):
            return n
    raise AssertionError


def count_epoch_windows(n_windows: int, config: DataConfig, a_step: int = 1) -> int:
    """Return how many of n_windows train windows an epoch draws, by data.windows_per_epoch.

    Args:
        a_step: windows of one step; an epoch of independent windows has at least FEWEST_STEPS, if there are so many windows.
    """
    limit = config.windows_per_epoch
    if limit == "independent":
        limit = max(-(-n_windows * config.train_stride // config.predict_window), FEWEST_STEPS * a_step)
    return min(n_windows, limit or n_windows)


def spread_evenly(n: int, n_chosen: int, seed: int | Sequence[int]) -> Array:
    """Choose min(n, n_chosen) different numbers below n, ascending: one at random from each of as many equal parts.

    A regular choice could fall on the same hour, or on the same end of every symbol, each time.
    """
    parts = min(n, n_chosen)
    edges = np.arange(parts + 1) * n // parts
    return np.random.default_rng(seed).integers(edges[:-1], edges[1:])
