"""`kronos.check`."""

import pandas as pd
import pytest

import kronos
from kronos.api.checks import CheckedCandles
from kronos.errors import ConfigError, DataError
from tests.api.test_candles import FRAME, SAMPLE

LONG = pd.read_csv(SAMPLE, parse_dates=["timestamps"]).set_index("timestamps")


def test_a_file_and_a_frame_are_the_same_candles() -> None:
    file, frame = kronos.check(SAMPLE), kronos.check(LONG)
    assert file.is_usable and file.enough and (file.enough.lookback, file.enough.horizon) == (48, 12)
    assert repr(file).startswith(f"{SAMPLE}: 3,360 candles, 5 minutes, 2024-01-02 09:35 to 2024-04-08 15:00")
    assert "A lookback of 48 and a horizon of 12 candles are proposed" in repr(file)
    assert frame.enough and frame.enough.to_json() == file.enough.to_json()
    assert file.write("zh") != repr(file) and "3,360" in file.write("zh")


def test_several_symbols() -> None:
    checked = kronos.check({"A": FRAME, "<b>": 2 * FRAME}, lookback=48, horizon=12)
    assert [each.symbol for each in checked.check.audited.candles.symbols] == ["A", "<b>"]
    assert checked.enough and (checked.enough.lookback, checked.enough.horizon) == (48, 12)
    assert not checked.enough.proposed and "<b>" in repr(checked) and "<b>" not in checked._repr_html_()


def test_what_is_wrong_is_in_the_result() -> None:
    spoilt = FRAME.copy()
    spoilt.iloc[100, spoilt.columns.get_loc("low")] = 1000.0
    checked = kronos.check(spoilt)
    assert isinstance(checked, CheckedCandles) and not checked.is_usable and checked.enough is None
    (error,) = checked.to_frame().query("severity == 'error'").to_dict("records")
    assert error["kind"] == "impossible" and error["count"] == 1 and "repairs.impossible" in error["remedy"]
    widened = kronos.check(spoilt, impossible="widen")
    assert widened.is_usable and widened.to_frame()["severity"].tolist() == ["repair"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"epochs": 3},
            "training.epochs: a check does not depend on this key. Only data.*, repairs.*, report.language can be changed.",
        ),
        ({"timezone": "Mars"}, "check: timezone 'Mars' is unknown"),
        ({"lookback": 5, "lookback_window": 5}, "are the same setting"),
        ({"lookback": "5"}, "check: data.lookback_window is '5'; it must be a whole number."),
    ],
)
def test_wrong_options(options: dict, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        kronos.check(FRAME, **options)
    assert message in str(error.value)


def test_no_file() -> None:
    with pytest.raises(DataError, match=r"nowhere\.csv: no such file"):
        kronos.check("nowhere.csv")


def test_the_language_of_the_results() -> None:
    assert "根 K 线" in repr(kronos.check(FRAME, language="zh")) and "candles" in repr(kronos.check(FRAME))
