"""Choose what to do after a verdict, from its figures. kronos/report/words has the sentences (`next`)."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from kronos.config import Config
from kronos.evaluation.records import LEVELS, Note
from kronos.evaluation.results import FLATTERING, Comparison, Evaluation
from kronos.evaluation.skill import Skill, find_skill
from kronos.stage_record import StageRecord

MAX_STEPS = 3
RATE_FACTOR = 4  # by which a learning rate is lowered
EARLY = 0.25  # share of the training: a best model before it means that the rest of the training only fitted noise
SKILLED = ("level", "width")
UNSKILLED = ("small", "none", "worse")


@dataclass(frozen=True)
class TrainingFacts:
    """How the base model was trained.

    improved: whether validation improved on the model before training, alone or blended with it. best_share: the share of
    the training after which the model was best. partial: whether only a part of the weights was trained (LoRA or frozen parts).
    """

    learning_rate: float
    improved: bool
    best_share: float
    partial: bool
    loss_on: str = "horizon"

    @classmethod
    def of(cls, config: Config, record: StageRecord | None) -> TrainingFacts | None:
        """Return the facts of a run; None if its base model was not trained here."""
        if record is None or record.best_step is None or not record.steps:
            return None
        partial = config.training.lora is not None or bool(config.training.freeze_basemodel)
        rate = config.training.predictor_learning_rate
        best_share = record.best_step / record.steps if record.improved else 1.0
        improved = record.improved or bool(record.blend)
        return cls(rate, improved, best_share, partial, config.training.loss_on)


def choose_next_steps(evaluation: Evaluation, training: TrainingFacts | None, command: str) -> tuple[Note, ...]:
    """Return up to MAX_STEPS things to do next, the most useful first.

    Args:
        training: of the run; None for models that were not trained here.
        command: judges new candles alone.
    """
    chosen = [each for each in evaluation.comparisons if each.metric == evaluation.metric]
    pretrained = next((each for each in chosen if each.baseline == "pretrained"), None)
    skill = find_skill(evaluation)
    steps = [
        *_judge_elsewhere(evaluation, command),
        *_get_data(evaluation, pretrained, skill),
        *_train_on_the_horizon(evaluation, training),
        *_train_otherwise(pretrained, training),
        *_use_or_stop(evaluation, pretrained, skill, command),
        *_calibrate(evaluation),
    ]
    return tuple(steps[:MAX_STEPS])


def _judge_elsewhere(evaluation: Evaluation, command: str) -> list[Note]:
    """The figures look too good if the candles helped to choose or to train the model."""
    if evaluation.split == "val":
        return [Note(code="judge_later", values={"command": command})]
    flattered = any(note.code in FLATTERING for note in evaluation.notes)
    return [Note(code="judge_unseen", values={"command": command})] if flattered else []


def _get_data(evaluation: Evaluation, pretrained: Comparison | None, skill: Skill) -> list[Note]:
    """A question of the headline is open: was fine-tuning useful, and is there skill?"""
    outcome = pretrained.outcome if pretrained else None
    no_skill_shown = skill.kind == "too_little_data" and outcome != "hurt"
    if outcome != "too little data to tell" and not no_skill_shown:
        return []
    evidence = evaluation.evidence
    decisive = pretrained if outcome == "too little data to tell" else skill.comparison
    n_used = decisive.n_independent if decisive else 0.0
    if (
        evidence is None
        or evidence.n_origins is None
        or evidence.n_candles is None
        or evidence.days is None
        or evidence.n_origins <= n_used  # it would prove a gain of 5%, but the one that is open is smaller
    ):
        return [Note(code="more_data")]
    values = {"n": evidence.n_origins, "n_candles": evidence.n_candles, "days": evidence.days, "gain": evidence.gain}
    return [Note(code="more_candles", values=values)]


def _train_on_the_horizon(evaluation: Evaluation, training: TrainingFacts | None) -> list[Note]:
    """The loss at the lookback's positions teaches trends that are not there."""
    invents = bool(evaluation.invented_drift) and evaluation.invented_drift[0].outcome == "drift"
    if training is None or training.loss_on in ("horizon", "origins") or not invents:
        return []
    return [Note(code="loss_on_horizon", values={"share": evaluation.invented_drift[0].drift.overall})]


def _train_otherwise(pretrained: Comparison | None, training: TrainingFacts | None) -> list[Note]:
    """Lower rates, fewer weights or a smaller model, if training made things worse or fitted noise."""
    if training is None:
        return []
    hurt = pretrained is not None and pretrained.outcome == "hurt"
    rates = {"rate": training.learning_rate, "lower": training.learning_rate / RATE_FACTOR}
    steps = []
    if not training.improved:
        steps.append(Note(code="nothing_learned", values=rates))
    elif hurt:
        steps.append(Note(code="lower_rate", values=rates))
    overfits = training.improved and training.best_share <= EARLY
    if overfits:
        steps.append(Note(code="smaller_model", values={"share": training.best_share}))
    elif hurt and not training.partial:
        steps.append(Note(code="fewer_weights"))
    return steps


def _use_or_stop(evaluation: Evaluation, pretrained: Comparison | None, skill: Skill, command: str) -> list[Note]:
    """Say which forecast to use: the model's, the pretrained model's, a simple one, or none yet."""
    outcome = pretrained.outcome if pretrained else None
    baseline = {"baseline": skill.comparison.baseline} if skill.comparison else {}
    if skill.kind in ("unproven", "no_baseline"):
        return [Note(code="compare_more")]
    if skill.kind in UNSKILLED:
        if evaluation.kind == "model":
            return [Note(code="fine_tune", values=baseline)]
        return [Note(code="stop_here" if outcome in (None, "no difference") else "use_baseline", values=baseline)]
    if skill.kind not in SKILLED:
        return []
    steps = [Note(code="use_bands")] if skill.kind == "width" else []
    if outcome in ("no difference", "hurt"):
        return [Note(code="keep_pretrained"), *steps]
    if outcome == "too little data to tell":
        return steps
    return [Note(code="judge_new", values={"command": command}), *steps]


def _calibrate(evaluation: Evaluation) -> list[Note]:
    """The bands hold a share of the actual closes that is shown to differ from what they promise.

    Bands of fewer paths than 2 / α − 1 cannot hold what they promise.
    """
    if evaluation.calibration is not None or not evaluation.forecasters:
        return []
    for level in (each for each in reversed(LEVELS) if (evaluation.n_paths + 1) * (100 - each) >= 200):
        found = evaluation.forecasters[0].log_return.get(f"coverage_{level}")
        if found and isfinite(found.low + found.high) and not found.low <= level / 100 <= found.high:
            code = "calibrate_narrow" if found.overall < level / 100 else "calibrate_wide"
            return [Note(code=code, values={"level": level, "share": found.overall})]
    return []
