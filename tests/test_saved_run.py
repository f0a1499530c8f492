import shutil
from pathlib import Path

import pytest

from kronos.cli.commands.train import train_command, train_tokenizer
from kronos.errors import CheckpointError, ConfigError
from kronos.forecast import KronosPredictor
from kronos.model.pretrained import hash_weights
from kronos.saved_run import check_published_pair, load_pair, load_run_config, load_saved_run
from tests.conftest import GOLDEN


@pytest.mark.slow
def test_a_run_that_was_moved(tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    train_command(tiny_config, ["report.n_origins=0"])
    before = load_saved_run(tmp_path / "runs" / "tiny")
    shutil.move(tmp_path / "runs" / "tiny", tmp_path / "moved")
    after = load_saved_run(tmp_path / "moved")
    assert hash_weights(after.tokenizer) == hash_weights(before.tokenizer)
    assert hash_weights(after.model) == hash_weights(before.model)


@pytest.mark.slow
def test_a_tokenizer_trained_anew_does_not_go_with_the_old_base_model(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    train_command(tiny_config, ["report.n_origins=0"])
    assert "trained with another tokenizer" not in capsys.readouterr().err
    train_tokenizer(tiny_config, ["training.tokenizer_learning_rate=0.02"])
    assert "the base model in" in (said := capsys.readouterr().err) and "trained with another tokenizer" in said
    with pytest.raises(CheckpointError, match="trained with another tokenizer"):
        load_saved_run(tmp_path / "runs" / "tiny")


def test_a_run_that_an_earlier_version_trained_with_fsdp(golden_run: Path) -> None:
    with (golden_run / "config.yaml").open("a", encoding="utf-8") as file:
        file.write("\ndistributed:\n  strategy: fsdp\n")
    assert load_run_config(golden_run).distributed.strategy == "ddp"


def test_no_run_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no run here"):
        load_saved_run(tmp_path)


@pytest.mark.parametrize(
    ("tokenizer", "model", "fits"),
    [
        ("NeoQuasar/Kronos-Tokenizer-base", "NeoQuasar/Kronos-mini", False),
        ("NeoQuasar/Kronos-Tokenizer-2k@main", "NeoQuasar/Kronos-small", False),
        ("nano", "NeoQuasar/Kronos-base", False),
        ("NeoQuasar/Kronos-Tokenizer-2k", "NeoQuasar/Kronos-mini@main", True),
        ("me/own-tokenizer", "NeoQuasar/Kronos-small", True),
        ("NeoQuasar/Kronos-Tokenizer-base", "me/kronos", True),
    ],
)
def test_published_models_that_do_not_belong_together(tokenizer: str, model: str, fits: bool) -> None:
    """All published models have 10 + 10 bits, so their shapes do not show it."""
    if fits:
        return check_published_pair(tokenizer, model)
    with pytest.raises(
        CheckpointError, match=r"would misread those of .*\. Give NeoQuasar/Kronos-Tokenizer-\w+ as the"
    ) as caught:
        check_published_pair(tokenizer, model)
    assert str(caught.value).startswith(f"{model}: this base model was trained on the tokens of")
    with pytest.raises(CheckpointError, match="would misread"):
        KronosPredictor.from_pretrained(model, tokenizer)


def test_folders_with_the_names_of_published_models(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folders = [tmp_path / name for name in ("Kronos-Tokenizer-base", "Kronos-mini")]
    for folder, source in zip(folders, ("tokenizer", "predictor")):
        shutil.copytree(GOLDEN / source, folder)
    with caplog.at_level("WARNING", "kronos.saved_run"):
        load_pair(str(folders[1]), str(folders[0]))
    assert "was trained on the tokens of NeoQuasar/Kronos-Tokenizer-2k" in caplog.text
