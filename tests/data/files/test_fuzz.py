"""Any content of a file ends in correct candles or in errors that name the file, within seconds."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import lzma
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import zstandard
from hypothesis import strategies as st
from typer.testing import CliRunner

from kronos.cli.main import app
from kronos.config.data import DataConfig, RepairsConfig
from kronos.data import WindowDataset, load_candles, read_frames, split_candles
from kronos.errors import DataError
from tests.fuzzing import MUTATIONS, Mutation, assert_ended_well, mutate_bytes
from tests.fuzzing import fuzz as fuzz_kind

pytestmark = pytest.mark.filterwarnings(
    "error::RuntimeWarning", "error::FutureWarning", "error::UserWarning", "error::DeprecationWarning:kronos"
)

fuzz = partial(fuzz_kind, kind="candle files")
SECONDS = 2.0  # for a small file
COLUMNS = ("timestamps", "open", "high", "low", "close", "volume", "amount")
SUFFIXES = (".csv", ".csv.gz", ".csv.zst", ".csv.bz2", ".csv.xz", ".csv.zip", ".parquet", ".feather", ".txt", "")


def _options(name: str) -> st.SearchStrategy[object]:
    field = RepairsConfig.model_fields[name]
    return st.integers(1, 9) if name == "fill_limit" else st.sampled_from(get_args(field.annotation))


REPAIRS = st.fixed_dictionaries({name: _options(name) for name in RepairsConfig.model_fields}).map(
    lambda values: RepairsConfig(**values)  # type: ignore[arg-type]
)
WINDOWS = st.fixed_dictionaries(
    {
        "lookback_window": st.integers(2, 6),
        "predict_window": st.integers(1, 3),
        "max_gap": st.none() | st.integers(0, 3),
        "train_stride": st.integers(1, 3),
    }
)
Windows = dict[str, int | None]


def check_file(name: str, content: bytes, repairs: RepairsConfig, windows: Windows) -> bool:
    """Load a file and assert the property; return whether it ended in usable candles."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        started = time.process_time()
        config = DataConfig(data_path=(path,), max_context=64, **windows)  # type: ignore[arg-type]
        candles, findings = load_candles(config, repairs)
        for finding in findings:
            assert finding.text.strip() and finding.text.strip() == finding.text, finding
            assert finding.count >= 0 and finding.source, finding
            _assert_explained(str(finding), path)
        errors = [finding for finding in findings if finding.severity == "error"]
        _assert_sound(candles.values, repairs)
        for symbol in candles.symbols:
            assert (np.diff(candles.instants[symbol.start : symbol.stop]) > 0).all()
            assert len(candles.frame(symbol.start, symbol.stop)) == len(symbol) > 0
        assert errors or len(candles), "neither candles nor an error"
        usable = not errors
        if usable:
            try:
                splits = split_candles(candles, config)
            except DataError as error:
                _assert_explained(str(error), path)
            else:
                for split in splits.values():
                    windows_of = WindowDataset(candles, split.starts, config, split.symbol_bounds)
                    batch = windows_of.__getitems__(list(range(len(windows_of)))[:500])
                    assert np.isfinite(batch["candles"].numpy()).all() and np.isfinite(batch["stamp"].numpy()).all()
                    assert (batch["candles"].abs() <= config.clip).all()
        assert time.process_time() - started < SECONDS
        return usable


def _assert_explained(message: str, path: Path) -> None:
    assert str(path) in message and message.removeprefix(str(path)).strip(" :,\n")
    assert all(line.strip() for line in message.splitlines()) and len(message) < 3000


def _assert_sound(values: np.ndarray, repairs: RepairsConfig) -> None:
    assert np.isfinite(values).all()
    if repairs.impossible != "keep":
        assert (values[:, 1] >= values[:, 2]).all()
        assert (values[:, 1:2] >= values[:, [0, 3]]).all() and (values[:, 2:3] <= values[:, [0, 3]]).all()
        assert (values[:, 4:] >= 0).all()
    if repairs.non_positive != "keep":
        assert (values[:, :4] > 0).all()


def make_frame(n: int, seed: int, start: str = "2024-06-18 09:35", every: str = "5min") -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    close = 20 * np.exp(0.01 * generator.standard_normal(n).cumsum())
    open_ = np.append(close[:1], close[:-1])
    high, low = np.maximum(open_, close) * 1.001, np.minimum(open_, close) / 1.001
    volume = generator.integers(0, 9999, n).astype(float)
    times = pd.date_range(start, periods=n, freq=every)
    prices = [column.astype(np.float32).astype(float) for column in (open_, high, low, close)]
    return pd.DataFrame(dict(zip(COLUMNS, [times, *prices, volume, volume * 20])))


