"""The self-test against look-ahead: change everything after a cut, and check that nothing before it changes.

The files are read again, the rows after the cut are changed as read, and everything is done as for training: repairs,
splits, statistics, batches. The model inputs of the time before the cut must stay the same, bit for bit. The times of the
candles are not changed: the choice of windows may depend on them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from kronos.candles import Array
from kronos.config.data import DataConfig, RepairsConfig
from kronos.data.elsewhere.gather import gather_files
from kronos.data.elsewhere.options import FetchOptions
from kronos.data.files.options import ReadingOptions
from kronos.data.files.read import RawSeries
from kronos.data.quality.findings import format_time
from kronos.data.quality.repair import restore_times
from kronos.data.quality.series import inspect_series
from kronos.data.windows.candle_set import CandleSet, join_series
from kronos.data.windows.dataset import WindowDataset
from kronos.data.windows.load import load_candles, read_all
from kronos.data.windows.splits import Split, SplitName, WindowStarts, find_moments, split_candles
from kronos.errors import DataError
from kronos.names import Message
from kronos.progress.bars import track

N_SYMBOLS = 20  # at most, those with the most windows
N_ORIGINS = 4  # cuts within each split, besides its end
N_REPAIRS, MAX_REPAIRS = 10, 50  # cuts at repaired candles: of one kind in a symbol, and in all
N_WINDOWS = 512  # compared at each cut: the last ones, which are nearest to it, and others spread evenly


class Leak(NamedTuple):
    """Something before a cut that changed. what: windows, batch, statistics or history. cut: the time of the cut."""

    what: str
    cut: str
    message: str


class Leaks(NamedTuple):
    """The result of the self-test. leaks: empty if there are none. n_cuts, n_windows: how much was compared."""

    leaks: list[Leak]
    n_cuts: int
    n_windows: int


@dataclass(frozen=True)
class _Prepared:
    """Everything made from the files on the way to a model."""

    candles: CandleSet
    splits: dict[SplitName, Split]
    repaired: Array  # instants of candles that were repaired, some of each kind


def find_leaks(data: DataConfig, repairs: RepairsConfig) -> Leaks:
    """Cut at the end of each split and at a few origins within it, change what follows, and compare what comes before.

    Raises:
        DataError: the candles cannot be read, or are too few for the splits.
    """
    candles, _ = load_candles(data, repairs)
    moments, kept = find_moments(candles, data), _choose_symbols(candles, split_candles(candles, data))
    files = gather_files(data.data_path, FetchOptions.of(data)).files
    raws = [raw for raw in read_all(files, ReadingOptions.of(data), []) if raw.symbol in kept]
    raws = [restore_times(raw)[0] for raw in raws]  # cuts are made in true time
    held_out = {key: tuple(s for s in getattr(data, key) if s in kept) for key in ("val_symbols", "test_symbols")}
    # data.val_windows spreads its windows over all of validation: one more at the end moves all others.
    data = data.override(held_out | {"val_windows": None})
    before = _prepare(raws, data, repairs, moments)
    leaks, cuts, n_windows = list[Leak](), list(_choose_cuts(before, data)), 0
    for cut, over in track(cuts, Message("cuts"), len(cuts), delay=2):
        after = _prepare([_change_after(raw, cut) for raw in raws], data, repairs, moments)
        if np.array_equal(before.candles.values, after.candles.values):
            raise DataError("no candle comes after the cut {cut}; nothing can be tested there.", cut=format_time(cut))
        more, n = _compare(before, after, cut, over, data)
        leaks += more
        n_windows += n
    return Leaks(leaks, len(cuts), n_windows)


def _choose_symbols(candles: CandleSet, splits: dict[SplitName, Split]) -> set[str]:
    """Return the symbols with the most windows in each split, up to N_SYMBOLS."""
    rankings = []
    for split in splits.values():
        counts = np.bincount(candles.symbol_numbers(split.starts.first), split.starts.count, len(candles.symbols))
        rankings.append([candles.symbols[k].symbol for k in np.argsort(-counts, kind="stable") if counts[k]])
    in_turn = (name for names in itertools.zip_longest(*rankings) for name in names if name)
    return set(list(dict.fromkeys(in_turn))[:N_SYMBOLS])


def _prepare(raws: Sequence[RawSeries], data: DataConfig, repairs: RepairsConfig, moments: Sequence[int]) -> _Prepared:
    inspected = [inspect_series(raw, repairs) for raw in raws]
    candles = join_series(inspected)
    repaired = [
        _spread(each.raw.instants[np.isin(each.raw.local, finding.at)], N_REPAIRS)
        for each in inspected
        for finding in each.findings
        if finding.severity == "repair"
    ]
    return _Prepared(candles, split_candles(candles, data, moments), np.unique(np.concatenate([[0], *repaired]))[1:])


def _spread(values: Array, n: int) -> Array:
    """Return up to n of the values, spread evenly."""
    return (
        values[np.unique(np.linspace(0, len(values) - 1, min(len(values), n)).astype(int))] if len(values) else values
    )


def _change_after(raw: RawSeries, cut: int) -> RawSeries:
    """Multiply each candle after the cut by a number of its own; candles at one time by the same."""
    late = raw.instants > cut
    _, which = np.unique(raw.instants[late], return_inverse=True)
    factors = np.exp(0.01 * np.random.default_rng(0).standard_normal(which.max(initial=0) + 1)).astype(np.float32)
    values = raw.values.copy()
    values[late] *= factors[which][:, None]
    return replace(raw, values=values)


def _choose_cuts(prepared: _Prepared, data: DataConfig) -> Iterator[tuple[int, SplitName | None]]:
    """Yield the moment before each split's first horizon, with the split that must have ended by then (symbols held out
    have no such moment); repaired candles, as a repair might use the next candle; and origins within each split.
    """
    instants = prepared.candles.instants
    for over, split in itertools.pairwise(prepared.splits.values()):
        horizons = instants[_rows(_of_shared_symbols(split.starts, prepared, data), data.lookback_window)]
        if len(horizons):
            yield int(horizons.min()) - 1, over.name
    repaired = _spread(prepared.repaired, MAX_REPAIRS)
    yield from ((int(cut), None) for cut in repaired if instants.min() <= cut < instants.max())
    for split in prepared.splits.values():
        numbers = np.unique(np.linspace(0, len(split) - 1, N_ORIGINS).round().astype(int))
        yield from ((int(cut), None) for cut in instants[split.starts.take(numbers) + data.lookback_window - 1])


def _of_shared_symbols(starts: WindowStarts, prepared: _Prepared, data: DataConfig) -> WindowStarts:
    apart = {*data.val_symbols, *data.test_symbols}
    kept = np.array([symbol.symbol not in apart for symbol in prepared.candles.symbols])
    shared = kept[prepared.candles.symbol_numbers(starts.first)] & (starts.count > 0)
    return WindowStarts(starts.first[shared], starts.count[shared], starts.stride)


def _rows(starts: WindowStarts, offset: int) -> Array:
    """Return for each window the row at an offset from its beginning."""
    return starts.take(np.arange(len(starts))) + offset


def _compare(
    before: _Prepared, after: _Prepared, cut: int, over: SplitName | None, data: DataConfig
) -> tuple[list[Leak], int]:
    """Return what depends on candles after the cut and must not, and the number of windows compared."""
    leaks, n_compared, time = [], 0, format_time(cut)
    instants = before.candles.instants
    known = instants <= cut
    if not np.array_equal(before.candles.values[known], after.candles.values[known]):
        leaks.append(Leak("history", time, "candles up to the cut change with later ones"))
    if over:
        shared = _of_shared_symbols(before.splits[over].starts, before, data)
        if (instants[_rows(shared, data.window - 1)] > cut).any():
            leaks.append(Leak("windows", time, f"{over} windows reach into horizons of the next split"))
    for name in before.splits:
        starts, others = (_rows(prepared.splits[name].starts, 0) for prepared in (before, after))
        whole = instants[starts + data.window - 1] <= cut
        if not np.array_equal(starts[whole], others[instants[others + data.window - 1] <= cut]):
            leaks.append(Leak("windows", time, f"the choice of {name} windows changes with later candles"))
            continue
        at_origin = (instants[starts + data.lookback_window - 1] <= cut) & ~whole
        for what, mask, length in (("batch", whole, data.window), ("statistics", at_origin, data.lookback_window)):
            chosen = _choose_windows(starts[mask])
            n_compared += len(chosen)
            if not _equal(before, after, chosen, length, data):
                part = "windows wholly before the cut" if what == "batch" else "lookbacks that end before the cut"
                leaks.append(Leak(what, time, f"{name}: {part} change with later candles"))
    return leaks, n_compared


def _choose_windows(starts: Array) -> Array:
    if len(starts) <= N_WINDOWS:
        return starts
    spread = starts[np.linspace(0, len(starts) - 1, N_WINDOWS // 2).astype(int)]
    return np.unique(np.concatenate([starts[-N_WINDOWS // 2 :], spread]))


def _equal(before: _Prepared, after: _Prepared, starts: Array, length: int, data: DataConfig) -> bool:
    """Whether the first length candles of windows are the same model inputs, bit for bit."""
    if not len(starts):
        return True
    rows = WindowStarts(starts, np.ones(len(starts), np.int64))
    one, other = (
        WindowDataset(prepared.candles, rows, data).__getitems__(range(len(starts))) for prepared in (before, after)
    )
    return all(bool((one[key][:, :length] == other[key][:, :length]).all()) for key in ("candles", "stamp"))
