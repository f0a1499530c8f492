"""The tools, with the client of the protocol's own package: in this process, over stdio and over HTTP."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp", reason="needs the extra mcp")

from mcp import Client, StdioServerParameters

from kronos.ledger.store import Ledger
from kronos.serving.mcp_server import build_mcp
from kronos.serving.runs import ServedRuns
from kronos.serving.service import Limits, Service
from tests.conftest import ROOT, FinishedRun
from tests.ledger.made import make_forecast


def use(runs: ServedRuns, work: Callable[[Client], Awaitable[Any]], measure: Any = None) -> Any:
    async def run() -> Any:
        service = Service(runs, Limits(reload_interval=0))
        async with service.running(), Client(build_mcp(service, measure)) as client:
            return await work(client)

    return asyncio.run(run())


def test_all_tools(served_runs: ServedRuns, finished_run: FinishedRun) -> None:
    csv = finished_run.candles.read_text()

    async def work(client: Client) -> dict[str, Any]:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert names == {"check", "forecast", "verdict", "health"}
        calls = {"check": {"csv": csv}, "forecast": {"csv": csv, "n_paths": 3}, "verdict": {}, "health": {}}
        return {name: await client.call_tool(name, given) for name, given in calls.items()}

    results = use(served_runs, work, lambda: [{"run": "finetuned/my"}])
    assert not any(result.is_error for result in results.values()), results
    found = {name: result.structured_content for name, result in results.items()}
    (output,) = found["forecast"]["outputs"]
    assert len(output["mean"]) == 8 and found["forecast"]["verdict"]["state"] == "evaluated"
    assert found["verdict"]["verdict"]["headline"] and found["verdict"]["id"] == "tiny"
    assert found["health"]["models"] == ["tiny"] and found["health"]["ledger"] == [{"run": "finetuned/my"}]


@pytest.mark.parametrize(
    ("name", "given", "text"),
    [
        ("forecast", {"csv": "a,b\n1,2\n"}, "column"),
        ("forecast", {"csv": "/home/me/candles.csv"}, "this is one line, perhaps a path"),
        ("check", {"csv": ""}, "Give the text of the file"),
        ("forecast", {}, "csv: Field required"),
        (
            "forecast",
            {"csv": "CANDLES", "predicton_length": 3},
            "forecast has no argument predicton_length. It has: csv",
        ),
        ("forecast", {"csv": "CANDLES", "seed": 1.5}, "seed: Input should be a valid integer"),
        ("health", {"csv": "x"}, "health has no argument csv. It has: none."),
        ("forecast", {"csv": "CANDLES", "model": "other"}, "there is no model"),
        ("forecast", {"csv": "CANDLES", "prediction_length": 0}, "prediction_length"),
        ("forecast", {"csv": "CANDLES", "n_paths": 10**9}, "n_paths"),
        ("verdict", {"model": "other"}, "there is no model"),
    ],
)
def test_mistakes_are_told(
    served_runs: ServedRuns, finished_run: FinishedRun, name: str, given: dict[str, Any], text: str
) -> None:
    given = given | ({"csv": finished_run.candles.read_text()} if given.get("csv") == "CANDLES" else {})

    async def work(client: Client) -> Any:
        return await client.call_tool(name, given)

    result = use(served_runs, work)
    shown = " ".join(content.text for content in result.content)
    assert result.is_error and text in shown, shown
    assert not any(each in shown for each in ("Traceback", "kronos-served", "errors.pydantic.dev")), shown


@pytest.mark.slow
def test_stdio_and_http(finished_run: FinishedRun, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.append([make_forecast()])
    words = ["-m", "kronos", "mcp", "--run", str(finished_run.path), "--device", "cpu", "--ledger", str(ledger.path)]

    expected = iter((2, 3))  # every forecast of a tool is logged

    async def work(target: Any) -> None:
        async with Client(target) as client:
            csv = finished_run.candles.read_text()
            forecast = await client.call_tool("forecast", {"csv": csv, "n_paths": 2})
            assert len(forecast.structured_content["outputs"][0]["mean"]) == 8
            health = await client.call_tool("health", {})
            assert sum(each["n_forecasts"] for each in health.structured_content["ledger"]) == len(list(ledger.read()))
            assert len(list(ledger.read())) == next(expected)

    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    asyncio.run(work(StdioServerParameters(command=sys.executable, args=words, env=environment, cwd=str(ROOT))))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    served = subprocess.Popen([sys.executable, *words, "--transport", "http", "--port", str(port)], cwd=ROOT)
    try:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port), 0.1).close()
                break
            except OSError:
                assert served.poll() is None
                time.sleep(0.1)
        asyncio.run(work(f"http://127.0.0.1:{port}/mcp"))
    finally:
        served.terminate()
        assert served.wait(30) in (0, 143)