def as_zip(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("c.csv", data)
    return buffer.getvalue()


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
    ".zip": as_zip,
}


def good_file(kind: str, n: int = 60) -> bytes:
    frame, buffer = make_frame(n, 1), io.BytesIO()
    if kind == ".parquet":
        frame.to_parquet(buffer)
    elif kind == ".feather":
        frame.to_feather(buffer)
    else:
        return COMPRESS[kind.removeprefix(".csv")](frame.to_csv(index=False).encode())
    return buffer.getvalue()


GOOD = {kind: good_file(kind) for kind in (*(f".csv{suffix}" for suffix in COMPRESS), ".parquet", ".feather")}
LOOSE: Windows = {"lookback_window": 4, "predict_window": 2}


@pytest.mark.parametrize("kind", GOOD)
def test_good_files_are_usable(kind: str) -> None:
    assert check_file(f"c{kind}", GOOD[kind], RepairsConfig(), LOOSE)


@fuzz(40, st.binary(max_size=300), st.sampled_from(SUFFIXES), REPAIRS, WINDOWS)
def test_random_bytes(content: bytes, suffix: str, repairs: RepairsConfig, windows: Windows) -> bool:
    accepted = check_file(f"c{suffix}", content, repairs, windows)
    assert not accepted
    return accepted


@fuzz(50, st.sampled_from(sorted(GOOD)), MUTATIONS, REPAIRS, WINDOWS)
def test_mutated_bytes(kind: str, mutations: Sequence[Mutation], repairs: RepairsConfig, windows: Windows) -> bool:
    return check_file(f"c{kind}", mutate_bytes(GOOD[kind], mutations), repairs, windows)


NUMBERS = st.one_of(
    st.floats(1, 100).map(lambda x: f"{x:.4g}"),
    st.sampled_from(["1e-9", "1e9", "0", "-0.0", "-5", "1e38", "3.5e38", "1e39", "1e308", "1e400", "1e-45", "1e-320"]),
    st.sampled_from(["", "nan", "inf", "-inf", "None", "--", "N/A", "1,5", "abc", "True", "9" * 400, " 7 ", '"', "\0"]),
)
GOOD_CELL = st.sampled_from(["10", "10.5", "11"])
CLOCKS = st.one_of(
    st.integers(0, 400).map(lambda i: f"{pd.Timestamp('2024-06-18') + pd.Timedelta(5 * i, 'min')}"),
    st.sampled_from(["", "nan", "now", "24:00", "2024-06-18", "2024-06-18 24:00", "18/06/2024", "2024-Q1", "45000"]),
    st.sampled_from(["0001-01-01", "9999-12-31", "0000-01-01", "1969-12-31 23:59:59", "1718703300", "1718703300000"]),
    st.sampled_from(["2024-06-18 09:35:00+08:00", "2024-06-18T09:40:00Z", "2024-06-18 09:35 PM", "20240618"]),
    st.text(max_size=8),
)


@fuzz(
    60,
    st.lists(
        st.tuples(
            st.integers(0, 30) | CLOCKS, st.lists(GOOD_CELL, min_size=6, max_size=6) | st.lists(NUMBERS, max_size=8)
        ),
        max_size=40,
    ),
    st.permutations(COLUMNS),
    st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
    st.sampled_from([",", ";", "\t", "|"]),
    REPAIRS,
    WINDOWS,
)
def test_odd_cells_and_ragged_rows(
    rows: Sequence[tuple[int | str, list[str]]],
    columns: Sequence[str],
    end: str,
    delimiter: str,
    repairs: RepairsConfig,
    windows: Windows,
) -> bool:
    start = pd.Timestamp("2024-06-18")
    lines = [delimiter.join(columns)]
    for when, cells in rows:
        text = f"{start + pd.Timedelta(when, 'h')}" if isinstance(when, int) else when
        at = columns.index("timestamps")
        lines.append(delimiter.join([*cells[:at], text, *cells[at:]]))
    return check_file("c.csv", end.join(lines).encode(errors="replace"), repairs, windows)


NAMES = st.sampled_from(
    [*COLUMNS, "date", "time", "Open", "OPEN", "symbol", "vol", "", " ", "x", "close ", "日期", "0"]
)


@fuzz(15, st.lists(st.tuples(st.integers(0, 6), NAMES), max_size=3), st.booleans(), REPAIRS, WINDOWS)
def test_columns_missing_twice_and_renamed(
    changes: list[tuple[int, str]], more: bool, repairs: RepairsConfig, windows: Windows
) -> bool:
    names = [*COLUMNS, "time"] if more else list(COLUMNS)
    for at, name in changes:
        names[at] = name
    body = make_frame(12, 2).to_csv(index=False, header=False)
    return check_file("c.csv", (",".join(names) + "\n" + body).encode(), repairs, windows)


