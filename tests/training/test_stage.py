"""Both stages on tiny models, in this process."""

import itertools
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from kronos import Kronos, KronosTokenizer, load_config
from kronos.config import Config
from kronos.data import WindowDataset
from kronos.errors import CheckpointError, ConfigError, DataError, KronosError
from kronos.model.pretrained import hash_weights
from kronos.stage_record import StageRecord
from kronos.training import stage as stage_module
from kronos.training.inputs.tokens import draw_token_noise
from tests.conftest import GOLDEN
from tests.training.conftest import FinishedRun
from tests.training.runs import BOTH, Killed, equal, interrupt_at, read_figures, read_metrics, run, weights

SHORT = "training.max_steps=1"


def test_both_stages(finished: FinishedRun) -> None:
    result, run_dir = finished.result, finished.run_dir
    for name, model_class in (("tokenizer", KronosTokenizer), ("basemodel", Kronos)):
        record = result.records[name]
        assert record.finished and record.improved and record.best_loss < record.start_loss
        assert StageRecord.read(run_dir / name) == record
        model_class.from_pretrained(run_dir / name / "best_model")
        metrics = read_metrics(run_dir / name)
        losses = [line["loss"] for line in metrics if "loss" in line]
        assert len(losses) == record.steps and losses[-1] < losses[0]
        validations = {line["step"]: line["val_loss"] for line in metrics if "val_loss" in line}
        assert list(validations) == [0, record.steps // 2, record.steps]  # before the first step, and each epoch
        assert min(validations.values()) == record.best_loss == validations[record.best_step]
        assert {"learning_rate", "grad_norm", "elapsed_seconds", "memory_mb", "epoch"} <= metrics[1].keys()
    tokenizer = KronosTokenizer.from_pretrained(run_dir / "tokenizer" / "best_model")
    assert result.records["basemodel"].tokenizer_hash == hash_weights(tokenizer)
    assert load_config(run_dir / "config.yaml") == load_config(finished.config_path)


def test_upstream_s_reader_finds_the_files_it_wrote(finished: FinishedRun) -> None:
    """best_model carries the published names, shapes and types."""
    run_dir = finished.run_dir
    for name, golden in (("tokenizer", "tokenizer"), ("basemodel", "predictor")):
        published, ours = load_file(GOLDEN / golden / "model.safetensors"), weights(run_dir / name)
        assert {k: (v.shape, v.dtype) for k, v in published.items()} == {k: (v.shape, v.dtype) for k, v in ours.items()}
        config = json.loads((run_dir / name / "best_model" / "config.json").read_text())
        assert config == json.loads((GOLDEN / golden / "config.json").read_text())


@pytest.mark.slow
def test_a_stage_that_does_not_improve_keeps_the_untouched_model_and_says_so(
    tiny_config: Path, run_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="kronos"):
        run(tiny_config, "training.tokenizer_learning_rate=3.0", stages=["tokenizer"])
    record = StageRecord.read(run_dir / "tokenizer")
    assert record.finished and record.best_step == 0 and not record.improved
    assert equal(weights(run_dir / "tokenizer"), load_file(GOLDEN / "tokenizer" / "model.safetensors"))
    assert "did not improve" in caplog.text


def test_skip_existing_skips_finished_stages_only(
    tiny_config: Path, finished_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(finished_copy / "basemodel")
    trained = []
    train = stage_module._train
    monkeypatch.setattr(
        stage_module, "_train", lambda config, stage, *rest: trained.append(stage.name) or train(config, stage, *rest)
    )
    run(tiny_config, skip_existing=True)
    assert trained == ["basemodel"]
    run(tiny_config, skip_existing=True)
    assert trained == ["basemodel"]


@pytest.mark.slow
def test_skip_existing_does_not_trust_a_folder_without_a_record(tiny_config: Path, run_dir: Path) -> None:
    foreign = KronosTokenizer.from_pretrained(GOLDEN / "tokenizer")
    with torch.no_grad():
        foreign.head.bias += 1
    foreign.save_pretrained(run_dir / "tokenizer" / "best_model")
    run(tiny_config, stages=["tokenizer"], skip_existing=True)
    assert StageRecord.read(run_dir / "tokenizer").finished
    kept = KronosTokenizer.from_pretrained(run_dir / "tokenizer.previous" / "best_model")
    assert hash_weights(kept) == hash_weights(foreign)  # nothing already saved is lost


@pytest.mark.slow
def test_a_new_run_sets_the_old_one_aside(tiny_config: Path, run_dir: Path) -> None:
    for seed in (1, 2, 3):
        run(tiny_config, f"training.seed={seed}", stages=["tokenizer"])
    seeds = {
        name: StageRecord.read(run_dir / name).settings["training.seed"]
        for name in ("tokenizer", "tokenizer.previous", "tokenizer.previous-2")
    }
    assert seeds == {"tokenizer": 3, "tokenizer.previous": 1, "tokenizer.previous-2": 2}


@pytest.mark.slow
def test_a_finished_stage_whose_model_was_removed_is_trained_again(tiny_config: Path, finished_copy: Path) -> None:
    shutil.rmtree(finished_copy / "tokenizer" / "best_model")
    run(tiny_config, stages=["tokenizer"], skip_existing=True)
    KronosTokenizer.from_pretrained(finished_copy / "tokenizer" / "best_model")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "save_steps", "step"),  # save_steps 5: at the end of an epoch
    [
        ("basemodel", 2, 5),  # after the first epoch's checkpoint; test_trainer.py interrupts the tokenizer
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in itertools.product(BOTH, [None, 2, 5], [5, 7, 3])  # 3: before any checkpoint
            if case != ("basemodel", 2, 5)
        ),
    ],
)
def test_interrupted_equals_uninterrupted_bit_for_bit(
    tiny_config: Path, run_dir: Path, tmp_path: Path, monkeypatch, stage: str, save_steps: int | None, step: int
) -> None:
    """With dropout on, and in the middle of an epoch."""
    config = json.loads((GOLDEN / "predictor" / "config.json").read_text())
    (tmp_path / "dropped").mkdir()
    (tmp_path / "dropped" / "config.json").write_text(json.dumps(config | {"resid_dropout_p": 0.2}))
    (tmp_path / "dropped" / "model.safetensors").symlink_to(GOLDEN / "predictor" / "model.safetensors")
    overrides = [f"model_paths.pretrained_predictor={tmp_path / 'dropped'}", "training.batch_size=12"]
    overrides += [f"training.save_steps={save_steps}", "training.log_interval=3"] if save_steps else []
    overrides += ["data.windows_per_epoch=48", "data.balance_symbols=true"] if save_steps == 2 else []
    stages = [stage]
    run(tiny_config, *overrides, stages=stages)
    expected, expected_figures = weights(run_dir / stage), read_figures(run_dir / stage)
    (run_dir / stage).rename(tmp_path / "uninterrupted")
    with monkeypatch.context() as patched, pytest.raises(Killed):
        interrupt_at(patched, step)
        run(tiny_config, *overrides, stages=stages)
    assert not StageRecord.read(run_dir / stage).finished
    result = run(tiny_config, *overrides, stages=stages, skip_existing=True)
    assert equal(weights(run_dir / stage), expected)
    last = f"checkpoints/checkpoint-{result.records[stage].steps}/model.safetensors"
    assert equal(load_file(run_dir / stage / last), load_file(tmp_path / "uninterrupted" / last))
    assert read_figures(run_dir / stage) == expected_figures


