"""How often the verdict is wrong where nothing can be known, and how often it finds a planted gain.

    python benchmarks/verdict.py [--replications 2000] [--processes 2] [--candles my.csv]

Markets and forecasters are in markets.py; each market is a null: nobody can know where its prices go. "Before" is the rule of the
first version: losses in returns, Diebold and Mariano's test and the interval, skill against the last close, drift and volatility
without knowing the volatility to come. Both rules judge the same forecasts. --candles adds real candles, shuffled by the day.
"""

import argparse
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import brentq, minimize_scalar
from tqdm import tqdm

from benchmarks.markets import (
    DAILY,
    HORIZON,
    LOOKBACK,
    MARKETS,
    OWN_PATHS,
    SLOTS,
    STRIDE,
    Sampler,
    Series,
    draw_series,
    load_days,
    shuffle_blocks,
)
from kronos.config.evaluation import EvaluationConfig
from kronos.evaluation.comparing import compare_all
from kronos.evaluation.scores.metrics import compute_crps, compute_direction_hits, compute_fair_absolute_error
from kronos.evaluation.scores.resampling import bootstrap_skill
from kronos.evaluation.scores.uncertainty import (
    LossSeries,
    build_loss_series,
    choose_lags,
    compute_p_value,
    compute_safe_p_value,
    compute_smallest_gain,
    count_overlaps,
)
from kronos.evaluation.skill import VOLATILITY_BASELINES, decide_skill
from kronos.evaluation.verdict import POWER, CaseTimes, compare_losses

Array = np.ndarray
PValues = tuple[float, float]  # before and now
SETTINGS = EvaluationConfig()
SIZES = (30, 100, 400)
LEVEL = 1 - SETTINGS.confidence
NOISE = 0.15  # how wrong the centre of a model is, in widths
NARROW = 0.7  # times the right width
POWER_MARKETS = ("random walk", "GARCH")
GAINS = (0.02, 0.05, 0.1, 0.15)  # of CRPS
BEFORE = ("last_close", "drift", "volatility")  # the baselines that skill was decided by
SHOWN = ("twin", "narrow", "wide", "constant", "ewma", "garch", "time of day", "always up")


class Scored:
    """The losses (N, H) of moves (N, P, H), each computed when it is first needed. moves: whether the median can move."""

    def __init__(self, paths: Array, series: Series, moves: bool = True) -> None:
        self.paths, self.actual, self.moves = paths, series.actual, moves
        self.unit = series.volatility[:, np.newaxis] * np.sqrt(np.arange(1, HORIZON + 1))

    @cached_property
    def raw(self) -> Array:
        """The CRPS that is not divided by volatility."""
        return compute_crps(self.paths, self.actual)

    @cached_property
    def crps(self) -> Array:
        return self.raw / self.unit

    @cached_property
    def losses(self) -> dict[str, Array]:
        """The losses by metric that a verdict compares."""
        point = self.paths if self.moves else np.zeros_like(self.paths[:, :2])
        error = compute_fair_absolute_error(point, self.actual) / self.unit
        return {"crps": self.crps, "mae": error, "direction": compute_direction_hits(point, self.actual)}


def find_times(series: Series) -> CaseTimes:
    starts = np.arange(len(series.past)) * STRIDE
    return CaseTimes(starts, starts + HORIZON, series.volatility)


def draw_judged(sampler: Sampler, widths: dict[str, float]) -> dict[str, tuple[Array, Array]]:
    """Return the forecasters to judge, each with a pretrained model that is exactly as good (moves (N, P, H))."""
    usual = sampler.series.volatility
    draws: dict[str, tuple[Callable[[], Array], Callable[[], Array]]] = {
        "twin": (partial(sampler.noisy, NOISE, OWN_PATHS),) * 2,
        "narrow": (
            partial(sampler.walk, widths["narrow"] * usual, OWN_PATHS),
            partial(sampler.walk, widths["wide"] * usual, OWN_PATHS),
        ),
        "ewma": (partial(sampler.ewma, OWN_PATHS),) * 2,
        "always up": (partial(sampler.always_up, OWN_PATHS),) * 2,
    }
    draws["wide"] = draws["narrow"][::-1]
    if "following" in widths:
        following = partial(sampler.walk, widths["following"] * usual, OWN_PATHS)
        draws["constant"] = (partial(sampler.walk, np.ones_like(usual), OWN_PATHS), following)
    if sampler.garch:
        draws["garch"] = (partial(sampler.simulate_garch, OWN_PATHS),) * 2
    if sampler.intraday:
        draws["time of day"] = (partial(sampler.time_of_day, OWN_PATHS),) * 2
    return {name: (own(), pretrained()) for name, (own, pretrained) in draws.items()}


