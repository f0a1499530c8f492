"""Forecasts and training on a GPU: time, kernels, and the share of what the card can do, beside the plain way in one run.

    python benchmarks/gpu.py [--presets small base] [--device cuda] [--toy]

Random weights. A forecast goes through `KronosPredictor.forecast_batch`, lookback 512, horizon 48; the best of three counts, after a
first one that captures the step. "plain" reads the whole context of every path anew at each step, as the reference
implementation does. Time to the first candle is that of a horizon of 1; time per step is the difference to the whole horizon,
by its steps. Kernels are those that the profiler sees, launches are the calls that start them or a graph of them. The share of
the bandwidth counts the weights and the cache, which a step must read once; the share of the peak counts products and
attention. Both are relative to a large copy and a large matrix product, measured here. Training is described in
benchmarks/train.py. The last line is JSON.

On a CPU, operators stand for kernels, and what takes minutes is left out. --toy takes tiny models and few steps, to try the
program itself.
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import psutil
import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import train
from benchmarks.plain_decoding import generate_plainly
from kronos.candles import CANDLE_COLUMNS
from kronos.forecast import KronosPredictor
from kronos.forecast.decoding.options import Decoding
from kronos.model import PRESETS, Kronos, KronosTokenizer

LAUNCHES = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx", "cudaGraphLaunch")
MEBIBYTE = 2**20


class Case(NamedTuple):
    """A forecast to measure."""

    preset: str
    n_series: int
    n_paths: int
    dtype: str
    compiled: str = "no"
    plain: bool = False


@dataclass(frozen=True)
class Card:
    """What the device can do, as measured: bytes per second of a copy, operations per second of a matrix product."""

    name: str
    bandwidth: float
    peaks: dict[str, float]


def build_cases(presets: list[str], many: int, compiled: bool) -> list[Case]:
    """Return one series with few paths in each type, compiled too if asked for, and many series with many paths.

    With many = 0, as on a CPU, only what takes seconds.
    """
    ways = [("float32", "no", many > 0), ("bfloat16", "no"), *([("bfloat16", "yes")] if compiled else [])]
    singles = [Case(preset, 1, n_paths, *way) for preset in presets for n_paths in (1, 30) for way in ways]
    return singles + [Case(preset, many, many, "bfloat16") for preset in presets if many]


def measure_card(device: torch.device, now: Callable[[], float], toy: bool) -> Card:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    block = torch.empty(2**22 if toy else 2**30, dtype=torch.uint8, device=device)
    other, seconds = torch.empty_like(block), float("inf")
    for _ in range(5):
        start = now()
        other.copy_(block)
        seconds = min(seconds, now() - start)
    peaks = {
        str(dtype).removeprefix("torch."): train.measure_peak(dtype, device.type, now)
        for dtype in (torch.float32, torch.bfloat16)
    }
    return Card(name, 2 * len(block) / seconds, peaks)


class Forecasts:
    """The forecasts of a case, with random weights and synthetic candles."""

    def __init__(self, case: Case, lookback: int, horizon: int, device: torch.device, now: Callable[[], float]) -> None:
        torch.manual_seed(0)
        torch.compiler.reset()  # what earlier cases have compiled counts towards a limit
        self._case, self._lookback, self._horizon, self._device, self._now = case, lookback, horizon, device, now
        preset = PRESETS[case.preset]
        self.tokenizer, model = KronosTokenizer(**preset.tokenizer), Kronos(**preset.base_model)
        options = {"dtype": case.dtype, "compile": case.compiled == "yes"}
        self.predictor = KronosPredictor(model, self.tokenizer, device, max_context=lookback, **options)
        walk = np.random.default_rng(0).standard_normal((case.n_series, lookback, len(CANDLE_COLUMNS)))
        times = pd.date_range("2024-01-02", periods=lookback, freq="5min")
        self._frames = [
            pd.DataFrame(np.exp(0.001 * each.cumsum(0)), columns=list(CANDLE_COLUMNS), index=times) for each in walk
        ]

    def run(self, horizon: int) -> float:
        """Return the seconds of one call."""
        start = self._now()
        self.predictor.forecast_batch(self._frames, horizon=horizon, n_paths=self._case.n_paths, seed=0, verbose=False)
        return self._now() - start

    def run_plainly(self) -> float:
        """Return the seconds of decoding without a cache, from tensors that are there already."""
        inputs = torch.randn(self._case.n_series, self._lookback, len(CANDLE_COLUMNS))
        known, future = (torch.ones(self._case.n_series, n, 5) for n in (self._lookback, self._horizon))
        uniforms = torch.rand(self._case.n_series, self._case.n_paths, self._horizon, 2)
        placed = [part.to(self._device) for part in (inputs, known, future, uniforms)]
        decoding = Decoding(self._lookback, "recompute")
        start = self._now()
        generate_plainly(self.predictor.tokenizer, self.predictor.model, *placed, decoding)
        return self._now() - start

    def count_step(self) -> tuple[float, float, float]:
        """Return the kernels, the launches and the seconds of kernels of one step."""
        short, long = (self._count(horizon) for horizon in (self._horizon // 2, self._horizon))
        n_steps = self._horizon - self._horizon // 2
        kernels, launches, seconds = ((b - a) / n_steps for a, b in zip(short, long))
        return kernels, launches, seconds

    def _count(self, horizon: int) -> tuple[float, float, float]:
        self.run(horizon)  # captures
        on_gpu = self._device.type == "cuda"
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
        with profile(activities=activities) as profiled:
            self.run(horizon)
        events = profiled.events() or []
        if on_gpu:
            work = [event for event in events if event.device_type == DeviceType.CUDA]
            n_launches = sum(event.name in LAUNCHES for event in events)
            return len(work), n_launches, sum(event.time_range.elapsed_us() for event in work) / 1e6
        work = [event for event in events if event.name.startswith("aten::") and not event.cpu_children]
        return len(work), len(work), sum(event.time_range.elapsed_us() for event in work) / 1e6


def measure_forecast(
    case: Case, lookback: int, horizon: int, device: torch.device, card: Card, now: Any
) -> dict[str, Any]:
    """Return a row of the table of forecasts."""
    forecasts = Forecasts(case, lookback, horizon, device, now)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    first = forecasts.run(horizon)
    whole = min(forecasts.run(horizon) for _ in range(3))
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else psutil.Process().memory_info().rss
    forecasts.run(1)
    to_first = min(forecasts.run(1) for _ in range(2))
    plain = min(forecasts.run_plainly() for _ in range(2)) if case.plain else None
    step = max(whole - to_first, 1e-9) / (horizon - 1)
    kernels, launches, kernel_seconds = forecasts.count_step()
    n_bytes, operations = count_step_work(forecasts.predictor.model, case, lookback, horizon)
    rows = case.n_series * case.n_paths
    return case._asdict() | {
        "first_call_s": first,
        "seconds": whole,
        "plain_s": plain,
        "times_as_fast": plain / whole if plain else None,
        "first_candle_ms": 1e3 * to_first,
        "step_ms": 1e3 * step,
        "tokens_per_s": 2 * rows * horizon / whole,
        "candles_per_s": rows * horizon / whole,
        "of_bandwidth": n_bytes / step / card.bandwidth,
        "of_peak": operations / step / card.peaks[case.dtype],
        "kernels_per_step": kernels,
        "launches_per_step": launches,
        "kernel_share": kernel_seconds / step,
        "memory_mib": memory / MEBIBYTE,
    }


def count_step_work(model: Kronos, case: Case, lookback: int, horizon: int) -> tuple[float, float]:
    """Return the bytes that a step must read, and its operations: 2 a weight and row, 4 a width and position attended to."""
    weights = [
        p for name, p in model.named_parameters() if p.ndim == 2 and "emb_" not in name and "_embed." not in name
    ]
    rows, layers = case.n_series * case.n_paths, model.list_attention_layers()
    width, size = layers[0].q_proj.in_features, weights[0].element_size()
    cached = case.n_series * lookback + rows * horizon / 2  # half of the horizon's on average
    n_bytes = sum(p.nbytes for p in weights) + 2 * len(layers) * width * size * cached
    attended = 4 * len(layers) * width * (lookback + horizon / 2)
    return n_bytes, rows * (2 * sum(p.numel() for p in weights) + attended)


def build_settings(kind: str, toy: bool, compiled: bool) -> train.Settings:
    """Return how to measure training."""
    sizes = {"batch": 4, "steps": 1, "window": 64} if toy else {"batch": 64 if kind == "cuda" else 8}
    return train.Settings(kind, compile=compiled, **sizes)


def print_table(title: str, rows: list[dict[str, Any]], columns: dict[str, tuple[str, str]]) -> None:
    """Print rows. columns: from a key to its heading and its format."""
    print(f"\n{title}")
    print("".join(f"{heading:>15}" for heading, _ in columns.values()))
    for row in rows:
        cells = ("–" if row[key] is None else format(row[key], style) for key, (_, style) in columns.items())
        print("".join(f"{cell:>15}" for cell in cells), flush=True)


FORECAST_COLUMNS = {
    "preset": ("model", ""),
    "n_series": ("series", "d"),
    "n_paths": ("paths", "d"),
    "dtype": ("type", ""),
    "compiled": ("compiled", ""),
    "plain_s": ("plain, s", ".3f"),
    "first_call_s": ("first call, s", ".3f"),
    "seconds": ("ours, s", ".4f"),
    "times_as_fast": ("times as fast", ".1f"),
    "first_candle_ms": ("1st candle, ms", ".1f"),
    "step_ms": ("step, ms", ".2f"),
    "candles_per_s": ("candles/s", ",.0f"),
    "of_bandwidth": ("of bandwidth", ".0%"),
    "of_peak": ("of peak", ".1%"),
    "kernels_per_step": ("kernels/step", ".0f"),
    "launches_per_step": ("launches/step", ".0f"),
    "kernel_share": ("in kernels", ".0%"),
    "memory_mib": ("memory, MiB", ",.0f"),
}
TRAINING_COLUMNS = {
    "name": ("stage", ""),
    "compiled": ("compiled", ""),
    "plain_tokens_per_s": ("plain, tok/s", ",.0f"),
    "tokens_per_s": ("ours, tok/s", ",.0f"),
    "times_as_fast": ("times as fast", ".2f"),
    "precision": ("precision", ""),
    "of_peak": ("of peak", ".0%"),
    "memory_mib": ("memory, MiB", ",.0f"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Forecasts and training on a GPU, beside the plain way.")
    parser.add_argument("--presets", nargs="+", choices=PRESETS, help="models; default small and base")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--compiled", action="store_true", help="compiled too; the default on a GPU")
    parser.add_argument("--toy", action="store_true", help="tiny models and few steps, to try the program itself")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    kind = "cuda" if options.device != "cpu" and torch.cuda.is_available() else "cpu"
    device, now = torch.empty(0, device=kind).device, train.choose_clock(kind, cpu_time=False)
    presets = options.presets or (["demo"] if options.toy else ["small", "base"])
    lookback, horizon, many = (32, 8, 3) if options.toy else (512, 48, 100 if kind == "cuda" else 0)
    compiled, started = options.compiled or kind == "cuda", time.perf_counter()
    card = measure_card(device, now, options.toy)
    print(f"{card.name}, torch {torch.__version__}: copies {card.bandwidth / 1e9:,.0f} GB/s, products", end=" ")
    print(", ".join(f"{peak / 1e12:,.1f} TFLOP/s in {name}" for name, peak in card.peaks.items()))
    forecasts = [
        measure_forecast(case, lookback, horizon, device, card, now) for case in build_cases(presets, many, compiled)
    ]
    print_table(f"forecasts, lookback {lookback}, horizon {horizon}", forecasts, FORECAST_COLUMNS)
    training = [
        row
        for each in ([False, True] if compiled else [False])
        for row in train.measure_all(presets, build_settings(kind, options.toy, each), now)
    ]
    print_table("training", training, TRAINING_COLUMNS)
    print(f"\n{time.perf_counter() - started:.0f} seconds in all")
    print(json.dumps({"card": asdict(card), "torch": torch.__version__, "forecasts": forecasts, "training": training}))


if __name__ == "__main__":
    main()
