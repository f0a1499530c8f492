"""A plan counts exactly, measures times and memory, and changes nothing on disk."""

import json
import logging
import re
import shutil
from mmap import mmap
from pathlib import Path

import numpy as np
import pytest
import torch

from kronos import Kronos, KronosTokenizer, load_config
from kronos.errors import ConfigError, DataError, KronosError
from kronos.model.pretrained import hash_weights
from kronos.planning import advice as advice_module
from kronos.planning import measure
from kronos.planning.advice import RunSettings, advise_on_inputs, estimate_disk_bytes
from kronos.planning.foresee import foresee_seconds
from kronos.planning.plan import RunPlan, StagePlan, plan_run
from kronos.report.advice import log_advice, log_missing_gpu
from kronos.report.words.catalogue import Words
from kronos.stage_record import StageRecord
from kronos.training import run_pipeline
from kronos.training.pipeline import prepare_inputs
from tests.conftest import GOLDEN, write_tiny_config


def plan(config: Path, *overrides: str, skip_existing: bool = False) -> RunPlan:
    return plan_run(load_config(config, overrides), skip_existing)


def run(config: Path, *overrides: str) -> None:
    run_pipeline(load_config(config, overrides), skip_existing=False)


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


def interrupt(folder: Path, keep_step: int | None) -> None:
    """Turn a finished stage into one that was interrupted after the checkpoint of a step, or before any."""
    record = StageRecord.read(folder)
    record.model_copy(update={"finished": False}).write(folder)
    for checkpoint in (folder / "checkpoints").iterdir():
        if checkpoint.name != f"checkpoint-{keep_step}":
            checkpoint.rename(folder / f"away-{checkpoint.name}")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_config(tmp_path_factory.mktemp("plan"))


@pytest.fixture(scope="module")
def first_plan(config: Path) -> RunPlan:
    """The plan before any training; it writes nothing."""
    before = snapshot(config.parent)
    made = plan(config)
    assert snapshot(config.parent) == before
    return made


@pytest.fixture(scope="module")
def trained(config: Path, first_plan: RunPlan) -> Path:
    """The configuration of a finished run, which no test changes."""
    run(config)
    return config


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> tuple[Path, str]:
    """The folder of a copy of the finished run, and the override that leads to it."""
    shutil.copytree(trained.parent / "runs", tmp_path / "runs")
    return tmp_path / "runs" / "tiny", f"model_paths.base_path={tmp_path / 'runs'}"


@pytest.mark.slow
def test_counts_are_exact(first_plan: RunPlan) -> None:
    """84 train rows: 61 windows, 3 without overlap; 3 steps of 16 an epoch."""
    assert {name: (s.candles, s.windows, s.independent) for name, s in first_plan.splits.items()} == {
        "train": (84, 61, 3),
        "val": (24, 17, 3),
        "test": (12, 5, 1),
    }
    assert "120 candles, 5 minutes, 2024-01-02 09:35 to" in first_plan.candles
    for name, model in (("tokenizer", KronosTokenizer), ("basemodel", Kronos)):
        stage = first_plan.stages[name]
        weights = model.from_pretrained(GOLDEN / {"tokenizer": "tokenizer", "basemodel": "predictor"}[name])
        assert stage.n_parameters == stage.n_trainable == sum(p.numel() for p in weights.parameters())
        assert (stage.steps_an_epoch, stage.epochs, stage.total_steps, stage.windows_a_step) == (3, 2, 6, 16)
        assert (stage.validations, stage.validation_batches) == (3, 2)
        assert (stage.learning_rate, stage.device, stage.precision, stage.n_ranks) == (0.01, "cpu", "fp32", 1)


@pytest.mark.slow
def test_times_follow_from_what_was_measured(first_plan: RunPlan) -> None:
    stage = first_plan.stages["tokenizer"]
    measured = stage.measurement
    assert measured.n_steps == 5 and measured.step_seconds > 0 and measured.validation_batch_seconds > 0
    assert stage.train_seconds == pytest.approx(2 * 3 * measured.step_seconds)
    assert stage.validation_seconds == pytest.approx(3 * 2 * measured.validation_batch_seconds)
    assert stage.seconds == pytest.approx(stage.train_seconds + stage.validation_seconds)
    assert stage.tokens_a_second == pytest.approx(16 * 24 / measured.step_seconds)
    assert first_plan.seconds == pytest.approx(sum(each.seconds for each in first_plan.stages.values()))
    assert measured.memory_mb > measured.growth_mb >= 0


