"""The evaluation tells the truth: of an oracle, whose skill is known exactly, and of a random walk, where there is none."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from accelerate import PartialState
from scipy.stats import binom

from kronos import load_config
from kronos.evaluation import comparing, evaluation
from kronos.evaluation.forecasters.naive import NAIVE_FORECASTERS
from kronos.evaluation.origins.held_out import HeldOut
from kronos.evaluation.origins.walk_forward import Origins
from kronos.evaluation.results import Comparison
from tests.evaluation.synthetic import Oracle, Process, autoregression, daily_season, load_frames, random_walk

SIGMA = 0.002
HORIZON = 5  # and no divisor of the day, so that origins one horizon apart come at all times of day
LOOKBACK = 240  # so long that a baseline's measured volatility is the true one but for 5 %, and its CRPS but for 0.1 %
N_DAYS = 20  # of 48 candles: 144 origins
N_FEW_DAYS = 6  # 9 origins
N_SEEDS = 100  # of the slow tests; benchmarks/verdict.py takes more
CONFIDENCE = 0.95
RARE = 1e-3  # how often chance alone fails a test
WALK = random_walk(SIGMA)
PREDICTABLE = {
    "trending": autoregression(SIGMA, 0.7),
    "reverting": autoregression(SIGMA, -0.7),
    "season": daily_season(SIGMA, SIGMA),
}
BASELINES = ("volatility", "blind")

Found = dict[str, list[Comparison]]
Judge = Callable[..., Found]


def compute_optima(process: Process) -> dict[str, float]:
    """The exact best skill over the whole horizon: against a random walk of the volatility that one has, and against the
    best of those who know nothing."""
    weights = 1 / np.sqrt(1 + np.arange(HORIZON))  # as the losses of each step are divided by what a walk moves
    best = weights @ process.optimal_crps(HORIZON)
    expected = {"volatility": process.random_walk_crps(HORIZON), "blind": process.blind_crps(HORIZON)}
    return {baseline: float(1 - best / (weights @ crps)) for baseline, crps in expected.items()}


@pytest.fixture
def judge(tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Evaluates an oracle as a run is, on the series of each of some seeds; returns its CRPS against each baseline's."""
    PartialState(cpu=True)
    monkeypatch.setattr(comparing, "COMPARED_BY", ())  # evaluation.metric alone, the CRPS

    def judge_one(process: Process, seed: int, n_days: int, baselines: Sequence[str]) -> list[Comparison]:
        folder = tmp_path / f"{seed}"
        candles = load_frames(folder, process.make_frame(seed, n_days))
        rows = np.arange(LOOKBACK - 1, len(candles) - HORIZON, HORIZON)
        origins = Origins(candles, rows, LOOKBACK, HORIZON)
        overrides = [
            "evaluation.margin=0.05",
            f"model_paths.base_path={folder}",
            f"evaluation.rivals=[{', '.join(baselines)}]",
        ]
        monkeypatch.setitem(NAIVE_FORECASTERS, "blind", Oracle(process, "nothing"))
        monkeypatch.setattr(evaluation, "SEED", seed)  # or all series would be forecast with the same draws
        held_out = HeldOut("test", origins, origins.take(rows[:0]), HORIZON)
        config = load_config(tiny_config, overrides)
        found = evaluation.evaluate_run(config, Oracle(process), held_out, None, {}, "test")
        assert found.n_origins == len(rows) and not found.left_out
        return found.comparisons

    def judge_all(process: Process, seeds: range, n_days: int = N_DAYS, baselines: Sequence[str] = BASELINES) -> Found:
        found = [judge_one(process, seed, n_days, baselines) for seed in seeds]
        return dict(zip(baselines, map(list, zip(*found))))

    return judge_all


def count_holding(found: Sequence[Comparison], skill: float) -> int:
    """How many intervals hold a skill."""
    return sum(each.low <= skill <= each.high for each in found)


