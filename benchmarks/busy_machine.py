"""Training steps per second, alone and beside another busy program, with PyTorch's thread settings and with ours.

    python benchmarks/busy_machine.py [--seconds 8]

The commands of this project set GOMP_SPINCOUNT=1000, unless the user has set it. Threads that wait for each other then sleep
soon instead of spinning. The busy program is one process that computes without pause. Compare the ratios. Beside the busy
program they vary strongly.
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


def measure(settings: dict[str, str], seconds: float) -> float:
    """Return the steps per second of the demo's tokenizer with these environment variables."""
    plain = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    environment = plain | {"PYTHONPATH": str(ROOT)} | settings
    command = [sys.executable, "-c", STEPS, str(seconds)]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


@contextmanager
def busy_program():
    program = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        program.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description="Training speed on a busy machine.")
    parser.add_argument("--seconds", type=float, default=8, help="seconds per measurement")
    seconds = parser.parse_args().seconds
    settings: list[dict[str, str]] = [{}, {"GOMP_SPINCOUNT": "1000"}]
    alone = [measure(setting, seconds) for setting in settings]
    with busy_program():
        beside = [measure(setting, seconds) for setting in settings]
    for label, (plain, ours) in (("alone", alone), ("beside a busy program", beside)):
        print(f"{label:<22} plain {plain:6.2f} steps/s   ours {ours:6.2f} steps/s   ratio {ours / plain:5.2f}")


if __name__ == "__main__":
    main()
