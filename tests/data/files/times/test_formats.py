"""Times as brokers, exchanges and scrapers write them: what is read, and what is refused."""

import pandas as pd
import pytest

from kronos.config.data import TIME_UNITS
from kronos.data.files.options import ReadingOptions
from kronos.data.files.times import NOT_A_TIME, TimestampFormat, join_date_and_time
from kronos.data.files.times.epochs import UNIT_NAMES
from kronos.errors import DataError


def read(*rows: str, **options: str) -> list[str]:
    """Read rows as local times, with hours from UTC if there are true times; a row that is none as its error."""
    times = pd.Series(rows, dtype="str")
    clock = TimestampFormat.recognise(times, ReadingOptions(**options))  # type: ignore[arg-type]
    local, instants = clock.parse(times)
    shown = []
    for row, (here, there) in enumerate(zip(local.tolist(), instants.tolist())):
        hours = f"{(here - there) / 3.6e9:+g}" if clock.zoned else ""
        known = NOT_A_TIME not in (here, there)
        shown.append(f"{pd.Timestamp(here, unit='us')}{hours}" if known else str(clock.explain(times, row)))
    return shown


def notes_of(*rows: str) -> str:
    times = pd.Series(rows, dtype="str")
    clock = TimestampFormat.recognise(times, ReadingOptions())
    clock.parse(times)
    return "; ".join(note.template.format(**dict(note.values)) for note in clock.describe())


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        # year first, without separators
        ("20240102  09:30:00", "2024-01-02 09:30:00"),  # Interactive Brokers
        ("20240102-09:30:00", "2024-01-02 09:30:00"),
        ("20240102 093000", "2024-01-02 09:30:00"),  # HistData
        ("20240102T0930", "2024-01-02 09:30:00"),
        ("20240102;093000", "2024-01-02 09:30:00"),
        # zones
        ("20240102 09:30:00 US/Eastern", "2024-01-02 09:30:00-5"),
        ("20240702 09:30:00 America/New_York", "2024-07-02 09:30:00-4"),
        ("2024-01-02T09:30-05:00[America/New_York]", "2024-01-02 09:30:00-5"),  # Java
        ("2024-06-18 09:35+8", "2024-06-18 09:35:00+8"),
        ("2024-06-18 09:35 UTC+8", "2024-06-18 09:35:00+8"),
        ("2024-06-18 09:35:00.000 GMT-0400", "2024-06-18 09:35:00-4"),
        ("02.01.2024 09:30:00.000 GMT+0200", "2024-01-02 09:30:00+2"),  # Dukascopy, local time
        ("2024-06-18 09:35 EST", "2024-06-18 09:35:00"),  # in summer, so a name rather than an offset
        # names of months and weekdays
        ("12-Jan-2024", "2024-01-12 00:00:00"),
        ("12-JAN-2024 15:30", "2024-01-12 15:30:00"),
        ("02JAN2024", "2024-01-02 00:00:00"),
        ("12-Jan-24", "2024-01-12 00:00:00"),
        ("Jan 12, 2024", "2024-01-12 00:00:00"),
        ("January 12, 2024 09:30 PM", "2024-01-12 21:30:00"),
        ("12th January 2024", "2024-01-12 00:00:00"),
        ("2024-Jan-02 09:30", "2024-01-02 09:30:00"),
        ("Jan 2024", "2024-01-01 00:00:00"),
        ("Tue, 02 Jan 2024 09:30:00 GMT", "2024-01-02 09:30:00+0"),
        ("Tue Jan  2 09:30:00 2024", "2024-01-02 09:30:00"),
        ("Tue Jan 02 2024 09:30:00 GMT-0500 (Eastern Standard Time)", "2024-01-02 09:30:00-5"),
        ("12 janv. 2024", "2024-01-12 00:00:00"),
        ("3. März 2024", "2024-03-03 00:00:00"),
        ("15 марта 2024", "2024-03-15 00:00:00"),
        ("15 de marzo de 2024", "2024-03-15 00:00:00"),
        ("2024年6月18日 下午 1:05", "2024-06-18 13:05:00"),
        ("2024/1/2 上午9:35:00", "2024-01-02 09:35:00"),
        ("2024-01-02,二", "2024-01-02 00:00:00"),
        ("2024-01-02 星期二", "2024-01-02 00:00:00"),
        ("2024년 1월 3일 오후 1:05", "2024-01-03 13:05:00"),
        ("２０２４/０１/０２ ０９:３５", "2024-01-02 09:35:00"),
        # halves of the day, ends of the day
        ("2024-01-21 07-PM", "2024-01-21 19:00:00"),
        ("2024-01-21 12-AM", "2024-01-21 00:00:00"),
        ("2024-01-21 12:30 p.m.", "2024-01-21 12:30:00"),
        ("2024-06-18 24:00", "2024-06-19 00:00:00"),
        ("20240618 240000", "2024-06-19 00:00:00"),
        # years of other calendars
        ("112/01/03", "2023-01-03 00:00:00"),
        ("112年01月03日", "2023-01-03 00:00:00"),
        ("民國112年1月3日", "2023-01-03 00:00:00"),
        ("2567-01-03", "2024-01-03 00:00:00"),
        # numbers
        ("1718703300.5", "2024-06-18 09:35:00.500000+0"),
        ("-315619200", "1960-01-01 00:00:00+0"),
        ("638396640000000000", "2024-01-01 00:00:00"),  # .NET
        ("133485408000000000", "2024-01-01 00:00:00+0"),  # Windows
        ("45000", "2023-03-15 00:00:00"),  # Excel
        ("45001.3958333", "2023-03-16 09:30:00"),
        ("18/06/2024 09:35", "2024-06-18 09:35:00"),
        ("06/18/24 9:30 PM", "2024-06-18 21:30:00"),
        ("06.05.2024", "2024-05-06 00:00:00"),
    ],
)
def test_one_time(written: str, expected: str) -> None:
    assert read(written) == [expected]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        # a value above 12 anywhere
        (["01/02/2024", "12/31/2023"], ["2024-01-02", "2023-12-31"]),
        (["01/02/2024", "31/12/2023"], ["2024-02-01", "2023-12-31"]),
        (["09-01-1998", "09-22-1998"], ["1998-09-01", "1998-09-22"]),
        (["02.01.2024", "06.09.2024"], ["2024-01-02", "2024-09-06"]),
        (["01/02/24", "31/12/23"], ["2024-02-01", "2023-12-31"]),
        # where a year of two digits stands: a day from row to row, or a year
        (["24-06-18", "24-06-19"], ["2024-06-18", "2024-06-19"]),
        (["18.06.24", "19.06.24"], ["2024-06-18", "2024-06-19"]),
        (["98/12/31", "99/01/04"], ["1998-12-31", "1999-01-04"]),
        (["99/12/31", "100/01/03"], ["2010-12-31", "2011-01-03"]),
        (["03/01/2567", "25/01/2567"], ["2024-01-03", "2024-01-25"]),
        # units row by row, small and negative numbers beside others
        (["1735603200000", "1735689600000000"], ["2024-12-31", "2025-01-01"]),
        (["-86400", "0", "86400", "100051200"], ["1969-12-31", "1970-01-01", "1970-01-02", "1973-03-04"]),
        (["638396640000000000", "638397504000000000"], ["2024-01-01", "2024-01-02"]),
        (["631152000000000000", "631238400000000000"], ["1990-01-01", "1990-01-02"]),  # nanoseconds, not ticks
        (["31/12/2023", "2024-01-01"], ["2023-12-31", "2024-01-01"]),
    ],
)
def test_the_whole_file_decides(written: list[str], expected: list[str]) -> None:
    assert [time[:10] for time in read(*written)] == expected


