import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kronos.errors import ConfigError, DataError
from kronos.forecast.future import FutureTimestamps, make_future_timestamps

# exchange_calendars itself leans on what pandas 4 will change.
needs_calendars = pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")

MONDAY = "2024-06-03"


def take(frequency: str, is_open: Callable[[pd.DatetimeIndex, np.ndarray], np.ndarray], n_days: int = 70):
    """The times of a regular grid from a Monday on at which a market is open, given weekday and minute of the day."""
    grid = pd.date_range(MONDAY, periods=n_days * (pd.Timedelta(days=1) // pd.Timedelta(frequency)), freq=frequency)
    return grid[is_open(grid.day_of_week.to_numpy(), (grid.hour * 60 + grid.minute).to_numpy())]


def between(minute, *sessions: tuple[float, float]):
    """Whether a minute of the day lies in one of the sessions, given in hours, both ends included."""
    return np.any([(minute >= 60 * start) & (minute <= 60 * end) for start, end in sessions], axis=0)


def is_fx_open(weekday, minute):
    return (weekday < 4) | ((weekday == 4) & (minute < 1320)) | ((weekday == 6) & (minute >= 1320))


def is_futures_open(weekday, minute):
    day = between(minute, (9, 10.24), (10.5, 11.49), (13.5, 14.99), (21, 24)) & (weekday < 5)
    return day | ((minute < 150) & (weekday >= 1) & (weekday <= 5))


def is_ashare_open(weekday, minute):
    return between(minute, (9 + 35 / 60, 11.5), (13 + 5 / 60, 15)) & (weekday < 5)


def is_cme_open(weekday, minute):
    return ((weekday < 4) | (weekday == 4) & (minute < 1020) | (weekday == 6) & (minute >= 1080)) & (minute // 60 != 17)


def always(weekday, minute):
    return weekday >= 0


def at_hours(*hours: float) -> pd.DatetimeIndex:
    return pd.DatetimeIndex([day + pd.Timedelta(hours=h) for day in pd.bdate_range(MONDAY, periods=60) for h in hours])


MARKETS = {
    "A-share, 5 minutes": take("5min", is_ashare_open),
    "A-share, 1 hour": at_hours(10.5, 11.5, 14, 15),
    "A-share, 2 hours": at_hours(11.5, 15),
    "US stock, 1 hour": at_hours(*np.arange(9.5, 16)),
    "US stock on a Chinese clock": at_hours(*np.arange(21.5, 28, 0.25)),
    "Chinese futures, 5 minutes": take("5min", is_futures_open),
    "FX, 1 hour": take("1h", is_fx_open),
    "CME, 15 minutes": take("15min", is_cme_open),
    "crypto, 1 minute": take("1min", always, 12),
    "crypto, 5 minutes": take("5min", always, 40),
    "crypto, 1 hour": take("1h", always),
    "crypto, 4 hours": take("4h", always),
    "crypto, 1 day": take("1D", always, 300),
    "crypto, 3 days": pd.date_range(MONDAY, periods=200, freq="3D"),
    "Monday to Friday": pd.bdate_range(MONDAY, periods=300),
    "Sunday to Thursday": take("1D", lambda weekday, _: (weekday != 4) & (weekday != 5), 300),
    **{name: pd.date_range("2000-01-03", periods=130, freq=name) for name in ("W-FRI", "2W-MON", "4W-TUE", "ME", "MS")},
    **{
        name: pd.date_range("1970-01-03", periods=100, freq=name)
        for name in ("BME", "BMS", "QE", "BQE-DEC", "YS", "YE")
    },
    "the 15th": pd.date_range("2000-01-15", periods=99, freq="MS") + pd.Timedelta(days=14),
}


def check(result: FutureTimestamps, history: pd.DatetimeIndex, horizon: int) -> FutureTimestamps:
    """What holds of every result."""
    assert isinstance(result, FutureTimestamps) and isinstance(result.timestamps, pd.DatetimeIndex)
    assert len(result.timestamps) == horizon
    assert result.timestamps.is_monotonic_increasing and result.timestamps.is_unique
    assert result.timestamps[0] > history[-1]
    assert str(result.timestamps.tz) == str(history.tz)
    assert all(note.endswith(".") for note in result.notes)
    return result


def continue_(history: pd.DatetimeIndex, horizon: int, exchange: str | None = None) -> FutureTimestamps:
    return check(make_future_timestamps(history, horizon, exchange), history, horizon)


@pytest.mark.parametrize("market", MARKETS)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_a_periodic_history_is_continued_as_it_truly_went_on(market: str, data: st.DataObject) -> None:
    times = MARKETS[market]
    start = data.draw(st.integers(0, len(times) // 5), label="start")
    origin = data.draw(st.integers(len(times) // 2, len(times) - 21), label="origin")
    horizon = data.draw(st.integers(1, min(len(times) - origin - 1, 400)), label="horizon")
    result = continue_(times[start : origin + 1], horizon)
    assert list(result.timestamps) == list(times[origin + 1 : origin + 1 + horizon])


@settings(deadline=None, max_examples=200)
@given(
    steps=st.lists(st.integers(1, 10**6) | st.sampled_from([60, 300, 3600, 86400, 7 * 86400]), min_size=1, max_size=60),
    repeats=st.integers(1, 20),
    unit=st.sampled_from(["s", "ms", "us", "ns"]),
    zone=st.sampled_from([None, "Asia/Shanghai", "America/New_York", "Australia/Lord_Howe"]),
    horizon=st.integers(1, 300),
)
def test_any_history_gives_a_future_in_order(
    steps: list[int], repeats: int, unit: str, zone: str | None, horizon: int
) -> None:
    times = pd.Timestamp("2024-03-01 09:30") + pd.to_timedelta(np.cumsum([0, *steps * repeats]), unit="s")
    history = pd.DatetimeIndex(times).as_unit(unit)
    continue_(history if zone is None else history.tz_localize("UTC").tz_convert(zone), horizon)


@pytest.mark.parametrize("low", [60, 400])
def test_real_five_minute_candles_are_continued_as_they_truly_went_on(real_candles: Path, low: int) -> None:
    times = pd.DatetimeIndex(pd.read_csv(real_candles)["timestamps"])
    for origin in np.random.default_rng(0).integers(low, len(times) - 49, 20):
        result = continue_(times[: origin + 1], 48)
        assert list(result.timestamps) == list(times[origin + 1 : origin + 49]), times[origin]


@pytest.mark.parametrize(
    ("origin", "next_one"),
    [
        ("2024-06-19 10:00", "2024-06-19 10:05"),
        ("2024-06-19 11:30", "2024-06-19 13:05"),
        ("2024-06-19 15:00", "2024-06-20 09:35"),
        ("2024-06-21 15:00", "2024-06-24 09:35"),
    ],
)
def test_breaks_nights_and_weekends_are_skipped_and_settled_by_the_history(origin: str, next_one: str) -> None:
    times = MARKETS["A-share, 5 minutes"]
    result = continue_(times[times <= origin], 48)
    assert result.timestamps[0] == pd.Timestamp(next_one)
    assert result.notes == ()


@pytest.mark.parametrize(
    "market", ["A-share, 5 minutes", "US stock, 1 hour", "Chinese futures, 5 minutes", "FX, 1 hour"]
)
@pytest.mark.parametrize("lacking", ["a holiday", "three weeks", "single candles"])
def test_holidays_halts_and_missing_candles_close_nothing(market: str, lacking: str) -> None:
    times = MARKETS[market]
    past, future = times[times < "2024-07-24 10:00"], times[times >= "2024-07-24 10:00"]
    if lacking == "single candles":
        kept = np.random.default_rng(0).random(len(past)) > 0.02
    else:
        first, last = {"a holiday": ("07-16 09:00", "07-17 09:00"), "three weeks": ("06-24", "07-15")}[lacking]
        kept = (past < f"2024-{first}") | (past > f"2024-{last}")
    recent = past >= ("2024-06-10" if lacking == "three weeks" else "2024-07-11")
    assert list(continue_(past[kept & recent], 60).timestamps) == list(future[:60])


def test_a_holiday_on_the_only_wednesday_closes_no_wednesday() -> None:
    history = pd.bdate_range(MONDAY, periods=6).delete(2)
    result = continue_(history, 5)
    assert list(result.timestamps) == list(pd.bdate_range("2024-06-11", periods=5))


def test_hours_never_seen_are_named_and_taken_as_open() -> None:
    times = MARKETS["A-share, 5 minutes"]
    history = times[(times >= "2024-06-18 14:30") & (times <= "2024-06-19 13:40")]
    result = continue_(history, 60)
    assert list(result.timestamps[8:11].strftime("%d %H:%M")) == ["19 14:25", "19 14:30", "19 14:35"]
    assert result.timestamps[16] == pd.Timestamp("2024-06-20 09:35")
    assert len(result.notes) == 1 and "from 13:40 to 14:30" in result.notes[0]
    assert continue_(history[:-20], 2).notes[0].startswith("The history never shows")


@pytest.mark.parametrize(
    ("market", "weekend_open", "words"),
    [
        ("crypto, 1 hour", True, "Saturday and Sunday; candles are assumed to go on"),
        ("A-share, 5 minutes", False, "Saturday and Sunday; candles are assumed to pause"),
        ("crypto, 1 day", False, "Saturday and Sunday; candles are assumed to pause"),
    ],
)
def test_a_weekend_never_seen_is_assumed_with_a_note(market: str, weekend_open: bool, words: str) -> None:
    times = MARKETS[market]
    history = times[times < "2024-06-07 00:01"]
    result = continue_(history, 150)
    assert (result.timestamps.day_of_week >= 5).any() == weekend_open
    assert any(words in note for note in result.notes)


def test_a_friday_night_runs_into_a_saturday_never_seen() -> None:
    times = MARKETS["Chinese futures, 5 minutes"]
    history = times[(times >= "2024-06-03 09:00") & (times <= "2024-06-07 14:55")]
    future = times[times > "2024-06-07 14:55"][:200]
    assert list(continue_(history, 200).timestamps) == list(future)


def test_irregular_candles_are_continued_at_the_median_difference() -> None:
    seconds = np.random.default_rng(0).integers(1, 120, 999).cumsum()
    history = pd.Timestamp("2024-06-03 09:30:07") + pd.to_timedelta(seconds, unit="s")
    result = continue_(history, 20)
    median = np.median(np.diff(seconds))
    assert set(result.timestamps.diff()[1:]) == {pd.Timedelta(seconds=median)}
    assert len(result.notes) == 1 and "irregular" in result.notes[0]


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (["09:30", "09:35"], "5 minutes, rests on a single difference"),
        (["09:30", "09:35", "10:05"], "2 candle intervals are equally common. The shortest, 5 minutes"),
        (["09:30", "09:35", "09:40", "09:50", "10:05", "10:25"], "5 minutes, makes up less than half"),
    ],
)
def test_a_doubtful_interval_is_noted(times: list[str], words: str) -> None:
    result = continue_(pd.DatetimeIndex([f"{MONDAY} {time}" for time in times]), 3)
    assert any(words in note for note in result.notes)
    assert result.timestamps[1] - result.timestamps[0] == pd.Timedelta("5min")


@pytest.mark.parametrize("last", ["2024-03-11 23:00", "2024-03-13 18:00", "2024-03-20 16:00"])
def test_new_york_in_utc_is_continued_in_its_new_hours(last: str) -> None:
    """The clocks changed on 10 March; the new hours are in the minority for two weeks."""
    days = pd.bdate_range("2024-01-02", "2024-04-30").repeat(13)
    local = days + pd.to_timedelta(np.resize(9.5 + 0.5 * np.arange(13), len(days)), unit="h")
    times = local.tz_localize("America/New_York").tz_convert("UTC").tz_localize(None)
    past, future = times[times < last], times[times >= last]
    assert list(continue_(past, 60).timestamps) == list(future[:60])


@pytest.mark.parametrize("frequency", ["7min", "50min", "36h"])
def test_an_interval_that_does_not_divide_the_day_is_continued(frequency: str) -> None:
    times = pd.date_range(MONDAY, periods=2000, freq=frequency)
    result = continue_(times[:1900], 99)
    assert list(result.timestamps) == list(times[1900:1999]) and result.notes == ()


def test_random_days_apart_are_irregular() -> None:
    seconds = np.random.default_rng(0).exponential(3 * 86400, 300).round().cumsum()
    result = continue_(pd.Timestamp(MONDAY) + pd.to_timedelta(seconds, unit="s"), 3)
    assert len(result.notes) == 1 and "irregular" in result.notes[0]


@pytest.mark.parametrize("exchange", [None, "XSHG"])
def test_one_candle_has_no_interval(exchange: str | None) -> None:
    with pytest.raises(DataError, match="y_timestamp"):
        make_future_timestamps(pd.DatetimeIndex([MONDAY]), 3, exchange)


def test_a_week_stamped_early_for_a_holiday_moves_nothing() -> None:
    history = pd.date_range("2024-01-05", periods=20, freq="W-FRI").to_series()
    history.iloc[-1] -= pd.Timedelta(days=1)
    expected = pd.date_range("2024-05-24", periods=4, freq="W-FRI")
    assert list(continue_(pd.DatetimeIndex(history), 4).timestamps) == list(expected)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia", "UTC"])
@pytest.mark.parametrize("frequency", ["15min", "1h", "1D"])
def test_a_zone_is_kept_through_its_changes_of_the_clock(zone: str, frequency: str) -> None:
    for year_start in ("2011-01-01", "2011-12-20", "2018-02-01", "2018-10-20"):
        history = pd.date_range(year_start, periods=800, freq=frequency, tz="UTC").tz_convert(zone)
        result = continue_(history, 500)
        assert result.timestamps.tz is history.tz


def test_five_thousand_minutes_take_no_time() -> None:
    history = pd.date_range(MONDAY, periods=5000, freq="1min")
    continue_(history, 500)
    start = time.process_time()
    continue_(history, 500)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("step", ["10ms", "1us", "100ns"])
def test_candles_of_less_than_a_second_go_on(step: str) -> None:
    history = pd.date_range("2024-04-01", periods=150, freq=step)
    timestamps, notes = make_future_timestamps(history, 5)
    assert len(timestamps) == 5 and timestamps[0] > history[-1] and "less than a second" in notes[0]


def test_an_exchange_without_the_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "exchange_calendars", None)
    with pytest.raises(ConfigError, match="pip install exchange_calendars"):
        make_future_timestamps(MARKETS["A-share, 5 minutes"], 3, "XSHG")


@pytest.mark.parametrize("frequency", ["W-FRI", "ME"])
def test_an_exchange_has_no_say_in_weeks_and_months(frequency: str) -> None:
    plain, noted = (continue_(MARKETS[frequency], 9, exchange) for exchange in (None, "XSHG"))
    assert list(plain.timestamps) == list(noted.timestamps)
    assert "XSHG" in noted.notes[-1]


@needs_calendars
@pytest.mark.parametrize(
    ("code", "interval", "options"),
    [
        ("XSHG", "5min", {"closed": "right"}),
        ("XSHG", "1h", {"closed": "right"}),
        ("XSHG", "4h", {"closed": "right", "force": True}),
        ("XHKG", "1h", {"closed": "right", "force": True}),
        ("XHKG", "2h", {"closed": "left"}),
        ("XNYS", "1h", {"closed": "left"}),
        ("XNYS", "1h", {"closed": "left", "align": "-60min"}),
        ("CMES", "15min", {"closed": "left"}),
        ("24/7", "5min", {"closed": "left"}),
        ("XNYS", "1D", {}),
    ],
)
def test_an_exchange_is_followed_through_its_holidays(code: str, interval: str, options: dict[str, object]) -> None:
    calendar = pytest.importorskip("exchange_calendars").get_calendar(code)
    index = calendar.trading_index("2024-01-10", "2024-03-28", interval, intervals=False, **options)
    times = index.tz_convert(calendar.tz).tz_localize(None) if index.tz else index
    for origin in np.linspace(len(times) // 3, len(times) - 22, 8).astype(int):
        result = continue_(pd.DatetimeIndex(times[: origin + 1].to_numpy()), 20, code)
        assert list(result.timestamps) == list(times[origin + 1 : origin + 21])
        assert result.notes == ()


@needs_calendars
def test_the_exchange_follows_real_candles(real_candles: Path) -> None:
    pytest.importorskip("exchange_calendars")
    times = pd.DatetimeIndex(pd.read_csv(real_candles)["timestamps"])
    for origin in np.random.default_rng(1).integers(30, len(times) - 49, 20):
        assert list(continue_(times[: origin + 1], 48, "XSHG").timestamps) == list(times[origin + 1 : origin + 49])


@needs_calendars
def test_stamps_that_may_be_starts_or_ends_are_noted() -> None:
    pytest.importorskip("exchange_calendars")
    times = MARKETS["A-share, 5 minutes"]
    history = times[(times >= "2024-06-19 10:00") & (times <= "2024-06-19 11:00")]
    assert "start of each" in continue_(history, 48, "XSHG").notes[0]


@needs_calendars
@pytest.mark.parametrize(
    ("market", "exchange", "horizon", "error", "words"),
    [
        ("A-share, 5 minutes", "xsgh", 5, ConfigError, "Did you mean XSHG"),
        ("A-share, 5 minutes", "", 5, ConfigError, "a code like"),
        ("Chinese futures, 5 minutes", "XNYS", 5, DataError, "America/New_York"),
        ("Sunday to Thursday", "XNYS", 10**5, DataError, r"session of \d{4}-\d\d-\d\d"),
        ("A-share, 5 minutes", "XSHG", 10**6, DataError, r"session of \d{4}-\d\d-\d\d"),
        ("crypto, 3 days", "XNYS", 5, DataError, "Candles of 3 days"),
        ("crypto, 1 minute", "XSHG", 5, DataError, "Asia/Shanghai"),
    ],
)
def test_what_an_exchange_cannot_continue(
    market: str, exchange: str, horizon: int, error: type[Exception], words: str
) -> None:
    pytest.importorskip("exchange_calendars")
    with pytest.raises(error, match=words):
        make_future_timestamps(MARKETS[market], horizon, exchange)


@needs_calendars
def test_irregular_candles_and_dates_beyond_the_calendar_are_refused() -> None:
    pytest.importorskip("exchange_calendars")
    seconds = np.random.default_rng(0).integers(1, 120, 99).cumsum()
    with pytest.raises(DataError, match="irregular"):
        make_future_timestamps(pd.Timestamp(MONDAY) + pd.to_timedelta(seconds, unit="s"), 5, "XNYS")
    for year, words in (("2150", "ends with the session"), ("1950", "does not cover")):
        with pytest.raises(DataError, match=words):
            make_future_timestamps(pd.bdate_range(f"{year}-01-05", periods=50), 5, "XSHG")
