"""The whole pipeline as the command runs it: it learns a signal in synthetic candles, and finds none in a random walk."""

import subprocess
import sys
from pathlib import Path

import pytest
from accelerate import PartialState

from kronos import load_config
from kronos.data import load_candles, split_candles
from kronos.evaluation.comparing import describe_times
from kronos.evaluation.forecasters.naive import NAIVE_FORECASTERS
from kronos.evaluation.origins.held_out import choose_held_out
from kronos.evaluation.origins.walk_forward import WalkForward
from kronos.evaluation.results import Comparison, Evaluation
from kronos.evaluation.scoring import score
from kronos.evaluation.verdict import compare_losses
from tests.conftest import GOLDEN, ROOT
from tests.evaluation.synthetic import Oracle, Process, autoregression, daily_season, random_walk

NAIVE_BASELINES = ("last_close", "drift", "volatility")
SIGMA = 0.002  # 20 basis points: the unpredictable part of one step
# The signals are far above the tokenizer's reconstruction error of 10 to 30 basis points: steps of ±46 that reverse, and
# a daily wave of ±305.
REVERTING = autoregression(SIGMA, -0.9)
SEASON = daily_season(SIGMA, 2 * SIGMA)
WALK = random_walk(SIGMA)

CONFIG = """
data:
  data_path: {folder}/candles.csv
  lookback_window: 48     # a day
  predict_window: 12
  max_context: 60
  train_ratio: 0.7
  val_ratio: 0.1
  test_ratio: 0.2
  cache_dir: {folder}/cache
training:
  batch_size: 32
  precision: fp32
  seed: {seed}
model_paths:
  exp_name: run
  base_path: {folder}
experiment:
  pre_trained: false
evaluation:
  rivals: [last_close, drift, seasonal_naive, volatility]
  n_paths: 30
report:
  n_origins: 0
"""
SMALLEST = [  # the architectures of the golden models, not their weights
    f"model_paths.pretrained_tokenizer={GOLDEN / 'tokenizer'}",
    f"model_paths.pretrained_predictor={GOLDEN / 'predictor'}",
    "training.tokenizer_learning_rate=0.005",
    "training.predictor_learning_rate=0.005",
    "training.tokenizer_epochs=1",
    "training.basemodel_epochs=2",
]
DEMO = [
    "model_paths.pretrained_tokenizer=demo",
    "model_paths.pretrained_predictor=demo",
    "training.tokenizer_learning_rate=0.002",
    "training.predictor_learning_rate=0.002",
    "training.tokenizer_epochs=3",
    "training.basemodel_epochs=3",
]


def train(folder: Path, process: Process, seed: int, n_days: int, settings: list[str]) -> dict[str, Comparison]:
    """Train both stages from scratch by the command; return the verdicts by CRPS that it left in metrics.json, by baseline."""
    process.make_frame(seed, n_days).to_csv(folder / "candles.csv", index=False)
    config = folder / "learn.yaml"
    config.write_text(CONFIG.format(folder=folder, seed=seed))
    command = [sys.executable, str(ROOT / "train_sequential.py"), "--config", str(config), *settings]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    evaluation = Evaluation.read(folder / "run" / "report" / "metrics.json")
    assert evaluation.headline in done.stdout
    return {each.baseline: each for each in evaluation.comparisons if each.metric == "crps"}


def measure_oracle(folder: Path, process: Process) -> dict[str, float]:
    """Return the skill of a forecaster that knows the process, against each naive baseline, on the run's own origins."""
    PartialState(cpu=True)
    config = load_config(folder / "run" / "config.yaml")
    candles, _ = load_candles(config.data, config.repairs)
    origins = choose_held_out(config, candles, split_candles(candles, config.data)).origins
    walk = WalkForward(folder / "oracle", config.evaluation.n_paths, seed=0)
    forecasters = [Oracle(process), *(NAIVE_FORECASTERS[name] for name in NAIVE_BASELINES)]
    for each in forecasters:
        walk.prepare(each, origins)
    own, *baselines = (score(each, walk.forecast(each, origins), origins).losses["crps"] for each in forecasters)
    return {
        name: compare_losses("crps", name, own, losses, describe_times(origins), config.evaluation).skill
        for name, losses in zip(NAIVE_BASELINES, baselines)
    }


def check_learnt(folder: Path, comparisons: dict[str, Comparison], process: Process, least: float) -> None:
    """It beat every naive baseline, by at least a share of the skill of the oracle, and by no more than all of it."""
    best = measure_oracle(folder, process)
    shares = {name: comparisons[name].skill / best[name] for name in NAIVE_BASELINES}
    print(
        "".join(f"\n{name}: {comparisons[name].skill:+.3f}, {shares[name]:.0%} of {best[name]:+.3f}" for name in shares)
    )
    assert {name: comparisons[name].outcome for name in NAIVE_BASELINES} == dict.fromkeys(NAIVE_BASELINES, "helped")
    assert least <= min(shares.values()) and max(shares.values()) < 1.05


def check_nothing_learnt(comparisons: dict[str, Comparison]) -> None:
    """It did not beat the last close and the random walk, which are the best forecasts of a random walk."""
    print("".join(f"\n{name}: {each.skill:+.3f}, {each.outcome}" for name, each in comparisons.items()))
    assert "helped" not in (comparisons["volatility"].outcome, comparisons["last_close"].outcome)


@pytest.mark.slow
def test_what_can_be_learnt_is_learnt(tmp_path: Path) -> None:
    """The previous step explains four fifths of the variance."""
    comparisons = train(tmp_path, REVERTING, 0, 80, SMALLEST)
    check_learnt(tmp_path, comparisons, REVERTING, least=0.6)


@pytest.mark.slow
def test_of_chance_nothing_is_learnt(tmp_path: Path) -> None:
    comparisons = train(tmp_path, WALK, 0, 80, SMALLEST)
    check_nothing_learnt(comparisons)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_other_seeds_learn_too(tmp_path: Path, seed: int) -> None:
    comparisons = train(tmp_path, REVERTING, seed, 80, SMALLEST)
    check_learnt(tmp_path, comparisons, REVERTING, least=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_demo_s_models_learn_a_season(tmp_path: Path, seed: int) -> None:
    """At least half of the optimum, whatever the candles and the first weights."""
    comparisons = train(tmp_path, SEASON, seed, 60, DEMO)
    check_learnt(tmp_path, comparisons, SEASON, least=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_demo_s_models_learn_nothing_of_chance(tmp_path: Path, seed: int) -> None:
    check_nothing_learnt(train(tmp_path, WALK, seed, 60, DEMO))
