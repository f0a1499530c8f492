from __future__ import annotations

import os
from pathlib import Path

import pytest

from kronos.data.elsewhere import http as module
from kronos.data.elsewhere.gather import gather_files
from kronos.data.elsewhere.options import FetchOptions
from kronos.data.windows.load import read_candles
from kronos.errors import DataError
from kronos.urls import Url, parse_source
from tests.data.elsewhere.conftest import Server


def gather(url: str, options: FetchOptions) -> list[Path]:
    return gather_files([parse_source(url)], options).files


def test_a_file_is_fetched_once(server: Server, options: FetchOptions, csv: bytes) -> None:
    server.files["/dir/AAPL.csv"] = csv
    first = gather(f"{server.url}/dir/AAPL.csv", options)
    assert [file.name for file in first] == ["AAPL.csv"] and first[0].read_bytes() == csv
    server.files.clear()
    assert gather(f"{server.url}/dir/AAPL.csv", options) == first
    assert len(server.requests) == 1
    assert len(read_candles(first[0])) == 300


def test_the_server_names_the_file(server: Server, options: FetchOptions, csv: bytes) -> None:
    server.files["/get"] = csv
    server.headers["/get"] = {"Content-Disposition": 'attachment; filename="../../.MSFT.csv"'}
    (file,) = gather(f"{server.url}/get?id=5", options)
    assert file.name == "MSFT.csv" and file.parent.parent == options.cache_dir / "sources"
    assert gather(f"{server.url}/get?id=6", options)[0].parent != file.parent


