"""The bench of fine-tuning recipes in small: its figures are right, and a rerun continues."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from benchmarks import recipes
from benchmarks.known_markets import HORIZON, LOOKBACK, TARGETS, Origins, compute_skill, draw_origins
from benchmarks.recipe_list import RECIPES
from benchmarks.recipes import Settings, main, read_results, summarise
from kronos.model import PRESETS, Kronos, KronosTokenizer

TARGET = "season, short"


def draw_normals(n_origins: int, n: int, mean: float, width: float, seed: int) -> np.ndarray:
    return mean + width * np.random.default_rng(seed).standard_normal((n_origins, n, HORIZON))


def test_the_expected_crps_of_a_gaussian_is_its_closed_form() -> None:
    unit = np.ones((400, 1))
    empty = np.empty(0)
    origins = Origins(empty, empty, empty, unit, np.sort(draw_normals(400, 200, 0.0, 1.0, 1), axis=1))
    for mean, width in ((0.0, 1.0), (0.5, 1.0), (0.0, 2.0), (-0.3, 0.5)):
        # X − Y is normal with mean m and variance 1 + s²; E|X − X'| of a normal is 2 s / √π
        spread = np.hypot(1, width)
        apart = 2 * spread * norm.pdf(mean / spread) + mean * (2 * norm.cdf(mean / spread) - 1)
        expected = (apart - width / np.sqrt(np.pi)) * np.mean(1 / np.sqrt(np.arange(1, HORIZON + 1)))
        crps = origins.measure(draw_normals(400, 20, mean, width, 2))
        assert crps.mean() == pytest.approx(expected, abs=4 * crps.std() / 20)
    assert origins.measure_oracle().mean() == pytest.approx(
        np.mean(1 / np.sqrt(np.pi * np.arange(1, HORIZON + 1))), rel=0.01
    )


def test_nobody_beats_the_oracle_and_the_season_is_worth_knowing() -> None:
    origins = draw_origins(TARGETS[TARGET], 160, 100, seed=3)
    oracle = origins.measure_oracle()
    walk = np.random.default_rng(0).standard_normal((160, 100, HORIZON)).cumsum(axis=2) * origins.unit[:, :, None]
    others = [origins.measure(draw) for draw in (walk, 0.7 * walk, 1.4 * walk, 0 * walk)]
    gains = [compute_skill(oracle, other) for other in others]
    assert all(gain > 3 * error for gain, error in gains)
    assert gains[0][0] == pytest.approx(0.29, abs=0.08)
    assert origins.lookback.shape == (160, LOOKBACK, 6) and origins.future.shape == (160, HORIZON, 5)


def test_the_targets_are_what_the_table_says() -> None:
    for half in ("chosen on", "reported on"):
        own = [target for target in TARGETS.values() if target.half == half]
        assert len(own) == 12 and sum(target.predictable for target in own) == 6
        assert {len(target.markets) > 1 for target in own} == {True, False}
        assert {target.n_train for target in own} == {800, 2688}
    assert set(recipes.SCREENED) <= {name for name, target in TARGETS.items() if target.half == "chosen on"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings for an untrained model and few steps, origins and paths."""
    folder = tmp_path_factory.mktemp("untrained")
    KronosTokenizer.from_config(PRESETS["demo"].tokenizer, "demo").save_pretrained(folder / "tokenizer")
    Kronos.from_config(PRESETS["demo"].base_model, "demo").save_pretrained(folder / "basemodel")
    overrides = {"training.max_steps": 2, "training.eval_steps": 1, "data.val_windows": 8, "training.batch_size": 8}
    return Settings(str(folder / "tokenizer"), str(folder / "basemodel"), 8, 4, 8, overrides)


@pytest.mark.slow
def test_what_was_not_trained_gains_nothing(small: Settings) -> None:
    frozen = replace(small, overrides=small.overrides | {"training.predictor_learning_rate": 1e-30})
    run = recipes.run_one("full 1e-4, all", TARGET, 0, frozen)
    assert run["variants"]["kept"] == (0.0, 0.0)
    assert len(run["history"]) == 3 and {"step", "loss", "horizon_loss"} == run["history"][0].keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe", ["full 1e-3, origins", "lora 1e-3, horizon", "tokenizer only, decoder", "full 3e-4, horizon, replay"]
)
def test_a_recipe_is_run_by_the_engine_and_measured(small: Settings, recipe: str) -> None:
    run = recipes.run_one(recipe, TARGET, 0, small)
    assert run["variants"]["kept"] != (0.0, 0.0)
    assert np.isfinite([*run["variants"]["kept"], *run["oracle"]]).all()
    assert ("blended" in run["variants"]) == RECIPES[recipe].overrides.get("experiment.train_basemodel", True)


def test_a_rerun_continues(small: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    def run_one(recipe: str, target: str, seed: int, settings: Settings) -> dict:
        ran.append((recipe, target, seed))
        settings_dict = recipes.asdict(settings)
        variants = {"kept": (0.02 if TARGETS[target].predictable else -0.01, 0.001)}
        keys = {"recipe": recipe, "target": target, "seed": seed, "settings": settings_dict}
        return keys | {"seconds": 1.0, "oracle": (0.1, 0.0), "variants": variants}

    monkeypatch.setattr(recipes, "run_one", run_one)
    out = tmp_path / "results.jsonl"
    arguments = ["--recipes", "published", "gentle, all", "--out", str(out)]
    main([*arguments, "--screen", "--targets", "walk", "season"])
    assert len(ran) == 4
    main([*arguments, "--screen", "--targets", "walk, US*", "walk", "season"])
    assert len(ran) == len(set(ran)) == 2 * 3
    runs = list(read_results(out, Settings()).values())
    assert len(runs) == 6 and not read_results(out, small)
    row = summarise(runs, "kept")
    assert (row["n"], row["worse"], row["gain"], row["share"]) == (6, 4, pytest.approx(0.02), pytest.approx(0.2))
    assert row["interval"][0] < 4 / 6 < row["interval"][1] and row["worst"] == -0.01
    assert [json.loads(line)["seed"] for line in out.read_text().splitlines()] == [0] * 6
