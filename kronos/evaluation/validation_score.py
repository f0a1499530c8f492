"""Score a base model during training by its forecasts from the validation split (`training.best_by`)."""

import logging
from collections.abc import Sequence
from typing import cast

import numpy as np
from accelerate import PartialState
from accelerate.utils import gather_object
from torch import nn

from kronos.candles import CANDLE_COLUMNS, Array
from kronos.config import Config
from kronos.data import CandleSet, Split
from kronos.data.windows.splits import spread_evenly
from kronos.errors import DataError
from kronos.evaluation.scores.metrics import FEWEST_ORIGINS, METRICS
from kronos.forecast import KronosPredictor
from kronos.model import Kronos, KronosTokenizer
from kronos.saved_run import SavedRun

logger = logging.getLogger(__name__)

N_ORIGINS = 128  # a validation forecasts N_ORIGINS × N_PATHS × horizon candles
FEWEST_INDEPENDENT = 100  # horizons that do not overlap: the scores of two models then differ by about 1% by chance
N_PATHS = 20
SEED = 0  # not training.seed: the same weights have the same score in any run
SMALLEST_SCALE = 1e-4  # of the price: one basis point

CLOSE = CANDLE_COLUMNS.index("close")


class ValidationScore:
    """The metric training.best_by of forecasts of the close from up to N_ORIGINS origins.

    N_PATHS paths are sampled from each origin with the default settings of `KronosPredictor`. Every validation uses the
    same origins and the same random draws. Closes are expressed as moves from the origin's last close, in units of
    `measure_scale`, and the figure is `Metric.average`. The ranks share the origins, and every rank computes the figure
    from all forecasts.
    """

    def __init__(self, config: Config, candles: CandleSet, split: Split) -> None:
        """Choose the origins among the windows of the validation split.

        Raises:
            DataError: there are too few origins to choose by, or the metric is undefined for these moves of the close.
        """
        best_by = config.training.best_by
        check_evidence(best_by, split)
        self._metric = METRICS[best_by]
        self._config = config
        lookback = config.data.lookback_window
        starts = split.starts.take(spread_evenly(len(split), N_ORIGINS, SEED))
        windows = [candles.frame(start, start + config.data.window) for start in starts.tolist()]
        self._histories = [window[:lookback] for window in windows]
        self._futures = [window.index[lookback:] for window in windows]
        self._names = [
            f"{candles.symbol_at(start).symbol} {history.index[-1]:%Y-%m-%d %H:%M}"
            for start, history in zip(starts.tolist(), self._histories)
        ]
        many = len(candles.symbols) > 1
        self._symbols = [candles.symbol_at(start).symbol if many else "" for start in starts.tolist()]
        closes = np.stack([window["close"].to_numpy(np.float64) for window in windows])
        self._last_close = closes[:, lookback - 1 : lookback]  # (N, 1)
        self._scale = measure_scale(closes[:, :lookback])
        self._actual = (closes[:, lookback:] - self._last_close) / self._scale  # (N, H)
        check_moves(best_by, self._actual)
        logger.debug(
            "validation of the base model forecasts from %d origins, %d paths each (training.best_by=%s)",
            *(len(windows), N_PATHS, best_by),
        )

    @property
    def higher_is_better(self) -> bool:
        return self._metric.higher_is_better

    def __call__(self, model: nn.Module, tokenizer: KronosTokenizer) -> float:
        """Forecast with the current weights and return the figure; NaN if a forecast is not finite."""
        state = PartialState()
        own = range(len(self._histories))[state.process_index :: state.num_processes]
        gathered = gather_object(list(zip(own, self._forecast(cast(Kronos, model), tokenizer, own))))
        moves = np.stack([of_origin for _, of_origin in sorted(gathered, key=lambda pair: pair[0])])  # (N, P, H)
        if not np.isfinite(moves).all():
            return float("nan")
        return self._metric.average(moves, self._actual)

    def _forecast(self, model: Kronos, tokenizer: KronosTokenizer, origins: Sequence[int]) -> list[Array]:
        """Sample the moves of the close (P, H) from each of some origins."""
        if not origins:
            return []
        run = SavedRun(self._config, tokenizer, model)
        predictor = KronosPredictor.from_run(run, device=next(model.parameters()).device)
        forecasts = predictor.forecast_batch(
            [self._histories[i] for i in origins],
            y_timestamp_list=[self._futures[i] for i in origins],
            n_paths=N_PATHS,
            seed=SEED,
            names=[self._names[i] for i in origins],
            symbols=[self._symbols[i] for i in origins],
            verbose=PartialState().is_main_process,
        )
        return [
            (forecast.paths[..., CLOSE] - self._last_close[i]) / self._scale[i]
            for i, forecast in zip(origins, forecasts)
        ]


def check_evidence(best_by: str, split: Split) -> None:
    """Check that a validation split has enough independent forecasts to choose a model by.

    Raises:
        DataError: it has fewer than FEWEST_INDEPENDENT horizons that do not overlap.
    """
    if split.independent < FEWEST_INDEPENDENT:
        raise DataError(
            "training.best_by is {best_by}, but the validation split has only {n} horizons that do not overlap; fewer than "
            "{least} would choose a model by luck. Set training.best_by=horizon_loss, which learns from every candle of every "
            "horizon, or give validation more candles.",
            best_by=best_by,
            n=split.independent,
            least=FEWEST_INDEPENDENT,
        )


def check_moves(best_by: str, actual: Array) -> None:
    """Check that the metric training.best_by is defined for actual moves (N, H).

    Raises:
        DataError: the close never moves (no direction), its moves are the same after all origins, or there are too few
            origins (no correlation).
    """
    if best_by == "direction" and not actual.any():
        template = (
            "training.best_by is direction, but the close does not move after any of {n} origin(s) of the validation split. "
            "Choose another training.best_by, or give other candles."
        )
        raise DataError(template, n=len(actual))
    if best_by == "ic" and len(actual) < FEWEST_ORIGINS:
        template = (
            "training.best_by is ic, which needs {least} origins, but the validation split has {n}. "
            "Choose another training.best_by, or give more candles."
        )
        raise DataError(template, least=FEWEST_ORIGINS, n=len(actual))
    if best_by == "ic" and (actual == actual[0]).all():
        template = (
            "training.best_by is ic, but the close moves by the same amount after all {n} origins of the validation split. "
            "Choose another training.best_by, or give other candles."
        )
        raise DataError(template, n=len(actual))


def measure_scale(closes: Array) -> Array:
    """Return the unit (..., 1) in which errors after lookbacks (..., T) of closes are measured.

    It is the standard deviation of the lookback's close, by which the model's input is normalised too. It gives symbols
    of any price and volatility the same weight. It is at least one basis point of the mean: otherwise a price that did
    not move would outweigh all others.
    """
    smallest = SMALLEST_SCALE * np.abs(closes.mean(axis=-1, keepdims=True))
    scale = np.maximum(closes.std(axis=-1, keepdims=True), smallest)
    return np.where(scale > 0, scale, 1.0)
