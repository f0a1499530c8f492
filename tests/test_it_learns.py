"""The whole pipeline, as the command runs it: it learns what can be learnt from candles, and says so; and finds nothing in chance."""

import subprocess
import sys
from pathlib import Path

import pytest
from accelerate import PartialState

from kronos import load_config
from kronos.data import load_candles, split_candles
from kronos.evaluation.forecasters.naive import NAIVE_FORECASTERS
from kronos.evaluation.origins.held_out import choose_held_out
from kronos.evaluation.origins.walk_forward import WalkForward
from kronos.evaluation.results import Comparison, Evaluation
from kronos.evaluation.scoring import score
from kronos.evaluation.skill import NAIVE_BASELINES
from kronos.evaluation.verdict import compare
from tests.conftest import GOLDEN, ROOT
from tests.evaluation.synthetic import Oracle, Process, autoregression, daily_season, random_walk

SIGMA = 0.002  # 20 basis points: what no forecast can know of one step
# The signal is far above what the tokenizer loses, 10 to 30 basis points of a price: steps of ± 46 that turn about, and
# a wave of ± 305 a day.
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


def judge_oracle(folder: Path, process: Process) -> dict[str, float]:
    """The skill against each naive baseline, on the run's own origins, of who knows the process."""
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
        name: compare("crps", name, own, losses, origins.starts, origins.ends, config.evaluation).skill
        for name, losses in zip(NAIVE_BASELINES, baselines)
    }


def check_learnt(folder: Path, found: dict[str, Comparison], process: Process, least: float) -> None:
    """It helped against every naive baseline, by at least a share of what the oracle does, and by no more than that."""
    best = judge_oracle(folder, process)
    shares = {name: found[name].skill / best[name] for name in NAIVE_BASELINES}
    print("".join(f"\n{name}: {found[name].skill:+.3f}, {shares[name]:.0%} of {best[name]:+.3f}" for name in shares))
    assert {name: found[name].outcome for name in NAIVE_BASELINES} == dict.fromkeys(NAIVE_BASELINES, "helped")
    assert least <= min(shares.values()) and max(shares.values()) < 1.05


def check_nothing_learnt(found: dict[str, Comparison]) -> None:
    """It did not help against the two baselines that of a random walk are the best there is, but for measuring its volatility."""
    print("".join(f"\n{name}: {each.skill:+.3f}, {each.outcome}" for name, each in found.items()))
    assert "helped" not in (found["volatility"].outcome, found["last_close"].outcome)


@pytest.mark.slow
def test_what_can_be_learnt_is_learnt(tmp_path: Path) -> None:
    """Of steps that turn about, the step before tells four fifths of the variance."""
    found = train(tmp_path, REVERTING, 0, 80, SMALLEST)
    check_learnt(tmp_path, found, REVERTING, least=0.6)


@pytest.mark.slow
def test_of_chance_nothing_is_learnt(tmp_path: Path) -> None:
    found = train(tmp_path, WALK, 0, 80, SMALLEST)
    check_nothing_learnt(found)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_other_seeds_learn_too(tmp_path: Path, seed: int) -> None:
    found = train(tmp_path, REVERTING, seed, 80, SMALLEST)
    check_learnt(tmp_path, found, REVERTING, least=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_demo_s_models_learn_a_season(tmp_path: Path, seed: int) -> None:
    """At least half of the optimum, whatever the candles and the first weights."""
    found = train(tmp_path, SEASON, seed, 60, DEMO)
    check_learnt(tmp_path, found, SEASON, least=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_demo_s_models_learn_nothing_of_chance(tmp_path: Path, seed: int) -> None:
    check_nothing_learnt(train(tmp_path, WALK, seed, 60, DEMO))
