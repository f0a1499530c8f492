"""The model card that an evaluation leaves beside the best base model."""

from pathlib import Path

import pytest
import yaml

from kronos.config import load_config
from kronos.evaluation.records import Provenance
from kronos.model.stored.identity import ModelIdentity
from kronos.report.verdict.model_card import write_model_card
from kronos.report.words.answers import write_headline
from kronos.report.words.catalogue import Words
from kronos.run_folder import RunFolder
from kronos.stage_record import GLOBAL_BATCH, StageRecord
from tests.conftest import write_tiny_config
from tests.report.made_evaluation import make_evaluation

PROVENANCE = Provenance(
    tokenizer=ModelIdentity("/home/me/runs/one/tokenizer/best_model", None, "00"),
    base_model=ModelIdentity("/home/me/runs/one/basemodel/best_model", None, "11"),
    start_tokenizer=ModelIdentity("/home/me/models/own", None, "33"),
    start_base_model=ModelIdentity("NeoQuasar/Kronos-small", "c" * 40, "22"),
    candles="0123456789ab",
    train_candles="0123456789ab",
)


@pytest.mark.parametrize(
    "start, expected",
    [
        (None, {}),
        (PROVENANCE.start_base_model, {"license": "mit", "base_model": "NeoQuasar/Kronos-small"}),
        (ModelIdentity("somebody/kronos@main", "c" * 40, "22"), {"base_model": "somebody/kronos"}),
        (ModelIdentity("models/kronos", None, "22"), {}),
    ],
)
def test_metadata_and_verdict(tmp_path: Path, start: ModelIdentity | None, expected: dict[str, str]) -> None:
    config, evaluation = load_config(write_tiny_config(tmp_path)), make_evaluation(provenance=PROVENANCE)
    run = RunFolder(tmp_path / "run")
    run.basemodel.best_model.mkdir(parents=True)
    record = StageRecord(stage="basemodel", start_model=start, settings={GLOBAL_BATCH: 8})
    record.write(run.basemodel.path)
    write_model_card(run, config, evaluation)
    if "base_model" in expected:
        expected = expected | {"base_model_relation": "finetune"}
    _, header, text = (run.basemodel.best_model / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    metadata = yaml.safe_load(header)
    assert metadata.pop("library_name") == "kronos" and metadata.pop("tags") and metadata.pop("model-index")
    assert metadata.pop("pipeline_tag") == "time-series-forecasting" and metadata == expected
    assert write_headline(evaluation, Words("en")) in text and "/home/me" not in text
    assert "The 90% band held" in text and "not a promise of profit" in text
    assert (
        f"- Base model before training: NeoQuasar/Kronos-small, commit {'c' * 40}, SHA-256 of model.safetensors 22"
        in text
    )
    assert "- Tokenizer before training: own, SHA-256" in text and "- Candles of the training: 0123456789ab" in text


def test_a_verdict_of_an_earlier_version_has_no_provenance(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.basemodel.best_model.mkdir(parents=True)
    write_model_card(run, load_config(write_tiny_config(tmp_path)), make_evaluation())
    assert "SHA-256" not in (run.basemodel.best_model / "README.md").read_text(encoding="utf-8")
