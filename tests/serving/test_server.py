"""`kronos serve` as a process: it answers, reloads under load, and stops after what has begun."""

import contextlib
import http.client
import json
import signal
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from kronos.disk.temporaries import HOST
from kronos.ledger.store import Ledger
from kronos.serving.schemas import EXAMPLE
from tests.conftest import FinishedRun, invoke
from tests.serving.conftest import TOKEN, served
from tests.serving.test_runs import change_weights


def ask(url: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"} | headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.slow
@pytest.mark.process
def test_a_better_model_fails_no_request_and_a_signal_loses_none(copied_run: Path, tmp_path: Path) -> None:
    book = tmp_path / "ledger.db"
    with served("--run", copied_run, "--reload-interval", 0.05, ledger=book) as (process, url):
        answers: list[tuple[int, Any]] = []
        enough, changed = threading.Event(), threading.Event()

        def keep_asking() -> None:
            while not enough.is_set():
                answers.append(ask(f"{url}/v1/forecast", EXAMPLE))
                if len({each["run"]["weights"] for status, each in answers if status == 200}) == 2:
                    changed.set()

        threads = [threading.Thread(target=keep_asking) for _ in range(4)]
        for thread in threads:
            thread.start()
        change_weights(copied_run)
        assert changed.wait(60)
        enough.set()
        for thread in threads:
            thread.join()
        assert {status for status, _ in answers} == {200}
        by_weights = {each["run"]["weights"]: each["outputs"][0]["mean"] for _, each in answers}
        assert len(by_weights) == 2
        assert all(by_weights[each["run"]["weights"]] == each["outputs"][0]["mean"] for _, each in answers)

        long = EXAMPLE | {"parameters": {"n_paths": 1000, "prediction_length": 20}}
        last = threading.Thread(target=lambda: answers.append(ask(f"{url}/v1/forecast", long)))
        last.start()
        while not ask(f"{url}/healthz")[1]["waiting"]:
            pass
        process.send_signal(signal.SIGTERM)
        last.join()
        assert answers[-1][0] == 200 and process.wait(30) == 0
        assert "stopping after the requests that have begun (SIGTERM)" in process.stderr.read()
    ledger = Ledger(book)
    ledger.verify()
    assert sum(1 for _ in ledger.read()) == len(answers)


@pytest.mark.slow
@pytest.mark.process
def test_a_killed_server_loses_no_forecast(finished_run: FinishedRun, tmp_path: Path) -> None:
    book, place = tmp_path / "ledger.db", tmp_path / "temporary"
    place.mkdir()
    run, options = ("--run", finished_run.path), {"ledger": book, "env": {"TMPDIR": str(place)}}
    answers: list[tuple[int, Any]] = []
    with served(*run, **options) as (process, url):

        def keep_asking() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                while True:
                    answers.append(ask(f"{url}/v1/forecast", EXAMPLE))

        threads = [threading.Thread(target=keep_asking) for _ in range(3)]
        for thread in threads:
            thread.start()
        while len(answers) < 5:
            pass
        process.kill()
        for thread in threads:
            thread.join()
    (place / f".{HOST}-{process.pid}.kronos-served-0123").mkdir()  # whether or not it left one itself
    with served(*run, **options) as (process, url):
        assert not list(place.iterdir())
        answers.append(ask(f"{url}/v1/forecast", EXAMPLE))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert {status for status, _ in answers} == {200}
    ledger = Ledger(book)
    ledger.verify()
    assert len(answers) <= sum(1 for _ in ledger.read()) <= len(answers) + 3  # what was written, but not sent any more


@pytest.mark.slow
@pytest.mark.process
def test_other_addresses_need_a_token(token_server: str, finished_run: FinishedRun) -> None:
    assert ask(f"{token_server}/v1/models")[0] == 401
    assert ask(f"{token_server}/v1/models", Authorization=f"Bearer {TOKEN}")[1]["data"][0]["id"] == "tiny"
    run, port = ("--run", finished_run.path), token_server.rpartition(":")[2]
    taken = invoke("serve", *run, "--host", "127.0.0.1", "--port", port)
    assert taken.exit_code == 1 and "cannot listen there: Address already in use" in taken.stderr
    taken = invoke("mcp", *run, "--transport", "http", "--port", port)
    assert taken.exit_code == 1 and "cannot listen there: Address already in use" in taken.stderr


def test_wrong_options_end_in_one_line(finished_run: FinishedRun, tmp_path: Path) -> None:
    open_host = invoke("serve", "--run", finished_run.path, "--host", "0.0.0.0")
    assert open_host.exit_code == 1 and "there is no token. Set the variable KRONOS_TOKEN" in open_host.stderr
    short = invoke("serve", "--run", finished_run.path, "--token", "short")
    assert short.exit_code == 1 and "at least 16 characters" in short.stderr
    nothing = invoke("serve", "--run", tmp_path)
    assert nothing.exit_code == 1 and "there is no run here" in nothing.stderr
    no_ledger = tmp_path / "candles.csv"
    no_ledger.write_text("timestamps,close")
    other = invoke("serve", "--run", finished_run.path, "--ledger", no_ledger)
    assert other.exit_code == 1 and "not a ledger" in other.stderr and no_ledger.read_text() == "timestamps,close"
    assert all("Traceback" not in each.output for each in (open_host, short, nothing, other))