def find_equal_widths(name: str) -> dict[str, float]:
    """Return widths in units of the lookback's volatility, by which two forecasts are exactly as good.

    right: the best width. narrow: NARROW times that, and wide: as good as narrow. following: as good as a constant width,
    where volatility changes; missing where a constant width is at least as good as the best.
    """
    series = draw_series(MARKETS[name], np.random.default_rng(0), 8000)
    usual, noise = (
        series.volatility,
        np.random.default_rng(1).standard_normal((8000, OWN_PATHS, HORIZON)).cumsum(axis=2),
    )

    def measure(width: Array) -> float:
        return float(Scored(noise * width[:, np.newaxis, np.newaxis], series).crps.mean())

    def find_wider(loss: float) -> float:
        return float(brentq(lambda factor: measure(factor * usual) - loss, right, 5 * right, xtol=1e-3))

    right = float(minimize_scalar(lambda factor: measure(factor * usual), bounds=(0.5, 1.5), options={"xatol": 0.01}).x)
    found = {"narrow": NARROW * right, "wide": find_wider(measure(NARROW * right * usual))}
    constant = measure(np.ones_like(usual))
    return found | ({"following": find_wider(constant)} if constant > 1.002 * measure(right * usual) else {})


def test(gains: Array, scales: Array, times: CaseTimes, compute: Callable[[LossSeries, int], float]) -> float:
    """Return the p-value of gains (N, H), negative if the mean gain is."""
    terms = build_loss_series(gains, scales, times.starts, times.ends, times.volatility)
    lags = choose_lags(terms.deviations, count_overlaps(terms.starts, terms.ends))
    return float(np.copysign(compute(terms, lags), terms.mean_gain))


def compute_now(terms: LossSeries, lags: int) -> float:
    """Return the p-value that the verdict rests on, or one that is too high anyway: it is never below Student's t."""
    p_value = compute_p_value(terms, lags)
    return p_value if p_value >= 2 * LEVEL else compute_safe_p_value(terms, lags)


def decide_before(p_value: float, own: Array, baseline: Array, times: CaseTimes) -> int:
    """Return 1, −1 or 0 by the first version's rule for losses (N, H): better, worse or neither."""
    if abs(p_value) >= LEVEL:
        return 0
    terms = build_loss_series(baseline - own, baseline, times.starts, times.ends)
    low, high = bootstrap_skill(terms, choose_lags(terms.deviations, 0), SETTINGS.confidence)
    return int(low[0] > 0) - int(high[0] < 0)


def is_better_before(own: Array, baseline: Array, times: CaseTimes) -> bool:
    p_value = test(baseline - own, baseline, times, compute_p_value)
    return p_value >= 0 and decide_before(p_value, own, baseline, times) > 0


def find_kind(own: Scored, baselines: dict[str, Scored], times: CaseTimes, n: int) -> str:
    """Return the kind of skill as the product finds it, or "none" if a single test already rules it out."""
    deciding = [baselines[name].crps[:n] for name in VOLATILITY_BASELINES if name in baselines]
    p_values = (test(each - own.crps[:n], each, times, compute_now) for each in deciding)
    if not all(0 <= p < LEVEL for p in p_values):
        return "none"
    losses = {name: {key: values[:n] for key, values in each.losses.items()} for name, each in baselines.items()}
    comparisons = compare_all({key: values[:n] for key, values in own.losses.items()}, losses, times, SETTINGS)
    return decide_skill(comparisons, "crps", SETTINGS.margin).kind


def judge_skill(own: Scored, baselines: dict[str, Scored], times: CaseTimes, n: int) -> Counter[str]:
    """Count what both rules say on skill from the first n origins."""
    kind = find_kind(own, baselines, times, n)
    before = all(is_better_before(own.raw[:n], baselines[name].raw[:n], times) for name in BEFORE)
    return Counter({"skill": kind in ("level", "width"), "level": kind == "level", "skill before": before})