@pytest.mark.slow
def test_a_finished_run(trained: Path) -> None:
    """Its sizes, steps and validations are those of the plan; the plan of another run leaves it as it is."""
    before = snapshot(trained.parent)
    made, skipping = plan(trained), plan(trained, skip_existing=True)
    assert snapshot(trained.parent) == before
    folder = trained.parent / "runs" / "tiny"
    for name, stage in made.stages.items():
        checkpoint = folder / name / "checkpoints" / "checkpoint-6"
        size = sum((checkpoint / file).stat().st_size for file in ("model.safetensors", "optimizer.pt"))
        assert stage.measurement.checkpoint_bytes == pytest.approx(size, rel=0.25)  # models so small: headers
        best = folder / name / "best_model" / "model.safetensors"
        assert stage.measurement.model_bytes == pytest.approx(best.stat().st_size, rel=0.25)
        # Two checkpoints in all: no third one is written beside them.
        assert stage.disk_bytes == 2 * stage.measurement.checkpoint_bytes + 2 * stage.measurement.model_bytes
        assert stage.outlook.action == "skip" and stage.occupied
        check_steps_and_validations(stage, folder / name)
    assert skipping.seconds == skipping.disk_bytes == 0
    assert not any(stage.measurement for stage in skipping.stages.values())


