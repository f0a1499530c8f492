"""How long a stage goes on: max_steps, eval_steps, early stopping, schedulers; and the same after an interruption."""

from pathlib import Path

import pytest
from safetensors.torch import load_file

from kronos.errors import CheckpointError, ConfigError
from kronos.files import seal_folder
from kronos.forecast import KronosPredictor
from kronos.model import Kronos, KronosTokenizer
from kronos.training.saved.checkpoints import list_checkpoints, newest_checkpoint
from kronos.training.trainer import KronosTrainer
from tests.conftest import GOLDEN
from tests.training.runs import Killed, equal, interrupt_at, read_figures, read_metrics, run, weights

BASE = ["basemodel"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs/tiny/basemodel"


def validated(folder: Path) -> list[int]:
    return [line["step"] for line in read_metrics(folder) if "val_loss" in line]


def test_eval_steps_and_max_steps(tiny_config: Path, folder: Path) -> None:
    record = run(tiny_config, "training.max_steps=7", "training.eval_steps=3", stages=BASE).records["basemodel"]
    assert record.steps == 7 and record.finished
    assert validated(folder) == [0, 3, 6, 7]  # the last state is a candidate too
    assert record.best_step in (0, 3, 6, 7)


@pytest.mark.slow
def test_max_steps_in_the_middle_of_an_epoch(tiny_config: Path, folder: Path) -> None:
    assert run(tiny_config, "training.max_steps=4", stages=BASE).records["basemodel"].steps == 4
    assert validated(folder) == [0, 3, 4]


def test_early_stopping(tiny_config: Path, folder: Path) -> None:
    """A rate that destroys: the untouched model is the best, and the stage ends after two validations more."""
    overrides = [
        "training.early_stopping_patience=2",
        "training.basemodel_epochs=50",
        "training.predictor_learning_rate=3",
    ]
    record = run(tiny_config, *overrides, stages=BASE).records["basemodel"]
    losses = [line["val_loss"] for line in read_metrics(folder) if "val_loss" in line]
    best = losses.index(min(losses))
    assert len(losses) == best + 3 and record.steps == 3 * (len(losses) - 1) < 150 and record.finished


@pytest.mark.slow
@pytest.mark.parametrize("killed_at", [4, 8, 11])
def test_interrupted_equals_uninterrupted(
    tiny_config: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    overrides = [
        "training.eval_steps=2",
        "training.save_steps=2",
        "training.max_steps=12",
        "training.lr_scheduler=cosine_with_restarts",
    ]
    overrides += [
        "training.lr_scheduler_kwargs={num_cycles: 2}",
        "training.early_stopping_patience=3",
        "training.warmup_ratio=0.2",
    ]
    overrides += ["training.accumulation_steps=2"]
    run(tiny_config, *overrides, stages=BASE)
    whole = folder.rename(tmp_path / "whole")
    with monkeypatch.context() as patched, pytest.raises(Killed):
        interrupt_at(patched, killed_at)
        run(tiny_config, *overrides, stages=BASE)
    run(tiny_config, *overrides, stages=BASE, skip_existing=True)
    assert equal(weights(folder), weights(whole)) and read_figures(folder) == read_figures(whole)
    last = list_checkpoints(whole / "checkpoints")[0].name
    first, second = (load_file(path / "checkpoints" / last / "model.safetensors") for path in (whole, folder))
    assert equal(first, second)


@pytest.mark.slow
def test_the_first_step_learns(tiny_config: Path, folder: Path) -> None:
    """A warm-up from 0 would waste it, and early stopping would take it for a failure."""
    run(tiny_config, "training.max_steps=1", stages=BASE)
    lines = read_metrics(folder)
    assert lines[1]["learning_rate"] > 0 and lines[0]["val_loss"] != lines[-1]["val_loss"]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["lr_scheduler_kwargs={nonsense: 1}"], "does not fit training.lr_scheduler=cosine: .*nonsense"),
        (["lr_scheduler=constant", "lr_scheduler_kwargs={num_cycles: 1}"], "lr_scheduler=constant takes no arguments"),
        (["lr_scheduler=warmup_stable_decay"], "It needs num_decay_steps"),
        (["lr_scheduler=cosine_with_min_lr"], "It needs min_lr_rate"),
        (["lr_scheduler=polynomial", "lr_scheduler_kwargs={lr_end: 0.5}"], "lr_end"),
        (
            ["lr_scheduler=warmup_stable_decay", "lr_scheduler_kwargs={num_decay_steps: 100}"],
            "the basemodel stage has only 5 steps",
        ),
    ],
)
def test_a_schedule_that_cannot_be_built_is_said_before_anything_is_touched(
    tiny_config: Path, tmp_path: Path, overrides: list[str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        run(tiny_config, *[f"training.{override}" for override in overrides], stages=BASE)
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize("validated_before", [False, True])
def test_killed_after_the_last_checkpoint(
    tiny_config: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, validated_before: bool
) -> None:
    """No step is taken beyond the last, and no validation is left out or done twice."""
    overrides = ["training.max_steps=4", *(["training.save_steps=4"] if not validated_before else [])]
    run(tiny_config, *overrides, stages=BASE)
    whole = folder.rename(tmp_path / "whole")
    save = KronosTrainer._save_checkpoint

    def save_and_die(self, model, trial) -> None:
        save(self, model, trial)
        if self.state.global_step == 4:
            raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(KronosTrainer, "_save_checkpoint", save_and_die)
        run(tiny_config, *overrides, stages=BASE)
    record = run(tiny_config, *overrides, stages=BASE, skip_existing=True).records["basemodel"]
    assert record.finished and record.steps == 4
    assert equal(weights(folder), weights(whole)) and read_figures(folder) == read_figures(whole)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["tokenizer", pytest.param("basemodel", marks=pytest.mark.slow)])
def test_parts_give_the_result_of_the_whole(tiny_config: Path, tmp_path: Path, stage: str) -> None:
    """Also the tokenizer's, whose codebook entropy is over the whole batch."""
    rate = "training.tokenizer_learning_rate=1e-3"
    figures = []
    for n_parts in (1, 4):
        run(
            tiny_config,
            f"training.accumulation_steps={n_parts}",
            rate,
            f"model_paths.base_path={tmp_path}/{n_parts}",
            stages=[stage],
        )
        metrics = read_metrics(tmp_path / f"{n_parts}/tiny/{stage}")
        figures.append([line[key] for line in metrics for key in ("loss", "grad_norm", "val_loss") if key in line])
    assert figures[0] == pytest.approx(figures[1], rel=2e-4)


@pytest.mark.slow
def test_checkpoints_kept(tiny_config: Path, folder: Path) -> None:
    run(tiny_config, "training.save_steps=1", "training.save_total_limit=3", stages=BASE)
    assert [path.name for path in list_checkpoints(folder / "checkpoints")] == [
        "checkpoint-6",
        "checkpoint-5",
        "checkpoint-4",
    ]


def test_a_base_model_names_its_tokenizer_wherever_it_goes(finished_copy: Path, folder: Path, tmp_path: Path) -> None:
    (folder / "best_model").rename(tmp_path / "moved")
    model = Kronos.from_pretrained(tmp_path / "moved")
    KronosPredictor(model, KronosTokenizer.from_pretrained(folder.parent / "tokenizer/best_model"), max_context=24)
    with pytest.raises(CheckpointError, match="trained with another tokenizer than the one given"):
        KronosPredictor(model, KronosTokenizer.from_pretrained(GOLDEN / "tokenizer"), max_context=24)
    model.save_pretrained(tmp_path / "saved")
    assert Kronos.from_pretrained(tmp_path / "saved").tokenizer_hash == model.tokenizer_hash is not None


@pytest.mark.slow
@pytest.mark.parametrize("validated_before", [False, True])
def test_killed_when_patience_had_ended(
    tiny_config: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, validated_before: bool
) -> None:
    """No step more is taken, whether the interruption came after the last validation or before."""
    overrides = [
        "training.early_stopping_patience=1",
        "training.predictor_learning_rate=3",
        "training.basemodel_epochs=9",
    ]
    overrides += [] if validated_before else ["training.save_steps=3"]
    record = run(tiny_config, *overrides, stages=BASE).records["basemodel"]
    assert record.steps < 27
    whole = folder.rename(tmp_path / "whole")
    save = KronosTrainer._save_checkpoint

    def save_and_die(self, model, trial) -> None:
        save(self, model, trial)
        if self.state.global_step == record.steps:
            raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(KronosTrainer, "_save_checkpoint", save_and_die)
        run(tiny_config, *overrides, stages=BASE)
    run(tiny_config, *overrides, stages=BASE, skip_existing=True)
    assert equal(weights(folder), weights(whole)) and read_figures(folder) == read_figures(whole)


@pytest.mark.slow
def test_the_only_checkpoint_stays_until_the_next_is_whole(
    tiny_config: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(checkpoint: Path) -> None:
        if checkpoint.name == "checkpoint-4":
            raise Killed
        seal_folder(checkpoint)

    monkeypatch.setattr("kronos.training.trainer.seal_folder", die)
    with pytest.raises(Killed):
        run(tiny_config, "training.save_steps=2", "training.save_total_limit=1", stages=BASE)
    assert newest_checkpoint(folder / "checkpoints").name == "checkpoint-2"


@pytest.mark.slow
@pytest.mark.parametrize("damage", [pytest.param("gone", marks=pytest.mark.slow), "empty"])
def test_an_interrupted_stage_whose_best_model_is_lost_starts_anew(
    tiny_config: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    with monkeypatch.context() as patched, pytest.raises(Killed):
        interrupt_at(patched, 5)
        run(tiny_config, stages=BASE)
    model = folder / "best_model" / "model.safetensors"
    model.unlink() if damage == "gone" else model.write_bytes(b"")
    with caplog.at_level("WARNING", logger="kronos"):
        run(tiny_config, stages=BASE, skip_existing=True)
    assert "its best model is missing or damaged; starts again" in caplog.text
    Kronos.from_pretrained(folder / "best_model")


@pytest.mark.slow
def test_other_parts_on_resuming_are_said(
    tiny_config: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patched, pytest.raises(Killed):
        interrupt_at(patched, 5)
        run(tiny_config, stages=BASE)
    with caplog.at_level("WARNING", logger="kronos"):
        run(tiny_config, "training.accumulation_steps=2", stages=BASE, skip_existing=True)
    assert (
        "were computed in 1 parts and are now computed in 2: the result is the same except for rounding" in caplog.text
    )
