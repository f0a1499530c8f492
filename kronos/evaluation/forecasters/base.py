"""The interface of forecasters, which sample future closes from known candles."""

import errno
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import pandas as pd

from kronos.candles import CANDLE_COLUMNS, Array
from kronos.config.schema import Language
from kronos.errors import ConfigError, KronosError, WriteError
from kronos.evaluation.records import Label, Note
from kronos.forecast import KronosPredictor, Sampling
from kronos.model.pretrained import hash_weights
from kronos.training.safety.stopping import LostPeerError

logger = logging.getLogger(__name__)

CLOSE = CANDLE_COLUMNS.index("close")


class NotApplicable(Exception):
    """A forecaster cannot forecast these candles.

    Args:
        reason: a code in `reasons` of kronos/report/words, with its values; a text; or a text in each language.
    """

    def __init__(self, reason: str | dict[Language, str], **values: int | float | str) -> None:
        super().__init__(reason)
        texts = {} if isinstance(reason, str) else reason
        self.reason = Note(code="text" if texts else str(reason), values=values, texts=texts)


@contextmanager
def translate_failures() -> Iterator[None]:
    """Translate whatever a baseline, or a library that it uses, raises: the evaluation goes on without it.

    Errors that other work would meet too are passed: the disk is full, another process of the run has died, or a setting is
    wrong. If the ranks share the work, they must tell each other of a failure.

    Raises:
        NotApplicable: the body failed.
    """
    try:
        yield
    except (NotApplicable, ConfigError, WriteError, LostPeerError):
        raise
    except Exception as error:
        is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if is_full:
            raise
        logger.debug("a baseline has failed", exc_info=error)
        text = (str(error).strip().splitlines() or [""])[0]
        reason = text if isinstance(error, KronosError) else f"{type(error).__name__}: {text}".removesuffix(": ")
        raise NotApplicable("failed", error=reason) from None


@dataclass(frozen=True, eq=False)
class ForecastInput:
    """Everything that a forecaster may know at an origin.

    name: the origin, after the symbol if there are several, for messages. candles: the L lookback candles, columns open …
    amount, indexed by local time. future: the H local times to forecast. symbol: empty if there is only one; different
    symbols draw different random numbers.
    """

    name: str
    candles: pd.DataFrame
    future: pd.DatetimeIndex
    symbol: str = ""

    @property
    def closes(self) -> Array:
        """Return the known closes (L,), float64."""
        return self.candles["close"].to_numpy(np.float64)

    @property
    def origin(self) -> pd.Timestamp:
        """Return the local time of the last known candle."""
        return pd.Timestamp(self.candles.index[-1])


@dataclass(frozen=True, eq=False)
class PastCloses:
    """The closes that baselines are fitted on: none is later than the first origin of its symbol.

    stretches: by symbol ("" if there is only one), in order of time. Each has closes above 0 indexed by local time, and no
    gap or jump that a window must not cross. lookback, horizon: of the forecasts, in candles. interval: from one candle to
    the next.
    """

    stretches: Mapping[str, Sequence[pd.Series]]
    lookback: int
    horizon: int
    interval: pd.Timedelta

    def levels(self) -> Iterator[Array]:
        """Return the log closes (T,) of all stretches of all symbols."""
        return (np.log(each.to_numpy()) for stretches in self.stretches.values() for each in stretches)


class Forecaster(Protocol):
    """Sample future closes.

    name: identifies its files and figures. label: a name in kronos/report/words, or the displayed name. key: everything that
    its forecasts depend on, to store them under; None if computing them is faster than loading them. moves: false if the
    median of its distribution is the last close by construction; the median of its paths then differs from it only by chance.
    """

    @property
    def name(self) -> str: ...

    @property
    def key(self) -> str | None: ...

    @property
    def label(self) -> Label: ...

    @property
    def moves(self) -> bool: ...

    def sample(self, known: Sequence[ForecastInput], n_paths: int, seed: int) -> Array:
        """Sample closes (N, n_paths, H) from each of N origins, in the units of the candles.

        The same seed, symbol and origin give the same paths, independent of the other origins.

        Raises:
            NotApplicable: it cannot forecast these candles.
        """
        ...


@dataclass(frozen=True, eq=False)
class KronosForecaster:
    """A base model with its tokenizer."""

    name: str
    label: Label
    predictor: KronosPredictor
    sampling: Sampling
    moves: bool = True

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
            symbols=[each.symbol for each in known],
            verbose=False,
        )
        return np.stack([forecast.paths[..., CLOSE] for forecast in forecasts])