@st.composite
def series(draw: st.DrawFn) -> pd.DataFrame:
    """Candles of stretches of any interval, in any order, of any size, with odd values."""
    n = draw(st.integers(1, 90))
    steps = draw(
        st.lists(st.tuples(st.sampled_from([0, 1, 60, 300, 301, 3600, 86400, 604800, 2678400]), st.integers(1, 60)))
    )
    step = np.concatenate([np.full(count, size) for size, count in steps] or [np.full(1, 300)])
    start = draw(st.sampled_from([1711846800, 1730595600, 1718703300, 0, -2_000_000_000, -62_100_000_000]))
    seconds = start + np.resize(step, n).cumsum()
    scale = draw(st.sampled_from([1e-9, 1e-3, 1, 1e4, 1e9]))
    frame = make_frame(n, draw(st.integers(0, 99)))
    prices = frame[["open", "high", "low", "close"]].to_numpy() * scale
    if draw(st.booleans()):
        prices[:] = scale
    frame[["open", "high", "low", "close"]] = prices
    odd = [np.nan, np.inf, -np.inf, 0, -1, 1e39, 1e-46, 5 * scale, 1e37, -3e38]
    columns = list(COLUMNS[1:])
    for row, column, value in draw(
        st.lists(st.tuples(st.integers(0, n - 1), st.sampled_from(columns), st.sampled_from(odd)), max_size=6)
    ):
        frame.loc[row, column] = value
    frame["timestamps"] = seconds.astype("M8[s]")
    order = np.arange(n)
    for one, other in draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=4)):
        order[one] = order[other] if draw(st.booleans()) else order[one]
        order[[one, other]] = order[[other, one]]
    return frame.iloc[order]


ZONES = st.sampled_from([None, None, "UTC", "America/New_York", "Asia/Shanghai", "Australia/Lord_Howe"])


@fuzz(80, series(), ZONES, st.sampled_from([".csv", ".parquet", "local"]), REPAIRS, WINDOWS)
def test_odd_series(frame: pd.DataFrame, zone: str | None, kind: str, repairs: RepairsConfig, windows: Windows) -> bool:
    if zone:
        frame = frame.assign(timestamps=frame["timestamps"].dt.tz_localize("UTC").dt.tz_convert(zone))
        if kind == "local":
            frame = frame.assign(timestamps=frame["timestamps"].dt.tz_localize(None))
    if kind == ".parquet":
        buffer = io.BytesIO()
        frame.to_parquet(buffer)
        return check_file("c.parquet", buffer.getvalue(), repairs, windows)
    return check_file("c.csv", frame.to_csv(index=False).encode(), repairs, windows)


@pytest.mark.parametrize("names", ["low,volume,amount", "low,amount,volume", "low,amount,x", "amount,low,x"])
def test_an_amount_that_no_price_explains(names: str) -> None:
    rows = "".join(f"2024-06-18 0{hour}:20:00,10,11,10,1e-320,1e38,1e-320\n" for hour in range(1, 9))
    check_file("c.csv", f"timestamps,open,high,close,{names}\n{rows}".encode(), RepairsConfig(), LOOSE)


@pytest.mark.parametrize("same_time", [True, False])
def test_a_million_identical_rows(tmp_path: Path, same_time: bool) -> None:
    n = 1_000_000
    times = np.full(n, 1718703300) if same_time else 1718703300 + 60 * np.arange(n)
    frame = pd.DataFrame({"timestamps": times.astype("M8[s]"), **dict.fromkeys(COLUMNS[1:], 1.0)})
    path = tmp_path / "c.parquet"
    frame.to_parquet(path)
    started = time.process_time()
    candles, findings = load_candles(DataConfig(data_path=(path,)), RepairsConfig())
    assert time.process_time() - started < 5
    assert len(candles) == (1 if same_time else n)
    counts = {finding.kind: finding.count for finding in findings}
    assert counts.get("duplicates", 0) == (n - 1 if same_time else 0)


@pytest.mark.parametrize("where", ["header", "cell", "quoted"])
def test_a_very_long_line(where: str) -> None:
    text = GOOD[".csv"].decode()
    long = "x" * 3_000_000
    row = "\n2024-06-20,1,2,1,2,"
    content = {"header": f"{long},{text}", "cell": f"{text}{row}{long},1\n", "quoted": f'{text}{row}"{long},\n{long}'}
    assert not check_file("c.csv", content[where].encode(), RepairsConfig(), LOOSE)