@pytest.mark.slow
def test_resume_with_other_settings_is_refused(tiny_config: Path, run_dir: Path, monkeypatch) -> None:
    with monkeypatch.context() as patched, pytest.raises(Killed):
        interrupt_at(patched, 5)
        run(tiny_config, stages=["tokenizer"])
    before = weights(run_dir / "tokenizer")
    with pytest.raises(ConfigError, match=r"other settings \(training.tokenizer_learning_rate 0.01 → 0.02\)"):
        run(tiny_config, "training.tokenizer_learning_rate=0.02", stages=["tokenizer"], skip_existing=True)
    assert equal(weights(run_dir / "tokenizer"), before)
    with pytest.raises(ConfigError, match="windows a step 16 → 8"):
        run(tiny_config, "training.batch_size=8", stages=["tokenizer"], skip_existing=True)
    run(tiny_config, "training.log_interval=3", stages=["tokenizer"], skip_existing=True)  # changes nothing


def test_a_skipped_stage_with_other_settings_is_logged(
    tiny_config: Path, finished_copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="kronos"):
        run(tiny_config, "data.clip=4.0", stages=["tokenizer"], skip_existing=True)
    assert "trained with other settings (data.clip 5.0 → 4.0)" in caplog.text


@pytest.mark.slow
def test_a_base_model_of_another_tokenizer_is_trained_anew(tiny_config: Path, run_dir: Path) -> None:
    run(tiny_config)
    run(tiny_config, "training.tokenizer_learning_rate=0.02", stages=["tokenizer"])
    record = run(tiny_config, stages=["basemodel"], skip_existing=True).records["basemodel"]
    tokenizer = KronosTokenizer.from_pretrained(run_dir / "tokenizer" / "best_model")
    assert record.tokenizer_hash == hash_weights(tokenizer)
    assert (run_dir / "basemodel.previous" / "best_model").is_dir()


