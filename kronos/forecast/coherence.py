"""Repairing impossible sampled candles, and counting the repairs."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from kronos.candles import CANDLE_COLUMNS, PRICE_COLUMNS, Array
from kronos.names import Message

PRICE_FLOOR = 0.01  # as a share of the lowest positive known price

OPEN, HIGH, LOW, CLOSE = (CANDLE_COLUMNS.index(name) for name in PRICE_COLUMNS)
N_PRICES = len(PRICE_COLUMNS)


@dataclass(frozen=True)
class Repairs:
    """How many of n_candles sampled candles were impossible, and why. A candle may count more than once.

    high_low: the high was below, or the low above, the open or close (or each other).
    price: a price was not positive. volume: volume or amount was negative. any: at least one of the three.
    """

    n_candles: int
    high_low: int
    price: int
    volume: int
    any: int

    @classmethod
    def total(cls, all_repairs: Iterable[Self]) -> Self:
        """Add up the counts of many forecasts."""
        listed = list(all_repairs)
        return cls(*(sum(getattr(repairs, field.name) for repairs in listed) for field in fields(cls)))

    @property
    def share(self) -> float:
        """The share of sampled candles that needed repair, 0 to 1."""
        return self.any / self.n_candles

    @property
    def message(self) -> Message:
        """Return the repairs in one line."""
        if not self.any:
            return Message("none of {n:,} sampled candles needed repair", n=self.n_candles)
        return Message(
            "{share:.1%} of {n:,} sampled candles repaired (high or low moved to enclose open and close: {high_low:,}, price raised "
            "above 0: {price:,}, volume or amount raised to 0: {volume:,})",
            share=self.share,
            n=self.n_candles,
            high_low=self.high_low,
            price=self.price,
            volume=self.volume,
        )

    def __str__(self) -> str:
        return self.message


def find_price_floor(known_prices: Array) -> float | None:
    """Return the price that replaces sampled prices that are not positive: 1% of the lowest positive known price.

    Returns:
        The price; None if a known price is below 0 (as of a spread) or none is above 0, as prices may have any sign then.
    """
    positive = known_prices[known_prices > 0]
    return None if (known_prices < 0).any() or not positive.size else PRICE_FLOOR * float(positive.min())


def repair_candles(candles: Array, price_floor: float | None) -> tuple[Array, Repairs]:
    """Return candles (..., 6) with low ≤ open, close ≤ high, prices above 0, volume and amount at least 0.

    Args:
        candles: open, high, low, close, volume, amount.
        price_floor: replaces prices that are not positive; None keeps them.
    """
    repaired = candles.copy()
    prices = repaired[..., :N_PRICES]
    wrong_prices = (prices <= 0) & (price_floor is not None)
    price = wrong_prices.any(-1)
    np.copyto(prices, price_floor or 0.0, where=wrong_prices)
    highest, lowest = prices.max(-1), prices.min(-1)
    high_low = (prices[..., HIGH] < highest) | (prices[..., LOW] > lowest)
    prices[..., HIGH], prices[..., LOW] = highest, lowest
    volume = (repaired[..., N_PRICES:] < 0).any(-1)
    np.maximum(repaired[..., N_PRICES:], 0.0, out=repaired[..., N_PRICES:])
    wrong = price | high_low | volume
    return repaired, Repairs(wrong.size, int(high_low.sum()), int(price.sum()), int(volume.sum()), int(wrong.sum()))
