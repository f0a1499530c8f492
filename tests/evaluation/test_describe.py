"""What an evaluation notes about the run's base model."""

from pathlib import Path

import pytest

from kronos import load_config
from kronos.cli.output.ending import _describe_change
from kronos.evaluation.describe import describe_blend
from kronos.report.words.catalogue import Words
from kronos.report.words.sentences import write_note
from kronos.stage_record import StageRecord


@pytest.mark.parametrize(
    ("share", "note", "printed"),
    [
        (None, None, "improved: 2.00000 → 1.00000"),
        (0.75, "75% fine-tuned and 25% pretrained weights", "blended: 75% fine-tuned, 25% pretrained weights"),
        (1.0, "The base model is the fine-tuned one. ", "improved: 2.00000 → 1.00000"),
        (0.0, "The base model is the pretrained one: ", "blended: 0% fine-tuned"),
    ],
)
def test_a_blend_is_noted(tiny_config: Path, share: float | None, note: str | None, printed: str) -> None:
    config = load_config(tiny_config)
    folder = config.model_paths.run_folder.basemodel
    assert describe_blend(config) == []
    folder.path.mkdir(parents=True)
    record = StageRecord(
        stage="basemodel", start_loss=2.0, best_loss=1.0, best_step=3, blend=share, settings={"windows a step": 1}
    )
    record.write(folder.path)
    texts = [write_note(each, Words("en")) for each in describe_blend(config)]
    assert [note in text for text in texts] == [True] * (note is not None)
    assert printed in _describe_change(record, folder, Words("en"))
    not_improved = _describe_change(record.model_copy(update={"best_step": 0}), folder, Words("en"))
    assert ("training alone did not improve it; blended" in not_improved) is bool(share)