FORMATS: dict[str, Callable[[pd.Series], pd.Series]] = {
    "iso": lambda t: t.dt.strftime("%Y-%m-%d %H:%M:%S"),
    "T": lambda t: t.dt.strftime("%Y-%m-%dT%H:%M:%S"),
    "slashes": lambda t: t.dt.strftime("%Y/%m/%d %H:%M:%S"),
    "dots": lambda t: t.dt.strftime("%Y.%m.%d %H:%M:%S"),
    "compact": lambda t: t.dt.strftime("%Y%m%d%H%M%S"),
    "am": lambda t: t.dt.strftime("%Y-%m-%d %I:%M:%S %p"),
    "chinese": lambda t: t.dt.strftime("%Y年%m月%d日 %H时%M分%S秒"),
    "zoned": lambda t: t.dt.strftime("%Y-%m-%dT%H:%M:%S-0400"),
    "s": lambda t: (t - pd.Timestamp(0)) // pd.Timedelta(1, "s"),
    "ms": lambda t: (t - pd.Timestamp(0)) // pd.Timedelta(1, "ms"),
    "us": lambda t: (t - pd.Timestamp(0)) // pd.Timedelta(1, "us"),
}


WRITTEN = [(*pair, suffix) for pair, suffix in zip(itertools.product(FORMATS, ",;\t|"), itertools.cycle(COMPRESS))]


@pytest.mark.parametrize(("written", "delimiter", "suffix"), WRITTEN)
def test_what_was_written_is_read(tmp_path: Path, written: str, delimiter: str, suffix: str) -> None:
    frame = make_frame(40, len(written), every="7min")
    text = frame.assign(timestamps=FORMATS[written](frame["timestamps"]))
    decimal = "," if delimiter in ";\t" and suffix else "."
    path = tmp_path / f"c.csv{suffix}"
    path.write_bytes(COMPRESS[suffix](text.to_csv(index=False, sep=delimiter, decimal=decimal).encode()))
    ((_, _, read, findings, *_),), _ = read_frames([path])
    assert [finding for finding in findings if finding.severity != "note"] == []
    np.testing.assert_array_equal(read.index.to_numpy(), frame["timestamps"].to_numpy())
    np.testing.assert_array_equal(read.to_numpy(), frame.iloc[:, 1:].to_numpy(np.float32))


COMMAND_FILES = {
    "good.csv": GOOD[".csv"],
    "good.parquet": GOOD[".parquet"],
    "cut.parquet": GOOD[".parquet"][:-9],
    "cut.csv.gz": GOOD[".csv.gz"][:-9],
    "cut.csv": GOOD[".csv"][:-30],
    "empty.csv": b"",
    "nothing.csv": b"timestamps,open,high,low,close\n",
    "nul.csv": b"\0" * 99,
    "noise.csv": bytes(range(256)),
    "markup[red].csv": b"timestamps,open,high,low,close\n[/red],1,2,3,4\n",
    "one.csv": b"timestamps,open,high,low,close\n2024-06-18,2,4,1,3\n",
    "negative.csv": b"timestamps,open,high,low,close\n2024-06-18,-2,4,-1,3\n",
    "year1.csv": b"timestamps,open,high,low,close\n0001-01-01,2,4,1,3\n9999-12-31,2,4,1,3\n",
    "quarters.csv": b"timestamps,open,high,low,close\n2024-Q1,2,4,1,3\n",
}


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("name", COMMAND_FILES)
def test_the_command(tmp_path: Path, name: str, as_json: bool) -> None:
    path = tmp_path / name
    path.write_bytes(COMMAND_FILES[name])
    result = CliRunner().invoke(app, ["check", str(path), *(["--json"] if as_json else [])])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    good = name in ("good.csv", "good.parquet", "one.csv", "year1.csv")
    assert result.exit_code == (0 if good else 1), result.output
    assert "Traceback" not in result.output and result.output.strip()


@fuzz(10, st.sampled_from(SUFFIXES), st.binary(max_size=99) | st.just(GOOD[".csv"][:500]))
def test_the_command_on_any_file(suffix: str, content: bytes) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"c{suffix}"
        path.write_bytes(content)
        return assert_ended_well(CliRunner().invoke(app, ["check", str(path)]))


def test_a_byte_is_missing_in_a_feather_file() -> None:
    """A length in it may then ask for exabytes of memory."""
    content = GOOD[".feather"]
    for at in range(2000, len(content), 25):
        check_file("c.feather", content[:at] + content[at + 1 :], RepairsConfig(), LOOSE)  # read, or a DataError