def check_steps_and_validations(stage: StagePlan, folder: Path) -> None:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert stage.total_steps == max(line["step"] for line in lines)
    assert stage.validations == sum("val_loss" in line for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("override", ["training.eval_steps=4", "training.eval_steps=3", "training.max_steps=4"])
def test_validations_and_steps_are_those_of_a_run(tiny_config: Path, tmp_path: Path, override: str) -> None:
    overrides = [override, "experiment.train_basemodel=false"]
    stage = plan(tiny_config, *overrides).stages["tokenizer"]
    run(tiny_config, *overrides)
    check_steps_and_validations(stage, tmp_path / "runs" / "tiny" / "tokenizer")


@pytest.mark.slow
def test_an_interrupted_stage_is_resumed(copied: tuple[Path, str]) -> None:
    folder, override = copied
    config = folder / "config.yaml"
    interrupt(folder / "tokenizer", keep_step=3)
    made = plan(config, override, skip_existing=True)
    stage = made.stages["tokenizer"]
    assert (stage.outlook.action, stage.first_step, stage.validations) == ("resume", 3, 1)
    assert stage.train_seconds == pytest.approx(3 * stage.measurement.step_seconds)
    later = made.stages["basemodel"].outlook  # its tokenizer will be another
    assert later.action == "start" and "another tokenizer" in later.reason
    first = "experiment.train_basemodel=false"
    assert plan(config, override, first).stages["tokenizer"].first_step == 0
    other = plan(config, override, first, "training.tokenizer_learning_rate=0.02", skip_existing=True)
    outlook = other.stages["tokenizer"].outlook
    assert outlook.action == "refuse" and "tokenizer_learning_rate 0.01 → 0.02" in outlook.reason
    assert other.stages["tokenizer"].measurement is None


@pytest.mark.slow
def test_a_stage_interrupted_before_its_first_checkpoint_starts_again(copied: tuple[Path, str]) -> None:
    folder, override = copied
    interrupt(folder / "tokenizer", keep_step=None)
    made = plan(folder / "config.yaml", override, "experiment.train_basemodel=false", skip_existing=True)
    stage = made.stages["tokenizer"]
    assert stage.outlook.action == "start" and stage.first_step == 0 and stage.measurement


def test_a_finished_stage_of_other_settings_is_skipped(trained: Path) -> None:
    first = "experiment.train_basemodel=false"
    outlook = plan(trained, "data.clip=4.0", first, skip_existing=True).stages["tokenizer"].outlook
    assert outlook.action == "skip" and "data.clip 5.0 → 4.0" in outlook.reason


def test_warnings_at_the_start_of_a_training(tiny_config: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Those of the dry run that need no measuring, in the language of the run."""
    config = load_config(tiny_config, ["report.language=zh"])
    inputs = prepare_inputs(config)
    advice = advise_on_inputs(config, inputs)
    assert [(each.code, each.values.get("stage")) for each in advice] == [
        ("rate_high", "tokenizer"),
        ("rate_high", "basemodel"),
        ("little_data_pretrained", "tokenizer"),
        ("little_data_pretrained", "basemodel"),
        ("few_steps", "tokenizer"),
        ("few_steps", "basemodel"),
        ("few_validations", None),
    ]
    with caplog.at_level(logging.DEBUG, logger="kronos"):
        log_advice(config, inputs)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 7 + ["DEBUG"]
    assert caplog.records[-1].getMessage() == Words("zh")("plan.not_measured")
    assert "分词器（tokenizer）：学习率 0.01 超过微调常用值" in caplog.text


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_the_warning_about_a_missing_gpu(tiny_config: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It names the time and how to stop; foreseeing the time leaves the models as they were."""
    config = load_config(tiny_config, ["device.use_cuda=true", "training.accumulation_steps=2"])
    inputs = prepare_inputs(config)
    before = [hash_weights(model) for model in (inputs.tokenizer, inputs.base_model)]
    once = foresee_seconds(config, inputs)
    longer = config.override({"training.basemodel_epochs": 400, "training.tokenizer_epochs": 400})
    assert 0 < once < foresee_seconds(longer, inputs) / 20
    assert [hash_weights(model) for model in (inputs.tokenizer, inputs.base_model)] == before
    with caplog.at_level(logging.INFO, logger="kronos"):
        log_advice(config, inputs, command="kronos train --config a.yaml")
        log_missing_gpu(config)
        log_missing_gpu(config.override({"device.use_cuda": None}))
    warnings = [record.getMessage() for record in caplog.records if "GPU" in record.getMessage()]
    assert len(warnings) == 2 and "device.use_cuda: true, but no GPU is available to PyTorch. The CPU" in warnings[0]
    assert re.search(r"Training takes about \d+ \w+\. Ctrl-C stops it and saves a checkpoint\.", warnings[0])
    assert (
        warnings[0].endswith("To resume: kronos train --config a.yaml --skip-existing") and "takes" not in warnings[1]
    )


def test_disk_space_is_estimated_before_the_first_step(
    tiny_config: Path, first_plan: RunPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(tiny_config)
    inputs = prepare_inputs(config)
    settings = RunSettings(config, first_plan.splits, list(first_plan.stages.values()))
    estimated = estimate_disk_bytes(settings, first_plan.stages["basemodel"].steps_a_checkpoint)
    assert estimated == pytest.approx(first_plan.disk_bytes, rel=0.02)
    for free, expected in ((estimated, 1), (2 * estimated, 0)):
        monkeypatch.setattr(advice_module, "measure_free_bytes", lambda folder, free=free: free)
        assert [each.code for each in advise_on_inputs(config, inputs)].count("disk") == expected


@pytest.mark.parametrize(
    ("splits", "code"),
    [([], "few_origins"), (["data.train_ratio=0.7", "data.val_ratio=0.3", "data.test_ratio=0.0"], "few_origins_val")],
)
def test_a_verdict_without_evidence_is_announced_before_the_first_step(
    tiny_config: Path, splits: list[str], code: str
) -> None:
    config = load_config(tiny_config, ["evaluation.enabled=true", *splits])
    (advice,) = [
        each for each in advise_on_inputs(config, prepare_inputs(config)) if each.code.startswith("few_origins")
    ]
    assert advice.code == code and advice.values == {
        "n": 1 if code == "few_origins" else 2,
        "needed": 10,
        "horizon": 8,
        "candles": 80,
    }
    on = ["evaluation.enabled=true", "experiment.train_basemodel=false"]
    alone = load_config(tiny_config, on)
    assert not [each for each in advise_on_inputs(alone, prepare_inputs(alone)) if each.code == "few_origins"]


def test_no_warnings_about_a_stage_that_is_skipped(trained: Path) -> None:
    config = load_config(trained)
    advice = advise_on_inputs(config, prepare_inputs(config), skip_existing=True)
    assert [(each.code, each.values.get("stage")) for each in advice] == [("few_validations", None)]


@pytest.mark.slow
def test_from_scratch_and_one_stage_alone(tiny_config: Path) -> None:
    scratch = ["experiment.pre_trained=false", "model_paths.pretrained_tokenizer=demo"]
    scratch += ["model_paths.pretrained_predictor=demo"]
    assert [stage.pre_trained for stage in plan(tiny_config, *scratch).stages.values()] == [False, False]
    assert list(plan(tiny_config, "experiment.train_tokenizer=false").stages) == ["basemodel"]
    with pytest.raises(ConfigError, match="needs a trained tokenizer"):
        plan(tiny_config, *scratch, "experiment.train_tokenizer=false")


def test_an_error_of_the_run_is_an_error_of_the_plan(tiny_config: Path) -> None:
    with pytest.raises(DataError, match="only 61 train windows"):
        plan(tiny_config, "training.batch_size=512")
    with pytest.raises(ConfigError, match="nothing to train"):
        plan(tiny_config, "experiment.train_tokenizer=false", "experiment.train_basemodel=false")


@pytest.mark.slow
def test_memory_that_is_freed_at_once_is_measured() -> None:
    with measure._watch_memory(torch.device("cpu")) as samples:
        for _ in range(20):
            pages = np.frombuffer(mmap(-1, 100_000_000), np.uint8)  # of the system, not of what the process has freed
            pages[:] = 1
            del pages
    assert max(samples) - samples[0] > 80


@pytest.mark.slow
def test_slow_steps_end_the_measurement(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "BUDGET_SECONDS", 0.0)
    made = plan(tiny_config, "experiment.train_basemodel=false").stages["tokenizer"]
    assert made.measurement.n_steps == 2 and made.total_steps == 6


def test_steps_too_large_for_the_gpu(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_out_of_memory(*args: object, **kwargs: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(measure.KronosTrainer, "train", run_out_of_memory)
    with pytest.raises(KronosError, match=r"does not fit .* 16 windows at a time. Raise training.accumulation_steps"):
        plan(tiny_config)
