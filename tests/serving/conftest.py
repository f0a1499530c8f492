"""A served tiny run, and its candles as requests."""

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from starlette.testclient import TestClient

from kronos.data import read_candles
from kronos.serving.app import build_app
from kronos.serving.runs import ServedRuns
from kronos.serving.service import Limits, Service
from tests.conftest import ROOT, FinishedRun

TOKEN = "0123456789abcdef"
Open = Callable[..., Any]


@pytest.fixture(scope="session")
def served_runs(finished_run: FinishedRun) -> ServedRuns:
    """The tiny run, loaded once."""
    return ServedRuns([finished_run.path], {"device": "cpu"})


@contextmanager
def open_client(runs: ServedRuns, limits: Limits | None = None, **options: Any) -> Iterator[TestClient]:
    """Serve runs in this process."""
    hook = options.pop("on_forecasts", None)
    service = Service(runs, limits or Limits(reload_interval=0), hook)
    app = build_app(service, **options)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        client.service = service
        yield client


@pytest.fixture(scope="session")
def client(served_runs: ServedRuns) -> Iterator[TestClient]:
    with open_client(served_runs) as opened:
        yield opened


def read_frame(candles: Path) -> pd.DataFrame:
    """The candles of the tiny run."""
    return read_candles(candles)


def to_input(frame: pd.DataFrame, symbol: str | None = None) -> dict[str, Any]:
    """A frame as an input of a request."""
    columns = {name: frame[name].tolist() for name in ("open", "high", "low", "close", "volume", "amount")}
    times = frame.index.strftime("%Y-%m-%d %H:%M").tolist()
    return {"candles": columns, "timestamps": times} | ({"symbol": symbol} if symbol else {})


def to_columns(outputs: list[dict[str, Any]]) -> list[float]:
    """All mean candles of a response in one list."""
    return list(
        itertools.chain.from_iterable(itertools.chain.from_iterable(each["candles"].values() for each in outputs))
    )


@contextmanager
def served(
    *options: object, ledger: Path | None = None, env: dict[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a server on a free port. Yield its process and its address."""
    words = ["serve", "--port", 0, "--device", "cpu", *(("--ledger", ledger) if ledger else ("--no-log",)), *options]
    process = subprocess.Popen(
        [sys.executable, "-m", "kronos", *map(str, words)],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT},
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | (env or {}),
    )
    try:
        line = process.stdout.readline()
        found = re.search(r"at (http://\S+)\. Press", line)
        assert found, line + process.stderr.read()
        yield process, found[1]
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def token_server(finished_run: FinishedRun) -> Iterator[str]:
    """The address of a server that needs TOKEN; it is shared, because a start takes seconds."""
    options = ("--run", finished_run.path, "--host", "0.0.0.0", "--timeout", 20)
    with served(*options, env={"KRONOS_TOKEN": TOKEN}) as (_, url):
        yield url.replace("0.0.0.0", "127.0.0.1")