def judge_tuning(own: Scored, pretrained: Scored, times: CaseTimes, n: int) -> tuple[Counter[str], PValues]:
    """Count what both rules say on fine-tuning from the first n origins; return the p-values for "helped" too."""
    own_raw, raw, own_crps, crps = own.raw[:n], pretrained.raw[:n], own.crps[:n], pretrained.crps[:n]
    p_before = test(raw - own_raw, raw, times, compute_p_value)
    p_value = test(crps - own_crps, crps, times, compute_now)
    before = decide_before(p_before, own_raw, raw, times)
    outcome = "neither"
    if abs(p_value) < LEVEL:  # else no interval is needed
        outcome = compare_losses("crps", "pretrained", own_crps, crps, times, SETTINGS).outcome
    verdicts = {"helped": outcome == "helped", "hurt": outcome == "hurt"}
    counts = Counter(verdicts | {"helped before": before > 0, "hurt before": before < 0, "n": 1})
    return counts, (p_before if p_before >= 0 else 2.0, p_value if p_value >= 0 else 2.0)


def run_null(name: str, widths: dict[str, float], seed: int) -> dict[tuple[str, int], tuple[Counter[str], PValues]]:
    """Judge all forecasters on one draw of a market, at each number of origins; also return the p-values for "helped"."""
    generator = np.random.default_rng([seed, list(MARKETS).index(name)])
    series = draw_series(MARKETS[name], generator, max(SIZES))
    sampler = Sampler(series, generator, intraday=name not in DAILY)
    baselines, times = score_baselines(sampler), find_times(series)
    judged = {key: [Scored(paths, series) for paths in pair] for key, pair in draw_judged(sampler, widths).items()}
    found = {}
    for key, (own, pretrained) in judged.items():
        for n in SIZES:
            counts, p_values = judge_tuning(own, pretrained, times[:n], n)
            found[key, n] = counts + judge_skill(own, baselines, times[:n], n), p_values
    return found


def score_baselines(sampler: Sampler) -> dict[str, Scored]:
    drawn = sampler.baselines().items()
    return {name: Scored(paths, sampler.series, moves=name in ("majority", "drift")) for name, paths in drawn}


def run_power(name: str, seed: int) -> dict[tuple[str, float, int], tuple[float, float, Counter[str]]]:
    """Judge planted gains: a pretrained model with a worse centre ("helped"), and a model that knows a part of the moves.

    Returns:
        By question, gain and number of origins: the p-values for "helped" by both rules (2 if worse), and what is found.
    """
    generator = np.random.default_rng([seed, 99, list(MARKETS).index(name)])
    series = draw_series(MARKETS[name], generator, max(SIZES))
    sampler = Sampler(series, generator, intraday=name not in DAILY)
    baselines, times, found = score_baselines(sampler), find_times(series), {}
    own = Scored(sampler.noisy(NOISE, OWN_PATHS), series)
    for gain in (0.0, *GAINS):
        pretrained = Scored(sampler.noisy(find_shift(gain), OWN_PATHS), series)
        knowing = Scored(foresee(sampler, gain), series)
        for n in SIZES:
            few = times[:n]
            found["helped", gain, n] = judge_gain(own, pretrained, few, n)
            found["skill", gain, n] = judge_skill(knowing, baselines, few, n)
    return found


def find_shift(gain: float) -> float:
    """Return how wrong the centre of a noisy forecast must be for a noisy one with NOISE to have a CRPS lower by a gain.

    A Gaussian forecast of the right width s whose centre is wrong by c s √h z has a CRPS proportional to √(2 (2 + c²)) − 1.
    """
    target = (np.sqrt(2 * (2 + NOISE**2)) - 1) / (1 - gain) + 1
    return float(np.sqrt(target**2 / 2 - 2))


def foresee(sampler: Sampler, gain: float) -> Array:
    """Return moves (N, P, H) of a model whose CRPS is lower by a gain, since it knows a part of the move to come."""
    known = 1 - (1 - gain) ** 2  # R²: the rest of the move is narrower by 1 − gain
    series, width = sampler.series, sampler.series.volatility
    noise = sampler.walk(width, 1)[:, 0]
    centre = known * series.actual + np.sqrt(known * (1 - known)) * noise
    return sampler.walk((1 - gain) * width, OWN_PATHS) + centre[:, np.newaxis]


def judge_gain(own: Scored, pretrained: Scored, times: CaseTimes, n: int) -> dict[str, Any]:
    """Return what both rules find, their p-values, the gain that was drawn and the smallest gain that could be shown."""
    gains, scales = pretrained.crps[:n] - own.crps[:n], pretrained.crps[:n]
    terms = build_loss_series(gains, scales, times.starts, times.ends, times.volatility)
    lags = choose_lags(terms.deviations, 0)
    counts, p_values = judge_tuning(own, pretrained, times, n)
    return dict(counts) | {
        "p": p_values,
        "gain": float(gains.sum() / scales.sum()),
        "smallest": compute_smallest_gain(terms, lags, SETTINGS.confidence, POWER),
    }


