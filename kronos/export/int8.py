"""Base models in int8, kept only if their forecasts are not worse."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from kronos.candles import CANDLE_COLUMNS, Array
from kronos.config import Config
from kronos.data import read_frames
from kronos.data.elsewhere.gather import gather_files
from kronos.data.elsewhere.options import FetchOptions
from kronos.data.files.options import ReadingOptions
from kronos.errors import DataError
from kronos.evaluation.scores.metrics import compute_crps
from kronos.export.runner import OnnxForecaster
from kronos.names import Message
from kronos.progress.bars import track
from kronos.progress.log_levels import raise_log_levels

BASE_MODEL = ("prefill", "step", "fine")  # the tokenizer stays: rounding a candle would change its tokens
MARGIN = 0.02  # by which the CRPS may be higher
ONE_SIDED_95 = 1.645
MIN_ORIGINS = 20


@dataclass(frozen=True)
class Int8Gate:
    """How the CRPS of the closes' returns changes in int8, relative to float32, over n_origins.

    change: the mean. upper: the upper end of its one-sided 95% interval, which decides.
    """

    change: float
    upper: float
    n_origins: int

    @property
    def passes(self) -> bool:
        return self.upper <= MARGIN


def quantize(folder: Path) -> None:
    """Write the base model's graphs with weights in int8 and activations quantised as they come, as {name}.int8.onnx."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with raise_log_levels({"root": logging.ERROR}):  # where the quantiser writes
        for name in BASE_MODEL:
            paths = folder / f"{name}.onnx", folder / f"{name}.int8.onnx"
            quantize_dynamic(*paths, weight_type=QuantType.QInt8)


def find_windows(config: Config, n_origins: int) -> list[pd.DataFrame]:
    """Return the latest windows of a run's candles, at most n_origins, whose horizons do not overlap.

    Raises:
        DataError: there are too few.
    """
    windows = list(_find_windows(config, config.data.lookback_window + config.data.predict_window, n_origins))
    if len(windows) < MIN_ORIGINS:
        raise DataError(
            "{n} origins in the run's candles, but int8 needs at least {least} to be judged by. Leave --int8 out.",
            n=len(windows),
            least=MIN_ORIGINS,
        )
    return windows


def measure_int8(folder: Path, windows: Sequence[pd.DataFrame], lookback: int, n_paths: int) -> Int8Gate:
    """Compare forecasts of a folder's models in int8 and float32 on windows, with the same random numbers.

    Args:
        windows: candles indexed by time, of which the first lookback are known.
    """
    plain, small = OnnxForecaster(folder), OnnxForecaster(folder, int8=True)
    scores = []
    for frame in track(windows, Message("comparing int8"), len(windows), "origins"):
        known, times = frame[:lookback], frame.index.to_numpy()
        given = known.to_numpy(), times[:lookback], times[lookback:], n_paths
        scores.append([_score(each.forecast(*given), frame, lookback) for each in (plain, small)])
    return decide(np.array(scores))


def decide(scores: Array) -> Int8Gate:
    """Return the gate from scores (N, 2) of float32 and int8."""
    difference, level = scores[:, 1] - scores[:, 0], scores[:, 0].mean()
    error = difference.std(ddof=1) / np.sqrt(len(scores))
    return Int8Gate(
        float(difference.mean() / level), float((difference.mean() + ONE_SIDED_95 * error) / level), len(scores)
    )


def _score(paths: Array, frame: pd.DataFrame, lookback: int) -> float:
    """Return the mean CRPS of the close's returns from the origin, in units of the lookback's volatility."""
    close = frame["close"].to_numpy()
    last, returns = close[lookback - 1], np.diff(np.log(close[:lookback]))
    made = np.log(paths[..., CANDLE_COLUMNS.index("close")] / last)
    return float(compute_crps(made, np.log(close[lookback:] / last)).mean() / max(returns.std(), 1e-9))


def _find_windows(config: Config, window: int, n_origins: int) -> Iterator[pd.DataFrame]:
    """Yield windows of the run's candles, the latest of each symbol first, whose horizons do not overlap."""
    files = gather_files(config.data.data_path, FetchOptions.of(config.data)).files
    frames, _ = read_frames(files, ReadingOptions.of(config.data), config.repairs, config.data.max_gap)
    usable = [
        each.frame
        for each in frames
        if len(each.frame) >= window and (each.frame[list(CANDLE_COLUMNS[:4])] > 0).all(axis=None)
    ]
    horizon, n_found = config.data.predict_window, 0
    for back in range(max((len(frame) - window) // horizon + 1 for frame in usable) if usable else 0):
        for frame in usable:
            end = len(frame) - back * horizon
            if end >= window and n_found < n_origins:
                n_found += 1
                yield frame[end - window : end]
