"""The returns of simple trading rules on forecasts, after costs. They are no part of the verdict.

A rule takes one position at each origin, −1, 0 or 1 times the capital, and holds it until the end of the horizon. Its return is
position × log return − costs × |change of position|. Costs are in basis points of the capital for each unit of change: from
long to short is a change of 2. Each symbol begins and ends without a position.
"""

from dataclasses import dataclass

import numpy as np

from kronos.candles import Array
from kronos.evaluation.results import Money, Trade
from kronos.evaluation.scores.resampling import bootstrap_ratio

THRESHOLDS = (0.55, 0.6)  # of P(up): long above, short below 1 − threshold


@dataclass(frozen=True, eq=False)
class Horizons:
    """What is known of N origins: at the end of their horizons, and when.

    median, up: the median log return and P(up). actual: the actual log return. symbols: their numbers. starts, ends:
    instants, int64 µs, of the last known and the last forecast candle.
    """

    median: Array
    up: Array
    actual: Array
    symbols: Array
    starts: Array
    ends: Array

    def __len__(self) -> int:
        return len(self.median)

    def take(self, indices: Array) -> "Horizons":
        """Return the origins at some indices."""
        return Horizons(*(getattr(self, name)[indices] for name in self.__dataclass_fields__))


def measure_money(horizons: Horizons, costs_bp: float, confidence: float) -> Money:
    """Return what the rules earn from origins whose horizons do not overlap."""
    used = horizons.take(select_disjoint(horizons))
    trades = [
        _measure_trade(rule, position, used, costs_bp / 1e4, confidence)
        for rule, position in build_positions(used).items()
    ]
    return Money(costs_bp=costs_bp, n_origins=len(used), trades=tuple(trades))


def select_disjoint(horizons: Horizons) -> Array:
    """Return the indices of origins whose horizons do not overlap within a symbol, by symbol and in order of time.

    A horizon may begin with the last candle of the one before. The first of each symbol is used.
    """
    chosen: list[int] = []
    last: tuple[int, int] | None = None  # symbol, end
    for i in np.lexsort((horizons.starts, horizons.symbols)).tolist():
        symbol, start = int(horizons.symbols[i]), int(horizons.starts[i])
        if last is None or symbol != last[0] or start >= last[1]:
            chosen.append(i)
            last = symbol, int(horizons.ends[i])
    return np.array(chosen, np.int64)


def build_positions(horizons: Horizons) -> dict[str, Array]:
    """Return the positions (N,) by rule: the sign of the median, P(up) beyond a threshold, and always long."""
    positions = {"median": np.sign(horizons.median)}
    for threshold in THRESHOLDS:
        up, down = horizons.up > threshold, horizons.up < 1 - threshold
        positions[f"up_{100 * threshold:.0f}"] = up.astype(float) - down.astype(float)
    return positions | {"long_only": np.ones(len(horizons))}


def find_changes(positions: Array, symbols: Array) -> Array:
    """Return the absolute change of position (N,) that each origin pays for.

    The first origin of a symbol pays for the entry. The last one pays for the exit too.
    """
    first = np.append(True, symbols[1:] != symbols[:-1])
    last = np.append(first[1:], True)
    before = np.where(first, 0.0, np.roll(positions, 1))
    changes: Array = np.abs(positions - before) + np.where(last, np.abs(positions), 0.0)
    return changes


def _measure_trade(rule: str, positions: Array, used: Horizons, cost: float, confidence: float) -> Trade:
    changes = find_changes(positions, used.symbols)
    net = positions * used.actual - cost * changes
    low, high = bootstrap_ratio(net[:, np.newaxis], np.ones((len(net), 1)), used.starts, used.ends, confidence)
    return Trade(
        rule=rule,
        mean=float(net.mean()),
        low=low,
        high=high,
        turnover=float(changes.mean()),
        in_market=float((positions != 0).mean()),
        n_trades=int((changes > 0).sum()),
    )
