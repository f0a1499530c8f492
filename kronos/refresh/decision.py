"""Whether a new run replaces the one that is in use."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Literal

from kronos.errors import DataError
from kronos.evaluation.results import FLATTERING, Evaluation
from kronos.evaluation.verdict import MIN_INDEPENDENT

METRIC, OLD = "crps", "pretrained"  # the new run starts from the old one's models
SEEN = set(FLATTERING)  # notes on held-out candles that one of both may have been trained on

Reason = Literal["not_worse", "worse", "unclear", "too_few", "unchanged"]


@dataclass(frozen=True)
class Decision:
    """The comparison of a new run with the old one.

    reason: not_worse: the interval of the skill lies above −margin, and the new run replaces the old one. worse: it lies
    below; unclear: it holds −margin; too_few: too few independent origins to tell; unchanged: the models are the same.
    skill, low, high: 1 − CRPS of the new run / CRPS of the old one, and its interval. n_origins: both forecast from.
    """

    reason: Reason
    margin: float
    skill: float
    low: float
    high: float
    n_origins: int
    n_independent: float
    confidence: float

    @property
    def replaces(self) -> bool:
        return self.reason == "not_worse"

    def to_json(self) -> dict[str, Any]:
        """Return plain values; unknown figures are None."""
        plain = {
            key: None if isinstance(each, float) and not isfinite(each) else each for key, each in asdict(self).items()
        }
        return plain | {"replaces": self.replaces}


def decide_replacement(evaluation: Evaluation, margin: float) -> Decision:
    """Decide by the CRPS on candles that neither run has seen: non-inferiority within a margin.

    The new run is not inferior if the whole confidence interval of its skill is above −margin (Piaggio et al. 2012, doi
    10.1001/jama.2012.87802, figure). The interval is that of the verdict.

    Raises:
        DataError: the old run was not forecast with, or may have been trained on the held-out candles.
    """
    found = [each for each in evaluation.comparisons if (each.baseline, each.metric) == (OLD, METRIC)]
    seen = [note.code for note in evaluation.notes if note.code in SEEN]
    if not found or seen or evaluation.split != "test":
        raise DataError(
            "the new run cannot be compared with the old one on candles that neither has seen. Give more candles after those of the old "
            "run, or a later data.train_end."
        )
    (comparison,) = found
    low, high = comparison.low, comparison.high
    reason: Reason = "unclear"
    if comparison.identical:
        reason = "unchanged"
    elif not comparison.n_independent >= MIN_INDEPENDENT or not (isfinite(low) and isfinite(high)):
        reason = "too_few"
    elif low > -margin:
        reason = "not_worse"
    elif high < -margin:
        reason = "worse"
    figures = margin, comparison.skill, low, high
    return Decision(reason, *figures, comparison.n_origins, comparison.n_independent, evaluation.confidence)
