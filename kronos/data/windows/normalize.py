"""Normalise candles by the statistics of their lookback, and invert this."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from kronos.candles import Array

EPSILON = 1e-5  # the published value


@dataclass(frozen=True)
class Statistics:
    """Mean and scale of each feature over a lookback, (..., 1, F) float64, in the units of the candles."""

    mean: Array
    scale: Array

    @classmethod
    def compute(cls, lookback: Array, reference_epsilon: bool = False) -> Self:
        """Compute the statistics of lookback (..., T, F).

        The scale is the population standard deviation + 1e-5, as published. For a feature whose mean is below 1 the
        1e-5 shrinks with it: an asset priced at 1e-5 is normalised like one priced at 10.

        Args:
            lookback: known candles only; nothing of the horizon.
            reference_epsilon: add 1e-5 whatever the price, as the reference implementation does.
        """
        mean = lookback.mean(axis=-2, keepdims=True, dtype=np.float64)
        deviation = lookback - mean
        std = np.sqrt(np.square(deviation, out=deviation).mean(axis=-2, keepdims=True))
        epsilon = EPSILON if reference_epsilon else EPSILON * np.where(mean == 0, 1.0, np.minimum(np.abs(mean), 1.0))
        return cls(mean, np.maximum(std + epsilon, np.finfo(np.float64).tiny))

    def normalise(self, candles: Array, clip: float) -> Array:
        """Return candles (..., T, F) in standard deviations of the lookback, clipped to ±clip, as float32."""
        normalised = candles - self.mean
        normalised /= self.scale  # in place: fresh memory for each step would cost more than the arithmetic
        return np.clip(normalised, -clip, clip, out=normalised).astype(np.float32)

    def denormalise(self, normalised: Array) -> Array:
        """Undo `normalise`, except for the clipping: (..., T, F) float64 in the units of the candles."""
        return normalised * self.scale + self.mean
