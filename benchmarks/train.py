"""Training speed of both stages, compared with a plain float32 loop (benchmarks/plain_training.py).

    python benchmarks/train.py [--models mini small] [--batch 8] [--steps 4] [--device auto]

Synthetic candles, windows of 512, random weights. Ours is the real code: the stage as `kronos train` runs it, with precision
auto. Tokenising before the first step (training.token_cache) is not counted. The steps of both take turns, because other
programs should slow both equally. The fastest step of each counts, after two steps as warm-up. The batch on a GPU is 64
windows, because with a small batch both only wait for kernel launches. On a CPU that is shared with other programs, use
OMP_NUM_THREADS=1 and --cpu-time to compare the work done.

The last columns show how much of the machine is used. The operations of the model are 6 × parameters of linear layers × tokens
+ 6 × attention layers × width × window × tokens (causal scores and mixing, forward and backward). The tokenizer's decoder counts
twice, because it reconstructs twice. They are divided by the operations per second of one large matrix product in the same
dtype. Compare the ratio; absolute figures depend on the machine.
"""

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor, nn
from transformers import TrainerCallback

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.data import write_candles
from benchmarks.plain_training import PlainLoop, base_model_loss, draw_batches, tokenise, tokenizer_loss
from kronos.config import Config
from kronos.config.data import DataConfig, RepairsConfig
from kronos.config.schema import DeviceConfig, ExperimentConfig, ModelPathsConfig
from kronos.config.training import TrainingConfig
from kronos.data import load_candles
from kronos.model import PRESETS, Kronos, KronosTokenizer
from kronos.training import run_pipeline
from kronos.training.arguments import StageName, start_process
from kronos.training.fit.precision import choose_precision

STRIDE = 16
WARM_UP = 2
NEVER = 10**9
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Settings:
    """How to measure: windows a step, steps, the candles of a window, and training.torch_compile."""

    device: str
    batch: int
    steps: int = 4
    window: int = 512
    compile: bool = False


class TakeTurns(TrainerCallback):
    """Time each step of the Trainer and, after it, one plain step."""

    def __init__(self, plain: PlainLoop, now: Callable[[], float]) -> None:
        self._plain, self._now = plain, now
        self.seconds: dict[str, list[float]] = {"plain": [], "ours": []}
        self._started: float | None = None

    def on_step_end(self, *arguments: Any, **kwargs: Any) -> None:
        ended = self._now()
        if self._started is not None:
            self.seconds["ours"].append(ended - self._started)
        self._plain.step()
        self._started = self._now()
        self.seconds["plain"].append(self._started - ended)

    def best(self, way: str) -> float:
        return min(self.seconds[way][WARM_UP:])


def build_config(folder: Path, preset: str, stage: StageName, options: Settings) -> Config:
    """Build the configuration of a stage from the files that `measure_all` has written."""
    n_steps = options.steps + WARM_UP + 1
    tokenizer = folder / f"{preset}-tokenizer"
    return Config(
        data=DataConfig(
            data_path=folder / "candles.csv",
            lookback_window=options.window * 7 // 8,
            predict_window=options.window // 8,
            max_context=options.window,
            train_ratio=0.8,
            val_ratio=0.2,
            train_stride=STRIDE,
            val_windows=1,
            cache_dir=folder / "cache",
        ),
        training=TrainingConfig(
            epochs=n_steps,
            max_steps=n_steps,
            batch_size=options.batch,
            eval_steps=NEVER,
            save_steps=NEVER,
            token_cache=True,
            torch_compile=options.compile,
        ),
        model_paths=ModelPathsConfig(
            pretrained_tokenizer=preset,
            pretrained_predictor=preset,
            exp_name=preset,
            base_path=folder,
            **({"finetuned_tokenizer": tokenizer} if stage == "basemodel" else {}),
        ),
        experiment=ExperimentConfig(
            pre_trained=False, train_tokenizer=stage == "tokenizer", train_basemodel=stage == "basemodel"
        ),
        device=DeviceConfig(use_cuda=options.device == "cuda"),
    )


def build_plain(config: Config, stage: StageName, device: str) -> tuple[nn.Module, PlainLoop]:
    """Build the model of a stage and its plain loop, and check that both compute the same loss."""
    torch.manual_seed(0)
    preset = PRESETS[config.model_paths.exp_name]
    tokenizer, model = KronosTokenizer(**preset.tokenizer).to(device), Kronos(**preset.base_model).to(device)
    candles, _ = load_candles(config.data, RepairsConfig())
    batches = draw_batches(candles.values, candles.calendar, config.data, config.training.batch_size)

    def loss_of_tokenizer(candles: Tensor, stamp: Tensor) -> Tensor:
        return tokenizer_loss(tokenizer, candles)

    def loss_of_base_model(candles: Tensor, stamp: Tensor, teacher_forcing: bool = False) -> Tensor:
        return base_model_loss(model, *tokenise(tokenizer, candles), stamp, teacher_forcing)

    values, stamp = (x[:1].to(device) for x in next(batches))
    with torch.no_grad():
        if stage == "tokenizer":
            ours, plain = tokenizer(values).loss, loss_of_tokenizer(values, stamp)
        else:
            model.eval()
            ours = model(*tokenizer.encode(values, half=True), stamp).loss
            plain = loss_of_base_model(values, stamp, teacher_forcing=True)
    torch.testing.assert_close(ours, plain, rtol=1e-3, atol=1e-4)
    if stage == "tokenizer":
        return tokenizer, PlainLoop(tokenizer, loss_of_tokenizer, batches)
    return model, PlainLoop(model, loss_of_base_model, batches)


