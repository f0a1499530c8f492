"""What to do after a verdict, chosen from its figures."""

from dataclasses import replace
from typing import Any

import pytest

from kronos.config import load_config
from kronos.evaluation.next_steps import MAX_STEPS, TrainingFacts, choose_next_steps
from kronos.evaluation.records import HorizonFigures, Note
from kronos.evaluation.results import Comparison, Evaluation, Evidence
from kronos.stage_record import StageRecord
from tests.conftest import write_tiny_config
from tests.evaluation.made_evaluation import make_comparison, make_evaluation, make_forecaster, make_outcome
from tests.report.made_evaluation import make_drift

UNDECIDED = "too little data to tell"
TRAINED = TrainingFacts(learning_rate=4e-5, improved=True, best_share=0.9, partial=False)
COMMAND = "kronos evaluate --run r --data new.csv"
WIDTH = [make_outcome("ewma", "helped", 0.06), make_outcome("ewma", UNDECIDED, 0.06, metric="mae")]
LEVEL = [make_outcome("ewma", "helped", 0.06), make_outcome("ewma", "helped", 0.06, metric="mae")]
NONE = [make_outcome("ewma", "no difference", 0.0)]
UNKNOWN = [make_outcome("ewma", UNDECIDED, 0.0)]


def choose(
    outcome: str | None, skill: list[Comparison], training: TrainingFacts | None = TRAINED, **changes: Any
) -> list[Note]:
    skills = {"helped": 0.06, "hurt": -0.06, "no difference": 0.0, UNDECIDED: 0.06}
    own = [make_outcome("pretrained", outcome, skills[outcome])] if outcome else []
    evaluation = make_evaluation(comparisons=[*own, *skill], **{"margin": 0.02} | changes)
    return list(choose_next_steps(evaluation, training, COMMAND))


def codes(*arguments: Any, **changes: Any) -> list[str]:
    return [each.code for each in choose(*arguments, **changes)]


def test_a_model_that_invents_trends_is_trained_on_the_horizon() -> None:
    invented = make_drift("finetuned", 0.5)
    everywhere = replace(TRAINED, loss_on="all")
    (step, *_) = choose("hurt", NONE, everywhere, invented_drift=(invented,))
    assert step == Note(code="loss_on_horizon", values={"share": invented.drift.overall})
    origins = replace(TRAINED, loss_on="origins")
    for training, drift in ((TRAINED, 0.5), (origins, 0.5), (everywhere, 0.05), (None, 0.5)):
        steps = codes("hurt", NONE, training, invented_drift=(make_drift("finetuned", drift),))
        assert "loss_on_horizon" not in steps
    assert "loss_on_horizon" not in codes("hurt", NONE, everywhere)  # not measured


@pytest.mark.parametrize(
    "outcome, skill, expected",
    [
        ("helped", LEVEL, ["judge_new"]),
        ("helped", WIDTH, ["judge_new", "use_bands"]),
        ("helped", NONE, ["use_baseline"]),
        ("helped", UNKNOWN, ["more_data"]),
        ("no difference", UNKNOWN, ["more_data"]),
        ("hurt", UNKNOWN, ["lower_rate", "fewer_weights"]),
        ("no difference", LEVEL, ["keep_pretrained"]),
        ("no difference", WIDTH, ["keep_pretrained", "use_bands"]),
        ("no difference", NONE, ["stop_here"]),
        ("hurt", NONE, ["lower_rate", "fewer_weights", "use_baseline"]),
        ("hurt", LEVEL, ["lower_rate", "fewer_weights", "keep_pretrained"]),
        (UNDECIDED, NONE, ["more_data", "use_baseline"]),
        (UNDECIDED, WIDTH, ["more_data", "use_bands"]),
        (None, LEVEL, ["judge_new"]),
        (None, NONE, ["stop_here"]),
        (None, UNKNOWN, ["more_data"]),
        ("helped", [], ["compare_more"]),
        ("helped", [make_outcome("drift", "helped", 0.1)], ["compare_more"]),
    ],
)
def test_by_outcome_and_skill(outcome: str | None, skill: list[Comparison], expected: list[str]) -> None:
    assert codes(outcome, skill) == expected


