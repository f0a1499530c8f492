"""`kronos.finetune`."""

import logging
import os
import random
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tqdm import TMonitor

import kronos
from kronos.config import Config
from kronos.errors import CheckpointError, ConfigError, DataError
from kronos.training import stage as stage_module
from tests.api.test_candles import FRAME, OPTION, SAMPLE
from tests.conftest import GOLDEN, invoke

MODELS: dict[str, Any] = {"model": GOLDEN / "predictor", "tokenizer": GOLDEN / "tokenizer"}
TINY: dict[str, Any] = MODELS | {  # with which a run takes a second
    **{"lookback": 16, "horizon": 8, "max_context": 24, "recipe": "published", "train_tokenizer": False, "epochs": 1},
    **{"precision": "fp32", "use_cuda": False, "enabled": False, "report": {"n_origins": 0}},
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Config, bool]]:
    """What would be trained."""
    monkeypatch.chdir(tmp_path)
    configs: list[tuple[Config, bool]] = []
    monkeypatch.setattr("kronos.api.finetuning.run_training", lambda config, resume: configs.append((config, resume)))
    return configs


def test_what_is_not_given(asked: list[tuple[Config, bool]], tmp_path: Path) -> None:
    run = kronos.finetune(SAMPLE)
    ((config, resume),) = asked
    assert os.fspath(run) == "finetuned/my_run" and config.data.data_path == (SAMPLE,) and not resume
    assert config.recipe == "safe" and config.training.lora and not config.experiment.train_tokenizer
    assert config.model_paths.pretrained_predictor == config.model_paths.pretrained_tokenizer == "nano"
    data = config.data
    assert (data.lookback_window, data.predict_window, data.max_context) == (48, 12, 144)
    assert (data.train_ratio, data.val_ratio, data.test_ratio) == (0.65, 0.1, 0.25)


def test_what_is_given(asked: list[tuple[Config, bool]], tmp_path: Path) -> None:
    options = {"training": {"epochs": 3}, "evaluation.n_paths": 7, "timezone": "Asia/Shanghai", "cache_dir": tmp_path}
    kronos.finetune({"A": FRAME, "B": FRAME}, MODELS["model"], tokenizer=MODELS["tokenizer"], **options, resume=True)
    kronos.finetune(SAMPLE, pretrained_predictor="NeoQuasar/Kronos-mini", lookback_window=64, horizon=8, out="a/b")
    kronos.finetune([SAMPLE, SAMPLE], model="demo", pre_trained=False, train_ratio=0.8, val_ratio=0.2, recipe="full")
    (frames, resume), (mini, _), (scratch, _) = asked
    assert resume and frames.training.basemodel_epochs == 3 and frames.evaluation.n_paths == 7
    assert frames.data.data_path[0].parent == tmp_path / "frames" and frames.data.timezone == "Asia/Shanghai"
    assert mini.model_paths.pretrained_tokenizer == "NeoQuasar/Kronos-Tokenizer-2k" and mini.data.max_context == 2048
    assert (mini.data.lookback_window, mini.data.predict_window) == (64, 8)
    assert mini.model_paths.base_save_path == Path("a/b")
    assert scratch.model_paths.pretrained_tokenizer == "demo" and scratch.data.test_ratio == 0
    assert scratch.experiment.train_tokenizer, "a model from scratch needs its tokenizer trained, whatever the recipe"


