"""Candles at a URL and in a database, through the commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kronos.config import load_config
from tests.conftest import FAST, ROOT, invoke
from tests.data.elsewhere.conftest import Server, server  # noqa: F401

CANDLES = (ROOT / "data" / "synthetic_5min.csv").read_text().splitlines(keepends=True)


@pytest.fixture
def url(server: Server) -> str:  # noqa: F811
    """A URL with a password and a key."""
    server.files["/BTC.csv"] = "".join(CANDLES[:121]).encode()
    return server.url.replace("http://", "http://user:Xq7secret1@") + "/BTC.csv?apikey=Xq7secret2"


def find_secrets(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and b"Xq7secret" in path.read_bytes()]


def test_check(url: str, tmp_path: Path) -> None:
    cache = f"data.cache_dir={tmp_path}/cache"
    done = invoke("check", url, cache, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    (note,) = (each for each in report["findings"] if each["code"] == "fetched")
    assert note["source"].endswith("/BTC.csv?apikey=***") and len(note["values"]["sha256"]) == 64
    assert "data.refetch=true" in note["message"] and report["symbols"][0]["symbol"] == "BTC"
    assert "Xq7secret" not in done.output and not find_secrets(tmp_path)
    assert "BTC.csv" in invoke("check", url, cache).stdout


def test_a_wrong_url_is_one_line(url: str, tmp_path: Path) -> None:
    done = invoke("check", url.replace("BTC", "ETH"), f"data.cache_dir={tmp_path}/cache")
    assert done.exit_code == 1 and "Traceback" not in done.output
    assert "answers 404" in done.stderr and "Xq7secret" not in done.output


def test_predict(url: str, golden_run: Path, tmp_path: Path) -> None:
    """The limits of the run's own candles are not those of the file given."""
    config = golden_run / "config.yaml"
    config.write_text(config.read_text().replace("data:\n", "data:\n  until: 2001-01-01\n"))
    words = ("predict", "--run", golden_run, "--data", url, "--paths", 2, "--no-pictures", "--out", tmp_path / "out")
    done = invoke(*words)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "BTC_forecast.csv").is_file()
    assert "Xq7secret" not in done.output and not find_secrets(tmp_path)
    refused = invoke(*words, "data.until=2001-01-01")
    assert refused.exit_code == 1 and "no row is between data.since and data.until" in refused.output


@pytest.mark.slow
def test_a_run_on_a_database_is_evaluated_on_a_url(
    url: str,
    server: Server,  # noqa: F811
    tiny_config: Path,
    tmp_path: Path,
) -> None:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(tmp_path / "c.db") as connection:
        connection.execute(f"CREATE TABLE candles AS SELECT * FROM read_csv('{tmp_path}/candles.csv')")
    given = [f"data.data_path=duckdb:///{tmp_path}/c.db", "data.query=SELECT * FROM candles", "data.since=2000-01-01"]
    done = invoke("train", "--config", tiny_config, *FAST, *given)
    assert done.exit_code == 0, done.output
    run = tmp_path / "runs" / "tiny"
    audit = json.loads((run / "data.json").read_text())
    assert [each["values"]["query"] for each in audit["findings"] if each["code"] == "fetched"] == [
        "SELECT * FROM candles"
    ]
    assert load_config(run / "config.yaml").data.query == "SELECT * FROM candles"

    server.files["/BTC.csv"] = "".join(CANDLES[:400]).encode()
    done = invoke("evaluate", "--run", run, "--data", url, "evaluation.n_paths=3")
    assert done.exit_code == 0, done.output
    assert (run / "report-BTC" / "index.html").is_file()
    assert "Xq7secret" not in done.output and not find_secrets(tmp_path)
