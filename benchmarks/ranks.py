"""Speed and cost of more processes: training steps of both networks with 1, 2, 4, … processes.

    python benchmarks/ranks.py [--preset demo] [--batch 16] [--ranks 1 2] [--seconds 3] [--rounds 2]

Each number of processes trains with the same global batch (--batch windows per step in total), and with the same batch per
process. On CPUs the cores are divided between the processes: all rows use the same number of threads in total. On GPUs each
process has its own GPU, and nccl connects them. Compare the ratios; speeds depend on the machine and the moment. The rows
are measured in rounds, and each row shows its fastest one, because other programs can only slow it down. On a busy machine,
take more rounds.

  efficiency  windows per second relative to one process; on GPUs, to one process times their number. 1 is ideal
  averaging   share of a step that averaging the gradients takes, measured against the same steps without it, in turn
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from statistics import median

from kronos.waiting import SPIN_COUNT

ROOT = Path(__file__).parents[1]
LENGTH = 120  # candles per window
STEPS_PER_TURN = 2


def measure(preset: str, batch: int, seconds: float) -> dict[str, dict[str, float]]:
    """As one rank of torchrun, return the seconds per step of each network, with averaging and without."""
    import torch
    import torch.distributed as dist

    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if on_gpu else "gloo")
    torch.manual_seed(0)
    result = {name: time_turns(model, inputs, seconds) for name, model, inputs in build_networks(preset, batch, on_gpu)}
    dist.destroy_process_group()
    return result


def build_networks(preset: str, batch: int, on_gpu: bool) -> Iterator[tuple[str, object, dict[str, object]]]:
    """Yield both networks, each with its name and a batch of inputs."""
    import torch

    from kronos.model import PRESETS, Kronos, KronosTokenizer

    device = torch.device("cuda" if on_gpu else "cpu")
    tokenizer = KronosTokenizer(**PRESETS[preset].tokenizer).to(device)
    yield "tokenizer", tokenizer, {"candles": torch.randn(batch, LENGTH, 6, device=device)}
    base_model = Kronos(**PRESETS[preset].base_model).to(device)
    s1_ids, s2_ids = (
        torch.randint(2**bits, (batch, LENGTH), device=device) for bits in (base_model.s1_bits, base_model.s2_bits)
    )
    stamp = torch.zeros(batch, LENGTH, 5, device=device)
    uniforms = torch.rand(batch, LENGTH - 1, device=device)
    yield "basemodel", base_model, {"s1_ids": s1_ids, "s2_ids": s2_ids, "stamp": stamp, "s1_uniforms": uniforms}


def time_turns(model: object, inputs: dict[str, object], seconds: float) -> dict[str, float]:
    """Return the median seconds per step. The two kinds take turns, because other programs should slow both equally."""
    import torch
    import torch.distributed as dist

    shared = torch.nn.parallel.DistributedDataParallel(model.train())
    optimizer = torch.optim.AdamW(shared.parameters(), lr=1e-4)

    def step() -> None:
        shared(**inputs).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    kinds: dict[str, Callable[[], object]] = {"with": nullcontext, "without": shared.no_sync}
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    step()
    for _ in range(count_turns(step, seconds)):
        for kind, context in kinds.items():
            dist.barrier()
            times[kind].append(time_steps(step, context))
    return {kind: median(taken) for kind, taken in times.items()}


def count_turns(step: Callable[[], None], seconds: float) -> int:
    """Return how many turns of both kinds fit into the time; the same number on all ranks."""
    import torch
    import torch.distributed as dist

    turn = torch.tensor(2 * STEPS_PER_TURN * time_steps(step, nullcontext))
    turn = turn.to("cuda" if torch.cuda.is_available() else "cpu")
    dist.all_reduce(turn, dist.ReduceOp.MAX)
    return max(int(seconds / turn.item()), 3)


def time_steps(step: Callable[[], None], context: Callable[[], object]) -> float:
    """Return the seconds per step."""
    import torch

    started = time.perf_counter()
    for _ in range(STEPS_PER_TURN):
        with context():
            step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / STEPS_PER_TURN


def launch(ranks: int, threads: int, batch: int, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Measure with torchrun."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "GOMP_SPINCOUNT": SPIN_COUNT, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "times.json"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}", __file__]
        settings = ["--preset", options.preset, "--batch", str(batch), "--seconds", str(options.seconds)]
        done = subprocess.run([*command, *settings, "--out", str(out)], env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        return json.loads(out.read_text())


def fastest(times: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return, for each network, the round with the fastest step."""
    return {network: min((row[network] for row in times), key=lambda pair: pair["with"]) for network in times[0]}


def count_processors() -> tuple[int, bool]:
    """Return the number of GPUs or, without a GPU, of cores; and whether they are GPUs."""
    import torch

    return (torch.cuda.device_count(), True) if torch.cuda.is_available() else (len(os.sched_getaffinity(0)), False)


def print_rows(options: argparse.Namespace) -> None:
    """Measure all rows and print a table for each network."""
    n_processors, on_gpu = count_processors()
    ranks = options.ranks or [n for n in (1, 2, 4, 8, 16) if n <= n_processors]
    plan = [(n, batch) for n in ranks for batch in dict.fromkeys((options.batch // n, options.batch))]
    threads = {n: 1 if on_gpu else max(n_processors // n, 1) for n in ranks}
    rounds = [[launch(n, threads[n], batch, options) for n, batch in plan] for _ in range(options.rounds)]
    rows = [(n, batch, fastest(times)) for (n, batch), *times in zip(plan, *rounds)]
    print(f"{n_processors} {'GPUs' if on_gpu else 'cores'}, preset {options.preset}, {LENGTH} candles per window")
    columns = ("processes", "windows each", "steps/s", "windows/s", "efficiency", "averaging")
    for network in rows[0][2]:
        print(f"\n{network:<11}" + "".join(f"{column:>14}" for column in columns))
        first, first_batch, times = rows[0]
        alone = first * first_batch / times[network]["with"] / (first if on_gpu else 1)
        for n, batch, row in rows:
            step, without = row[network]["with"], row[network]["without"]
            speed = n * batch / step
            efficiency = speed / alone / (n if on_gpu else 1)
            averaging = f"{max(1 - without / step, 0):.0%}" if n > 1 else "-"
            print(f"{'':<11}{n:>14}{batch:>14}{1 / step:>14.2f}{speed:>14.1f}{efficiency:>14.2f}{averaging:>14}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Training speed with several processes.")
    parser.add_argument("--preset", default="demo", help="demo, mini, small or base")
    parser.add_argument("--batch", type=int, default=16, help="windows per step, all processes together")
    parser.add_argument(
        "--ranks", type=int, nargs="+", help="numbers of processes; the others are compared with the first"
    )
    parser.add_argument("--seconds", type=float, default=3, help="seconds per network, row and round")
    parser.add_argument("--rounds", type=int, default=2, help="number of measurements of each row")
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.out is None:
        print_rows(options)
        return
    times = measure(options.preset, options.batch, options.seconds)
    if os.environ["RANK"] == "0":
        options.out.write_text(json.dumps(times))


if __name__ == "__main__":
    main()
