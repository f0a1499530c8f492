"""A server on this machine, and candles to serve."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kronos.data.elsewhere.options import FetchOptions


def make_candles(n: int, seed: int = 0, start: str = "2024-01-01 09:30", freq: str = "5min") -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 1e-3, n)))
    open_ = np.r_[100, close[:-1]]
    high, low = np.maximum(open_, close) * 1.0005, np.minimum(open_, close) * 0.9995
    times = pd.date_range(start, periods=n, freq=freq)
    return pd.DataFrame(
        {
            "timestamps": times,
            "open": open_,
            "high": high,
            "low": low,
            "close": close,
            "volume": rng.integers(1, 1000, n),
        }
    )


class Server:
    """Answers with what is in `files`: the body, or a status; what was asked for is in `requests`."""

    def __init__(self) -> None:
        self.files: dict[str, bytes | int] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.wait = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                server.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                answer = server.files.get(path, 404)
                headers = server.headers.get(path, {})
                if headers.get("X-Wait"):
                    server.wait.wait(10)
                self.send_response(answer if isinstance(answer, int) else 200)
                body = b"<html>no</html>" if isinstance(answer, int) else answer
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.wait.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def options(tmp_path: Path) -> FetchOptions:
    return FetchOptions(tmp_path / "cache")


@pytest.fixture
def csv() -> bytes:
    return make_candles(300).to_csv(index=False).encode()
