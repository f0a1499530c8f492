import numpy as np
import pandas as pd
import pytest

from kronos.errors import DataError
from kronos.forecast.inputs import build_input, log_notes

TIMES = pd.date_range("2024-04-01 09:35", periods=12, freq="5min")
FUTURE = pd.date_range(TIMES[-1], periods=4, freq="5min")[1:]
FRAME = pd.DataFrame({name: np.arange(12.0) + 10 for name in ("open", "high", "low", "close", "volume", "amount")})


def build(df: object = FRAME, x: object = TIMES, y: object = FUTURE):
    return build_input("600977", df, x, y, 3, None)


def spoil(column: str, value: object) -> pd.DataFrame:
    frame = FRAME.astype({column: object})
    frame.loc[4, column] = value
    return frame


def swap(times: pd.DatetimeIndex, row: int) -> pd.DatetimeIndex:
    return times[[*range(row - 1), row, row - 1, *range(row + 1, len(times))]]


@pytest.mark.parametrize(
    ("df", "words"),
    [
        (spoil("close", np.nan), "row 4: close is nan, not a usable finite number"),
        (spoil("volume", np.inf), "row 4: volume is inf"),
        (spoil("open", -np.inf), "row 4: open is -inf"),
        (spoil("high", 1e300), "row 4: high is 1e[+]300"),
        (spoil("low", None), "row 4: low is nan"),
        (spoil("low", "n/a"), "row 4: low is 'n/a', not a number"),
        (FRAME.assign(close=True), "close holds true or false, not numbers"),
        (spoil("close", True), "close holds true or false, not numbers"),
        (spoil("close", np.True_), "close holds true or false, not numbers"),
        (spoil("close", 10**400), "close does not hold numbers|close is inf"),
        (FRAME.assign(close=pd.period_range("2024", periods=12, freq="D")), "close holds period.*, not numbers"),
        (FRAME.assign(close=1j), "close holds complex128, not numbers"),
        (FRAME.assign(close=TIMES - TIMES[0]), "close holds timedelta64.*, not numbers"),
        (FRAME.assign(close=TIMES), "close holds datetime64.*, not numbers"),
        (FRAME.drop(columns=["close", "low"]), "column low, close missing; the frame has open, high, volume, amount"),
        (FRAME.rename(columns="my {}".format), "missing; the frame has my open"),
        (pd.concat([FRAME, FRAME[["open"]]], axis=1), "column open occurs more than once"),
        (FRAME.to_numpy(), "expected a frame of candles .*, got ndarray"),
        (FRAME[:11], "11 candles, but 12 x_timestamp"),
    ],
)
def test_bad_candles_are_one_error_that_names_series_and_row(df: object, words: str) -> None:
    with pytest.raises(DataError, match=f"^600977.*{words}"):
        build(df)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (FRAME.index, FUTURE, "x_timestamp holds numbers, not timestamps"),
        (["then"] * 12, FUTURE, "x_timestamp does not hold timestamps: row 0 is 'then'"),
        ([f"{day:02}/01/2024" for day in range(1, 13)], FUTURE, "row 0 is '01/01/2024'. Write it like 2024"),
        (FRAME, FUTURE, "x_timestamp must be a Series, an index or a list of times, got DataFrame"),
        (set(TIMES), FUTURE, "x_timestamp must be .*, got set"),
        (pd.Series(TIMES).where(FRAME.index != 3), FUTURE, "x_timestamp has no time in row 3"),
        (swap(TIMES, 5), FUTURE, "x_timestamp, row 5: 2024-04-01 09:55:00 is not after the previous row"),
        (TIMES.where(FRAME.index != 6, TIMES[5]), FUTURE, "x_timestamp, row 6: .* keep one of each"),
        (TIMES[:11], FUTURE, "12 candles, but 11 x_timestamp"),
        (TIMES, FUTURE[:2], "the horizon .pred_len. is 3, but there are 2 y_timestamp"),
        (TIMES, FUTURE - pd.Timedelta("5min"), "y_timestamp, row 0: 2024-04-01 10:30:00 is not after the last known"),
        (TIMES, swap(FUTURE, 2), "y_timestamp, row 2: .* is not after"),
        (TIMES.tz_localize("Asia/Shanghai"), FUTURE, "in time zone Asia/Shanghai, y_timestamp in none"),
        (TIMES, FUTURE.tz_localize("UTC"), "x_timestamp is in time zone none, y_timestamp in UTC"),
        ([*TIMES[:4], *TIMES[4:].tz_localize("UTC")], FUTURE, "x_timestamp, row 4: time zone UTC, unlike the first"),
        ([*TIMES[:4].tz_localize("UTC"), *TIMES[4:]], FUTURE, "x_timestamp, row 4: time zone None, unlike the first"),
        (None, FUTURE, "Give x_timestamp, or a frame indexed by time or with a column timestamps"),
    ],
)
def test_bad_times_are_one_error_that_names_series_and_row(x: object, y: object, words: str) -> None:
    with pytest.raises(DataError, match=f"^600977.*{words}"):
        build(x=x, y=y)


def test_too_few_rows() -> None:
    with pytest.raises(DataError, match="600977: 1 candles, but a forecast needs at least 2"):
        build(FRAME[:1], TIMES[:1])
    with pytest.raises(DataError, match="600977: 0 candles"):
        build(FRAME[:0], TIMES[:0])


@pytest.mark.parametrize("tz", [None, "Asia/Shanghai"])
def test_times_of_every_kind_are_the_same(tz: str | None) -> None:
    x, y = TIMES.tz_localize(tz), FUTURE.tz_localize(tz)
    expected = build(x=x, y=y)
    for kind in (pd.Series, list, lambda times: pd.Series(times, index=times), lambda times: times.astype(object)):
        series = build(x=kind(x), y=kind(y))
        assert (series.timestamps == expected.timestamps).all() and (series.future == expected.future).all()
    assert build(x=TIMES.astype(str), y=FUTURE.astype(str)).timestamps[0] == TIMES[0]


def test_times_to_come_are_made_and_assumptions_noted() -> None:
    series = build(y=None)
    assert (series.future == FUTURE).all() and series.notes


def test_notes_are_said_once_for_all_series(caplog: pytest.LogCaptureFixture) -> None:
    log_notes([("a", ["Closed."]), ("b", ["Closed.", "Short."]), ("c", ["Closed."]), ("d", ["Short."]), ("e", [])])
    assert caplog.messages == ["a and 2 more: Closed.", "b and d: Short."]


def test_numbers_as_text_and_nullable_numbers_are_read() -> None:
    expected = build().candles
    for other in (FRAME.astype(str), FRAME.convert_dtypes(), FRAME.astype(np.float32), FRAME.astype(int)):
        np.testing.assert_array_equal(build(other).candles, expected)
