"""Which runs may be compared, and which is best at what."""

import math
from pathlib import Path
from typing import Any

import pytest

from kronos.errors import ConfigError
from kronos.evaluation.results import FORMAT
from kronos.evaluation.runs.compare import (
    CONDITIONS,
    EvaluatedRun,
    compare_runs,
    find_best,
    find_differences,
    find_goal,
    find_older,
    flatten_settings,
)
from tests.evaluation.made_evaluation import FIGURES, make_comparison, make_evaluation, make_forecaster


def make_run(name: str = "a", settings: dict[str, Any] | None = None, **changes: Any) -> EvaluatedRun:
    return EvaluatedRun(name, Path(name), make_evaluation(**changes), settings)


OTHER: dict[str, Any] = {
    "format": 1,
    "candles": "data/other.csv",
    "split": "val",
    "interval": "1 day",
    "horizon": 4,
    "n_symbols": 2,
    "n_origins": 41,
    "first_origin": "2024-03-29 15:00",
    "last_origin": "2024-04-08 15:00",
    "stride": 3,
    "n_paths": 51,
}


@pytest.mark.parametrize("key", CONDITIONS)
def test_other_conditions_forbid_a_best(key: str) -> None:
    worse, better = make_run(figures={"crps": 0.002}), make_run(**{key: OTHER[key]})
    assert find_differences([worse, worse, better]) == {key: (*[getattr(worse.evaluation, key)] * 2, OTHER[key])}
    assert not any(row.best for row in compare_runs([worse, better]).metrics)
    assert any(row.best for row in compare_runs([worse, make_run()]).metrics)


def test_verdicts_of_an_earlier_format_are_named() -> None:
    new, old = make_run("new"), make_run("old", format=FORMAT - 1)
    newer = make_run("newer", format=FORMAT + 1)
    assert find_older([new, old]) == (old,) == find_older([old]) and find_older([new, newer]) == (new,)
    assert find_older([new, new]) == ()


def test_other_settings_of_sampling_do_not_forbid_it() -> None:
    assert not compare_runs([make_run(), make_run(temperature=0.5, seed=1, lookback=32)]).differences


def test_the_same_file_with_other_candles_shows_in_how_far_closes_moved() -> None:
    """Which any forecast's errors tell, of whatever lookback: here of moves of 0.002 and, then, of 0.0021."""

    def run(rmse: float, moved: float, **changes: Any) -> EvaluatedRun:
        return make_run(figures={"rmse": rmse, "r2_os": 1 - (rmse / moved) ** 2}, **changes)

    differences = find_differences([run(0.0016, 0.002), run(0.0017, 0.0021)])
    assert list(differences) == ["closes"] and differences["closes"] == pytest.approx((0.002, 0.0021))
    other_baseline = [make_forecaster("finetuned", FIGURES | {"rmse": 0.0016, "r2_os": 0.36})]
    assert not find_differences([run(0.0017, 0.002, lookback=32), make_run(forecasters=other_baseline)])
    assert not find_differences([run(0.0016, 0.002), make_run()])


@pytest.mark.parametrize(
    ("figures", "goal", "best"),
    [
        ((0.3, 0.1, 0.2), "lower", {1}),
        ((0.3, 0.1, 0.2), "higher", {0}),
        ((0.7, 0.85, 0.95), 0.8, {1}),
        ((0.1, 0.1, 0.2), "lower", {0, 1}),
        ((0.1, 0.1), "lower", set()),
        ((0.1,), "lower", set()),
        ((0.1, math.nan), "lower", set()),
        ((math.nan, 0.2, 0.1), "lower", {2}),
        ((math.nan, math.nan), "lower", set()),
        ((0.3, 0.1), None, set()),
    ],
)
def test_find_best(figures: tuple[float, ...], goal: Any, best: set[int]) -> None:
    assert find_best(figures, goal) == best


def test_goals() -> None:
    assert [find_goal(metric) for metric in ("crps", "rmse", "wql")] == ["lower"] * 3
    assert [find_goal(metric) for metric in ("direction", "ic", "rank_ic", "r2_os")] == ["higher"] * 4
    assert find_goal("coverage_80") == 0.8
    assert find_goal("width_80") is None and find_goal("of the future") is None


def test_rows() -> None:
    runs = [make_run(), make_run("b", figures={"ic": 0.1, "mae": 0.001})]

    def rows(*names: str, everything: bool = False) -> list[tuple[str, str]]:
        return [(row.units, row.metric) for row in compare_runs(runs, names, everything).metrics]

    own = [("log_return", name) for name in ("crps", "mae", "direction", "ic", "coverage_80")]
    assert rows() == own
    assert rows(everything=True) == [*own, ("price", "crps"), ("price", "mae")]
    assert rows("mae", "crps") == [("log_return", "mae"), ("log_return", "crps")]
    assert rows("mae", everything=True) == [("log_return", "mae"), ("price", "mae")]
    by_name = {row.metric: row for row in compare_runs(runs).metrics}
    assert by_name["mae"].best == {1} and by_name["crps"].best == set() == by_name["ic"].best
    assert math.isnan(by_name["ic"].figures[0])
    with pytest.raises(ConfigError, match=r"--metric rmae: .*there are crps, mae"):
        rows("rmae")
    with pytest.raises(ConfigError, match=r"there are crps, mae, direction, ic, coverage_80\."):
        rows("zzz")


def test_a_metric_of_prices_alone_needs_no_more_than_its_name() -> None:
    forecaster = make_forecaster("finetuned", FIGURES, {"mape": 0.01})
    (row,) = compare_runs([make_run(forecasters=[forecaster])], ["mape"]).metrics
    assert (row.units, row.figures) == ("price", (0.01,))


def test_baselines() -> None:
    first = make_run(comparisons=[make_comparison("pretrained"), make_comparison("last_close", metric="mae")])
    second = make_run("b", comparisons=[make_comparison("lstm"), make_comparison("pretrained", baseline_figure=0.002)])
    compared = compare_runs([first, second])
    assert list(compared.baselines) == ["pretrained", "lstm"], "by the verdict's metric only"
    assert compared.baselines["lstm"][0] is None
    assert compared.other_baselines == ("pretrained",)
    assert compare_runs([first, first]).other_baselines == ()
    assert compare_runs([first, make_run(margin=0.1)]).settings == {"evaluation.margin": (0.05, 0.1)}


def test_settings_that_differ() -> None:
    nested = {"training": {"seed": 1, "lora": {"r": 8}, "eval_steps": None}, "model_paths": {"exp_name": "a"}}
    plain = {"training": {"seed": 1, "lora": None}, "model_paths": {"exp_name": "b"}, "evaluation": {"stride": 9}}
    first, second = (make_run(settings=flatten_settings(values)) for values in (nested, plain))
    assert compare_runs([first, second]).settings == {"training.lora.r": (8, None)}
    without = make_run(settings=None, temperature=0.5)
    assert compare_runs([first, without]).settings == {"report.temperature": (1.0, 0.5)}, (
        "what is not known differs not"
    )
    assert compare_runs([first]).settings == {}


def test_a_configuration_by_dotted_key() -> None:
    nested = {
        "data": {"data_path": ["a.csv"], "start": None},
        "training": {"lora": {"r": 8, "targets": []}, "extra": {}},
    }
    assert flatten_settings(nested) == {"data.data_path": ["a.csv"], "training.lora.r": 8, "training.lora.targets": []}
