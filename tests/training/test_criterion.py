"""What chooses the model that is kept: a stub's figures, and those of real forecasts."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from kronos import load_config
from kronos.errors import ConfigError, KronosError
from kronos.evaluation import ValidationScore, validation_score
from kronos.stage_record import StageRecord
from kronos.training import RunResult, run_pipeline
from kronos.training import stage as stage_module
from kronos.training.criterion import Criterion
from tests.conftest import GOLDEN, ROOT
from tests.training.test_distributed import TORCHRUN, launch


@pytest.fixture(autouse=True)
def few_origins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Choose by the forecasts of a tiny validation split too."""
    monkeypatch.setattr(validation_score, "FEWEST_INDEPENDENT", 1)


@pytest.fixture
def folder(tiny_config: Path) -> Path:
    return load_config(tiny_config).model_paths.run_folder.basemodel.path


@dataclass
class Stub:
    """Gives figures in order, whatever the model."""

    figures: list[float]
    higher_is_better: bool = False
    seen: list[bool] = field(default_factory=list)

    def __call__(self, model, tokenizer) -> float:
        self.seen.append(model.training)
        return self.figures[len(self.seen) - 1]


def run(tiny_config: Path, score, *overrides: str, skip_existing: bool = False) -> RunResult:
    keys = ["experiment.train_tokenizer=false", "training.best_by=crps", *overrides]
    build = score if score is None or isinstance(score, type) else lambda config, candles, split: score
    return run_pipeline(load_config(tiny_config, keys), skip_existing, build_score=build)


def read_weights(folder: Path, step: int | None = None) -> dict[str, torch.Tensor]:
    return load_file(
        folder / ("best_model" if step is None else f"checkpoints/checkpoint-{step}") / "model.safetensors"
    )


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def read_validations(folder: Path) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "val_loss" in line]


class Killed(BaseException):
    """Stands for a kill: nothing of ours catches it."""


