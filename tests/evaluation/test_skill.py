"""Whether a model has skill: against the baselines that know volatility, by its level or by its width."""

import pytest

from kronos.evaluation.results import Comparison
from kronos.evaluation.skill import decide_skill, find_skill
from tests.evaluation.made_evaluation import make_evaluation, make_outcome

UNDECIDED = "too little data to tell"
BEATEN = {"time_of_day": "helped", "ewma": "helped", "volatility": "helped", "last_close": "helped"}


def make_row(outcomes: dict[str, str], metric: str = "crps") -> list[Comparison]:
    sizes = {"helped": 0.06, "hurt": -0.06, "no difference": 0.001, UNDECIDED: 0.01}
    return [make_outcome(name, outcome, sizes[outcome], metric=metric) for name, outcome in outcomes.items()]


@pytest.mark.parametrize(
    "crps, mae, kind, quoted",
    [
        (BEATEN, {"time_of_day": "helped"}, "level", "time_of_day"),
        (BEATEN, {"time_of_day": "helped", "majority": "helped"}, "level", "time_of_day"),
        (BEATEN, {"time_of_day": "helped", "majority": "no difference"}, "width", "time_of_day"),  # it knows the drift
        (BEATEN, {"time_of_day": UNDECIDED, "majority": "helped"}, "width", "time_of_day"),
        (BEATEN, {}, "width", "time_of_day"),
        (BEATEN | {"ewma": UNDECIDED}, {"ewma": "helped"}, "too_little_data", "ewma"),
        (BEATEN | {"ewma": "no difference", "last_close": "hurt"}, {}, "none", "ewma"),
        (BEATEN | {"time_of_day": "hurt", "ewma": UNDECIDED}, {}, "worse", "time_of_day"),
        (BEATEN | {"drift": "hurt", "seasonal_naive": "hurt", "lstm": "hurt"}, {}, "width", "time_of_day"),
        ({"ewma": "helped", "pretrained": "hurt"}, {"ewma": "helped"}, "level", "ewma"),
        ({"drift": "helped", "seasonal_naive": "helped"}, {}, "unproven", "drift"),
        ({"drift": UNDECIDED}, {}, "too_little_data", "drift"),
        ({"drift": "hurt"}, {}, "worse", "drift"),
        ({"drift": "no difference"}, {}, "none", "drift"),
        ({"pretrained": "helped", "lstm": "helped", "seasonal_naive": "helped"}, {}, "no_baseline", None),
    ],
)
def test_the_kinds_of_skill(crps: dict[str, str], mae: dict[str, str], kind: str, quoted: str | None) -> None:
    comparisons = make_row(crps) + make_row(mae, "mae")
    found = decide_skill(comparisons, "crps", 0.02)
    assert (found.kind, found.comparison and found.comparison.baseline) == (kind, quoted)
    evaluation = make_evaluation(comparisons=list(reversed(comparisons)), margin=0.02)
    assert find_skill(evaluation) == found  # in any order


def test_a_gain_below_the_margin_is_no_skill() -> None:
    small = make_outcome("ewma", "helped", 0.004)
    assert small.high < 0.02
    found = decide_skill([*make_row(BEATEN | {"ewma": "helped"})[:1], small], "crps", 0.02)
    assert (found.kind, found.comparison) == ("small", small)


@pytest.mark.parametrize("metric", ["mae", "direction"])
def test_by_the_median_the_majority_must_be_beaten(metric: str) -> None:
    """By the CRPS, the usual move of the past is no skill in level either."""
    row = {"majority": "no difference", "last_close": "helped"}
    found = decide_skill(make_row(row, metric), metric, 0.02)
    assert found.kind == "none" and found.comparison and found.comparison.baseline == "majority"
    assert decide_skill(make_row(row | {"majority": "helped"}, metric), metric, 0.02).kind == "level"
