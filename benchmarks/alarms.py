"""How often the alarms of a ledger come by chance, and how soon after a change: by simulation.

    python benchmarks/alarms.py [--runs 400] [--length 2000]

Each run is a series of independent forecasts with normal bands. "calm" returns are normal; "clusters" are those of a GARCH
process whose forecaster knows the mean volatility only, with bands that hold 90% on average. The mean time to a false
alarm is estimated as forecasts per alarm; a change comes after 500 good forecasts.
"""

import argparse

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import norm

from kronos.candles import Array
from kronos.ledger.alarms import COVERAGE_RANGE, FORECASTS_TO_A_FALSE_ALARM, WORSE, compute_wealth
from kronos.ledger.grading import compute_quantile_score
from kronos.ledger.records import SHARES

CHANGE = 500  # good forecasts before a change
WIDTHS = {"as wide as it should be": 1.0, "half as wide": 0.5, "a quarter as wide": 0.25, "twice as wide": 2.0}
LEVELS = ("too narrow", "too wide", "no skill")


def draw_scale(kind: str, n: int, rng: np.random.Generator) -> Array:
    """Return the standard deviations (n,) of returns: 1, or those of a GARCH(1, 1) process with the mean variance 1."""
    if kind == "calm":
        return np.ones(n)
    variance = np.ones(n)
    for t in range(1, n):
        variance[t] = 0.05 + 0.1 * variance[t - 1] * rng.normal() ** 2 + 0.85 * variance[t - 1]
    return np.sqrt(variance)


def measure_figures(actual: Array, width: Array) -> tuple[Array, Array]:
    """Return whether normal bands (n,) hold the returns (n,), and the model's share of its own and the baseline's error."""
    quantiles = norm.ppf(SHARES)[:, np.newaxis]
    own, other = compute_quantile_score(quantiles * width, actual), compute_quantile_score(quantiles, actual)
    covered = np.abs(actual) <= norm.ppf(0.95) * width
    return covered.astype(float), own / (own + other)


def find_wealth(covered: Array, worse: Array) -> dict[str, Array]:
    low, high = COVERAGE_RANGE
    figures = ((1 - covered, 1 - low), (covered, high), (worse, WORSE))
    return {name: compute_wealth(x, m) for name, (x, m) in zip(LEVELS, figures)}


def count_alarms(wealth: Array) -> int:
    """Return how often the alarm comes: it rises to the threshold, from below."""
    on = wealth >= FORECASTS_TO_A_FALSE_ALARM
    return int((on[1:] & ~on[:-1]).sum() + on[0])


def run_false(kind: str, runs: int, length: int) -> dict[str, str]:
    """Return the forecasts per false alarm of each kind."""
    counts = dict.fromkeys(LEVELS, 0)
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        scale = draw_scale(kind, length, rng)
        for name, wealth in find_wealth(*measure_figures(scale * rng.normal(size=length), np.ones(length))).items():
            counts[name] += count_alarms(wealth)
    total = runs * length
    return {name: f"{total / n:,.0f}" if n else f"none in {total:,}" for name, n in counts.items()}


def run_change(width: float, runs: int, length: int) -> dict[str, str]:
    """Return the median time from the change to each alarm, and how often it comes within the length."""
    times: dict[str, list[int]] = {name: [] for name in LEVELS}
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        widths = np.append(np.ones(CHANGE), np.full(length, width))
        for name, wealth in find_wealth(*measure_figures(rng.normal(size=CHANGE + length), widths)).items():
            on = np.flatnonzero(wealth[CHANGE:] >= FORECASTS_TO_A_FALSE_ALARM)
            times[name] += [int(on[0]) + 1] if len(on) else []
    return {name: f"{np.median(each):,.0f} ({len(each) / runs:.0%})" if each else "–" for name, each in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--length", type=int, default=2000)
    arguments = parser.parse_args()
    table = Table(title=f"{arguments.runs} runs of {arguments.length:,} forecasts")
    for head in ("", *LEVELS):
        table.add_column(head, justify="right" if head else "left")
    for kind in ("calm", "clusters"):
        found = run_false(kind, arguments.runs, arguments.length)
        table.add_row(f"forecasts per false alarm, {kind}", *found.values())
    for name, width in WIDTHS.items():
        if width != 1:
            found = run_change(width, arguments.runs, arguments.length)
            table.add_row(f"forecasts to the alarm, bands {name}", *found.values())
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
