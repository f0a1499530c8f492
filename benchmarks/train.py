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
from collections.abc import Callable
from pathlib import Path
from typing import Any

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

WINDOW, HORIZON, STRIDE = 512, 64, 16
WARM_UP = 2
NEVER = 10**9
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


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


def build_config(folder: Path, preset: str, stage: StageName, options: argparse.Namespace) -> Config:
    """Build the configuration of a stage from the files that `main` has written."""
    n_steps = options.steps + WARM_UP + 1
    tokenizer = folder / f"{preset}-tokenizer"
    return Config(
        data=DataConfig(
            data_path=folder / "candles.csv",
            lookback_window=WINDOW - HORIZON,
            predict_window=HORIZON,
            max_context=WINDOW,
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
        device=DeviceConfig(use_cuda={"auto": None, "cuda": True, "cpu": False}[options.device]),
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


def count_operations(model: nn.Module, n_tokens: int) -> float:
    """Return the floating-point operations of a training step on n_tokens, by the formula above."""
    total = 0.0
    for name, layer in model.named_modules():
        passes = 2 if isinstance(model, KronosTokenizer) and name.startswith(("decoder", "head")) else 1
        if isinstance(layer, nn.Linear):
            total += passes * 6 * layer.weight.numel() * n_tokens
        if name.endswith("attn"):
            total += passes * 6 * layer.q_proj.out_features * WINDOW * n_tokens
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


def compare(name: str, stage: StageName, config: Config, device: str, now: Callable[[], float]) -> None:
    """Run a stage and its plain loop in turn, and print a line."""
    model, plain = build_plain(config, stage, device)
    turns = TakeTurns(plain, now)
    precision = choose_precision(config)
    peak = measure_peak(TYPES[precision], device, now)
    run_pipeline(config, skip_existing=False, callbacks=[turns])
    peak = max(peak, measure_peak(TYPES[precision], device, now))
    n_tokens = config.training.batch_size * WINDOW
    plain_rate, our_rate = (n_tokens / turns.best(way) for way in ("plain", "ours"))
    share = count_operations(model, n_tokens) * our_rate / n_tokens / peak
    print(
        f"{name:<16} {plain_rate:12,.0f} {our_rate:12,.0f} {our_rate / plain_rate:7.2f} {precision:>9} "
        f"{peak / 1e12:16.2f} {share:8.0%}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare training speed with a plain float32 loop.")
    parser.add_argument("--models", nargs="*", default=["mini", "small"], choices=PRESETS)
    parser.add_argument("--batch", type=int, help="windows per step; default 8, on a GPU 64")
    parser.add_argument("--steps", type=int, default=4, help="steps to measure")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--compile", action="store_true", help="run ours with training.torch_compile")
    parser.add_argument("--cpu-time", action="store_true", help="measure the CPU seconds of this process")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    device = "cuda" if options.device != "cpu" and torch.cuda.is_available() else "cpu"
    options.batch = options.batch or (64 if device == "cuda" else 8)
    print(f"{options.batch} windows of {WINDOW} per step on {device}, {torch.get_num_threads()} threads")
    print(
        f"{'':<16} {'plain, tok/s':>12} {'ours, tok/s':>12} {'ratio':>7} {'precision':>9} {'matmul TFLOP/s':>16} {'used':>8}"
    )
    now = choose_clock(device, options.cpu_time)
    measured: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_candles(folder / "candles.csv", 4096 + 5 * STRIDE * options.batch)
        start_process(build_config(folder, options.models[0], "tokenizer", options), world_size=1)
        for preset in options.models:
            architecture = PRESETS[preset].tokenizer
            KronosTokenizer(**architecture).save_pretrained(folder / f"{preset}-tokenizer")
            if architecture not in measured:  # several sizes share one architecture
                measured.append(architecture)
                compare(
                    f"{preset} tokenizer", "tokenizer", build_config(folder, preset, "tokenizer", options), device, now
                )
            compare(
                f"{preset} base model", "basemodel", build_config(folder, preset, "basemodel", options), device, now
            )


if __name__ == "__main__":
    main()
