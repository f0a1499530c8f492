"""What was measured of the models that make a forecast: the verdict in one line, and the coverage of the bands."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from kronos.errors import CheckpointError
from kronos.evaluation.records import HorizonFigures
from kronos.evaluation.results import FORMAT, Evaluation
from kronos.report.words.answers import write_answer, write_headline
from kronos.report.words.catalogue import Words
from kronos.run_folder import RunFolder
from kronos.urls import CandleSource

logger = logging.getLogger(__name__)

MODELS = ("tokenizer", "base model")  # keys of `describe_conditions`
LEVEL = "90"  # per cent: the band in the table of `kronos predict`

State = Literal["evaluated", "other_settings", "not_evaluated", "other_models", "older"]


@dataclass(frozen=True)
class VerdictSummary:
    """What is known of the models that make a forecast.

    state: other_settings: the models were evaluated with other settings of forecasts, so the measured coverage is not
        that of these bands. other_models: the evaluation in the run's folder is of other models, from before a training.
        older: it was written by an earlier version, whose verdicts follow other rules.
    evaluation: only with the states evaluated and other_settings.
    differences: the settings that differ. command: evaluates the models.
    """

    state: State
    command: str
    evaluation: Evaluation | None = None
    differences: tuple[str, ...] = ()

    def find_coverage(self, calibrated: bool) -> HorizonFigures | None:
        """Return the measured coverage of the 90% band; None if it is not known for these bands."""
        evaluation = self.evaluation
        if evaluation is None or self.state != "evaluated":
            return None
        if not calibrated:
            return evaluation.forecasters[0].log_return.get(f"coverage_{LEVEL}")
        return evaluation.calibration.after.coverage.get(LEVEL) if evaluation.calibration else None

    def write(self, calibrated: bool, words: Words) -> list[str]:
        """Return a line on the verdict and, if it is known, one on the coverage of the bands."""
        if self.evaluation is None:
            return [words(f"summary.{self.state}", command=self.command)]
        answer = words("verdict.space").join(write_answer(self.evaluation, words))
        lines = [words("summary.evaluated", answer=answer)]
        coverage = self.find_coverage(calibrated)
        if self.differences:
            lines.append(words("summary.other_settings", differences=", ".join(self.differences)))
        elif coverage and isfinite(coverage.overall):
            lines.append(write_coverage(coverage, self.evaluation.confidence, words))
        return lines

    def to_json(self, calibrated: bool) -> dict[str, Any]:
        """Return the same as plain values, for programs."""
        coverage = self.find_coverage(calibrated)
        figures = {"share": coverage.overall, "low": coverage.low, "high": coverage.high} if coverage else None
        return {
            "state": self.state,
            "headline": write_headline(self.evaluation, Words("en")) if self.evaluation else None,
            "coverage_90": {key: value if isfinite(value) else None for key, value in figures.items()}
            if figures
            else None,
            "differences": list(self.differences),
            "command": self.command,
        }


def summarize_run(run: RunFolder, conditions: Mapping[str, Any]) -> VerdictSummary:
    """Read the verdict on a run's own candles. A damaged file counts as none and is logged.

    Args:
        conditions: of the forecast, see `describe_conditions`.
    """
    command = f"kronos evaluate --run {shlex.quote(str(run.path))}"
    if not run.report.results.is_file():
        return VerdictSummary("not_evaluated", command)
    try:
        evaluation = Evaluation.read(run.report.results)
    except CheckpointError as error:
        logger.warning("%s", error)
        return VerdictSummary("not_evaluated", command)
    if evaluation.format < FORMAT or not evaluation.conditions:
        return VerdictSummary("older", command)
    differences = tuple(key for key, value in conditions.items() if evaluation.conditions.get(key) != value)
    if any(key in MODELS for key in differences):
        return VerdictSummary("other_models", command)
    return VerdictSummary("other_settings" if differences else "evaluated", command, evaluation, differences)


def summarize_models(tokenizer: str | None, model: str, data: CandleSource | None) -> VerdictSummary:
    """Return the summary of models that no run has trained.

    Args:
        tokenizer: None if it is the one that belongs to the model.
    """
    own = [] if tokenizer is None else ["--tokenizer", tokenizer]
    words = ["kronos", "evaluate", "--model", model, *own, "--data", str(data or "FILE.csv")]
    return VerdictSummary("not_evaluated", shlex.join(words))


def write_coverage(coverage: HorizonFigures, confidence: float, words: Words) -> str:
    """Return how often the 90% band held the actual closes."""
    share, low, high = (f"{100 * value:.0f}" for value in (coverage.overall, coverage.low, coverage.high))
    if not isfinite(coverage.low + coverage.high):
        return words("summary.coverage", level=LEVEL, share=share)
    values = {"level": LEVEL, "share": share, "low": low, "high": high, "confidence": f"{100 * confidence:g}"}
    return words("summary.coverage_interval", **values)
