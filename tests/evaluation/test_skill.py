"""The naive baseline that decides on skill, and skill in the width alone."""

import math

import pytest

from kronos.evaluation.records import Note
from kronos.evaluation.skill import find_hardest, note_width
from tests.evaluation.made_evaluation import make_outcome

UNDECIDED = "too little data to tell"


@pytest.mark.parametrize(
    "outcomes, hardest",
    [
        ({"last_close": ("helped", 0.2), "volatility": ("helped", 0.03), "lstm": ("hurt", -0.2)}, "volatility"),
        (
            {"last_close": ("helped", 0.2), "volatility": ("no difference", 0.001), "drift": (UNDECIDED, -0.1)},
            "volatility",
        ),
        ({"last_close": ("helped", 0.2), "volatility": ("no difference", 0.001), "drift": ("hurt", -0.1)}, "drift"),
        ({"last_close": (UNDECIDED, 0.1), "drift": ("helped", 0.1)}, "last_close"),
        ({"last_close": ("no difference", 0.01), "drift": ("hurt", math.nan)}, "drift"),
        ({"pretrained": ("helped", 0.1), "lstm": ("helped", 0.1)}, None),
    ],
)
def test_the_hardest_naive_baseline(outcomes: dict[str, tuple[str, float]], hardest: str | None) -> None:
    found = find_hardest([make_outcome(name, *outcome) for name, outcome in outcomes.items()])
    assert (found.baseline if found else None) == hardest


def test_skill_in_the_width_alone_is_noted() -> None:
    """Even on a random walk with fat tails, a better estimate of volatility lowers the CRPS."""

    def note(metric: str, crps: str, **by_mae: str) -> list[Note]:
        found = [make_outcome(name, crps, 0.1) for name in by_mae] + [make_outcome("pretrained", "helped", 0.04)]
        errors = [make_outcome(name, outcome, 0.01, metric="mae") for name, outcome in by_mae.items()]
        return note_width([*found, *errors], metric)

    assert note("crps", "helped", last_close="helped", volatility=UNDECIDED) == [
        Note(code="skill_in_width", values={"baseline": "volatility"})
    ]
    assert not note("crps", "helped", last_close="helped", volatility="helped", drift="no difference")
    assert not note("crps", "no difference", last_close="no difference")
    assert not note("mae", "helped", last_close="no difference")
    assert not note("crps", "helped")