@pytest.mark.slow
def test_the_base_model_s_tokenizer(tiny_config: Path, run_dir: Path, tmp_path: Path) -> None:
    """Stage 1's where there is one, else the pretrained one; never a random one."""
    pretrained = hash_weights(KronosTokenizer.from_pretrained(GOLDEN / "tokenizer"))
    assert run(tiny_config, SHORT, stages=["basemodel"]).records["basemodel"].tokenizer_hash == pretrained
    with pytest.raises(ConfigError, match="needs a trained tokenizer"):
        run(tiny_config, "experiment.pre_trained_tokenizer=false", stages=["basemodel"])
    run(tiny_config, stages=["tokenizer"])
    own = hash_weights(KronosTokenizer.from_pretrained(run_dir / "tokenizer" / "best_model"))
    assert own != pretrained
    assert run(tiny_config, SHORT, stages=["basemodel"]).records["basemodel"].tokenizer_hash == own
    elsewhere = run_dir.rename(tmp_path / "elsewhere") / "tokenizer" / "best_model"
    named = run(tiny_config, SHORT, f"model_paths.finetuned_tokenizer={elsewhere}", stages=["basemodel"])
    assert named.records["basemodel"].tokenizer_hash == own


def test_an_unfinished_tokenizer_is_not_used(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched, pytest.raises(Killed):
        interrupt_at(patched, 5)
        run(tiny_config, stages=["tokenizer"])
    with pytest.raises(ConfigError, match="the tokenizer stage was interrupted"):
        run(tiny_config, stages=["basemodel"])


@pytest.mark.slow
def test_from_scratch_from_a_folder_s_config(tiny_config: Path, run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "architecture").mkdir()
    (tmp_path / "architecture" / "config.json").write_text((GOLDEN / "tokenizer" / "config.json").read_text())
    overrides = ["experiment.pre_trained=false", f"model_paths.pretrained_tokenizer={tmp_path / 'architecture'}"]
    run(tiny_config, *overrides, "training.tokenizer_learning_rate=1e-9", stages=["tokenizer"])
    assert not equal(weights(run_dir / "tokenizer"), load_file(GOLDEN / "tokenizer" / "model.safetensors"))


@pytest.mark.slow
def test_workers_change_nothing(tiny_config: Path, run_dir: Path, tmp_path: Path) -> None:
    run(tiny_config, stages=["tokenizer"])
    (run_dir / "tokenizer").rename(tmp_path / "alone")
    run(tiny_config, "training.num_workers=2", stages=["tokenizer"])
    assert equal(weights(run_dir / "tokenizer"), weights(tmp_path / "alone"))


@pytest.mark.slow
def test_validation_gives_the_same_figure_for_the_same_weights(tiny_config: Path, run_dir: Path) -> None:
    first = run(tiny_config, stages=["basemodel"]).records["basemodel"]
    again = run(tiny_config, "training.seed=99", stages=["basemodel"]).records["basemodel"]
    assert first.start_loss == again.start_loss


def test_validation_counts_each_window_once(finished: FinishedRun) -> None:
    """17 validation windows in batches of 16: the average is over windows, not over batches."""
    result = finished.result
    config: Config = load_config(finished.config_path)
    windows = WindowDataset(result.candles, result.splits["val"].starts, config.data)
    tokenizer = KronosTokenizer.from_pretrained(GOLDEN / "tokenizer")
    with torch.no_grad():
        loss = tokenizer(windows.__getitems__(range(len(windows)))["candles"]).window_loss.double().mean()
    assert len(windows) == 17
    assert result.records["tokenizer"].start_loss == pytest.approx(loss.item(), rel=1e-6)


def test_a_diverged_run_says_so_and_keeps_the_best(tiny_config: Path, run_dir: Path, tmp_path: Path) -> None:
    broken = KronosTokenizer.from_pretrained(GOLDEN / "tokenizer")
    with torch.no_grad():
        broken.head.bias[0] = 1e30  # finite, but its square is not
    broken.save_pretrained(tmp_path / "broken")
    with pytest.raises(KronosError, match="The validation loss is inf at step 0"):
        run(tiny_config, f"model_paths.pretrained_tokenizer={tmp_path / 'broken'}", stages=["tokenizer"])


@pytest.mark.slow
def test_a_base_model_that_diverges_says_so(tiny_config: Path, run_dir: Path) -> None:
    with pytest.raises(KronosError, match=r"the loss is not a finite number at step \d .* learning rate is too high"):
        run(tiny_config, "training.predictor_learning_rate=1e30", stages=["basemodel"])
    Kronos.from_pretrained(run_dir / "basemodel" / "best_model")


def test_a_batch_larger_than_the_train_set(tiny_config: Path) -> None:
    with pytest.raises(DataError, match=r"batch_size is 512, but there are only 61 train windows\. .* at most 61"):
        run(tiny_config, "training.batch_size=512", stages=["tokenizer"])


def test_noise_belongs_to_the_window_and_the_step() -> None:
    together = draw_token_noise(3, 5, np.array([7, 8, 9]), 20)
    assert torch.equal(together[1:2], draw_token_noise(3, 5, np.array([8]), 20))
    assert not torch.equal(together[1], draw_token_noise(3, 6, np.array([8]), 20)[0])
    assert not torch.equal(together[1], draw_token_noise(4, 5, np.array([8]), 20)[0])
    assert together.min() >= 0 and together.max() < 1


def test_weight_decay_is_for_linear_layers_only() -> None:
    model = Kronos.from_pretrained(GOLDEN / "predictor")
    decayed = stage_module.KronosTrainer.get_decay_parameter_names(None, model)
    assert "transformer.0.ffn.w1.weight" in decayed and "head.proj_s1.weight" in decayed
    assert not [name for name in decayed if "norm" in name or "bias" in name or "emb_s" in name or "time_emb" in name]


def test_sizes_that_no_memory_holds_are_refused_before_anything_is_drawn(tiny_config: Path, tmp_path: Path) -> None:
    """The weights would take 4 TB."""
    model = Path(shutil.copytree(GOLDEN / "predictor", tmp_path / "large"))
    sizes = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(sizes | {"d_model": 1_000_000}))
    settings = ["experiment.pre_trained_predictor=false", f"model_paths.pretrained_predictor={model}"]
    with pytest.raises(CheckpointError, match=r"take [\d,]+ GB, but this machine has [\d,]+ GB of memory. Choose"):
        run(tiny_config, *settings, stages=("basemodel",))