def count_outcomes(found: Sequence[Comparison]) -> Counter[str]:
    return Counter(each.outcome for each in found)


def count_false(found: Sequence[Comparison]) -> int:
    """How many verdicts say that equals differ."""
    outcomes = count_outcomes(found)
    return outcomes["helped"] + outcomes["hurt"]


@pytest.mark.slow
@pytest.mark.parametrize("process", PREDICTABLE.values(), ids=PREDICTABLE)
def test_an_oracle_helps_by_exactly_what_can_be_known(judge: Judge, process: Process) -> None:
    optima = compute_optima(process)
    for baseline, found in judge(process, range(4)).items():
        assert set(count_outcomes(found)) == {"helped"}
        assert count_holding(found, optima[baseline]) >= binom.ppf(RARE, len(found), CONFIDENCE)
        assert all(each.high - each.low < optima[baseline] for each in found)  # or any skill would do


@pytest.mark.slow
def test_against_the_last_close_an_oracle_helps_as_much_as_against_volatility(judge: Judge) -> None:
    """Of a trending series: its steps, drawn again, are normal too."""
    process = PREDICTABLE["trending"]
    (found,) = judge(process, range(4), baselines=["last_close"]).values()
    assert set(count_outcomes(found)) == {"helped"}
    assert count_holding(found, compute_optima(process)["volatility"]) >= binom.ppf(RARE, len(found), CONFIDENCE)


def test_nobody_beats_a_random_walk(judge: Judge) -> None:
    """The oracle knows the volatility exactly, which is worth 0.05 %."""
    for found in judge(WALK, range(3)).values():
        assert count_false(found) <= binom.ppf(1 - RARE, len(found), 1 - CONFIDENCE)
        assert count_outcomes(found)["no difference"] > len(found) / 2
        assert count_holding(found, 0.0) >= binom.ppf(RARE, len(found), CONFIDENCE)


@pytest.mark.slow
@pytest.mark.parametrize("process", [WALK, PREDICTABLE["season"]], ids=["walk", "season"])
def test_a_few_origins_tell_nothing(judge: Judge, process: Process) -> None:
    for found in judge(process, range(3), N_FEW_DAYS).values():
        assert set(count_outcomes(found)) == {"too little data to tell"}


@pytest.mark.slow
@pytest.mark.parametrize("n_days", [8, N_DAYS])  # 28 origins and 144
def test_equals_are_told_apart_at_most_as_often_as_said(judge: Judge, n_days: int) -> None:
    least, most = binom.ppf(RARE, N_SEEDS, CONFIDENCE), binom.ppf(1 - RARE, N_SEEDS, 1 - CONFIDENCE)
    for baseline, found in judge(WALK, range(N_SEEDS), n_days).items():
        print(
            f"\n{baseline}, {found[0].n_origins} origins: {count_false(found)} of {N_SEEDS} say that equals differ, {most:.0f} may; "
            f"{count_holding(found, 0.0)} intervals hold 0, {least:.0f} must; {dict(count_outcomes(found))}"
        )
        assert count_false(found) <= most
        assert count_holding(found, 0.0) >= least


@pytest.mark.slow
@pytest.mark.parametrize("process", PREDICTABLE.values(), ids=PREDICTABLE)
def test_intervals_hold_the_optimum_as_often_as_said(judge: Judge, process: Process) -> None:
    optima, least = compute_optima(process), binom.ppf(RARE, N_SEEDS, CONFIDENCE)
    for baseline, found in judge(process, range(N_SEEDS)).items():
        held, mean = count_holding(found, optima[baseline]), np.mean([each.skill for each in found])
        print(
            f"\n{baseline}: {held} of {N_SEEDS} intervals hold {optima[baseline]:+.4f}, {least:.0f} must; mean skill {mean:+.4f}; "
            f"{dict(count_outcomes(found))}"
        )
        assert held >= least
        assert count_outcomes(found)["helped"] >= 0.9 * N_SEEDS and not count_outcomes(found)["hurt"]
