"""A plan is exact where it counts, honest where it measures, and leaves everything as it was."""

import json
from pathlib import Path

import pytest
import torch

from kronos import Kronos, KronosTokenizer, load_config
from kronos.errors import ConfigError, DataError, KronosError
from kronos.planning import measure
from kronos.planning.plan import RunPlan, plan_run
from kronos.stage_record import StageRecord
from kronos.training import run_pipeline
from tests.conftest import GOLDEN


def plan(tiny_config: Path, *overrides: str, skip_existing: bool = False) -> RunPlan:
    return plan_run(load_config(tiny_config, overrides), skip_existing)


def run(tiny_config: Path, *overrides: str) -> None:
    run_pipeline(load_config(tiny_config, overrides), skip_existing=False)


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


def interrupt(folder: Path, keep_step: int | None) -> None:
    """Make of a finished stage one that was interrupted after the checkpoint of a step, or before any."""
    record = StageRecord.read(folder)
    record.model_copy(update={"finished": False}).write(folder)
    for checkpoint in (folder / "checkpoints").iterdir():
        if checkpoint.name != f"checkpoint-{keep_step}":
            checkpoint.rename(folder / f"away-{checkpoint.name}")


def test_counts_are_exact(tiny_config: Path) -> None:
    """84 train rows: 61 windows, 3 without overlap; 3 steps of 16 an epoch."""
    made = plan(tiny_config)
    assert {name: (s.candles, s.windows, s.independent) for name, s in made.splits.items()} == {
        "train": (84, 61, 3),
        "val": (24, 17, 3),
        "test": (12, 5, 1),
    }
    assert "120 candles, 5 minutes, 2024-01-02 09:35 to" in made.candles
    for name, model in (("tokenizer", KronosTokenizer), ("basemodel", Kronos)):
        stage = made.stages[name]
        weights = model.from_pretrained(GOLDEN / {"tokenizer": "tokenizer", "basemodel": "predictor"}[name])
        assert stage.n_parameters == stage.n_trainable == sum(p.numel() for p in weights.parameters())
        assert (stage.steps_an_epoch, stage.epochs, stage.total_steps, stage.windows_a_step) == (3, 2, 6, 16)
        assert (stage.validations, stage.validation_batches) == (3, 2)
        assert (stage.learning_rate, stage.device, stage.precision, stage.n_ranks) == (0.01, "cpu", "fp32", 1)


def test_times_follow_from_what_was_measured(tiny_config: Path) -> None:
    made = plan(tiny_config, "training.tokenizer_epochs=7")
    stage = made.stages["tokenizer"]
    measured = stage.measurement
    assert measured.n_steps == 5 and measured.step_seconds > 0 and measured.validation_batch_seconds > 0
    assert stage.train_seconds == pytest.approx(7 * 3 * measured.step_seconds)
    assert stage.validation_seconds == pytest.approx(8 * 2 * measured.validation_batch_seconds)
    assert stage.seconds == pytest.approx(stage.train_seconds + stage.validation_seconds)
    assert stage.tokens_a_second == pytest.approx(16 * 24 / measured.step_seconds)
    assert made.seconds == pytest.approx(sum(each.seconds for each in made.stages.values()))
    assert measured.memory_mb > measured.growth_mb >= 0


def test_a_checkpoint_is_as_large_as_one_that_a_run_leaves(tiny_config: Path, run_dir: Path) -> None:
    run(tiny_config)
    for name, stage in plan(tiny_config).stages.items():
        left = run_dir / name / "checkpoints" / "checkpoint-6"
        size = sum((left / file).stat().st_size for file in ("model.safetensors", "optimizer.pt"))
        assert stage.measurement.checkpoint_bytes == pytest.approx(size, rel=0.25)  # of models so small: headers
        best = run_dir / name / "best_model" / "model.safetensors"
        assert stage.measurement.model_bytes == pytest.approx(best.stat().st_size, rel=0.25)
        # Two in all: there is no third to be written beside them.
        assert stage.disk_bytes == 2 * stage.measurement.checkpoint_bytes + 2 * stage.measurement.model_bytes


@pytest.mark.parametrize(
    "overrides", [[], ["training.eval_steps=4"], ["training.eval_steps=3"], ["training.max_steps=4"]]
)
def test_validations_and_steps_are_those_of_a_run(tiny_config: Path, run_dir: Path, overrides: list[str]) -> None:
    overrides = [*overrides, "experiment.train_basemodel=false"]
    stage = plan(tiny_config, *overrides).stages["tokenizer"]
    run(tiny_config, *overrides)
    lines = [json.loads(line) for line in (run_dir / "tokenizer" / "metrics.jsonl").read_text().splitlines()]
    assert stage.total_steps == max(line["step"] for line in lines)
    assert stage.validations == sum("val_loss" in line for line in lines)


