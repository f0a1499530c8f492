"""Interrupt a small run in many ways, resume it, and count how often the end is as without the interruption.

    python benchmarks/faults.py [--rounds 10] [--only "kill -9, training"]

Each round starts the command in a process of its own, injects one fault, and runs the same command once more:

    kill -9, training       at a random moment, from the first import to the last picture; then --skip-existing
    a signal, training      SIGTERM, SIGINT (Ctrl-C) or SIGHUP (a closed terminal), in the same way
    kill -9, evaluation     of a finished run, while its report is written; then the evaluation again
    full disk, training     a disk of another size each time; then --skip-existing with more room (needs root, to mount it)

equal: the weights of the best models and the figures of the report, times apart, are those of an undisturbed run.
clean: the interrupted command ended with the exit status of its fault, one line of explanation and no traceback (kill -9 allows none).
whole: right after the fault, the report is complete and of one evaluation, or not there.

The run is configs/demo.yaml with few steps and origins. The last line is JSON. A round takes about 20 seconds.
"""

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
SMALL = [
    *("training.epochs=2", "training.save_steps=4", "evaluation.stride=100", "evaluation.n_paths=5"),
    *("evaluation.lstm.max_steps=20", "evaluation.rivals=[pretrained,last_close,lstm]", "report.n_origins=1"),
]
SIGNALS = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129}
FULL_MB = 60  # more than the run writes
TIMES = re.compile(r'"(?:[a-z_]*seconds[a-z_]*|created|date|time|command|path|run)": [^\n]*')


class Outcome(NamedTuple):
    clean: bool
    whole: bool
    equal: bool


class Reference(NamedTuple):
    """An undisturbed run: its folder, how long it and its evaluation take, in seconds, and what they leave."""

    run: Path
    train_seconds: float
    evaluate_seconds: float
    results: dict[str, str]


def start(*words: object) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, *map(str, words)]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def train(folder: Path, *more: str) -> subprocess.Popen[str]:
    base = f"model_paths.base_path={folder}"
    return start("train_sequential.py", "--config", "configs/demo.yaml", *more, *SMALL, base)


def evaluate(folder: Path) -> subprocess.Popen[str]:
    return start("-m", "kronos", "evaluate", "--run", folder / "demo")


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a command that must succeed; return what it logged."""
    _, logged = process.communicate()
    if process.returncode:
        raise SystemExit(f"exit status {process.returncode}:\n{logged}")
    return logged


def read_results(run: Path) -> dict[str, str]:
    """Return the hashes of a run's weights, and of its figures without times."""
    files = sorted(run.glob("*/best_model/model.safetensors"))
    hashes = {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    figures = TIMES.sub("", (run / "report" / "metrics.json").read_text().replace(str(run.parent), ""))
    return hashes | {"figures": hashlib.sha256(figures.encode()).hexdigest()}


def measure_reference(folder: Path) -> Reference:
    started = time.monotonic()
    finish(train(folder))
    train_seconds = time.monotonic() - started
    results = read_results(folder / "demo")
    started = time.monotonic()
    finish(evaluate(folder))
    return Reference(folder / "demo", train_seconds, time.monotonic() - started, results)


def is_report_whole(run: Path, started: float) -> bool:
    """Whether the report is not there, or is complete and written as a whole before or after the command started."""
    report = run / "report"
    if not report.exists():
        return True
    try:
        json.loads((report / "metrics.json").read_text())
    except (OSError, ValueError):
        return False
    paths = list(report.iterdir())
    complete = {"index.html", "losses.csv", "example_best.png", "forecast_1.png"} <= {path.name for path in paths}
    return complete and len({path.stat().st_mtime > started for path in paths}) == 1


def is_explained(logged: str) -> bool:
    return bool(logged.strip()) and "Traceback" not in logged


def interrupt(folder: Path, reference: Reference, generator: random.Random, signum: int) -> Outcome:
    started, process = time.time(), train(folder)
    time.sleep(generator.uniform(0.1, reference.train_seconds))
    process.send_signal(signum)
    _, logged = process.communicate()
    expected = SIGNALS.get(signal.Signals(signum), -signum)
    clean = process.returncode in (0, expected) and (signum == signal.SIGKILL or is_explained(logged))
    whole = is_report_whole(folder / "demo", started)
    finish(train(folder, "--skip-existing"))
    return Outcome(clean, whole, read_results(folder / "demo") == reference.results)


def kill_training(folder: Path, reference: Reference, generator: random.Random) -> Outcome:
    return interrupt(folder, reference, generator, signal.SIGKILL)


def send_signal(folder: Path, reference: Reference, generator: random.Random) -> Outcome:
    return interrupt(folder, reference, generator, generator.choice(list(SIGNALS)))


def kill_evaluation(folder: Path, reference: Reference, generator: random.Random) -> Outcome:
    shutil.copytree(reference.run, folder / "demo")
    started, process = time.time(), evaluate(folder)
    time.sleep(generator.uniform(0.3, 1) * reference.evaluate_seconds)
    process.kill()
    process.communicate()
    whole = is_report_whole(folder / "demo", started)
    finish(evaluate(folder))
    return Outcome(True, whole, read_results(folder / "demo") == reference.results)


def fill_disk(folder: Path, reference: Reference, generator: random.Random) -> Outcome:
    size = f"size={int(generator.uniform(20, 8000))}k"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], check=True)
    try:
        started, process = time.time(), train(folder)
        _, logged = process.communicate()
        clean = process.returncode in (0, 1) and is_explained(logged)
        whole = is_report_whole(folder / "demo", started)
        subprocess.run(["mount", "-o", f"remount,size={FULL_MB}m", folder], check=True)
        finish(train(folder, "--skip-existing"))
        return Outcome(clean, whole, read_results(folder / "demo") == reference.results)
    finally:
        subprocess.run(["umount", folder], check=True)


FAULTS = {
    "kill -9, training": kill_training,
    "a signal, training": send_signal,
    "kill -9, evaluation": kill_evaluation,
    "full disk, training": fill_disk,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--only", choices=FAULTS)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as kept:
        measure(arguments, measure_reference(Path(kept)), generator)


def measure(arguments: argparse.Namespace, reference: Reference, generator: random.Random) -> None:
    """Inject the faults and print the table."""
    print(f"{'fault':24}{'rounds':>8}{'clean':>8}{'whole':>8}{'equal':>8}")
    summary: dict[str, Any] = {}
    for name, inject in FAULTS.items():
        if arguments.only not in (None, name):
            continue
        counts = Counter[str]()
        for _ in range(arguments.rounds):
            with tempfile.TemporaryDirectory() as folder:
                counts.update(inject(Path(folder), reference, generator)._asdict())
        summary[name] = {"rounds": arguments.rounds, **{key: int(counts[key]) for key in Outcome._fields}}
        print(f"{name:24}{arguments.rounds:8}{counts['clean']:8}{counts['whole']:8}{counts['equal']:8}", flush=True)
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
