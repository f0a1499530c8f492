import shutil
from pathlib import Path

import pytest

from kronos.cli.commands.train import train_command, train_tokenizer
from kronos.errors import CheckpointError, ConfigError
from kronos.model.pretrained import hash_weights
from kronos.saved_run import load_run_config, load_saved_run


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