@pytest.mark.parametrize("there_before", [False, True])
def test_nothing_is_written(tiny_config: Path, tmp_path: Path, monkeypatch, there_before: bool) -> None:
    monkeypatch.chdir(tmp_path)
    if there_before:
        run(tiny_config)
    before = snapshot(tmp_path)
    for skip_existing in (False, True):
        plan(tiny_config, skip_existing=skip_existing)
    assert snapshot(tmp_path) == before


def test_finished_stages_are_skipped(tiny_config: Path) -> None:
    run(tiny_config)
    anew = plan(tiny_config)
    assert [stage.outlook.action for stage in anew.stages.values()] == ["skip", "skip"]
    assert all(stage.occupied and stage.measurement for stage in anew.stages.values())
    skipped = plan(tiny_config, skip_existing=True)
    assert skipped.seconds == skipped.disk_bytes == 0
    assert not any(stage.measurement for stage in skipped.stages.values())
    changed = plan(tiny_config, "data.clip=4.0", skip_existing=True).stages["tokenizer"].outlook
    assert changed.action == "skip" and "data.clip 5.0 → 4.0" in changed.reason


def test_an_interrupted_stage_goes_on(tiny_config: Path, run_dir: Path) -> None:
    run(tiny_config)
    interrupt(run_dir / "tokenizer", keep_step=3)
    assert plan(tiny_config).stages["tokenizer"].first_step == 0
    made = plan(tiny_config, skip_existing=True)
    stage = made.stages["tokenizer"]
    assert (stage.outlook.action, stage.first_step, stage.validations) == ("resume", 3, 1)
    assert stage.train_seconds == pytest.approx(3 * stage.measurement.step_seconds)
    later = made.stages["basemodel"].outlook  # its tokenizer will be another
    assert later.action == "start" and "another tokenizer" in later.reason


def test_an_interrupted_stage_of_other_settings_is_refused(tiny_config: Path, run_dir: Path) -> None:
    run(tiny_config, "experiment.train_basemodel=false")
    interrupt(run_dir / "tokenizer", keep_step=3)
    made = plan(tiny_config, "training.tokenizer_learning_rate=0.02", skip_existing=True)
    outlook = made.stages["tokenizer"].outlook
    assert outlook.action == "refuse" and "tokenizer_learning_rate 0.01 → 0.02" in outlook.reason
    assert made.stages["tokenizer"].measurement is None


def test_a_stage_interrupted_before_its_first_checkpoint_starts_again(tiny_config: Path, run_dir: Path) -> None:
    run(tiny_config, "experiment.train_basemodel=false")
    interrupt(run_dir / "tokenizer", keep_step=None)
    stage = plan(tiny_config, skip_existing=True).stages["tokenizer"]
    assert stage.outlook.action == "start" and stage.first_step == 0 and stage.measurement


def test_from_scratch_and_one_stage_alone(tiny_config: Path) -> None:
    scratch = ["experiment.pre_trained=false", "model_paths.pretrained_tokenizer=demo"]
    scratch += ["model_paths.pretrained_predictor=demo"]
    assert [stage.pre_trained for stage in plan(tiny_config, *scratch).stages.values()] == [False, False]
    assert list(plan(tiny_config, "experiment.train_tokenizer=false").stages) == ["basemodel"]
    with pytest.raises(ConfigError, match="needs a trained tokenizer"):
        plan(tiny_config, *scratch, "experiment.train_tokenizer=false")


def test_what_stops_a_run_stops_its_plan(tiny_config: Path) -> None:
    with pytest.raises(DataError, match="only 61 train windows"):
        plan(tiny_config, "training.batch_size=512")
    with pytest.raises(ConfigError, match="nothing to train"):
        plan(tiny_config, "experiment.train_tokenizer=false", "experiment.train_basemodel=false")


def test_memory_that_is_given_back_at_once_is_seen() -> None:
    with measure._watch_memory(torch.device("cpu")) as samples:
        for _ in range(20):
            torch.ones(100_000_000, dtype=torch.uint8)
    assert max(samples) - samples[0] > 80


def test_slow_steps_are_not_waited_for(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "BUDGET_SECONDS", 0.0)
    made = plan(tiny_config, "experiment.train_basemodel=false").stages["tokenizer"]
    assert made.measurement.n_steps == 2 and made.total_steps == 6


def test_steps_too_large_for_the_gpu_are_said_with_the_remedy(
    tiny_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out_of_memory(*args: object, **kwargs: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(measure.KronosTrainer, "train", run_out_of_memory)
    with pytest.raises(KronosError, match=r"does not fit .* 16 windows at a time: raise training.accumulation_steps"):
        plan(tiny_config)