def test_names_of_winter_and_summer_are_offsets() -> None:
    assert read("2024-03-08 09:35 EST", "2024-03-11 09:35 EDT") == ["2024-03-08 09:35:00-5", "2024-03-11 09:35:00-4"]


def test_an_hour_that_comes_twice_is_first_in_summer_time() -> None:
    twice = "20241103 01:30:00 US/Eastern"
    assert read(twice, twice) == ["2024-11-03 01:30:00-4", "2024-11-03 01:30:00-5"]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (
            ["01/02/2024 09:30", "05/02/2024 09:30"],
            'is ambiguous: 1 February 2024 or 2 January 2024? No date in the file decides it. Set data.time_format="%d/%m/%Y '
            '%H:%M" or data.time_format="%m/%d/%Y %H:%M"',
        ),
        (["24-06-18"], '24 June 2018 or 18 June 2024? No date in the file decides it. Set data.time_format="%d-%m-%y"'),
        (["12345"], "is no date, and no number of seconds or milliseconds since 1970"),
        (["18062024"], "data.time_format=%d%m%Y for 18062024"),
    ],
)
def test_what_stays_ambiguous_is_refused_with_a_key(written: list[str], words: str) -> None:
    with pytest.raises(DataError) as caught:
        read(*written)
    assert words in str(caught.value)


