"""Forecasts and training steps on an idle machine and beside one busy program, with PyTorch's thread settings and with ours.

    python benchmarks/busy_machine.py [--rounds 5] [--only "forecast, 1 path"]

    plain         the same work without `kronos.waiting` and `kronos.threads`
    ours          `import kronos` before `import torch`, as in the commands
    torch first   `import torch` before `import kronos`, which can no longer set how threads wait

Each way runs in a process of its own, and the processes take turns, because other programs should slow all equally. The busy
program is one process that computes without pause. Seconds are medians, in parentheses the fastest. The forecasts are of the
preset small, with random weights, a lookback of 512 and a horizon of 48. Training is a few steps of the demo's tokenizer. Compare
the ratios; beside the busy program they vary strongly. The last line is JSON.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
WAYS = ("plain", "ours", "torch first")
WORKS = ("forecast, 1 path", "forecast, 30 paths", "training")
LOOKBACK, HORIZON, N_STEPS = 512, 48, 12
THREAD_NAMES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def build_forecast(n_paths: int, plain: bool) -> Callable[[], float]:
    """Return a function that forecasts once, and returns the seconds."""
    import numpy as np
    import pandas as pd
    import torch

    from kronos import Kronos, KronosPredictor, KronosTokenizer
    from kronos.model import PRESETS
    from kronos.threads import StepThreads

    if plain:
        StepThreads._use = lambda threads, setting: None
    sizes = PRESETS["small"]
    torch.manual_seed(0)
    predictor = KronosPredictor(Kronos(**sizes.base_model), KronosTokenizer(**sizes.tokenizer), device="cpu")
    close = 100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 1e-3, LOOKBACK)))
    times = pd.date_range("2024-01-01", periods=LOOKBACK, freq="5min")
    candles = pd.DataFrame({"open": close, "high": close, "low": close, "close": close}, index=times)

    def forecast() -> float:
        start = time.perf_counter()
        predictor.predict(candles, pred_len=HORIZON, sample_count=n_paths, seed=0, verbose=False)
        return time.perf_counter() - start

    return forecast


def build_training(plain: bool) -> Callable[[], float]:
    """Return a function that takes some training steps, and returns their seconds; choosing the threads is not counted."""
    import torch

    from kronos.model import PRESETS, KronosTokenizer
    from kronos.threads import StepThreads, choose_number

    torch.manual_seed(0)
    tokenizer, candles = KronosTokenizer(**PRESETS["demo"].tokenizer), torch.randn(32, 120, 6)

    def step() -> float:
        start = time.perf_counter()
        tokenizer(candles).loss.backward()
        return time.perf_counter() - start

    def train() -> float:
        if plain:
            return sum(step() for _ in range(N_STEPS))
        allowed = torch.get_num_threads()
        torch.set_num_threads(choose_number(step))
        seconds = 0.0
        with StepThreads(torch.device("cpu")) as threads:
            threads.begin(N_STEPS, fewer=False)
            for _ in range(N_STEPS):
                seconds += step()
                threads.end_step()
        torch.set_num_threads(allowed)
        return seconds

    return train


def work(way: str, name: str) -> None:
    """Do one piece of work, and print its seconds, for each line of standard input."""
    if way == "torch first":
        import torch  # noqa: F401
    n_paths = {"forecast, 1 path": 1, "forecast, 30 paths": 30}.get(name)
    run = build_forecast(n_paths, way == "plain") if n_paths else build_training(way == "plain")
    run()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(run(), flush=True)


class Worker:
    """A process that does one kind of work in one way, when told to."""

    def __init__(self, way: str, name: str) -> None:
        environment = {key: value for key, value in os.environ.items() if key not in THREAD_NAMES}
        if way == "plain":
            environment["GOMP_SPINCOUNT"] = "300000"  # GNU OpenMP's own; keeps `import kronos` from another
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--worker", way, name],
            env=environment | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read()

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the worker failed"
        return line

    def run(self) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._read())

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def busy_program() -> Iterator[None]:
    program = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        program.kill()
        program.wait()


def measure(name: str, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return the seconds of each round, by way, "idle" and "busy"."""
    workers = {way: Worker(way, name) for way in WAYS}

    def take_turns() -> dict[str, list[float]]:
        turns = [{way: worker.run() for way, worker in workers.items()} for _ in range(rounds)]
        return {way: [turn[way] for turn in turns] for way in WAYS}

    try:
        idle = take_turns()
        with busy_program():
            busy = take_turns()
    finally:
        for worker in workers.values():
            worker.end()
    return {way: {"idle": idle[way], "busy": busy[way]} for way in WAYS}


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed on a busy machine.")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each kind")
    parser.add_argument("--only", choices=WORKS, metavar="WORK", help=f"measure this work alone: {'; '.join(WORKS)}")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(*options.worker)
        return
    print(f"{'':<20} {'':<12} {'idle, s':>15} {'busy, s':>16} {'busy / idle':>12} {'idle / plain idle':>18}")
    results = {}
    for name in [options.only] if options.only else WORKS:
        results[name] = measure(name, options.rounds)
        best = {way: min(seconds["idle"]) for way, seconds in results[name].items()}
        for way, seconds in results[name].items():
            idle, busy = (statistics.median(seconds[kind]) for kind in ("idle", "busy"))
            print(
                f"{name:<20} {way:<12} {idle:7.2f} ({min(seconds['idle']):5.2f}) {busy:8.2f} ({min(seconds['busy']):5.2f}) "
                f"{busy / best[way]:12.2f} {best[way] / best['plain']:18.2f}",
                flush=True,
            )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