def print_nulls(console: Console, name: str, totals: dict[tuple[str, int], Counter[str]]) -> None:
    table = Table(title=f"{name}: false verdicts in percent (before → now)", title_justify="left")
    for head in ("forecaster", "origins", "helped", "hurt", "skill", "in level"):
        table.add_column(head, justify="left" if head == "forecaster" else "right")
    for key in SHOWN:
        for n in SIZES:
            if found := totals.get((key, n)):
                pairs = [
                    f"{100 * found[f'{what} before'] / found['n']:.1f} → {100 * found[what] / found['n']:.1f}"
                    for what in ("helped", "hurt", "skill")
                ]
                table.add_row(key if n == SIZES[0] else "", str(n), *pairs, f"{100 * found['level'] / found['n']:.1f}")
    console.print(table)


def find_limits(p_values: dict[tuple[str, int], list[PValues]]) -> dict[int, tuple[float, ...]]:
    """Return the p-values below which 2.5% of the worst null are, by number of origins, before and now.

    With these limits both rules say "helped" falsely equally often: their power can be compared.
    """
    limits = {}
    for n in SIZES:
        of_forecasters = [np.quantile(values, 0.025, axis=0) for (_, size), values in p_values.items() if size == n]
        limits[n] = tuple(np.min(of_forecasters, axis=0).tolist())
    return limits


def print_power(console: Console, name: str, runs: list[dict], limits: dict[int, tuple[float, ...]]) -> None:
    table = Table(title=f"{name}: planted gains found, in percent (before → now)", title_justify="left")
    for head in (
        "origins",
        "gain",
        "helped",
        "at equal size",
        "smallest gain",
        "gain over baselines",
        "skill",
        "in level",
    ):
        table.add_column(head, justify="right")
    for n in SIZES:
        for gain in (0.0, *GAINS):
            tuned, skilled = ([run[question, gain, n] for run in runs] for question in ("helped", "skill"))

            def share(cells: list, key: str) -> float:
                return 100 * float(np.mean([cell.get(key, 0) for cell in cells]))

            equal = [100 * np.mean([cell["p"][i] <= limit for cell in tuned]) for i, limit in enumerate(limits[n])]
            table.add_row(
                str(n) if gain == 0 else "",
                f"{100 * np.mean([cell['gain'] for cell in tuned]):.1f}",
                f"{share(tuned, 'helped before'):.1f} → {share(tuned, 'helped'):.1f}",
                f"{equal[0]:.1f} → {equal[1]:.1f}",
                f"{100 * np.median([cell['smallest'] for cell in tuned]):.1f}",
                f"{100 * gain:.0f}",
                f"{share(skilled, 'skill before'):.1f} → {share(skilled, 'skill'):.1f}",
                f"{share(skilled, 'level'):.1f}",
            )
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--replications", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--markets", nargs="+", default=None, help="only these")
    parser.add_argument("--candles", type=Path, help="candles to shuffle by the day, as one more market")
    parser.add_argument("--power-replications", type=int, default=500, help="of the power curves; 0: none")
    arguments = parser.parse_args()
    if arguments.candles:
        MARKETS[f"shuffled {arguments.candles.stem}"] = shuffle_blocks(load_days(arguments.candles), SLOTS)
    console, seeds = Console(width=120), range(arguments.replications)
    console.print(
        f"{arguments.replications} replications, lookback {LOOKBACK}, horizon {HORIZON}, an origin every {STRIDE} candles, "
        f"confidence {SETTINGS.confidence:.0%}, margin {SETTINGS.margin:.0%}"
    )
    with ProcessPoolExecutor(arguments.processes) as pool:
        for name in arguments.markets or MARKETS:
            totals: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
            p_values: dict[tuple[str, int], list[PValues]] = defaultdict(list)
            run = partial(run_null, name, find_equal_widths(name))
            for found in tqdm(pool.map(run, seeds, chunksize=4), total=len(seeds), desc=name, disable=None):
                for key, (counts, values) in found.items():
                    totals[key] += counts
                    p_values[key].append(values)
            print_nulls(console, name, totals)
            few = range(arguments.power_replications if name in POWER_MARKETS else 0)
            if few:
                powers = pool.map(partial(run_power, name), few, chunksize=4)
                runs = list(tqdm(powers, total=len(few), desc=name, disable=None))
                print_power(console, name, runs, find_limits(p_values))


if __name__ == "__main__":
    main()