@pytest.mark.parametrize("written", ["01/02/2024 09:30", "01/02/2024 9:30 PM", "01-02-24", "01.02.24 09:30:15"])
def test_the_key_that_an_error_advises_works(written: str) -> None:
    with pytest.raises(DataError) as caught:
        read(written)
    forms = [part.partition('"')[0] for part in str(caught.value).split('data.time_format="')[1:]]
    times = {read(written, time_format=form)[0] for form in forms}
    assert len(times) == len(forms) > 1 and all(time[:2] in ("20", "19") for time in times)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (["1718703300", "17187033"], "'17187033' cannot be read"),  # a digit was lost: not 1970
        (["2024-06-18 09:35 XYZ"], "'XYZ' is no known time zone"),
        (["1402-10-13"], "not of the Gregorian calendar"),
        (["1.70407E+12"], "was shortened by Excel"),
        (["31/12/2023", "12/31/2023"], "cannot be read day first, as the other rows"),
        (["2024-06-18 25:00"], "cannot be read"),
        (["2024-06-18 09:75"], "cannot be read"),
        (["2024-02-30"], "cannot be read"),
    ],
)
def test_a_row_that_cannot_be_read(written: list[str], words: str) -> None:
    assert words in read(*written)[-1]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (["1735603200000", "1735689600000000"], "milliseconds since 1970, in UTC; timestamps read as microseconds"),
        (["638396640000000000"], "ticks of .NET"),
        (["112/01/03"], "the Republic of China (Taiwan)"),
        (["18/06/2024"], "dates read day first"),
        (["2024-06-18 09:35 EST"], "the name of the time zone behind the times is not used"),
    ],
)
def test_what_was_assumed_is_noted(written: list[str], words: str) -> None:
    assert words in notes_of(*written)


@pytest.mark.parametrize(
    ("date", "time", "expected"),
    [
        ("2024-01-01T00:00:00.000Z", "09:35", "2024-01-01 09:35:00"),
        ("2024-01-01 00:00:00+08:00", "09:35", "2024-01-01 09:35:00"),
        ("31/01/2024", "0935", "2024-01-31 09:35:00"),
        ("112/01/03", "09:35", "2023-01-03 09:35:00"),
        ("20240101", "240000", "2024-01-02 00:00:00"),
        ("2024-01-01", "0 days 09:35:00", "2024-01-01 09:35:00"),
    ],
)
def test_dates_and_times_apart(date: str, time: str, expected: str) -> None:
    joined = join_date_and_time(pd.Series([date], dtype="str"), pd.Series([time], dtype="str"))
    assert read(joined[0]) == [expected]


def test_the_units_that_the_configuration_accepts_are_read() -> None:
    assert set(TIME_UNITS) == set(UNIT_NAMES)
    assert read("17187033", time_format="s") == ["1970-07-18 22:10:33+0"]
    assert read("19723", time_format="days") == ["2024-01-01 00:00:00"]