def test_how_the_model_was_trained_matters() -> None:
    stuck = TrainingFacts(4e-5, improved=False, best_share=0.0, partial=False)
    (first, *_) = choose("hurt", NONE, stuck)
    assert first == Note(code="nothing_learned", values={"rate": 4e-5, "lower": 1e-5})
    early = TrainingFacts(4e-5, improved=True, best_share=0.2, partial=False)
    assert codes("hurt", NONE, early)[:2] == ["lower_rate", "smaller_model"]
    assert codes("helped", LEVEL, early) == ["smaller_model", "judge_new"]
    partial = TrainingFacts(4e-5, improved=True, best_share=0.9, partial=True)
    assert codes("hurt", NONE, partial) == ["lower_rate", "use_baseline"]
    assert codes("hurt", NONE, None) == ["use_baseline"]


def test_a_model_without_a_run() -> None:
    assert codes(None, NONE, None, kind="model") == ["fine_tune"]
    assert codes(None, LEVEL, None, kind="model") == ["judge_new"]


def test_what_is_missing_in_candles_and_time() -> None:
    evidence = Evidence(baseline="pretrained", gain=0.05, n_origins=600, n_candles=28_800, days=912.0)
    (more, *_) = choose(UNDECIDED, UNKNOWN, evidence=evidence)
    assert more == Note(code="more_candles", values={"n": 600, "n_candles": 28_800, "days": 912.0, "gain": 0.05})
    few = evidence.model_copy(update={"n_origins": 3})
    assert codes(UNDECIDED, UNKNOWN, evidence=few) == ["more_data"], "it has more than these already"
    unknown = evidence.model_copy(update={"n_origins": None, "n_candles": None, "days": None})
    assert codes(UNDECIDED, UNKNOWN, evidence=unknown) == ["more_data"]


@pytest.mark.parametrize(
    "changes, code",
    [
        ({"split": "val"}, "judge_later"),
        ({"notes": [Note(code="on_seen")]}, "judge_unseen"),
        ({"notes": [Note(code="seen_before", values={"until": "2024-03-25 15:00"})]}, "judge_unseen"),
    ],
)
def test_figures_that_look_too_good_are_judged_elsewhere_first(changes: dict[str, Any], code: str) -> None:
    (first, *_) = choose("helped", LEVEL, **changes)
    assert first == Note(code=code, values={"command": COMMAND})


def with_coverage(overall: float, low: float, high: float) -> Evaluation:
    own = make_forecaster("finetuned", {})
    figures = HorizonFigures(overall=overall, by_horizon=(overall,) * 2, low=low, high=high)
    own = own.model_copy(update={"log_return": {"coverage_90": figures}})
    return make_evaluation(comparisons=NONE, forecasters=[own], margin=0.02)


@pytest.mark.parametrize(
    "coverage, expected",
    [
        ((0.73, 0.68, 0.79), ["calibrate_narrow"]),
        ((0.97, 0.94, 0.99), ["calibrate_wide"]),
        ((0.85, 0.78, 0.91), []),
        ((0.73, float("nan"), float("nan")), []),
    ],
)
def test_bands_that_are_shown_to_be_wrong_are_calibrated(
    coverage: tuple[float, float, float], expected: list[str]
) -> None:
    steps = choose_next_steps(with_coverage(*coverage), None, COMMAND)
    assert [each.code for each in steps][1:] == expected


def test_bands_of_few_paths_cannot_hold_what_they_promise() -> None:
    narrow = with_coverage(0.73, 0.68, 0.79)
    for n_paths, expected in ((18, []), (19, ["calibrate_narrow"])):
        steps = choose_next_steps(narrow.model_copy(update={"n_paths": n_paths}), None, COMMAND)
        assert [each.code for each in steps][1:] == expected


def test_at_most_three() -> None:
    evaluation = with_coverage(0.5, 0.4, 0.6).model_copy(update={"split": "val"})
    worse = [make_comparison("pretrained", outcome="hurt", skill=-0.1, low=-0.2, high=-0.05), *NONE]
    steps = choose_next_steps(evaluation.model_copy(update={"comparisons": worse}), TRAINED, COMMAND)
    assert len(steps) == MAX_STEPS and steps[0].code == "judge_later"


def test_facts_of_a_training(tmp_path: Any) -> None:
    config = load_config(write_tiny_config(tmp_path), ["training.predictor_learning_rate=2e-4"])
    record = StageRecord(stage="basemodel", steps=200, best_step=50, settings={})
    assert TrainingFacts.of(config, record) == TrainingFacts(2e-4, True, 0.25, False, "all")
    lora = config.override({"training.freeze_basemodel": ["embedding"]})
    facts = TrainingFacts.of(lora, record.model_copy(update={"best_step": 0}))
    assert facts is not None and facts.partial and not facts.improved
    assert (
        TrainingFacts.of(config, None) is TrainingFacts.of(config, StageRecord(stage="basemodel", settings={})) is None
    )
