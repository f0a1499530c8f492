"""Value at risk, expected shortfall, drawdowns, and the probability to touch a price, from sampled paths.

A loss is a share of the last known close: 0.02 is a fall of 2 %, −0.02 a rise. Paths are (P, H, 6), in the units of the candles:
open, high, low, close, volume, amount.
"""

import numpy as np

from kronos.candles import CANDLE_COLUMNS, Array
from kronos.errors import ConfigError, DataError

HIGH, LOW, CLOSE = (CANDLE_COLUMNS.index(name) for name in ("high", "low", "close"))


def compute_losses(paths: Array, last_close: float) -> Array:
    """Return the losses (P, H) at the closes.

    Raises:
        DataError: the last known close is not above 0, so that no loss is a share of it.
    """
    if not last_close > 0:
        raise DataError(
            "risk is a share of the last close, which is {close}. Give candles with prices above 0.", close=last_close
        )
    losses: Array = 1 - paths[..., CLOSE] / last_close
    return losses


def compute_value_at_risk(losses: Array, confidence: float) -> Array:
    """Return the value at risk (...) of losses (P, ...): the smallest loss that is not exceeded with the confidence.

    It is the lower quantile of the empirical distribution (McNeil, Frey & Embrechts 2015, definition 2.8).

    Raises:
        ConfigError: the confidence is not above 0.5 and below 1.
    """
    value: Array = np.quantile(losses, check_confidence(confidence), axis=0, method="inverted_cdf")
    return value


def compute_expected_shortfall(losses: Array, confidence: float) -> Array:
    """Return the expected shortfall (...) of losses (P, ...): the mean of the worst 1 − confidence of them.

    If that is no whole number of paths, the last one counts in part (Acerbi & Tasche 2002, arXiv cond-mat/0104295,
    definition 2.6). It is therefore at least the value at risk.

    Raises:
        ConfigError: the confidence is not above 0.5 and below 1.
    """
    tail = len(losses) * (1 - check_confidence(confidence))
    weights = np.clip(tail - np.arange(len(losses)), 0, 1)
    worst_first = np.sort(losses, axis=0)[::-1]
    shortfall: Array = np.tensordot(weights, worst_first, axes=1) / tail
    return np.maximum(shortfall, compute_value_at_risk(losses, confidence))  # rounding, where the worst losses agree


def compute_drawdowns(paths: Array, last_close: float) -> Array:
    """Return the maximum drawdown (P,) of each path: its largest fall from a close to a later one, as a share of the former.

    The last known close is the first of the closes. Lows do not count, since a candle does not tell whether its low came
    before its high.

    Raises:
        DataError: a close is not above 0.
    """
    closes = np.insert(paths[..., CLOSE], 0, last_close, axis=1)
    if not (closes > 0).all():
        raise DataError("a drawdown is a share of a price, and some are not above 0. Give candles with prices above 0.")
    drawdowns: Array = (1 - closes / np.maximum.accumulate(closes, axis=1)).max(axis=1)
    return drawdowns


def compute_touch_probability(paths: Array, last_close: float, level: float) -> Array:
    """Return the share of paths (H,) that have touched a price by each step: from below by their highs, from above by their lows.

    A path may cross a price within a candle only, so its closes would tell too little.

    Raises:
        ConfigError: the level is no finite number.
    """
    if isinstance(level, bool) or not isinstance(level, int | float | np.number) or not np.isfinite(level):
        raise ConfigError("a price to touch must be a number, got {level!r}.", level=level)
    if level >= last_close:
        touched = np.maximum.accumulate(np.maximum(paths[..., HIGH], last_close), axis=1) >= level
    else:
        touched = np.minimum.accumulate(paths[..., LOW], axis=1) <= level
    share: Array = touched.mean(axis=0)
    return share


def check_confidence(confidence: float) -> float:
    """Return the confidence.

    Raises:
        ConfigError: it is not above 0.5 and below 1.
    """
    if isinstance(confidence, bool) or not isinstance(confidence, int | float | np.number) or not 0.5 < confidence < 1:
        raise ConfigError(
            "the confidence must be above 0.5 and below 1, such as 0.95; got {value!r}.", value=confidence
        )
    return float(confidence)
