"""Training steps per second with and without a busy neighbour, for threads that spin and for threads that sleep.

    python benchmarks/busy_machine.py [--seconds 8]

The commands set OMP_WAIT_POLICY=PASSIVE unless it is set. The neighbour is one process that computes without pause. The
ratios are the result.
"""

import argparse
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]

STEPS = """
import sys, time, torch
from kronos.model import PRESETS, KronosTokenizer
tokenizer, candles = KronosTokenizer(**PRESETS["demo"].tokenizer), torch.randn(32, 120, 6)
tokenizer(candles).loss.backward()
start, steps = time.perf_counter(), 0
while time.perf_counter() - start < float(sys.argv[1]):
    tokenizer(candles).loss.backward()
    steps += 1
print(steps / (time.perf_counter() - start))
"""


def measure(policy: str, seconds: float) -> float:
    """Steps per second of the demo's tokenizer under an OpenMP wait policy."""
    environment = os.environ | {"OMP_WAIT_POLICY": policy, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", STEPS, str(seconds)]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


@contextmanager
def busy_neighbour():
    neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        neighbour.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description="Training speed on a busy machine.")
    parser.add_argument("--seconds", type=float, default=8)
    seconds = parser.parse_args().seconds
    alone = {policy: measure(policy, seconds) for policy in ("ACTIVE", "PASSIVE")}
    with busy_neighbour():
        beside = {policy: measure(policy, seconds) for policy in ("ACTIVE", "PASSIVE")}
    for label, rates in (("alone", alone), ("beside a busy program", beside)):
        ratio = rates["PASSIVE"] / rates["ACTIVE"]
        print(
            f"{label:<22} spin {rates['ACTIVE']:6.2f} steps/s   sleep {rates['PASSIVE']:6.2f} steps/s   ratio {ratio:5.2f}"
        )


if __name__ == "__main__":
    main()