def count_operations(model: nn.Module, n_tokens: int, window: int) -> float:
    """Return the floating-point operations of a training step on n_tokens, by the formula above."""
    total = 0.0
    for name, layer in model.named_modules():
        passes = 2 if isinstance(model, KronosTokenizer) and name.startswith(("decoder", "head")) else 1
        if isinstance(layer, nn.Linear):
            total += passes * 6 * layer.weight.numel() * n_tokens
        if name.endswith("attn"):
            total += passes * 6 * layer.q_proj.out_features * window * n_tokens
    return total


def measure_peak(dtype: torch.dtype, device: str, now: Callable[[], float]) -> float:
    """Return the operations per second of a large matrix product, the best of ten."""
    n, m = (8192, 8192) if device == "cuda" else (4096, 1024)
    a, b = (torch.randn(shape, device=device).to(dtype) for shape in ((n, m), (m, m)))
    best = float("inf")
    for _ in range(10):
        start = now()
        a @ b
        best = min(best, now() - start)
    return 2 * n * m * m / best


def choose_clock(device: str, cpu_time: bool) -> Callable[[], float]:
    """Return a function that returns the time in seconds; on a GPU it first waits for all kernels."""

    def now() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        return time.process_time() if cpu_time else time.perf_counter()

    return now


def compare(name: str, stage: StageName, config: Config, options: Settings, now: Callable[[], float]) -> dict[str, Any]:
    """Run a stage and its plain loop in turn, and return a row of the table."""
    on_gpu = options.device == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    model, plain = build_plain(config, stage, options.device)
    turns = TakeTurns(plain, now)
    precision = choose_precision(config)
    peak = measure_peak(TYPES[precision], options.device, now)
    run_pipeline(config, skip_existing=False, callbacks=[turns])
    peak = max(peak, measure_peak(TYPES[precision], options.device, now))
    n_tokens = options.batch * options.window
    plain_rate, our_rate = (n_tokens / turns.best(way) for way in ("plain", "ours"))
    memory = torch.cuda.max_memory_allocated() if on_gpu else psutil.Process().memory_info().rss
    return {
        "name": name,
        "compiled": "yes" if options.compile else "no",
        "plain_tokens_per_s": plain_rate,
        "tokens_per_s": our_rate,
        "times_as_fast": our_rate / plain_rate,
        "precision": precision,
        "peak": peak,
        "of_peak": count_operations(model, n_tokens, options.window) * our_rate / n_tokens / peak,
        "memory_mib": memory / 2**20,
    }


def measure_all(presets: Sequence[str], options: Settings, now: Callable[[], float]) -> Iterator[dict[str, Any]]:
    """Yield the rows of both stages of some models; a tokenizer that several share is measured once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_candles(folder / "candles.csv", 8 * options.window + 5 * STRIDE * options.batch)
        start_process(build_config(folder, presets[0], "tokenizer", options), world_size=1)
        measured: list[dict[str, Any]] = []
        for preset in presets:
            architecture = PRESETS[preset].tokenizer
            KronosTokenizer(**architecture).save_pretrained(folder / f"{preset}-tokenizer")
            stages: list[StageName] = ["basemodel"] if architecture in measured else ["tokenizer", "basemodel"]
            measured.append(architecture)
            for stage in stages:
                title = f"{preset} {'tokenizer' if stage == 'tokenizer' else 'model'}"
                yield compare(title, stage, build_config(folder, preset, stage, options), options, now)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare training speed with a plain float32 loop.")
    parser.add_argument("--models", nargs="*", default=["mini", "small"], choices=PRESETS)
    parser.add_argument("--batch", type=int, help="windows per step; default 8, on a GPU 64")
    parser.add_argument("--steps", type=int, default=4, help="steps to measure")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--compile", action="store_true", help="run ours with training.torch_compile")
    parser.add_argument("--cpu-time", action="store_true", help="measure the CPU seconds of this process")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    device = "cuda" if arguments.device != "cpu" and torch.cuda.is_available() else "cpu"
    batch = arguments.batch or (64 if device == "cuda" else 8)
    options = Settings(device, batch, arguments.steps, compile=arguments.compile)
    print(f"{batch} windows of {options.window} per step on {device}, {torch.get_num_threads()} threads")
    print(
        f"{'':<16} {'plain, tok/s':>12} {'ours, tok/s':>12} {'ratio':>7} {'precision':>9} {'matmul TFLOP/s':>16} {'used':>8}"
    )
    for row in measure_all(arguments.models, options, choose_clock(device, arguments.cpu_time)):
        print(
            f"{row['name']:<16} {row['plain_tokens_per_s']:12,.0f} {row['tokens_per_s']:12,.0f} {row['times_as_fast']:7.2f} "
            f"{row['precision']:>9} {row['peak'] / 1e12:16.2f} {row['of_peak']:8.0%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
