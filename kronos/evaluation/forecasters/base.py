"""What is compared: anything that samples closes to come from known candles."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import pandas as pd

from kronos.candles import CANDLE_COLUMNS, Array
from kronos.evaluation.results import Texts
from kronos.forecast import KronosPredictor, Sampling
from kronos.model.pretrained import hash_weights

CLOSE = CANDLE_COLUMNS.index("close")


class NotApplicable(Exception):
    """A forecaster cannot forecast such candles; the texts say why."""

    def __init__(self, reason: Texts) -> None:
        super().__init__(reason["en"])
        self.reason = reason


@dataclass(frozen=True, eq=False)
class ForecastInput:
    """All that a forecaster may know at an origin.

    name: the symbol, if there are many, and the origin, for messages. candles: the L lookback candles, open … amount,
    indexed by local time. future: the H local times to forecast.
    """

    name: str
    candles: pd.DataFrame
    future: pd.DatetimeIndex

    @property
    def closes(self) -> Array:
        """The known closes (L,), float64."""
        return self.candles["close"].to_numpy(np.float64)

    @property
    def origin(self) -> pd.Timestamp:
        """The local time of the last known candle."""
        return pd.Timestamp(self.candles.index[-1])


class Forecaster(Protocol):
    """Samples what may come.

    name: of its files and figures. label: what people call it. key: all that decides its forecasts, so that they can be
    kept; None where they are made faster than found again.
    """

    @property
    def name(self) -> str: ...

    @property
    def key(self) -> str | None: ...

    @property
    def label(self) -> Texts: ...

    def sample(self, known: Sequence[ForecastInput], n_paths: int, seed: int) -> Array:
        """Sample closes (N, n_paths, H) in the candles' units, for each of N origins on its own.

        The same seed and origin give the same paths, whatever the other origins.

        Raises:
            NotApplicable: it cannot forecast such candles.
        """
        ...


@dataclass(frozen=True, eq=False)
class KronosForecaster:
    """A base model with its tokenizer."""

    name: str
    label: Texts
    predictor: KronosPredictor
    sampling: Sampling

    @cached_property
    def key(self) -> str:
        predictor = self.predictor
        weights = hash_weights(predictor.model), hash_weights(predictor.tokenizer)
        return repr((*weights, predictor.max_context, predictor.clip, self.sampling))

    def sample(self, known: Sequence[ForecastInput], n_paths: int, seed: int) -> Array:
        forecasts = self.predictor.forecast_batch(
            [each.candles for each in known],
            y_timestamp_list=[each.future for each in known],
            n_paths=n_paths,
            sampling=self.sampling,
            seed=seed,
            names=[each.name for each in known],
            verbose=False,
        )
        return np.stack([forecast.paths[..., CLOSE] for forecast in forecasts])
