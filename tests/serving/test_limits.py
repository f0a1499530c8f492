"""Who may ask, how much, and how much at a time."""

import asyncio
import json
from typing import Any

import pytest
import uvicorn
from starlette.testclient import TestClient

from kronos.serving.app import build_app
from kronos.serving.errors import BusyError, DeadlineError, StoppingError
from kronos.serving.limits import MAX_BODIES, Gate, is_loopback
from kronos.serving.runs import ServedRuns
from kronos.serving.schemas import EXAMPLE, ForecastRequest
from kronos.serving.server import Server, open_socket
from kronos.serving.service import Limits, Service
from tests.serving.conftest import open_client

TOKEN = "0123456789abcdef"


def test_a_token_opens_what_is_of_the_runs(served_runs: ServedRuns) -> None:
    with open_client(served_runs, token=TOKEN, only_local=False) as client:
        for path in ("/v1/models", "/metrics", "/openapi.json", "/nope"):
            for header in (
                {},
                {"Authorization": "Bearer wrong"},
                {"Authorization": TOKEN},
                {"Authorization": "Bearer é"},
            ):
                answer = client.get(path, headers={name: value.encode() for name, value in header.items()})
                assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        assert client.get("/v1/models", headers={"Authorization": f"bearer {TOKEN}"}).status_code == 200
        assert all(client.get(path).status_code == 200 for path in ("/", "/docs", "/healthz", "/readyz"))


def test_other_names_than_this_machine_are_refused(client: TestClient) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", ""):
        assert client.get("/v1/models", headers={"Host": host}).json()["code"] == "unknown_host"
    for host in ("localhost:8000", "127.0.0.1", "[::1]:80", "LOCALHOST"):
        assert client.get("/healthz", headers={"Host": host}).status_code == 200
    assert is_loopback("127.0.0.2") and is_loopback("::1") and not is_loopback("0.0.0.0") and not is_loopback("::")


def test_large_bodies_are_refused(served_runs: ServedRuns) -> None:
    with open_client(served_runs, max_body_bytes=5_000) as client:
        json_type = {"Content-Type": "application/json"}
        assert client.post("/v1/forecast", json=EXAMPLE).status_code == 200
        answer = client.post("/v1/forecast", content=b" " * 5_001, headers=json_type)
        assert answer.status_code == 413 and answer.json()["code"] == "too_large"
        parts = (b" " * 1000 for _ in range(6))  # of no announced length
        assert client.post("/v1/forecast", content=parts, headers=json_type).status_code == 413


def refuse(scope: Any, status: int, code: str, text: str) -> Any:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "code": code})

    return answer


def test_slow_bodies_are_refused() -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "http.disconnect"

    async def never() -> Any:
        await asyncio.Event().wait()

    async def send(event: Any) -> None:
        sent.append(event)

    gate = Gate(app, refuse, None, (), False, 100, 0.01, sent.append)
    asyncio.run(gate({"type": "http", "method": "POST", "path": "/", "headers": []}, never, send))
    assert sent == [408, {"type": "http.response.start", "status": 408, "code": "slow_request"}]


def test_the_bodies_of_all_requests_are_bounded() -> None:
    sent: list[Any] = []
    crowd = 3 * MAX_BODIES

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await asyncio.sleep(0.01)
        await send({"type": "http.response.start", "status": 200})

    async def receive() -> Any:
        return {"type": "http.request", "body": b"x" * 60}

    async def run() -> None:
        gate = Gate(app, refuse, None, (), False, 100, 1, lambda status: None)
        scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
        await asyncio.gather(*(gate(scope, receive, send) for _ in range(crowd)))
        assert gate.memory.n_bytes == 0

    async def send(event: Any) -> None:
        sent.append(event["status"])

    asyncio.run(run())
    assert sorted(set(sent)) == [200, 429] and len(sent) == crowd
    assert sent.count(200) == 100 * MAX_BODIES // 60


def test_a_full_queue_and_a_late_answer(served_runs: ServedRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    request = ForecastRequest.model_validate(EXAMPLE)
    two = request.model_copy(update={"inputs": [*request.inputs] * 2})

    async def fill() -> None:
        service = Service(served_runs, Limits(queue_size=2, batch_wait_timeout=30, timeout=0.2, reload_interval=0))
        with pytest.raises(StoppingError):
            await service.forecast(request)
        async with service.running():
            first = asyncio.create_task(service.forecast(request))
            await asyncio.sleep(0)
            with pytest.raises(BusyError, match="1 series are waiting; at most 2 may") as caught:
                await service.forecast(two)
            assert caught.value.retry_after >= 1
            with pytest.raises(DeadlineError):
                await first
            assert service.health().waiting == 0 and not len(service._batcher)

    asyncio.run(fill())


def test_a_refusal_tells_when_to_ask_again(served_runs: ServedRuns) -> None:
    with open_client(served_runs, Limits(queue_size=2, reload_interval=0)) as client:
        with client.service._admitted(1):
            two = EXAMPLE | {"inputs": [*EXAMPLE["inputs"]] * 2}
            answer = client.post("/v1/forecast", json=two)
            assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1
            three = client.post("/v1/forecast", json=EXAMPLE | {"inputs": [*EXAMPLE["inputs"]] * 3})
            assert three.status_code == 422 and "the queue of this server holds 2" in three.json()["error"]
        assert client.post("/v1/forecast", json=EXAMPLE).status_code == 200


def test_an_announced_size_is_refused_before_the_body(served_runs: ServedRuns) -> None:
    with open_client(served_runs, max_body_bytes=5_000) as client:
        answer = client.post("/v1/forecast", content=b"{", headers={"Content-Length": "99999999999"})
    assert answer.status_code == 413 and "more than 5,000 bytes" in answer.json()["error"]


def test_a_body_that_trickles_is_refused() -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def trickle() -> Any:
        await asyncio.sleep(0.01)  # each part is in time
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(event: Any) -> None:
        sent.append(event["status"])

    gate = Gate(app, refuse, None, (), False, 1000, 0.1, lambda status: None)
    asyncio.run(gate({"type": "http", "method": "POST", "path": "/", "headers": []}, trickle, send))
    assert sent == [408]


def test_the_work_for_a_client_that_leaves_is_dropped(served_runs: ServedRuns) -> None:
    service = Service(served_runs, Limits(batch_wait_timeout=30, reload_interval=0))
    app, body = build_app(service), json.dumps(EXAMPLE).encode()
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/forecast", "headers": headers, "query_string": b""}

    async def ask_and_leave() -> None:
        events = iter([{"type": "http.request", "body": body}, {"type": "http.disconnect"}])

        async def receive() -> Any:
            event = next(events)
            while event["type"] == "http.disconnect" and not len(service._batcher):
                await asyncio.sleep(0)
            return event

        async def send(event: Any) -> None:
            pass

        async with service.running():
            await app(scope, receive, send)
            assert not len(service._batcher) and not service.health().waiting

    asyncio.run(asyncio.wait_for(ask_and_leave(), 20))


def test_silent_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kronos.serving.server.SILENT_SECONDS", 0)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async def run() -> bytes:
        server = Server(uvicorn.Config(answer, lifespan="off", log_config=None))
        with open_socket("127.0.0.1", 0) as opened:
            serving = asyncio.create_task(server.serve([opened]))
            reader, writer = await asyncio.open_connection(*opened.getsockname())
            writer.write(b"GET / HTTP/1.1\r\nHo")
            received = await reader.read()
            server.should_exit = True
            await serving
        writer.close()
        return received

    assert asyncio.run(asyncio.wait_for(run(), 30)) == b""