def test_a_copy_keeps_the_time_of_its_original(server: Server, options: FetchOptions, csv: bytes) -> None:
    server.files["/a.csv"] = csv
    server.headers["/a.csv"] = {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
    assert gather(f"{server.url}/a.csv", options)[0].stat().st_mtime == 1704067200


def test_a_login_is_sent_and_not_kept(server: Server, options: FetchOptions, csv: bytes) -> None:
    server.files["/a.csv"] = csv
    url = server.url.replace("http://", "http://user:p%40ss@") + "/a.csv?token=Xq7secret"
    (file,) = gather(url, options)
    path, headers = server.requests[0]
    assert path == "/a.csv?token=Xq7secret" and headers["authorization"] == "Basic dXNlcjpwQHNz"
    record = (file.parent / ".snapshot.json").read_text()
    assert "***@127" in record and not any(secret in record + str(file) for secret in ("p%40ss", "p@ss", "Xq7secret"))
    # The saved configuration has no secrets, and finds the same copy.
    assert gather(str(Url(url)), options) == [file]


def test_a_saved_url_cannot_be_fetched_without_its_secret(server: Server, options: FetchOptions) -> None:
    with pytest.raises(DataError, match="its secret is not saved"):
        gather(f"{server.url}/a.csv?token=***", options)
    assert not server.requests


def test_a_redirect_gets_no_login(server: Server, options: FetchOptions, csv: bytes) -> None:
    other = Server()
    server.files["/a.csv"], other.files["/b.csv"] = 302, csv
    server.headers["/a.csv"] = {"Location": f"{other.url}/b.csv"}
    gather(server.url.replace("http://", "http://user:pass@") + "/a.csv", options)
    other.close()
    assert "authorization" in server.requests[0][1] and "authorization" not in other.requests[0][1]


@pytest.mark.parametrize(
    ("status", "message"),
    {
        401: "answers 401 .* It needs a login",
        403: "answers 403 .* refuses access",
        404: "answers 404 .* no such file",
        429: "answers 429 .* Too many requests",
        503: "answers 503 .* Try again later",
    }.items(),
)
def test_refusals(server: Server, options: FetchOptions, status: int, message: str) -> None:
    server.files["/a.csv"] = status
    check_refused(server, options, message)


def check_refused(server: Server, options: FetchOptions, message: str) -> None:
    """A refusal is one line without the secret, and leaves no copy."""
    with pytest.raises(DataError, match=message) as error:
        gather(f"{server.url}/a.csv?token=abc", options)
    assert "\n" not in str(error.value) and "token=***" in str(error.value)
    left = [path for path in options.cache_dir.rglob("*") if not path.name.endswith(".lock")]
    assert left == [options.cache_dir / "sources"]


def test_a_web_page_is_no_file(server: Server, options: FetchOptions) -> None:
    server.files["/a.csv"] = b"\n<!DOCTYPE html><html><body>Log in</body></html>"
    check_refused(server, options, "answers with a web page.*login")


def test_an_empty_file(server: Server, options: FetchOptions) -> None:
    server.files["/a.csv"] = b""
    check_refused(server, options, "the file is empty")


def test_a_download_that_is_cut_off(server: Server, options: FetchOptions, csv: bytes) -> None:
    server.files["/a.csv"] = csv
    server.headers["/a.csv"] = {"Content-Length": str(len(csv) + 5), "Connection": "close"}
    check_refused(server, options, "cut off|connection was lost")


def test_a_server_that_says_nothing(server: Server, options: FetchOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.2)
    server.files["/a.csv"], server.headers["/a.csv"] = b"x", {"X-Wait": "1"}
    check_refused(server, options, "has sent nothing for 0.2 seconds")


def test_no_connection(server: Server, options: FetchOptions) -> None:
    server.close()
    check_refused(server, options, "no connection")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_a_full_disk(server: Server, options: FetchOptions, csv: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files["/a.csv"] = csv
    monkeypatch.setattr(module, "_choose_name", lambda *_: "/dev/full")
    with pytest.raises(DataError, match=r"cannot be written: No space left.*data\.cache_dir"):
        gather(f"{server.url}/a.csv", options)


@pytest.mark.parametrize("length", ["-5", "abc", "9" * 5000])
def test_an_impossible_length_is_no_length(server: Server, options: FetchOptions, csv: bytes, length: str) -> None:
    server.files["/a.csv"], server.headers["/a.csv"] = csv, {"Content-Length": length}
    assert gather(f"{server.url}/a.csv", options)[0].read_bytes() == csv


def test_a_part_of_a_file_is_no_file(server: Server, options: FetchOptions) -> None:
    server.files["/a.csv"] = 206
    check_refused(server, options, "a part of the file only")


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://host/a.csv?token=abc", "data:,abc"])
def test_a_redirect_leads_to_the_web_only(server: Server, options: FetchOptions, target: str) -> None:
    server.files["/a.csv"], server.headers["/a.csv"] = 302, {"Location": target}
    check_refused(server, options, "answers 302 Found.* to .* Check the URL")


def test_endless_redirects(server: Server, options: FetchOptions) -> None:
    server.files["/a.csv"], server.headers["/a.csv"] = 302, {"Location": "/a.csv"}
    check_refused(server, options, "answers 302 .* infinite loop. Check the URL")


def test_a_download_without_end(
    server: Server, options: FetchOptions, csv: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kronos.data.elsewhere.copying.MAX_UNANNOUNCED", 1000)
    server.files["/a.csv"], server.headers["/a.csv"] = csv, {"Content-Length": "?"}
    check_refused(server, options, "does not end after 1,000 bytes")


def test_a_download_that_drips(
    server: Server, options: FetchOptions, csv: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kronos.data.elsewhere.copying.PATIENCE_SECONDS", 0)
    monkeypatch.setattr("kronos.data.elsewhere.copying.SLOWEST", 10**15)
    server.files["/a.csv"] = csv
    check_refused(server, options, "bytes a second. Try again later")


def test_headers_without_end(
    server: Server, options: FetchOptions, csv: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.05)
    server.files["/a.csv"], server.headers["/a.csv"] = csv, {"X-Wait": "1"}
    check_refused(server, options, "the connection was lost|sent nothing")
