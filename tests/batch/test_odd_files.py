"""`kronos batch` on files that are damaged, or that differ from one another."""

from pathlib import Path

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kronos.batch.forecaster import Forecaster
from kronos.errors import ConfigError, DataError
from tests.batch.candles import SYMBOLS, batch, make_candles, write_long, write_parquet
from tests.conftest import FinishedRun


def test_what_cannot_be_forecast_is_listed(forecaster: Forecaster, tmp_path: Path) -> None:
    frame = make_candles(["GOOD", "SHORT", "TEXT", " ", "WILD"])
    frame.loc[frame["symbol"] == "WILD", "close"] = -1.0
    frame = frame.drop(frame.index[frame["symbol"] == "SHORT"][1:])
    write_parquet(frame[frame["symbol"] != "TEXT"], tmp_path / "in" / "numbers.parquet")
    texts = frame[frame["symbol"] == "TEXT"].astype({"close": "str"})
    texts.iloc[3, list(texts).index("close")] = "closed"
    write_parquet(texts, tmp_path / "in" / "texts.parquet")
    (tmp_path / "in" / "broken.parquet").write_bytes(b"PAR1 no more")
    made, result = batch(forecaster, tmp_path / "in", tmp_path / "out")
    assert set(made["symbol"]) == {"GOOD"} and result.n_forecast == 1
    reasons = pd.read_csv(tmp_path / "out" / "_left_out.csv").set_index("symbol")["reason"]
    assert "One candle" in reasons["SHORT"] and reasons["WILD"].startswith("40 times")
    assert "close is 'closed', not a number" in reasons["TEXT"] and "row 4" in reasons["TEXT"]
    assert "cannot be read" in reasons[str(tmp_path / "in" / "broken.parquet")]
    assert dict(result.left_out) == reasons.to_dict()


def test_files_of_other_columns_are_read_as_predict_reads_them(forecaster: Forecaster, tmp_path: Path) -> None:
    """The rows of BBB go on in a file whose columns have other names, times as text and a blank column of another type."""
    frame = make_candles(SYMBOLS[:3])
    expected, _ = batch(forecaster, write_long(frame, tmp_path), tmp_path / "expected")
    write_parquet(frame[:60].assign(note=None), tmp_path / "in" / "0.parquet")
    other = frame[60:].rename(columns={"symbol": "ticker", "close": "Close", "volume": "vol", "timestamps": "date"})
    write_parquet(other.assign(date=other["date"].astype(str), note="x"), tmp_path / "in" / "1.parquet")
    made, _ = batch(forecaster, tmp_path / "in", tmp_path / "out")
    pd.testing.assert_frame_equal(made, expected)


def test_damaged_rows_leave_out_their_symbols_only(forecaster: Forecaster, tmp_path: Path) -> None:
    """A page of prices is damaged, which the column of symbols does not show, and one of symbols in another file."""
    frame = make_candles()
    whole, _ = batch(forecaster, write_parquet(frame, tmp_path / "whole.parquet", 40), tmp_path / "whole")
    for first, column in ((0, "close"), (3, "symbol")):
        path = write_parquet(
            frame[first * 40 : (first + 3) * 40], tmp_path / "in" / f"{first}.parquet", rows_in_group=40
        )
        place = pq.ParquetFile(path).metadata.row_group(1).column(list(frame).index(column))
        content = bytearray(path.read_bytes())
        content[place.data_page_offset : place.data_page_offset + place.total_compressed_size] = bytes(
            place.total_compressed_size
        )
        path.write_bytes(content)
    made, result = batch(forecaster, tmp_path / "in", tmp_path / "out")
    assert list(result.left_out) == [
        str(tmp_path / "in" / "3.parquet"),
        "BBB",
    ]  # no symbol of a file that is read in part
    assert "0.parquet is damaged" in result.left_out["BBB"]
    pd.testing.assert_frame_equal(made, whole[whole["symbol"].isin(["AAA", "CCC"])].reset_index(drop=True), rtol=1e-6)


def test_files_that_cannot_be_used_are_explained(forecaster: Forecaster, tmp_path: Path) -> None:
    frame = make_candles(SYMBOLS[:1])
    repeated = pa.Table.from_pandas(frame, preserve_index=False).append_column("close", pa.array(frame["close"]))
    pq.write_table(repeated, tmp_path / "repeated.parquet")
    nameless = write_parquet(frame.assign(symbol=None), tmp_path / "nameless.parquet")
    for data, message in (
        (tmp_path / "repeated.parquet", "column close occurs more than once"),
        (nameless, "no row has a symbol"),
    ):
        with pytest.raises(DataError, match=message):
            batch(forecaster, data, tmp_path / "out")
    with pytest.raises(
        ConfigError, match="in the folder of the candles"
    ):  # else a second command would read the first's
        batch(forecaster, tmp_path / "**" / "*.parquet", tmp_path / "out")


def test_candles_at_a_url(finished_run: FinishedRun, tmp_path: Path) -> None:
    content = write_long(make_candles(SYMBOLS[:2]), tmp_path).read_bytes()
    fsspec.filesystem("memory").pipe("/batch/many.parquet", content)
    forecaster = Forecaster(finished_run.path, 4, 3, reading=[f"data.cache_dir={tmp_path / 'cache'}"])
    made, _ = batch(forecaster, "memory://batch/many.parquet", tmp_path / "out")
    expected, _ = batch(forecaster, tmp_path / "long.parquet", tmp_path / "expected")
    pd.testing.assert_frame_equal(made, expected)


def test_repairs_are_not_logged_and_few_candles_are_counted(
    forecaster: Forecaster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame = make_candles(SYMBOLS[:2]).drop(columns=["volume", "amount"])
    data = write_long(pd.concat([frame[37:], frame[37:40]]), tmp_path)  # 3 candles of AAA, two times
    with caplog.at_level("INFO"):
        made, _ = batch(forecaster, data, tmp_path / "out")
    assert not [each.message for each in caplog.records if ".feather" in each.message or "volume" in each.message]
    assert made.groupby("symbol")["n_known"].first().to_dict() == {"AAA": 3, "BBB": 16}
