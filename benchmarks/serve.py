"""Throughput, latency and memory of `kronos serve`, compared with forecasts one by one.

    python benchmarks/serve.py --run finetuned/demo [--clients 1 8 64] [--requests 300] [--soak 3600]

Each client sends a request, waits for its answer, and sends the next. There are 64 series; each is first forecast alone in
this process, as one by one would be, and every answer of the server is compared with that: nothing may be lost or mixed up.
Then --soak requests (an hour's worth, at one a second) are sent by 8 clients, and the server's memory is printed on the way.
Clients and server share the processors of one machine.
"""

import argparse
import http.client
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import pandas as pd
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from kronos import load_run
from kronos.data import read_candles

N_SERIES = 64
TOLERANCE = 1e-4  # of a close; batches round otherwise
MEBIBYTE = 2**20


def make_series(candles: pd.DataFrame, lookback: int) -> list[pd.DataFrame]:
    """Return windows with different ends."""
    ends = np.linspace(lookback, len(candles), N_SERIES).astype(int)
    return [candles[end - lookback : end] for end in ends]


def make_body(frame: pd.DataFrame, symbol: str, n_paths: int) -> bytes:
    columns = {name: frame[name].tolist() for name in ("open", "high", "low", "close", "volume", "amount")}
    times = frame.index.strftime("%Y-%m-%d %H:%M:%S").tolist()
    series = {"symbol": symbol, "timestamps": times, "candles": columns}
    return json.dumps({"inputs": [series], "parameters": {"n_paths": n_paths}}).encode()


def start_server(run: Path, *options: str) -> tuple[subprocess.Popen[str], int]:
    command = [sys.executable, "-m", "kronos", "serve", "--run", str(run), "--port", "0", "--device", "cpu", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    found = re.search(r"at http://[\w.]+:(\d+)", process.stdout.readline())
    assert found, "the server has not started"
    return process, int(found[1])


def send_all(
    port: int, bodies: list[bytes], expected: list[np.ndarray], n_requests: int, n_clients: int
) -> list[float]:
    """Send requests from several clients, check every answer, and return the seconds of each."""
    todo: SimpleQueue[int] = SimpleQueue()
    for n in range(n_requests):
        todo.put(n)
    seconds: list[float] = []
    problems: list[str] = []

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        while True:
            try:
                n = todo.get_nowait() % len(bodies)
            except Empty:
                return
            start = time.perf_counter()
            connection.request("POST", "/v1/forecast", bodies[n], {"Content-Type": "application/json"})
            answer = connection.getresponse()
            values: Any = json.loads(answer.read())
            seconds.append(time.perf_counter() - start)
            if answer.status != 200:
                problems.append(str(values))
            elif values["outputs"][0]["symbol"] != f"S{n}":
                problems.append(f"S{n}: the answer to {values['outputs'][0]['symbol']}")
            elif not np.allclose(values["outputs"][0]["mean"], expected[n], rtol=TOLERANCE):
                problems.append(f"S{n}: another forecast than alone")

    threads = [threading.Thread(target=work) for _ in range(n_clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems or len(seconds) != n_requests:
        sys.exit(f"{len(problems)} wrong and {n_requests - len(seconds)} lost of {n_requests}: {problems[:3]}")
    return seconds


def print_row(name: str, seconds: list[float], wall: float) -> None:
    p50, p99 = (1000 * np.quantile(seconds, q) for q in (0.5, 0.99))
    print(f"{name:24}{len(seconds):10,}{len(seconds) / wall:12.1f}{p50:12.0f}{p99:12.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", default="data/synthetic_5min.csv")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--paths", type=int, default=30)
    parser.add_argument("--soak", type=int, default=3600)
    options = parser.parse_args()
    run = load_run(options.run)
    frames = make_series(read_candles(options.data), run.config.data.lookback_window)
    bodies = [make_body(frame, f"S{n}", options.paths) for n, frame in enumerate(frames)]
    print(f"{'':24}{'requests':>10}{'a second':>12}{'p50, ms':>12}{'p99, ms':>12}")
    expected, alone, predictor = [], [], run.predictor(device="cpu")
    began = time.perf_counter()
    for n, frame in enumerate(frames):
        start = time.perf_counter()
        horizon = run.config.data.predict_window
        made = predictor.forecast(frame, horizon=horizon, n_paths=options.paths, seed=0, name=f"S{n}", verbose=False)
        alone.append(time.perf_counter() - start)
        expected.append(made.mean["close"].to_numpy())
    print_row("the model, one by one", alone, time.perf_counter() - began)
    folder = tempfile.TemporaryDirectory()
    process, port = start_server(options.run, "--ledger", f"{folder.name}/ledger.db")
    try:
        send_all(port, bodies, expected, 16, 4)  # warm-up
        for n_clients in options.clients:
            began = time.perf_counter()
            seconds = send_all(port, bodies, expected, options.requests, n_clients)
            print_row(f"served, {n_clients} clients", seconds, time.perf_counter() - began)
        server = psutil.Process(process.pid)
        print(f"\n{'requests':>10}{'MiB':>10}")
        for done in range(0, options.soak + 1, max(options.soak // 8, 1)):
            if done:
                send_all(port, bodies, expected, max(options.soak // 8, 1), 8)
            print(f"{done:10,}{server.memory_info().rss / MEBIBYTE:10,.0f}", flush=True)
    finally:
        process.terminate()
        process.wait(60)
        folder.cleanup()


if __name__ == "__main__":
    main()
