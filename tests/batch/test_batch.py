"""`kronos batch`: the forecasts of `kronos predict`, from Parquet of any shape, whatever else is in it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from kronos.batch import engines
from kronos.batch.candles import read_partition
from kronos.batch.forecaster import Forecaster
from kronos.batch.symbol_index import find_parquet, index_symbols
from kronos.data.elsewhere.options import FetchOptions
from kronos.errors import ConfigError, DataError, KronosError
from tests.batch.candles import SYMBOLS, batch, make_candles, write_long, write_parquet
from tests.conftest import ROOT, FinishedRun, invoke


def write_by_time(frame: pd.DataFrame, folder: Path) -> Path:
    """Each row group holds all symbols, under other names, as categories."""
    frame = frame.sort_values("timestamps", kind="stable").astype({"symbol": "category"})
    return write_parquet(frame.rename(columns={"symbol": "Ticker", "close": "Close"}), folder / "by_time.parquet", 50)


def write_hive(frame: pd.DataFrame, folder: Path) -> Path:
    """Folders symbol=AAA/part=0, without a column of the symbol."""
    for symbol, rows in frame.groupby("symbol"):
        for n, part in enumerate((rows[:15], rows[15:])):
            write_parquet(part.drop(columns="symbol"), folder / "hive" / f"symbol={symbol}" / f"part={n}" / "0.parquet")
    return folder / "hive"


def write_a_file_each(frame: pd.DataFrame, folder: Path) -> str:
    """A file for each symbol, whose name is the symbol, named by a glob."""
    for symbol, rows in frame.groupby("symbol"):
        write_parquet(rows.drop(columns="symbol"), folder / "files" / f"{symbol}.parquet")
    return str(folder / "files" / "*.parquet")


def test_forecasts_are_those_of_predict(finished_run: FinishedRun, tmp_path: Path) -> None:
    data, options = write_long(make_candles(), tmp_path), ["--paths", 3, "--horizon", 4, "--seed", 7]
    models = ["--run", finished_run.path, "--data", data, *options]
    assert invoke("predict", *models, "--format", "parquet", "--no-pictures", "--out", tmp_path / "one").exit_code == 0
    result = invoke("batch", *models, "--out", tmp_path / "many", "--columns", "close,high", "--workers", 1)
    assert result.exit_code == 0 and "5 symbols forecast, in 1 partitions" in result.stdout
    made = pd.read_parquet(tmp_path / "many").set_index("timestamps")
    for symbol in SYMBOLS:
        expected = pd.read_parquet(tmp_path / "one" / f"{symbol}_forecast.parquet")
        own = made[made["symbol"] == symbol]
        for ours, theirs in {"close_mean": "close", "high_mean": "high", **{n: n for n in own if "_q" in n}}.items():
            pd.testing.assert_series_equal(own[ours], expected[theirs], check_names=False, check_freq=False, rtol=1e-9)
        assert own["step"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("write", [write_by_time, write_hive, write_a_file_each], ids=lambda write: write.__name__)
def test_the_shape_of_the_files_changes_nothing(
    forecaster: Forecaster, tmp_path: Path, write: Callable[[pd.DataFrame, Path], object]
) -> None:
    frame = make_candles(SYMBOLS[:3])
    expected, _ = batch(forecaster, write_long(frame, tmp_path), tmp_path / "expected")
    made, result = batch(forecaster, write(frame, tmp_path), tmp_path / "made")
    assert (result.n_forecast, result.n_partitions, dict(result.left_out)) == (3, 2, {})
    pd.testing.assert_frame_equal(made, expected)


def test_a_batch_goes_on_and_refuses_other_settings(forecaster: Forecaster, tmp_path: Path) -> None:
    data, out = write_long(make_candles(), tmp_path), tmp_path / "out"
    whole, first = batch(forecaster, data, out)
    last = out / "part-00002.parquet"
    kept = last.read_bytes()
    last.unlink()
    (out / "part-00001.parquet").write_bytes(b"damaged")
    again, second = batch(forecaster, data, out)
    assert (first.n_kept, second.n_kept, second.n_forecast) == (0, 1, 5)
    assert last.read_bytes() == kept and again.equals(whole)
    with pytest.raises(ConfigError, match="different: horizon, seed"):
        batch(Forecaster(forecaster.run, horizon=3, n_paths=3, seed=1), data, out)
    write_long(make_candles(SYMBOLS[:3]), tmp_path)
    with pytest.raises(ConfigError, match="different: candles"):
        batch(forecaster, data, out)


def test_a_partition_reads_its_own_row_groups_only(tmp_path: Path) -> None:
    data = write_long(make_candles(), tmp_path)
    partitions = index_symbols(find_parquet(data, FetchOptions()), {}).plan(size=2)
    assert [each.symbols for each in partitions] == [("AAA", "BBB"), ("CCC", "DDD"), ("EEE",)]
    assert [[group.number for group in each.groups] for each in partitions] == [
        [0, 1, 2, 3, 4],
        [4, 5, 6, 7, 8, 9],
        [9, 10, 11],
    ]
    by_rows = index_symbols(find_parquet(data, FetchOptions()), {}).plan(size=5, max_rows=50)
    assert [len(each.symbols) for each in by_rows] == [1] * 5
    write_long(make_candles(n_rows=30), tmp_path)
    with pytest.raises(DataError, match="has changed while it was read"):
        list(read_partition(partitions[0], {}, {}))


def test_a_forecaster_takes_frames_one_by_one_and_in_a_row(forecaster: Forecaster, tmp_path: Path) -> None:
    frame = make_candles(SYMBOLS[:3])
    whole = forecaster(frame)
    assert list(whole) == forecaster.schema.names and whole["symbol"].unique().tolist() == SYMBOLS[:3]
    in_pieces = forecaster(frame[start : start + 25] for start in range(0, len(frame), 25))  # as mapInPandas calls it
    pd.testing.assert_frame_equal(pd.concat(in_pieces, ignore_index=True), whole)
    assert forecaster(frame[:0]).empty
    indexed = forecaster(frame.set_index("timestamps"))
    pd.testing.assert_frame_equal(indexed, whole)
    with pytest.raises(DataError, match="no column holds the symbol"):
        forecaster(frame.drop(columns="symbol"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--columns", "close,vwap"], "there is no column vwap"),
        (["--quantiles", "0.5,2"], "a quantile must be a number from 0 to 1"),
        (["--data", "nowhere"], "nowhere: no such file or folder"),
        (["--data", ROOT / "data"], "no Parquet file here"),
        (["--horizon", 0], "the horizon"),
        (["data.predict_window=3"], "a forecast does not depend on this key"),
        (["--out", ROOT / "README.md"], "is a file; choose a folder"),
    ],
)
def test_wrong_options_are_explained(
    finished_run: FinishedRun, tmp_path: Path, options: list[object], message: str
) -> None:
    data = write_long(make_candles(SYMBOLS[:1]), tmp_path)
    words = ["--run", finished_run.path, "--data", data, "--out", tmp_path / "out", "--workers", 1, *options]
    result = invoke("batch", *words)
    assert result.exit_code == 1 and message in result.stderr


def test_two_batches_do_not_mix(forecaster: Forecaster, tmp_path: Path) -> None:
    data, out = write_long(make_candles(SYMBOLS[:1]), tmp_path), tmp_path / "out"
    out.mkdir()
    with FileLock(out / ".batch.lock"), pytest.raises(KronosError, match="another batch is writing here"):
        batch(forecaster, data, out)
    with pytest.raises(ConfigError, match="in the folder of the candles"):
        batch(forecaster, tmp_path, out)


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("engine", ["processes", "ray"])
def test_processes_and_ray_write_the_same_bytes(forecaster: Forecaster, tmp_path: Path, engine: str) -> None:
    if engine == "ray":
        pytest.importorskip("ray")
    frame = make_candles()
    frame = frame.drop(frame.index[frame["symbol"] == "BBB"][1:])
    data = write_long(frame, tmp_path)
    batch(forecaster, data, tmp_path / "one")
    _, result = batch(forecaster, data, tmp_path / "many", n_workers=2, engine=engine)
    assert result.n_forecast == 4 and list(result.left_out) == ["BBB"]
    for number in range(3):
        name = f"part-{number:05}.parquet"
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()


@pytest.mark.slow
@pytest.mark.process
def test_a_killed_batch_goes_on(finished_run: FinishedRun, forecaster: Forecaster, tmp_path: Path) -> None:
    data, out = write_long(make_candles([f"S{n:02}" for n in range(6)]), tmp_path), tmp_path / "out"
    words = ["batch", "--run", finished_run.path, "--data", data, "--out", out, "--partition-size", 1, "--workers", 2]
    command = [sys.executable, "-m", "kronos", *map(str, [*words, "--horizon", 4, "--paths", 3])]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not list(out.glob("part-*.parquet")):
        assert process.poll() is None
        time.sleep(0.01)
    workers = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    process.kill()
    process.wait()
    while any(Path(f"/proc/{pid}").exists() and not _is_zombie(pid) for pid in workers):  # they end with it
        time.sleep(0.01)
    whole = [pq.read_table(path) for path in sorted(out.glob("part-*.parquet"))]  # none is half
    assert len(whole) >= 1
    made, result = batch(forecaster, data, out, partition_size=1)
    assert result.n_forecast == 6 and result.n_kept >= 1
    assert [each.name for each in out.glob(".*")] == [".batch.lock"]
    expected, _ = batch(forecaster, data, tmp_path / "expected", partition_size=1)
    pd.testing.assert_frame_equal(made, expected)


@pytest.mark.slow
@pytest.mark.process
def test_a_killed_worker_is_explained(forecaster: Forecaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_start_worker", _kill_worker)
    with pytest.raises(KronosError, match="a worker was killed"):
        batch(forecaster, write_long(make_candles(), tmp_path), tmp_path / "out", n_workers=2)


def _kill_worker(work: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
