"""metrics.json, also as earlier versions wrote it."""

import json
from pathlib import Path
from typing import Any

import pytest

from kronos.errors import CheckpointError
from kronos.evaluation.records import Note
from kronos.evaluation.results import Evaluation
from tests.evaluation.made_evaluation import make_evaluation, make_forecaster

TEXTS = {"en": "No test split.", "zh": "没有测试集。"}


def write_as_before(path: Path) -> None:
    """As version 1.0 wrote it: with rivals, and with texts in both languages instead of codes."""
    values: dict[str, Any] = json.loads(make_evaluation().model_dump_json())
    values |= {"headline": {"en": "It helped.", "zh": "有提升。"}, "notes": [TEXTS]}
    values["left_out"] = [{"rival": "lstm", "reason": TEXTS}]
    values["forecasters"][0]["label"] = {"en": "Fine-tuned model", "zh": "微调模型"}
    for each in values["comparisons"]:
        each |= {"rival": each.pop("baseline"), "rival_figure": each.pop("baseline_figure"), "sentence": TEXTS}
        each["n_missing"] = 800
        for name in ("p_adjusted", "smallest_gain", "by_symbol"):
            del each[name]
    for name in ("format", "evidence", "money"):
        del values[name]
    path.write_text(json.dumps(values))


def test_a_file_of_an_earlier_version(tmp_path: Path) -> None:
    write_as_before(tmp_path / "metrics.json")
    read, now = Evaluation.read(tmp_path / "metrics.json"), make_evaluation()
    assert [each.model_dump_json() for each in read.comparisons] == [each.model_dump_json() for each in now.comparisons]
    assert read.format == 1 and read.headline == "It helped."
    assert read.notes == [Note(code="text", texts=TEXTS)] == [read.left_out[0].reason]
    assert read.left_out[0].baseline == "lstm" and read.forecasters[0].label["en"] == "Fine-tuned model"


def test_what_is_written_is_read(tmp_path: Path) -> None:
    labelled = make_forecaster("mean_20", {}).model_copy(update={"label": {"en": "Mean of 20", "zh": "20 期均值"}})
    notes = [Note(code="over_budget", values={"n": 16, "n_usable": 35, "minutes": 0.5})]
    evaluation = make_evaluation(notes=notes, forecasters=[labelled])
    evaluation.write(tmp_path / "metrics.json")
    assert Evaluation.read(tmp_path / "metrics.json").model_dump_json() == evaluation.model_dump_json()


@pytest.mark.parametrize("text", ["", "{}", '{"run": 3', "\udcff"])
def test_a_damaged_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "metrics.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CheckpointError, match=r"metrics.json: damaged .* kronos evaluate writes it again"):
        Evaluation.read(path)
    path.unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        Evaluation.read(path)
