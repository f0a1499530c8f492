"""Which origins a run is judged on: of candles that it has not learnt from."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

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
from kronos.evaluation.origins.walk_forward import Origins
from kronos.evaluation.results import Texts
from kronos.stage_record import StageRecord
from kronos.training.pipeline import find_last_seen, read_last_seen
from kronos.training.saved.stage_settings import hash_candles

logger = logging.getLogger(__name__)

ON_VALIDATION: Texts = {
    "en": "There is no test split (data.test_ratio is 0), so the later half of the validation split is used. The best model "
    "was chosen on that split, which flatters the run.",
    "zh": "没有测试集（data.test_ratio 为 0），因此使用验证集的后半段。最佳模型正是在验证集上选出的，结果因此偏乐观。",
}
ON_SEEN: Texts = {
    "en": "Some of these candles are from the time the run was trained or validated on (--since), which flatters the run.",
    "zh": "部分 K 线处于训练或验证所用的时间段内（--since），结果因此偏乐观。",
}
HELD_OUT_SYMBOLS: Texts = {
    "en": "Some origins are of symbols held out (data.test_symbols), from the time that the run was trained or validated on with "
    "other symbols. Symbols move together, and the models read day and month: what moved all of them then may have been "
    "learnt, which flatters the run and the LSTM. Candles that came later (--data) do not have this fault.",
    "zh": "部分预测起点属于留出的标的（data.test_symbols），而同一时间段内的其他标的曾用于训练或验证。各标的往往同涨同跌，模型又会读取月份和日期，"
    "可能已学到当时的共同走势，因此本模型和 LSTM 的结果可能偏乐观。用之后的 K 线（--data）评估则没有这个问题。",
}
SEEN_BEFORE: Texts = {
    "en": "The models that this run began with were trained or validated, in another run, on candles of the time that is judged "
    "here, which flatters them and this run. Candles that came later (--data) do not have this fault.",
    "zh": "本次运行所用的初始模型在另一次运行中，曾用此处评估时间段内的 K 线训练或验证，因此初始模型和本模型的结果都偏乐观。用之后的 K 线（--data）"
    "评估则没有这个问题。",
}
FLATTERING = (ON_SEEN, HELD_OUT_SYMBOLS, SEEN_BEFORE)  # of which the headline warns too

# The keys of data that decide which candles belong to which split.
SPLIT_KEYS = {key for key, affects in list_affects(DataConfig).items() if affects and affects.splits}


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Origins to forecast from, and earlier ones (perhaps none) to calibrate bands on.

    notes: what a reader of the figures has to know.
    """

    split: SplitName
    origins: Origins
    calibration: Origins
    notes: tuple[Texts, ...] = ()


def choose_held_out(config: Config, candles: CandleSet, splits: Mapping[SplitName, Split]) -> HeldOut:
    """Choose the origins of a run's own candles: every evaluation.stride of the test split, else of validation's later half."""
    val = _take_origins(config, candles, splits["val"])
    if "test" in splits:
        test = _take_origins(config, candles, splits["test"])
        seen, first = find_last_seen(config, candles, splits), candles.instants[test.rows + 1].min()
        before = read_last_seen(config) or seen
        notes = [(HELD_OUT_SYMBOLS, first <= seen), (SEEN_BEFORE, before > seen and first <= before)]
        jumps = splits["test"].dropped.get("jumps", 0)
        said = [note for note, applies in notes if applies] + ([note_jumps(jumps)] if jumps else [])
        return HeldOut("test", test, val, tuple(said))
    middle = val.starts[np.argsort(val.starts)[len(val) // 2]]
    earlier, later = np.flatnonzero(val.ends <= middle), np.flatnonzero(val.starts >= middle)
    return HeldOut("val", val.take(later), val.take(earlier), (ON_VALIDATION,))


def note_jumps(n_windows: int) -> Texts:
    """Say that windows were left out for what came in them: that is the same for all baselines, but it flatters them all."""
    return {
        "en": f"{n_windows:,} windows of the test split are left out for a jump as at a split of shares (repairs.jumps): if that was the market, "
        "errors and coverage are flattered, of the run and its baselines alike.",
        "zh": f"测试集中有 {n_windows:,} 个窗口因价格跳变（如拆股，repairs.jumps）被排除：如果跳变来自真实行情，则本次运行和各基准的误差与"
        "覆盖率都偏乐观。",
    }


def is_own(config: Config, candles: CandleSet) -> bool:
    """Whether these are the candles that a run's models were trained on, as they were then and split as they were then."""
    records = [StageRecord.read(config.model_paths.run_folder.stage(name).path) for name in STAGES]
    data = config.data.model_dump(mode="json", include=SPLIT_KEYS)
    now = {f"data.{key}": value for key, value in data.items()} | {"candles": hash_candles(candles)}
    own = [record.settings.get(key, value) == value for record in records if record for key, value in now.items()]
    return records[-1] is not None and all(own)


def choose_of_training(config: Config, candles: CandleSet, splits: Mapping[SplitName, Split]) -> HeldOut:
    """Choose the origins of the candles that a pipeline was run with, which may have skipped stages trained on others.

    Raises:
        DataError: stages were skipped that have seen all that there is.
    """
    if is_own(config, candles):
        return choose_held_out(config, candles, splits)
    logger.warning(
        "a skipped stage was trained on other candles or splits: only what came after all of them is forecast"
    )
    return choose_new(config, candles, None)


def find_instant(candles: CandleSet, moment: datetime) -> int:
    """Return the first instant at which a symbol's clock shows a local time or a later one, microseconds since 1970."""
    local = int(np.datetime64(moment, "us").astype(np.int64))
    instants = []
    for symbol in candles.symbols:
        row = symbol.start + int(np.searchsorted(candles.local(symbol, symbol.start, symbol.stop), local))
        instants += [int(candles.instants[row])] if row < symbol.stop else []
    return min(instants, default=local)


def choose_new(config: Config, candles: CandleSet, since: int | None) -> HeldOut:
    """Choose the origins of other candles than the run's own, after all that the run has seen or from an instant on.

    Raises:
        DataError: there is no such window, or the run does not say what it has seen.
    """
    seen = read_last_seen(config)
    if since is None and seen is None:
        raise DataError(
            f"{config.model_paths.run_folder.audit} does not say until when the run's candles reach, so that it is "
            "not known which of these are new to it: give --since, a time after them."
        )
    after = since - 1 if since is not None else seen or 0
    origins = _take_origins(config, candles, windows_after(candles, config.data, after))
    if not len(origins):
        raise DataError(
            f"{candles.source}: no window of {config.data.window} candles with a horizon after {format_time(after)}"
            f"{'' if since is not None else ', the last candle the run was trained or validated on'}. Give later candles"
            f"{'' if since is not None else ', or --since to evaluate on candles it has seen'}."
        )
    notes = (ON_SEEN,) if seen is None or after < seen else ()
    return HeldOut("test", origins, origins.take(np.empty(0, np.int64)), notes)


def _take_origins(config: Config, candles: CandleSet, split: Split) -> Origins:
    """Return the origins of a split's windows, every stride of each unbroken stretch."""
    lookback, horizon = config.data.lookback_window, config.data.predict_window
    stride = config.evaluation.stride or horizon
    rows: list[Array] = [
        np.arange(first, first + count, stride) for first, count in zip(split.starts.first, split.starts.count)
    ]
    last_known = np.concatenate([np.empty(0, np.int64), *rows]) + lookback - 1
    return Origins(candles, last_known, lookback, horizon)
