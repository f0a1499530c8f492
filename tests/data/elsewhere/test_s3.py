"""An S3 server on this machine (moto). Real S3 is not measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

pytest.importorskip("s3fs")
moto_server = pytest.importorskip("moto.server")

import fsspec
from fsspec.config import conf

from kronos.data.elsewhere import remote as module
from kronos.data.elsewhere.gather import Gathered, gather_files
from kronos.data.elsewhere.options import FetchOptions
from kronos.data.files.read import read_file
from kronos.errors import DataError
from kronos.urls import Url
from tests.data.elsewhere.conftest import make_candles

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An endpoint with files, a table and a partitioned folder in s3://candles."""
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    login: dict[str, Any] = {"key": "k", "secret": "s", "endpoint_url": endpoint}
    system = fsspec.filesystem("s3", **login, skip_instance_cache=True)
    system.mkdir("candles")
    for name in ("A.csv", "B.csv", "deep/C.csv"):
        system.pipe_file(f"candles/files/{name}", make_candles(50).to_csv(index=False).encode())
    system.pipe_file("candles/files/readme.txt", b"no candles")
    local = tmp_path_factory.mktemp("hive") / "hive"
    frame = make_candles(800, start="2023-01-01", freq="D").assign(symbol="000001")
    frame["year"] = frame.timestamps.dt.year
    schema = pa.schema([("symbol", pa.string()), ("year", pa.int32())])
    table = pa.Table.from_pandas(frame, preserve_index=False)
    ds.write_dataset(table, local, format="parquet", partitioning=ds.partitioning(schema, flavor="hive"))
    system.put(str(local), "candles/hive", recursive=True)
    system.pipe_file("candles/hive/symbol=000001/year=2020/spoilt.parquet", b"no table")
    yield endpoint
    server.stop()


@pytest.fixture
def _login(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What s3fs reads from FSSPEC_S3_ENDPOINT_URL and AWS_*."""
    monkeypatch.setitem(conf, "s3", {"endpoint_url": bucket})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def gather(url: str, options: FetchOptions) -> Gathered:
    return gather_files([Url(url)], options)


@pytest.mark.usefixtures("_login")
@pytest.mark.parametrize(
    ("path", "names", "n_others"),
    [
        ("files/A.csv", ["A.csv"], 0),
        ("files", ["A.csv", "B.csv"], 1),
        ("files/", ["A.csv", "B.csv"], 1),
        ("files/*.csv", ["A.csv", "B.csv"], 0),
        ("files/**/*.csv", ["A.csv", "B.csv", "deep/C.csv"], 0),
    ],
)
def test_a_file_a_folder_or_a_glob(options: FetchOptions, path: str, names: list[str], n_others: int) -> None:
    gathered = gather(f"s3://candles/{path}", options)
    (snapshot,) = gathered.snapshots
    assert [file.relative_to(snapshot.folder).as_posix() for file in gathered.files] == names
    assert len(gathered.passed_over) == n_others and len(read_file(gathered.files[0])[0]) == 50


@pytest.mark.usefixtures("_login")
def test_a_partitioned_folder(options: FetchOptions) -> None:
    limited = replace(options, since=date(2023, 3, 1), until=date(2023, 3, 31))
    (raw,) = read_file(gather("s3://candles/hive", limited).files[0])
    assert raw.symbol == "000001" and len(raw) == 33  # a day more on each side
    with pytest.raises(DataError, match=r"s3://candles/hive: the files cannot be read together"):
        gather("s3://candles/hive", options)  # 2020 is spoilt, and was not opened before


@pytest.mark.usefixtures("_login")
@pytest.mark.parametrize("url", ["s3://candles/nothing.csv", "s3://nobucket/a.csv", "s3://candles/*.nothing"])
def test_nothing_there(options: FetchOptions, url: str) -> None:
    with pytest.raises(DataError, match=r"there is no (such )?file"):
        gather(url, options)


@pytest.mark.usefixtures("_login")
def test_what_was_fetched_is_read_offline(options: FetchOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    first = gather("s3://candles/files/A.csv", options)
    monkeypatch.setitem(conf, "s3", {"endpoint_url": "http://127.0.0.1:1"})
    assert gather("s3://candles/files/A.csv", options) == first
    monkeypatch.setattr(module, "S3", {"connect_timeout": 1, "retries": {"max_attempts": 1}})
    with pytest.raises(DataError, match=r"B\.csv: no connection to the server"):
        gather("s3://candles/files/B.csv", options)


def test_no_credentials(bucket: str, options: FetchOptions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(conf, "s3", {"endpoint_url": bucket})
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with pytest.raises(DataError, match=r"there are no credentials for s3://.*FSSPEC_S3_ANON"):
        gather("s3://candles/files/A.csv", options)
