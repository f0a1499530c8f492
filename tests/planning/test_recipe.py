"""Which recipe a dry run suggests."""

import pytest

from kronos.planning.recipe import suggest_recipe
from tests.planning.test_advice import configure, with_split


@pytest.mark.parametrize(
    ("n_val", "override", "name", "reason"),
    [
        (100, "training.seed=1", "safe", "pretrained"),
        (29, "training.seed=1", "safe", "little_validation"),
        (29, "experiment.pre_trained=false", "full", "from_scratch"),
    ],
)
def test_the_evidence_decides(n_val: int, override: str, name: str, reason: str) -> None:
    hint = suggest_recipe(configure(override), with_split("val", independent=n_val).splits)
    assert (hint.name, hint.reason, hint.train, hint.val) == (name, reason, 200, n_val)
