"""`data.timezone` and `data.time_format`: what a file does not show itself."""

from pathlib import Path

import pandas as pd
import pytest

from kronos.config.load import build_config
from kronos.data import load_candles, read_candles
from kronos.data.files.options import ReadingOptions
from kronos.errors import ConfigError, DataError

SHANGHAI = "Asia/Shanghai"


def write(tmp_path: Path, *times: str) -> Path:
    path = tmp_path / "c.csv"
    path.write_text("timestamps,open,high,low,close\n" + "".join(f"{time},1,2,1,2\n" for time in times))
    return path


def read_times(path: Path, **options: str) -> list[str]:
    return [str(time) for time in read_candles(path, ReadingOptions(**options)).index]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "timezone", "expected"),
    [
        ("1677600000000", None, "2023-02-28 16:00:00"),
        ("1677600000000", SHANGHAI, "2023-03-01 00:00:00"),
        ("2024-06-18T01:35:00Z", SHANGHAI, "2024-06-18 09:35:00"),
        ("2024-06-18 09:35:00+08:00", "America/New_York", "2024-06-17 21:35:00"),
        ("2024-06-18 09:35:00", SHANGHAI, "2024-06-18 09:35:00"),  # already on the market's clock
        ("2024-06-18 01:35:00", f"UTC:{SHANGHAI}", "2024-06-18 09:35:00"),
        ("2024-06-18T01:35:00Z", f"Europe/Paris:{SHANGHAI}", "2024-06-18 09:35:00"),  # the file's own zone counts
    ],
)
def test_times_are_shown_on_the_clock_of_the_market(
    tmp_path: Path, written: str, timezone: str | None, expected: str
) -> None:
    options = {"timezone": timezone} if timezone else {}
    assert read_times(write(tmp_path, written), **options) == [expected]


@pytest.mark.parametrize(
    ("written", "form", "expected"),
    [
        ("06/05/2024 09:35", "%d/%m/%Y %H:%M", "2024-05-06 09:35:00"),
        ("06/05/2024 09:35", "%m/%d/%Y %H:%M", "2024-06-05 09:35:00"),
        ("05062024", "%d%m%Y", "2024-06-05 00:00:00"),
    ],
)
def test_a_time_format_settles_what_is_ambiguous(tmp_path: Path, written: str, form: str, expected: str) -> None:
    assert read_times(write(tmp_path, written), time_format=form) == [expected]


def test_the_configuration_sets_both(tmp_path: Path) -> None:
    path = write(tmp_path, "06/05/2024 01:35", "07/05/2024 01:35")
    overrides = ["data.time_format=%d/%m/%Y %H:%M", f"data.timezone=UTC:{SHANGHAI}"]
    nothing = {"train_tokenizer": False, "train_basemodel": False}
    config = build_config({"data": {"data_path": str(path)}, "experiment": nothing}, overrides)
    candles, _ = load_candles(config.data, config.repairs)
    assert candles.frame().index[0] == pd.Timestamp("2024-05-06 09:35")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.timezone=Asia/Shangai", "'Asia/Shangai' is unknown. Did you mean Asia/Shanghai"),
        ("data.timezone=../etc", "'../etc' is unknown"),
        ("data.time_format=dd/mm/yyyy", "'dd/mm/yyyy' has no date"),
    ],
)
def test_wrong_values_are_config_errors(override: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build_config({"data": {"data_path": "c.csv"}}, [override])


def test_a_time_of_another_format_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 3: timestamp '2024-05-07'"):
        read_times(write(tmp_path, "06/05/2024", "2024-05-07"), time_format="%d/%m/%Y")