@pytest.fixture
def killed_at_step_5(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Until it is undone, training dies in its second epoch of three steps."""

    class Interrupting(stage_module.ProgressCallback):
        def on_step_end(self, args, state, control, **kwargs) -> None:
            super().on_step_end(args, state, control, **kwargs)
            if state.global_step == 5:
                raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(stage_module, "ProgressCallback", Interrupting)
        yield patched


@pytest.mark.parametrize(
    "figures, higher, best",
    [
        ([3, 1, 2], False, 1),
        pytest.param([0.4, 0.6, 0.5], True, 1, marks=pytest.mark.slow),
        pytest.param([0.3, 0.2, 0.1], False, 2, marks=pytest.mark.slow),
    ],
)
def test_the_model_that_the_score_prefers_is_kept(
    tiny_config: Path, folder: Path, caplog: pytest.LogCaptureFixture, figures: list[float], higher: bool, best: int
) -> None:
    score = Stub(figures, higher)
    with caplog.at_level(logging.DEBUG, logger="kronos"):
        record = run(tiny_config, score).records["basemodel"]
    assert score.seen == [False, False, False]
    validations = read_validations(folder)
    assert [line["val_crps"] for line in validations] == figures
    assert (record.best_by, record.start_score, record.best_score) == ("crps", figures[0], figures[best])
    assert (record.best_step, record.start_loss) == (3 * best, validations[0]["val_loss"])
    assert record.best_loss == validations[best]["val_loss"]  # of the model that is kept, lowest or not
    assert equal(read_weights(folder), read_weights(folder, 3 * best))
    assert f"basemodel  done: crps {figures[0]:.5f} → {figures[best]:.5f} at step {3 * best}" in caplog.text
    assert f"crps {figures[0]:.5f}  (before training)" in caplog.text
    assert StageRecord.read(folder) == record


@pytest.mark.slow
def test_no_better_than_untouched(tiny_config: Path, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    record = run(tiny_config, Stub([1.0, 1.0, 1.5])).records["basemodel"]
    assert not record.improved and record.best_score == record.start_score == 1.0
    assert "did not improve: crps was never better than before training (1.00000)" in caplog.text
    assert equal(read_weights(folder), load_file(GOLDEN / "predictor" / "model.safetensors"))


@pytest.mark.slow
def test_a_resumed_run_keeps_the_best_score(tiny_config: Path, folder: Path, killed_at_step_5) -> None:
    with pytest.raises(Killed):
        run(tiny_config, Stub([3.0, 1.0]))
    best = read_weights(folder)
    assert StageRecord.read(folder).best_score == 1.0
    killed_at_step_5.undo()
    record = run(tiny_config, Stub([1.0, 2.0]), skip_existing=True).records["basemodel"]
    assert (record.best_step, record.start_score, record.best_score) == (3, 3.0, 1.0)
    assert equal(read_weights(folder), best)


@pytest.mark.parametrize("figure", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_said(tiny_config: Path, folder: Path, figure: float) -> None:
    with pytest.raises(KronosError, match=rf"The validation crps is {figure} at step 3: .* best model so far is kept"):
        run(tiny_config, Stub([1.0, figure]))
    assert equal(read_weights(folder), load_file(GOLDEN / "predictor" / "model.safetensors"))


def test_a_score_that_draws_leaves_the_random_state_as_it_was() -> None:
    model, criterion = torch.nn.Linear(1, 1), Criterion("mae", rate=lambda model: torch.rand(1).item())
    state = torch.get_rng_state()
    assert criterion.compute(model, step=0).keys() == {"mae"}
    assert torch.equal(torch.get_rng_state(), state)


def test_the_loss_of_the_horizon_chooses(tiny_config: Path, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Trained on the horizon and chosen by it; both losses are kept, and the dry context is shorter than the window."""
    keys = ["training.best_by=horizon_loss", "training.loss_on=horizon", "data.max_context=12"]
    with caplog.at_level(logging.DEBUG, logger="kronos"):
        record = run(tiny_config, None, *keys, "training.eval_steps=1").records["basemodel"]
    lines = read_validations(folder)
    figures = [line["val_horizon_loss"] for line in lines]
    assert record.best_by == "horizon_loss" and record.start_score == figures[0]
    assert record.best_score == min(figures) and record.best_step == figures.index(min(figures)) > 0
    assert record.best_loss == lines[record.best_step]["val_loss"] != record.best_score
    assert "validation loss of the horizon" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(
    "keys",
    [
        ["training.loss_on=horizon"],
        pytest.param(["training.loss_on=origins", "training.token_cache=true"], marks=pytest.mark.slow),
        pytest.param(["training.loss_on=weighted", "training.lookback_weight=0.5"], marks=pytest.mark.slow),
    ],
)
def test_what_the_loss_counts_is_a_setting_and_survives_an_interruption(
    tiny_config: Path, folder: Path, tmp_path: Path, killed_at_step_5, keys: list[str]
) -> None:
    keys = [*keys, "training.best_by=horizon_loss", "data.windows_per_epoch=independent", "training.max_steps=6"]
    with pytest.raises(Killed):
        run(tiny_config, None, *keys)
    killed_at_step_5.undo()
    with pytest.raises(ConfigError, match=r"training.loss_on \w+ → all"):
        run(tiny_config, None, *keys, "training.loss_on=all", skip_existing=True)
    resumed = run(tiny_config, None, *keys, skip_existing=True).records["basemodel"]
    folder.rename(tmp_path / "resumed")
    whole = run(tiny_config, None, *keys).records["basemodel"]
    assert resumed == whole and equal(read_weights(folder), read_weights(tmp_path / "resumed"))
    folder.rename(tmp_path / "whole")
    run(tiny_config, None, *keys, "training.accumulation_steps=2", "training.token_cache=false")
    for name, tensor in read_weights(folder).items():
        torch.testing.assert_close(tensor, read_weights(tmp_path / "whole")[name], rtol=1e-3, atol=1e-5)
    folder.rename(tmp_path / "parts")
    run(tiny_config, None, *keys, "training.loss_on=all")
    assert not equal(read_weights(folder), read_weights(tmp_path / "whole"))


@pytest.mark.slow
def test_the_information_coefficient_chooses(tiny_config: Path, folder: Path) -> None:
    record = run(tiny_config, ValidationScore, "training.best_by=ic").records["basemodel"]
    figures = [line["val_ic"] for line in read_validations(folder)]
    assert record.best_by == "ic" and -1 <= min(figures) < max(figures) <= 1
    assert record.best_score == max(figures) and record.best_step == 3 * figures.index(max(figures))


@pytest.mark.slow
def test_without_a_way_to_compute_it(tiny_config: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="best_by is crps, but run_pipeline was called without build_score"):
        run(tiny_config, None)
    only = ["experiment.train_tokenizer=true", "experiment.train_basemodel=false"]
    record = run(tiny_config, None, *only).records["tokenizer"]  # which is chosen by its loss
    assert (record.best_by, record.best_score) == ("loss", None) and "training.best_by" not in record.settings


@pytest.mark.slow
def test_best_by_is_a_setting_of_the_base_model(tiny_config: Path, killed_at_step_5) -> None:
    with pytest.raises(Killed):
        run(tiny_config, Stub([3.0, 1.0]))
    killed_at_step_5.undo()
    for override, said in (
        ("training.best_by=mae", "best_by crps → mae"),
        ("data.max_context=20", "max_context 24 → 20"),
    ):
        with pytest.raises(ConfigError, match=said):
            run(tiny_config, Stub([3.0, 1.0, 2.0]), override, skip_existing=True)


@pytest.mark.slow
def test_forecasting_changes_no_training_and_interrupted_equals_uninterrupted(
    tiny_config: Path, folder: Path, tmp_path: Path, killed_at_step_5
) -> None:
    """Bit for bit, with dropout on."""
    config = json.loads((GOLDEN / "predictor" / "config.json").read_text())
    (tmp_path / "dropped").mkdir()
    (tmp_path / "dropped" / "config.json").write_text(json.dumps(config | {"resid_dropout_p": 0.2}))
    (tmp_path / "dropped" / "model.safetensors").symlink_to(GOLDEN / "predictor" / "model.safetensors")
    dropped = f"model_paths.pretrained_predictor={tmp_path / 'dropped'}"
    with pytest.raises(Killed):
        run(tiny_config, ValidationScore, dropped)
    killed_at_step_5.undo()
    resumed = run(tiny_config, ValidationScore, dropped, skip_existing=True).records["basemodel"]
    folder.rename(tmp_path / "resumed")
    whole = run(tiny_config, ValidationScore, dropped).records["basemodel"]
    assert resumed == whole and whole.best_score is not None
    assert equal(read_weights(folder), read_weights(tmp_path / "resumed"))
    assert equal(read_weights(folder, 6), read_weights(tmp_path / "resumed", 6))
    assert read_validations(folder) == read_validations(tmp_path / "resumed")
    folder.rename(tmp_path / "whole")
    run(tiny_config, None, dropped, "training.best_by=loss")
    assert equal(read_weights(folder, 6), read_weights(tmp_path / "whole", 6))


@pytest.mark.slow
def test_two_ranks_share_the_origins_and_agree(tiny_config: Path, folder: Path, tmp_path: Path) -> None:
    keys = [f"data.data_path={ROOT / 'data' / 'synthetic_5min.csv'}", "data.train_ratio=0.1", "data.val_ratio=0.3"]
    keys += [
        "data.test_ratio=0.6",
        "data.val_windows=128",
        "training.max_steps=4",
        "training.eval_steps=2",
    ]  # enough to tell
    alone = run(tiny_config, ValidationScore, f"model_paths.base_path={tmp_path / 'alone'}", *keys).records["basemodel"]
    done = launch(
        *TORCHRUN,
        ROOT / "finetune_base_model.py",
        "--config",
        tiny_config,
        "training.batch_size=8",
        "training.best_by=crps",
        *keys,
    )
    assert done.returncode == 0, done.stderr
    together = StageRecord.read(folder)
    assert together.start_score == pytest.approx(alone.start_score, rel=1e-5)
    assert together.best_score == min(line["val_crps"] for line in read_validations(folder))
    assert f"(improved: {together.start_score:.5f} → " in done.stdout
