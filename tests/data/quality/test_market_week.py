"""Made markets, of which it is known where candles are missing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kronos.candles import Array
from kronos.data.quality.market_hours import IntervalChange, find_interval_changes
from kronos.data.quality.market_week import infer_market_hours
from kronos.data.quality.missing_candles import Gaps, find_gaps

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
FIRST_DAY = 19_000  # 2022-01-08

IsOpen = Callable[[Array, Array], Array]  # of weekday, Monday first, and minute of the day


def between(minute: Array, *sessions: tuple[float, float]) -> Array:
    """Whether a minute of the day lies in one of the sessions, given in hours, the ends excluded."""
    return np.any([(minute >= 60 * start) & (minute < 60 * end) for start, end in sessions], axis=0)


MARKETS: dict[str, IsOpen] = {
    "24/7": lambda d, m: d >= 0,
    "A-share": lambda d, m: (d < 5) & between(m, (9.5, 11.5), (13, 15)),
    "US stock": lambda d, m: (d < 5) & between(m, (9.5, 16)),
    "FX in UTC": lambda d, m: (d < 4) | ((d == 4) & (m < 1320)) | ((d == 6) & (m >= 1320)),
    "FX in New York": lambda d, m: (d < 4) | ((d == 4) & (m < 1020)) | ((d == 6) & (m >= 1020)),
    "FX in Shanghai": lambda d, m: ((d > 0) & (d < 5)) | ((d == 0) & (m >= 300)) | ((d == 5) & (m < 300)),
    "CME": lambda d, m: ((d < 4) | (d == 4) & (m < 1020) | (d == 6) & (m >= 1080)) & (m // 60 != 17),
    "Shanghai futures": lambda d, m: (
        ((d < 5) & between(m, (9, 10.25), (10.5, 11.5), (13.5, 15), (21, 24))) | ((m < 150) & (d > 0) & (d < 6))
    ),
    "Tel Aviv": lambda d, m: ((d < 4) & between(m, (10, 17.5))) | ((d == 6) & between(m, (10, 16.5))),
    "Saturday mornings": lambda d, m: ((d < 5) & between(m, (9, 15))) | ((d == 5) & between(m, (9, 12))),
}
INTERVALS = [1, 5, 15, 30, 60, 120]  # minutes; with more, some of these markets have one candle a day


def make(market: str, minutes: int, n_days: int, first_day: int = FIRST_DAY) -> Array:
    """The local times of a market's candles, stamped at their start."""
    minute = np.tile(np.arange(0, 1440, minutes), n_days)
    day = np.repeat(np.arange(first_day, first_day + n_days), len(minute) // n_days)
    return (day * DAY + minute * MINUTE)[MARKETS[market]((day + 3) % 7, minute)]


def convert(times: Array, zone: str, to: str) -> Array:
    """The wall clock of another zone."""
    index = pd.DatetimeIndex(times.astype("M8[us]")).tz_localize(zone).tz_convert(to)
    return index.tz_localize(None).as_unit("us").asi8


def to_times(index: pd.DatetimeIndex) -> Array:
    return index.as_unit("us").asi8


def find(instants: Array, local: Array | None = None) -> Gaps:
    local = instants if local is None else local
    return find_gaps(instants, local, infer_market_hours(instants, local))


def as_rows(gaps: Gaps) -> list[tuple[int, int, int]]:
    """Row, missing and days of each gap."""
    assert gaps.rows.dtype == gaps.missing.dtype == gaps.days.dtype == np.int64
    return list(zip(gaps.rows.tolist(), gaps.missing.tolist(), gaps.days.tolist()))


def cut(times: Array, row: int, count: int) -> tuple[Array, tuple[int, int, int]]:
    """Remove candles, and return the gap."""
    left = np.delete(times, slice(row, row + count))
    days = np.unique(times // DAY)
    n_days = np.count_nonzero((days > left[row - 1] // DAY) & (days < left[row] // DAY))
    return left, (row, count, n_days)


# --- the hours ---


@pytest.mark.parametrize(
    "market, minutes, per_day, never_closes",
    [
        ("24/7", 5, 288, True),
        ("24/7", 240, 6, True),
        ("A-share", 1, 240, False),
        ("US stock", 30, 13, False),
        ("FX in UTC", 15, 96, False),
        ("CME", 60, 23, False),
    ],
)
def test_the_hours_of_a_market(market: str, minutes: int, per_day: int, never_closes: bool) -> None:
    times = make(market, minutes, 60)
    hours = infer_market_hours(times, times)
    assert hours.interval == minutes * MINUTE
    assert hours.regular is True
    assert hours.candles_a_day == per_day
    assert hours.never_closes is never_closes


@pytest.mark.parametrize("minutes", [5, 60])
def test_a_market_never_closes_though_a_week_of_it_is_missing(minutes: int) -> None:
    times, _ = cut(make("24/7", minutes, 60), 20 * 1440 // minutes, 7 * 1440 // minutes)
    assert infer_market_hours(times, times).never_closes


def test_what_is_too_short_to_show_a_day_is_not_taken_to_never_close() -> None:
    times = make("24/7", 5, 2)
    assert not infer_market_hours(times[: 23 * 12], times[: 23 * 12]).never_closes
    assert infer_market_hours(times[:288], times[:288]).never_closes
    daily = np.arange(7) * DAY
    assert not infer_market_hours(daily[:5], daily[:5]).never_closes
    assert infer_market_hours(daily, daily).never_closes


@pytest.mark.parametrize("spacing", [5 * SECOND + 1234, 7 * MINUTE + 1, 3 * DAY + 5])
def test_random_times_keep_to_no_grid_and_have_no_gaps(spacing: int) -> None:
    times = np.cumsum(np.random.default_rng(0).exponential(spacing, 3000).astype(np.int64) + 1)
    assert not infer_market_hours(times, times).regular
    assert as_rows(find(times)) == []


# --- a whole market has no gaps ---


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_nothing_removed_no_gaps(data: st.DataObject) -> None:
    market, minutes = data.draw(st.sampled_from(sorted(MARKETS))), data.draw(st.sampled_from(INTERVALS))
    n_days = data.draw(st.integers(1, 20 if minutes == 1 else 150))
    times = make(market, minutes, n_days, data.draw(st.integers(15_000, 20_000)))
    assume(len(times) > 0)
    start = data.draw(st.integers(0, len(times) - 1))
    times = times[start : data.draw(st.integers(start, len(times)))]
    times = times + data.draw(st.sampled_from([0, minutes * MINUTE]))  # stamped at the start or the end
    assert as_rows(find(times)) == []
    assert find_interval_changes(times) == []


@pytest.mark.parametrize("hours", [(10.5, 11.5, 14, 15), (11.5, 15), (9.5, 13.5), 9.5 + np.arange(8) / 1.2])
def test_candles_off_the_grid_of_the_day(hours: Array) -> None:
    days = np.arange(FIRST_DAY, FIRST_DAY + 100)[:, None]
    times = (days[(days + 3) % 7 < 5][:, None] * DAY + np.rint(np.multiply(hours, HOUR)).astype(np.int64)).ravel()
    assert infer_market_hours(times, times).candles_a_day == len(hours)
    assert as_rows(find(times)) == []
    times, gap = cut(times, 101, 7)
    assert as_rows(find(times)) == [gap]


@pytest.mark.parametrize("minutes", [1, 5, 30, 60])
@pytest.mark.parametrize("first_day", [FIRST_DAY, FIRST_DAY + 90])
def test_new_york_in_utc_changes_its_hours_without_a_gap(minutes: int, first_day: int) -> None:
    times = convert(make("US stock", minutes, 730, first_day), "America/New_York", "UTC")
    assert len(np.unique(times % DAY)) > len(times[times // DAY == times[0] // DAY])  # two kinds of hours
    assert as_rows(find(times)) == []


@pytest.mark.parametrize("minutes", [5, 60])
def test_currencies_in_utc_close_an_hour_later_in_winter(minutes: int) -> None:
    """From Sunday to Friday 17:00 in New York: in UTC only Friday's last hour comes and goes."""
    times = make("FX in New York", minutes, 730, FIRST_DAY)
    assert as_rows(find(convert(times, "America/New_York", "UTC"))) == []


@pytest.mark.parametrize("change", ["2022-03-13", "2022-11-06"])
@pytest.mark.parametrize("n_days", [*range(-12, 0), *range(3, 14)])
def test_new_york_in_utc_has_no_gap_if_data_begin_or_end_beside_a_change(change: str, n_days: int) -> None:
    day = int(np.datetime64(change).astype(int)) + n_days
    for first_day, length in ((day, 40), (day - 40, 40), (day, 19), (day - 19, 19)):
        assert as_rows(find(convert(make("US stock", 15, length, first_day), "America/New_York", "UTC"))) == []


@pytest.mark.parametrize("change", ["2022-03-13", "2022-11-06"])
def test_a_candle_missing_in_utc_beside_a_change_is_found(change: str) -> None:
    day = int(np.datetime64(change).astype(int))
    times = convert(make("US stock", 30, 140, day - 70), "America/New_York", "UTC")
    for row in range(13 * 40, 13 * 60):  # four weeks
        left, gap = cut(times, row, 1)
        assert as_rows(find(left)) == [gap]


@pytest.mark.parametrize("market", ["FX in UTC", "FX in Shanghai", "CME", "Shanghai futures", "Tel Aviv"])
def test_a_few_days_of_a_market_with_weekends(market: str) -> None:
    times = make(market, 60, 24)
    hours = (times - FIRST_DAY * DAY) // HOUR
    for start in range(0, 168, 5):
        for length in (30, 75, 120, 130, 180, 270, 340):
            assert as_rows(find(times[(hours >= start) & (hours < start + length)])) == []


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe"])
def test_the_exchanges_clocks_are_changed_in_a_market_that_never_closes(zone: str) -> None:
    instants = make("24/7", 15, 800, 17_000)
    local = convert(instants, "UTC", zone)
    assert (np.diff(local) < 0).any() and (np.diff(local) > 15 * MINUTE).any()
    assert as_rows(find(instants, local)) == []
    assert infer_market_hours(instants, local).never_closes
    # Missing candles are counted by true time, even inside the hour that comes twice.
    for moment in np.flatnonzero(np.diff(local) != 15 * MINUTE)[:2]:
        for count in (1, 2, 10, 500):
            gone = slice(moment - count // 2, moment - count // 2 + count)
            gaps = find(np.delete(instants, gone), np.delete(local, gone))
            assert (gaps.rows.tolist(), gaps.missing.tolist()) == ([gone.start], [count])


def test_zoned_daily_candles() -> None:
    local = to_times(pd.bdate_range("2020-01-01", "2023-01-01"))
    instants = convert(local, "America/New_York", "UTC")
    assert len(np.unique(np.diff(instants))) > 2
    assert infer_market_hours(instants, local).interval == DAY
    assert as_rows(find(instants, local)) == []
    gone = slice(200, 205)
    assert as_rows(find(np.delete(instants, gone), np.delete(local, gone))) == [(200, 5, 5)]


@pytest.mark.parametrize("zone", ["Europe/London", "Asia/Shanghai", "America/New_York"])
def test_midnight_of_a_daily_market_in_utc(zone: str) -> None:
    times = convert(to_times(pd.bdate_range("2020-01-06", periods=500)), zone, "UTC")
    for start, n_candles in ((0, 500), (0, 10), (2, 11), *((start, 100) for start in range(150))):
        part = times[start : start + n_candles]
        if len(np.unique(part[:6] % DAY)) == len(np.unique(part[-10:] % DAY)) == 1:  # a change in them would be unclear
            assert as_rows(find(part)) == []


def test_daily_candles_stamped_at_the_last_trade() -> None:
    whole = to_times(pd.bdate_range("2020-01-06", periods=300))
    times = whole + np.random.default_rng(0).integers(14 * HOUR, 16 * HOUR, 300)
    assert infer_market_hours(times, times).interval == DAY
    assert as_rows(find(times)) == []
    times, gap = cut(times, 100, 2)
    assert as_rows(find(times)) == [gap]


@pytest.mark.parametrize("frequency", ["36h", "7D", "2D", "W-FRI", "MS", "ME", "BME", "QE", "YE", "28D"])
def test_candles_longer_than_a_day(frequency: str) -> None:
    times = to_times(pd.date_range("1971-01-04", periods=120, freq=frequency))
    assert infer_market_hours(times, times).interval > DAY
    assert as_rows(find(times)) == []
    assert as_rows(find(np.delete(times, slice(40, 71)))) == [(40, 31, 0)]


def test_weekly_candles_stamped_on_a_trading_day_of_the_week() -> None:
    times = to_times(pd.date_range("2020-01-02", periods=100, freq="7D"))
    moved = np.arange(100) % 9
    times += DAY * (moved == 1) - DAY * (moved == 0)
    assert as_rows(find(times)) == []


@pytest.mark.parametrize("hours", [(9, 17), (10, 15), (9, 15), (10, 17), (13, 20)])
@pytest.mark.parametrize("n_weeks", [1, 2, 3, 5, 14])
def test_changed_trading_hours_are_no_gap(n_weeks: int, hours: tuple[int, int]) -> None:
    minute, day = np.arange(0, 1440, 5), np.arange(FIRST_DAY + 1, FIRST_DAY + 1 + 196)
    day = day[(day + 3) % 7 < 5][:, None]
    change = FIRST_DAY + 1 + 98
    is_open = np.where(day < change, between(minute, (9.5, 16)), between(minute, hours))
    times = (day * DAY + minute * MINUTE)[is_open]
    # Whether there is much or little of either.
    assert as_rows(find(times[times < (change + 7 * n_weeks) * DAY])) == []
    assert as_rows(find(times[times >= (change - 7 * n_weeks) * DAY])) == []


# --- removed candles are found ---


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_a_planted_gap_is_found_and_counted(data: st.DataObject) -> None:
    market, minutes = data.draw(st.sampled_from(sorted(MARKETS))), data.draw(st.sampled_from(INTERVALS))
    times = make(market, minutes, 56, data.draw(st.integers(15_000, 20_000)))
    row = data.draw(st.integers(1, len(times) - 2))
    count = min(data.draw(st.integers(1, 12) | st.integers(1, len(times) // 4)), len(times) - 1 - row)
    times, gap = cut(times, row, count)
    assert as_rows(find(times)) == [gap]


def test_several_gaps_and_none_else() -> None:
    whole = make("A-share", 5, 210)
    mask = np.ones(len(whole), bool)
    mask[[500, 501, 700, 1000, 1001, 1002, 2400]] = False
    assert as_rows(find(whole[mask])) == [(500, 2, 0), (698, 1, 0), (997, 3, 0), (2394, 1, 0)]


def test_an_early_close_a_holiday_and_a_halt_of_months() -> None:
    whole = make("US stock", 30, 700, FIRST_DAY + 2)  # thirteen candles a day from a Monday on
    row = 13 * 53
    early = np.delete(whole, slice(row - 6, row))
    assert as_rows(find(early)) == [(row - 6, 6, 0)]
    holiday = np.delete(whole, slice(row, row + 13))
    assert as_rows(find(holiday)) == [(row, 13, 1)]
    halt = np.delete(whole, slice(row + 4, row + 4 + 13 * 150))
    assert as_rows(find(halt)) == [(row + 4, 13 * 150, 149)]


def test_a_halt_of_many_years_costs_no_time() -> None:
    times = np.concatenate([make("A-share", 5, 70), make("A-share", 5, 70, FIRST_DAY + 7 * 52 * 4000)])
    (gap,) = as_rows(find(times))
    assert gap == (50 * 48, 48 * 5 * (52 * 4000 - 10), 5 * (52 * 4000 - 10))


@settings(deadline=None, max_examples=60)
@given(row=st.integers(1, 498), count=st.integers(1, 30), hour=st.integers(0, 23), rest=st.sampled_from("MF"))
def test_a_planted_gap_in_daily_candles(row: int, count: int, hour: int, rest: str) -> None:
    working = "1111100" if rest == "M" else "1111001"
    times = to_times(pd.bdate_range("2015-01-05", periods=500, freq="C", weekmask=working)) + hour * HOUR
    count = min(count, len(times) - 1 - row)
    times, gap = cut(times, row, count)
    assert as_rows(find(times)) == [gap]


@pytest.mark.parametrize("n_days", [8, 12, 15])
@pytest.mark.parametrize("market", ["A-share", "24/7"])
def test_two_weeks_show_enough(market: str, n_days: int) -> None:
    times = make(market, 5, n_days, FIRST_DAY + 2)  # a Monday
    for row in (5 * 48 - 20, 3 * 48 + 7, *([5 * 288 + 100] if market == "24/7" else [])):  # Saturday
        left, gap = cut(times, row, 5)
        assert as_rows(find(left)) == [gap]


def test_the_other_weekdays_decide_where_one_was_met_three_times() -> None:
    times = make("A-share", 5, 21, FIRST_DAY + 2)[24:]  # no first Monday morning
    times, gap = cut(times, 10 * 48 - 24 + 2, 5)  # nor all of the third
    assert as_rows(find(times)) == [gap]


def test_a_holiday_in_a_single_week() -> None:
    times = make("A-share", 5, 5, FIRST_DAY + 2)
    times, gap = cut(times, 2 * 48, 48)
    assert as_rows(find(times)) == [gap]


@pytest.mark.parametrize("size", [SECOND, SECOND // 4])
def test_candles_of_a_second_and_less(size: int) -> None:
    minutes = make("US stock", 1, 16)
    times = (minutes[:, None] + np.arange(0, MINUTE, size)).ravel()
    assert infer_market_hours(times, times).interval == size
    assert as_rows(find(times)) == []
    for row, count in ((100_000, 1), (100_001, 777)):
        left, gap = cut(times, row, count)
        assert as_rows(find(left)) == [gap]


@pytest.mark.parametrize("minutes", [7, 11, 50])
def test_an_interval_that_does_not_divide_the_day(minutes: int) -> None:
    times = np.arange(9000) * minutes * MINUTE
    assert as_rows(find(times)) == []
    left, _ = cut(times, 4000, 555)
    assert [gap[:2] for gap in as_rows(find(left))] == [(4000, 555)]


# --- illiquid series ---


@pytest.mark.parametrize("share", [0.03, 0.2, 0.3])
def test_candles_seen_on_few_days_are_not_expected(share: float) -> None:
    whole = make("US stock", 1, 200)
    times = whole[np.random.default_rng(0).random(len(whole)) < share]
    assert find(times).missing.sum() < 0.01 * len(times)


@pytest.mark.parametrize("share", [0.8, 0.95])
def test_candles_seen_on_most_days_are_missed(share: float) -> None:
    whole = make("US stock", 1, 200)
    times = whole[np.random.default_rng(0).random(len(whole)) < share]
    gaps = find(times)
    assert gaps.missing.sum() == pytest.approx(len(whole) - len(times), rel=0.1)
    assert not gaps.days.any()


def test_a_day_without_candles_is_missed_in_a_sparse_series() -> None:
    whole = make("US stock", 1, 200)
    times = whole[np.random.default_rng(0).random(len(whole)) < 0.1]
    days = times // DAY
    off = np.unique(days)[70:73]
    gaps = find(times[~np.isin(days, off)])
    row = int(np.searchsorted(days, off[0]))
    usual = infer_market_hours(times, times).candles_a_day
    (index,) = np.flatnonzero(gaps.days)
    assert (gaps.rows[index], gaps.days[index]) == (row, 3)
    assert gaps.missing[index] == pytest.approx(3 * usual, abs=6)


# --- changes of the interval ---


@pytest.mark.parametrize("before, after", [(5, 1), (1, 5), (60, 15), (30, 60)])
@pytest.mark.parametrize("market", ["24/7", "US stock", "CME"])
def test_a_change_of_the_interval_is_found_at_its_row(market: str, before: int, after: int) -> None:
    old, new = make(market, before, 70), make(market, after, 70, FIRST_DAY + 70)
    change = IntervalChange(len(old), before * MINUTE, after * MINUTE)
    assert find_interval_changes(np.concatenate([old, new])) == [change]
    third = make(market, before, 70, FIRST_DAY + 140)
    back = IntervalChange(len(old) + len(new), after * MINUTE, before * MINUTE)
    assert find_interval_changes(np.concatenate([old, new, third])) == [change, back]


@pytest.mark.parametrize("minutes", [1, 60])
@pytest.mark.parametrize("share", [0.1, 0.4, 0.7, 0.95])
def test_sparse_candles_keep_their_interval(minutes: int, share: float) -> None:
    whole = make("US stock", minutes, 100 * minutes)
    assert find_interval_changes(whole[np.random.default_rng(0).random(len(whole)) < share]) == []


def test_ordinary_candles_keep_their_interval() -> None:
    daily = to_times(pd.bdate_range("2000-01-03", periods=3000))
    daily = np.delete(daily, np.random.default_rng(0).choice(3000, 200))
    assert find_interval_changes(daily) == []
    assert find_interval_changes(to_times(pd.date_range("1970-01-31", periods=500, freq="ME"))) == []
    times, _ = cut(make("A-share", 5, 100), 1000, 500)
    assert find_interval_changes(times) == []


def test_a_short_stretch_is_no_change_of_the_interval() -> None:
    times = make("24/7", 5, 10)
    finer = np.arange(times[1000], times[1009], MINUTE)
    assert find_interval_changes(np.union1d(times, finer)) == []


# --- anything ---


any_increasing_times = given(
    steps=st.lists(
        st.integers(1, 2**52) | st.sampled_from([1, 1000, SECOND, MINUTE, HOUR, DAY, 7 * DAY, 30 * DAY]),
        min_size=1,
        max_size=40,
    ),
    repeats=st.integers(1, 30),
    first=st.integers(-(2**60), 2**60),
    clock=st.lists(st.sampled_from([-HOUR, 0, HOUR, DAY]), min_size=1, max_size=5),
)


def check_any_times(steps: list[int], repeats: int, first: int, clock: list[int]) -> None:
    instants = first + np.cumsum(np.tile(steps, repeats), dtype=np.int64)
    local = instants + np.resize(clock, len(instants))
    hours = infer_market_hours(instants, local)
    assert hours.candles_a_day >= 1
    gaps = find_gaps(instants, local, hours)
    assert (np.diff(gaps.rows) > 0).all() and (gaps.missing >= 1).all() and (gaps.days >= 0).all()
    assert ((gaps.rows >= 1) & (gaps.rows < len(instants))).all()
    rows = [change.row for change in find_interval_changes(instants)]
    assert rows == sorted(rows)


test_any_increasing_times = settings(deadline=None, max_examples=20)(any_increasing_times(check_any_times))
test_more_increasing_times = pytest.mark.slow(
    settings(deadline=None, max_examples=500)(any_increasing_times(check_any_times))
)


@pytest.mark.parametrize("n_candles", [0, 1])
def test_too_few_to_have_an_interval(n_candles: int) -> None:
    times = np.arange(n_candles)
    hours = infer_market_hours(times, times)
    assert (hours.interval, hours.regular, hours.candles_a_day, hours.never_closes) == (0, False, 1, False)
    assert as_rows(find(times)) == []
    assert find_interval_changes(times) == []


def test_the_input_stays_as_it_is() -> None:
    instants = make("24/7", 60, 300)
    local = convert(instants, "UTC", "Europe/Berlin")
    before = instants.copy(), local.copy()
    find(instants, local)
    assert (instants == before[0]).all() and (local == before[1]).all()


# --- real candles ---


def test_a_real_stock(real_candles: Path) -> None:
    times = to_times(pd.DatetimeIndex(pd.read_csv(real_candles, parse_dates=["timestamps"])["timestamps"]))
    hours = infer_market_hours(times, times)
    assert (hours.interval, hours.candles_a_day, hours.never_closes) == (5 * MINUTE, 48, False)
    assert as_rows(find(times)) == []  # no holiday lies in these months, and no trading day is missing
    for row, count in ((1, 1), (900, 48), (1234, 100), (2400, 60)):
        left, gap = cut(times, row, count)
        assert as_rows(find(left)) == [gap]
