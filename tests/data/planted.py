"""A market of made candles, and a folder of it in which each defect is planted in symbols of its own."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

HOLIDAYS = pd.to_datetime(["2024-04-04", "2024-04-05", "2024-05-01"])
COLUMNS = ["timestamps", "open", "high", "low", "close", "volume", "amount"]
Defect = Callable[[pd.DataFrame], pd.DataFrame | str | bytes]


def trading_times(n_days: int = 60) -> pd.DatetimeIndex:
    """Ends of 5-minute candles, 09:35 to 11:30 and 13:05 to 15:00, on weekdays that are no holidays."""
    days = pd.bdate_range("2024-03-01", periods=n_days + len(HOLIDAYS)).difference(HOLIDAYS)
    minutes = np.concatenate([start * 60 + 35 + 5 * np.arange(24) for start in (9, 12.5)]).astype("timedelta64[m]")
    return pd.DatetimeIndex((days.to_numpy()[:, None] + minutes).ravel())


def make_frame(seed: int = 0, n_days: int = 60) -> pd.DataFrame:
    """Candles of a random walk at 20 or so."""
    generator = np.random.default_rng(seed)
    times = trading_times(n_days)
    return surround(20 * np.exp(0.002 * generator.standard_normal(len(times)).cumsum()), times, generator, decimals=4)


def surround(close: np.ndarray, times: pd.DatetimeIndex, generator: np.random.Generator, decimals: int) -> pd.DataFrame:
    """Possible candles around closes, the next opening near the close before."""
    open_ = np.append(close[0], close[:-1]) * np.exp(0.0005 * generator.standard_normal(len(times)))
    spread = np.exp(0.001 * np.abs(generator.standard_normal((2, len(times)))))
    high, low = np.maximum(open_, close) * spread[0], np.minimum(open_, close) / spread[1]
    volume = generator.integers(100, 9999, len(times)).astype(float)
    values = [open_, high, low, close, volume, (volume * close).round(2)]
    return pd.DataFrame(dict(zip(COLUMNS, [times, *(np.round(v, decimals) for v in values)])))


def _set(frame: pd.DataFrame, row: int, **values: object) -> pd.DataFrame:
    changed = frame.astype(dict.fromkeys(values, object))
    for name, value in values.items():
        changed.loc[row, name] = value
    return changed


def _insert(frame: pd.DataFrame, row: int, copied: int, **values: object) -> pd.DataFrame:
    extra = _set(frame.iloc[[copied]], copied, **values)
    return pd.concat([frame[:row], extra, frame[row:]], ignore_index=True)


def _without(frame: pd.DataFrame, start: int, stop: int) -> pd.DataFrame:
    return frame.drop(index=range(start, stop))


def _scale_from(frame: pd.DataFrame, row: int, factor: float) -> pd.DataFrame:
    frame = frame.copy()
    frame.loc[row:, COLUMNS[1:5]] *= factor
    return frame


def _in_thousands_from(frame: pd.DataFrame, row: int) -> pd.DataFrame:
    return frame.assign(amount=frame["amount"].where(frame.index < row, frame["amount"] / 1000))


def _hold(frame: pd.DataFrame, start: int, stop: int) -> pd.DataFrame:
    frame = frame.copy()
    frame.loc[start : stop - 1, COLUMNS[1:5]] = frame["close"][start - 1]
    frame.loc[start : stop - 1, ["volume", "amount"]] = 0.0
    return frame


def _one_minute_from(frame: pd.DataFrame, row: int) -> pd.DataFrame:
    late = frame[row:].loc[frame.index.repeat(5).intersection(frame.index[row:])]
    late = frame[row:].loc[frame[row:].index.repeat(5)].reset_index(drop=True)
    late["timestamps"] -= pd.to_timedelta(np.tile(np.arange(4, -1, -1), len(late) // 5), unit="min")
    late[COLUMNS[1:5]] *= np.exp(1e-4 * np.random.default_rng(1).standard_normal(len(late)))[:, None]
    return pd.concat([frame[:row], late], ignore_index=True)


def _in_utc_before(frame: pd.DataFrame, row: int) -> pd.DataFrame:
    frame = frame.copy()
    frame.loc[: row - 1, "timestamps"] -= pd.Timedelta("8h")
    return frame


def _in_chinese(frame: pd.DataFrame) -> bytes:
    names = ["时间", "开盘", "最高", "最低", "收盘", "成交量", "成交额"]
    return frame.set_axis(names, axis=1).to_csv(index=False).encode("gb18030")


DAY = 48  # candles
# The defect of each symbol and its findings: kind and severity. Rows 480 and 490 lie within a morning.
DEFECTS: dict[str, tuple[Defect, set[tuple[str, str]]]] = {
    "high_below_low": (lambda f: _set(f, 480, high=1.0), {("impossible", "error")}),
    "open_outside": (lambda f: _set(f, 480, open=50.0), {("impossible", "error")}),
    "close_outside": (lambda f: _set(f, 480, close=5.0), {("impossible", "error")}),
    "negative_volume": (lambda f: _set(f, 480, volume=-5.0), {("impossible", "error")}),
    "zero_price": (lambda f: _set(f, 480, low=0.0), {("non_positive", "error")}),
    "negative_price": (lambda f: _set(f, 480, low=-1.0), {("non_positive", "error")}),
    "blank_price": (lambda f: _set(f, 480, close=None), {("not_finite", "error")}),
    "infinite_price": (lambda f: _set(f, 480, high=np.inf), {("not_finite", "error")}),
    "row_twice": (lambda f: _insert(f, 481, 480), {("duplicates", "repair")}),
    "row_twice_far": (lambda f: _insert(f, 900, 480), {("duplicates", "repair"), ("unsorted", "repair")}),
    "two_candles": (lambda f: _insert(f, 481, 480, volume=7.0), {("conflicting", "error")}),
    "swapped": (lambda f: f.iloc[[*range(480), 481, 480, *range(482, len(f))]], {("unsorted", "repair")}),
    "newest_first": (lambda f: f[::-1], {("unsorted", "repair")}),
    "hole_of_3": (lambda f: _without(f, 490, 493), {("gaps", "note")}),
    "hole_of_20": (lambda f: _without(f, 482, 502), {("gaps", "note")}),
    "halt_of_3_days": (lambda f: _without(f, 10 * DAY, 13 * DAY), {("halts", "note")}),
    "halt_of_15_days": (lambda f: _without(f, 10 * DAY, 25 * DAY), {("halts", "note")}),
    "split": (lambda f: _scale_from(f, 20 * DAY, 0.5), {("jumps", "repair")}),
    "reverse_split": (lambda f: _scale_from(f, 20 * DAY, 10.0), {("jumps", "repair")}),
    "no_volume": (lambda f: f.drop(columns=["volume", "amount"]), {("reading", "note")}),
    "no_amount": (lambda f: f.drop(columns="amount"), {("reading", "note")}),
    "constant_volume": (lambda f: f.assign(volume=100.0), {("volume", "note")}),
    "zero_amount": (lambda f: f.assign(amount=0.0), {("volume", "note")}),
    "amount_in_thousands": (lambda f: _in_thousands_from(f, 30 * DAY), {("levels", "note")}),
    "blank_volume": (lambda f: _set(f, 480, volume=None), {("blank_volume", "repair")}),
    "unfinished": (
        lambda f: _insert(f, len(f), len(f) - 1, timestamps=f["timestamps"].iloc[-1] - pd.Timedelta("2min")).iloc[
            [*range(len(f) - 1), len(f)]
        ],
        {("unfinished", "repair")},
    ),
    "utc_then_local": (lambda f: _in_utc_before(f, 30 * DAY), {("time_zone", "note")}),
    "two_intervals": (lambda f: _one_minute_from(f, 40 * DAY), {("intervals", "error")}),
    "held_for_2_days": (lambda f: _hold(f, 10 * DAY, 12 * DAY), {("flat", "note")}),
    "short": (lambda f: f[:100], {("short", "note")}),
    "text_in_a_cell": (lambda f: _set(f, 480, close="n/v"), {("unreadable", "error")}),
    "no_close": (lambda f: f.drop(columns="close"), {("unreadable", "error")}),
    "empty": (lambda f: "", {("unreadable", "error")}),
    "chinese": (_in_chinese, {("reading", "note")}),
    "the_copy": (lambda f: make_frame(len(DEFECTS)), {("copies", "note")}),  # of sound_0
    "listed_late": (lambda f: f[30 * DAY :], set()),
    "delisted": (lambda f: f[: 40 * DAY], set()),
}


def plant(folder: Path, n_symbols: int = 50) -> dict[str, set[tuple[str, str]]]:
    """Write a CSV for each defect, and sound ones up to n_symbols; return the findings of each."""
    folder.mkdir(parents=True, exist_ok=True)
    expected = {}
    names = [*DEFECTS, *(f"sound_{i}" for i in range(n_symbols - len(DEFECTS)))]
    for seed, name in enumerate(names):
        defect, expected[name] = DEFECTS.get(name, (lambda f: f, set()))
        content = defect(make_frame(seed))
        content = content.to_csv(index=False) if isinstance(content, pd.DataFrame) else content
        (folder / f"{name}.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    return expected
