from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fsspec
import pytest

from kronos.data.elsewhere import remote as module
from kronos.data.elsewhere.gather import gather_files
from kronos.data.elsewhere.options import FetchOptions
from kronos.errors import DataError
from kronos.urls import Url


@pytest.fixture
def memory(csv: bytes) -> Iterator[Any]:
    """fsspec's file system in memory, with two files of candles."""
    system = fsspec.filesystem("memory")
    for name in ("/c/A.csv", "/c/B.csv", "/c/.hidden.csv", "/c/deep/C.csv"):
        system.pipe_file(name, csv)
    yield system
    system.rm("/c", recursive=True)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("c/A.csv", ["A.csv"]),
        ("c", ["A.csv", "B.csv"]),
        ("c/*.csv", ["A.csv", "B.csv"]),
        ("c/**/C.csv", ["deep/C.csv"]),
    ],
)
def test_a_file_a_folder_or_a_glob(memory: Any, options: FetchOptions, path: str, names: list[str]) -> None:
    gathered = gather_files([Url(f"memory://{path}")], options)
    folder = gathered.snapshots[0].folder
    assert [file.relative_to(folder).as_posix() for file in gathered.files] == names


@pytest.mark.usefixtures("memory")
def test_a_folder_without_files(options: FetchOptions) -> None:
    fsspec.filesystem("memory").pipe_file("/c/only/deep/A.csv", b"x")
    with pytest.raises(DataError, match=r"there is no file.*\*\*/\*\.csv"):
        gather_files([Url("memory://c/only")], options)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FileNotFoundError("bucket/a"), "there is no such file or folder"),
        (PermissionError("Forbidden"), r"refuses access \(Forbidden\)"),
        (TimeoutError(), "does not answer in time"),
        (ConnectionError("reset"), "no connection to the server"),
        (
            type("NoCredentialsError", (Exception,), {})("Unable to locate credentials"),
            "there are no credentials for memory",
        ),
        (type("EndpointConnectionError", (Exception,), {})("http://x"), "no connection to the server"),
        (type("ReadTimeoutError", (Exception,), {})("x"), "does not answer in time"),
        (
            ValueError("https://u:pass@h/a?token=abc is wrong\nmore"),
            r"cannot be read: https://\*\*\*@h/a\?token=\*\*\* is wrong",
        ),
    ],
)
def test_errors_are_one_line(
    memory: Any, options: FetchOptions, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(module, "_copy", fail)
    with pytest.raises(DataError, match=message) as shown:
        gather_files([Url("memory://c/A.csv")], options)
    assert "\n" not in str(shown.value) and "pass" not in str(shown.value)
    assert not list(options.cache_dir.rglob("*.csv"))


@pytest.mark.usefixtures("memory")
def test_a_copy_that_is_cut_off(options: FetchOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    system = type(fsspec.filesystem("memory"))
    whole = system.info
    monkeypatch.setattr(system, "info", lambda *args, **more: whole(*args, **more) | {"size": 10**6})
    with pytest.raises(DataError, match=r"cut off after [\d,]+ of 1,000,000 bytes"):
        gather_files([Url("memory://c/A.csv")], options)


@pytest.mark.parametrize(
    ("scheme", "text", "command"),
    [
        ("s3", "Install s3fs to access S3", "pip install s3fs"),
        ("gs", "Please install gcsfs to access Google Storage", "pip install gcsfs"),
        ("sftp", 'SFTPFileSystem requires "paramiko" to be installed', "pip install paramiko"),
        ("abfs", "Install adlfs to access Azure Datalake Gen2", "pip install adlfs"),
    ],
)
def test_without_the_package(
    options: FetchOptions, monkeypatch: pytest.MonkeyPatch, scheme: str, text: str, command: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ImportError(text)

    monkeypatch.setattr(fsspec.core, "url_to_fs", fail)
    with pytest.raises(DataError, match=f"package for {scheme}:// is not installed.*{command}"):
        gather_files([Url(f"{scheme}://bucket/a.csv")], options)