def test_the_model_of_an_earlier_run(asked: list[tuple[Config, bool]], golden_run: Path) -> None:
    kronos.finetune(FRAME, model=kronos.load_run(golden_run), lookback=16, horizon=8, cache_dir=golden_run)
    paths = asked[0][0].model_paths
    assert Path(paths.pretrained_predictor) == golden_run / "basemodel" / "best_model"
    assert Path(paths.pretrained_tokenizer) == golden_run / "tokenizer" / "best_model"
    assert asked[0][0].data.max_context == 24


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"epoch": 3}, ConfigError, "epoch: no such option. Did you mean epochs?"),
        ({"n_paths": 3}, ConfigError, "n_paths: several sections have this key."),
        ({"epochs": "3"}, ConfigError, "finetune: training.epochs is '3'; it must be a whole number."),
        ({"training.epoch": 3}, ConfigError, "finetune: unknown key training.epoch; did you mean training.epochs?"),
        (
            {"lookback": 96, "lookback_window": 96},
            ConfigError,
            "lookback and data.lookback_window are the same setting",
        ),
        ({"model": "x", "pretrained_predictor": "x"}, ConfigError, "are the same setting"),
        ({"data_path": "x"}, ConfigError, "data.data_path: the candles are given already"),
        ({"recipe": "saef"}, ConfigError, "finetune: recipe is 'saef'; it must be"),
        ({"device_id": 1}, ConfigError, "Set CUDA_VISIBLE_DEVICES=1 before Python starts"),
        ({"out": ""}, ConfigError, "finetune: model_paths.exp_name is ''"),
        ({"model": "nowhere"}, CheckpointError, "nowhere"),
        (
            {"model": GOLDEN / "predictor"},
            ConfigError,
            "the tokenizer of this model is not known. Give its tokenizer too",
        ),
        ({"model": 3}, ConfigError, "model: expected a folder or the name of a model, got int."),
        ({"model": "small"}, CheckpointError, "small: no such model folder"),
        ({"data": "nowhere.csv"}, DataError, "nowhere.csv: no such file"),
        ({"data": FRAME[:30], "lookback": 16, "horizon": 8}, DataError, "30 rows"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_wrong_arguments(options: dict[str, Any], kind: type[Exception], message: str, tmp_path: Path) -> None:
    with pytest.raises(kind) as error:
        kronos.finetune(**{"data": SAMPLE, "out": tmp_path / "run", "cache_dir": tmp_path, "use_cuda": False} | options)
    assert message in str(error.value)
    assert (
        "command line" not in str(error.value)
        and not OPTION.search(str(error.value))
        and "override" not in str(error.value)
    )


def test_a_run_and_what_it_leaves_of_the_process(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        logging.getLogger("kronos"), "propagate", True
    )  # commands of other tests change it and the level
    caplog.set_level(logging.WARNING, "kronos")
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)

    def look() -> list[object]:
        own = torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate(), torch.get_num_threads()
        handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
        kronos_logger = logging.getLogger("kronos")
        logs = logging.root.handlers[:], logging.root.level, kronos_logger.handlers[:], kronos_logger.level
        threads = [each for each in threading.enumerate() if not isinstance(each, TMonitor)]  # of tqdm's bars
        return [own, handlers, logs, dict(os.environ), threads]

    before, frame = look(), FRAME.copy(deep=True)
    run = kronos.finetune(FRAME, **TINY, out=tmp_path / "run", cache_dir=tmp_path)
    assert look() == before and capsys.readouterr().out == ""
    pd.testing.assert_frame_equal(FRAME, frame)
    assert (
        run.verdict is None
        and run.report is None
        and "not evaluated" in repr(run)
        and "not evaluated" in run._repr_html_()
    )
    assert run.folder.basemodel.best_model.is_dir() and run.config.data.data_path[0].parent == tmp_path / "frames"
    written = run.folder.basemodel.record.stat().st_mtime_ns
    again = kronos.finetune(FRAME, **TINY | {"epochs": 2}, out=tmp_path / "run", cache_dir=tmp_path, resume=True)
    log = run.folder.log.read_text(encoding="utf-8")
    assert "(before training)" in log and "(before training)" not in caplog.text, (
        "the details are in the log file alone"
    )
    assert again == run and run.folder.basemodel.record.stat().st_mtime_ns == written
    assert "Run with resume=False to train it again" in caplog.text and "--skip-existing" not in caplog.text


def interrupt_at_step_2(patched: pytest.MonkeyPatch) -> None:
    class Interrupted(stage_module.ProgressCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            super().on_step_end(args, state, control, **kwargs)
            if state.global_step == 2:
                signal.raise_signal(signal.SIGINT)

    patched.setattr(stage_module, "ProgressCallback", Interrupted)


def test_ctrl_c_leaves_a_checkpoint_and_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = signal.getsignal(signal.SIGINT)
    interrupt_at_step_2(monkeypatch)
    with pytest.raises(KeyboardInterrupt, match=r"step 2.*resume=True"):
        kronos.finetune(FRAME, **TINY, out=tmp_path / "run", cache_dir=tmp_path, batch_size=16)
    assert signal.getsignal(signal.SIGINT) is handler
    assert [path.name for path in (tmp_path / "run" / "basemodel" / "checkpoints").iterdir()] == ["checkpoint-2"]


@pytest.mark.slow
def test_resumed_trained_again_and_by_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights and the verdict are the same in all ways."""
    candles = tmp_path / "candles.csv"
    FRAME.to_csv(candles)
    judged = {"enabled": True, "invented_drift": False, "stride": 8, "evaluation.n_paths": 3, "cache_dir": tmp_path}
    options = TINY | judged | {"rivals": ["pretrained", "last_close"], "batch_size": 16}
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        interrupt_at_step_2(patched)
        kronos.finetune(candles, **options, out=tmp_path / "run")
    runs = [kronos.finetune(candles, **options, out=tmp_path / "run", resume=True)]
    runs.append(kronos.finetune(FRAME.reset_index(), **options, out=tmp_path / "frame"))
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    runs.append(kronos.finetune(candles, **options, out=tmp_path / "copy"))
    assert (tmp_path / "copy" / "basemodel.previous").is_dir(), "as kronos train does without --skip-existing"
    moved = f"model_paths.base_save_path={tmp_path / 'command'}"
    done = invoke("train", "--config", tmp_path / "run" / "config.yaml", moved)
    assert done.exit_code == 0, done.output
    runs.append(kronos.load_run(tmp_path / "command"))
    weights = {(run.folder.basemodel.best_model / "model.safetensors").read_bytes() for run in runs}
    assert len(weights) == 1
    verdicts = [repr(run.verdict.evaluation.comparisons) for run in runs if run.verdict]
    assert len(verdicts) == len(runs) and len(set(verdicts)) == 1
