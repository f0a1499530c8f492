"""Choose the origins that a run is evaluated on, in candles that it was not trained on."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from kronos.candles import Array
from kronos.config import Config
from kronos.config.affects import list_affects
from kronos.config.data import DataConfig
from kronos.config.training import STAGES
from kronos.data import CandleSet, Split
from kronos.data.quality.findings import format_time
from kronos.data.windows.splits import SplitName, windows_after
from kronos.errors import DataError
from kronos.evaluation.origins.clock import choose_stride
from kronos.evaluation.origins.walk_forward import Origins
from kronos.evaluation.records import Note
from kronos.stage_record import StageRecord
from kronos.training.saved.last_seen import find_last_seen, read_last_seen
from kronos.training.saved.stage_settings import CANDLES_KEY, hash_candles, renew_candle_hashes

logger = logging.getLogger(__name__)

# The keys of data that decide which candles belong to which split.
SPLIT_KEYS = {key for key, affects in list_affects(DataConfig).items() if affects and affects.splits}


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Origins to forecast from, and earlier ones (may be empty) to calibrate bands on.

    stride: candles from one origin to the next. notes: remarks for readers of the figures. settings: of the evaluation, by key.
    """

    split: SplitName
    origins: Origins
    calibration: Origins
    stride: int
    notes: tuple[Note, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


def choose_held_out(config: Config, candles: CandleSet, splits: Mapping[SplitName, Split]) -> HeldOut:
    """Choose origins in the run's own candles, every evaluation.stride: in the test split, else the later half of validation."""
    stride = config.evaluation.stride or choose_stride(candles, config.data.predict_window)
    val = _take_origins(config, candles, splits["val"], stride)
    if "test" in splits:
        test = _take_origins(config, candles, splits["test"], stride)
        seen, first = find_last_seen(config, candles, splits), candles.instants[test.rows + 1].min()
        before = read_last_seen(config) or seen
        codes = {"held_out_symbols": seen, "seen_before": before if before > seen else None}
        notes = [
            note_seen(code, candles, until) for code, until in codes.items() if until is not None and first <= until
        ]
        if jumps := splits["test"].dropped.get("jumps", 0):
            notes.append(Note(code="jumps_left_out", values={"n": int(jumps)}))
        return HeldOut("test", test, val, stride, tuple(notes))
    middle = val.starts[np.argsort(val.starts)[len(val) // 2]]
    earlier, later = np.flatnonzero(val.ends <= middle), np.flatnonzero(val.starts >= middle)
    return HeldOut("val", val.take(later), val.take(earlier), stride, (Note(code="on_validation"),))


def is_own(config: Config, candles: CandleSet) -> bool:
    """Whether a run's models were trained on exactly these candles, with the same splits."""
    records = [StageRecord.read(config.model_paths.run_folder.stage(name).path) for name in STAGES]
    data = config.data.model_dump(mode="json", include=SPLIT_KEYS)
    now = {f"data.{key}": value for key, value in data.items()} | {CANDLES_KEY: hash_candles(candles)}
    recorded = [renew_candle_hashes(record.settings, now, candles) for record in records if record]
    own = [settings.get(key, value) == value for settings in recorded for key, value in now.items()]
    return records[-1] is not None and all(own)


def choose_of_training(config: Config, candles: CandleSet, splits: Mapping[SplitName, Split]) -> HeldOut:
    """Choose origins in the candles of a training run. Skipped stages may have been trained on other candles.

    Raises:
        DataError: a skipped stage has already seen all of the candles.
    """
    if is_own(config, candles):
        return choose_held_out(config, candles, splits)
    logger.warning(
        "a skipped stage was trained on other candles or splits. Only candles after all of these are forecast."
    )
    return choose_new(config, candles, None)


def find_instant(candles: CandleSet, moment: datetime) -> int:
    """Return an instant, in microseconds since 1970, after which all local times of all symbols are later than a moment.

    It is that of the last candle before the first later one of any symbol.
    """
    local = int(np.datetime64(moment, "us").astype(np.int64))
    later = []
    for symbol in candles.symbols:
        times = candles.local(symbol, symbol.start, symbol.stop)
        row = symbol.start + int(np.searchsorted(times, local, side="right"))
        later += [int(candles.instants[row])] if row < symbol.stop else []
    if not later:
        return local
    earlier = candles.instants[candles.instants < min(later)]
    return int(earlier.max()) if len(earlier) else min(later) - 1


def choose_new(config: Config, candles: CandleSet, since: int | None) -> HeldOut:
    """Choose origins in candles other than the run's own: after an instant or, by default, after all that the run has seen.

    Raises:
        DataError: there is no such window, or the run does not record its last candle.
    """
    seen = read_last_seen(config)
    if since is None and seen is None:
        raise DataError(
            "{audit}: the last candle of the run is not recorded. Give --since, a time after all candles it was trained on.",
            audit=config.model_paths.run_folder.audit,
        )
    after = since if since is not None else seen or 0
    stride = config.evaluation.stride or choose_stride(candles, config.data.predict_window)
    origins = _take_origins(config, candles, windows_after(candles, config.data, after), stride)
    if not len(origins):
        template = (
            "{source}: no window of {window} candles has its horizon after {after}, the last candle the run was trained or "
            "validated on. Give later candles, or --since to evaluate on candles it has seen."
            if since is None
            else "{source}: no window of {window} candles has its horizon after {after}. Give later candles."
        )
        raise DataError(template, source=candles.source, window=config.data.window, after=format_time(after))
    notes = (note_seen("on_seen", candles, seen),) if seen is None or after < seen else ()
    return HeldOut("test", origins, origins.take(np.empty(0, np.int64)), stride, notes)


def note_seen(code: str, candles: CandleSet, until: int | None) -> Note:
    """Return the note that models have seen candles of this time or later, with the last one's time if it is recorded."""
    return Note(code=code, values={} if until is None else {"until": format_time(find_local(candles, until))})


def find_local(candles: CandleSet, instant: int) -> int:
    """Return the latest local time, microseconds since 1970, that an exchange's clock shows at an instant."""
    ahead = [0] if not candles.symbols else []
    for symbol in candles.symbols:
        n_before = int(np.searchsorted(candles.instants[symbol.start : symbol.stop], instant, side="right"))
        row = symbol.start + max(n_before - 1, 0)
        ahead.append(int(candles.local_at(symbol, np.array([row]))[0] - candles.instants[row]))
    return instant + max(ahead)


def _take_origins(config: Config, candles: CandleSet, split: Split, stride: int) -> Origins:
    """Return the origins of a split's windows, one per stride in each contiguous stretch."""
    lookback, horizon = config.data.lookback_window, config.data.predict_window
    rows: list[Array] = [
        np.arange(first, first + count, stride) for first, count in zip(split.starts.first, split.starts.count)
    ]
    last_known = np.concatenate([np.empty(0, np.int64), *rows]) + lookback - 1
    return Origins(candles, last_known, lookback, horizon)
