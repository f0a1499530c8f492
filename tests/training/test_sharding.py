"""Two gloo ranks that share one model (FSDP2) equal one process, and go on after an interruption bit for bit."""

import json
import logging
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from kronos import Kronos, KronosTokenizer
from kronos.config import load_config
from kronos.errors import ConfigError
from kronos.training.sharding import SHARDED_WEIGHTS, check_resumable, check_sharding, gather_model, is_sharded
from tests.conftest import write_tiny_config
from tests.training.test_distributed import TORCHRUN, launch

WORKER = Path(__file__).with_name("stopping_worker.py")
SHARDED = ["distributed.strategy=fsdp", "training.batch_size=8"]
STAGES = ("tokenizer", "basemodel")


def run(config: Path, name: str, stop_at: str, *overrides: str) -> Path:
    done = launch(*TORCHRUN, WORKER, config, stop_at, f"model_paths.exp_name={name}", *SHARDED, *overrides)
    assert done.returncode == 0, done.stderr
    return config.parent / "runs" / name


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_config(tmp_path_factory.mktemp("sharding"))


@pytest.fixture(scope="module")
def sharded(config: Path) -> Path:
    """The run folder of two ranks that share their models."""
    return run(config, "sharded", "none")


def read_metrics(run_dir: Path, stage: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run_dir / stage / "metrics.jsonl").read_text().splitlines()]


def test_two_ranks_that_share_a_model_equal_one(config: Path, sharded: Path) -> None:
    done = launch(sys.executable, WORKER, config, "none", "model_paths.exp_name=one")
    assert done.returncode == 0, done.stderr
    for stage in STAGES:
        one, two = (config.parent / "runs" / name / stage for name in ("one", "sharded"))
        assert sorted(path.name for path in two.iterdir()) == sorted(path.name for path in one.iterdir())
        first, second = (load_file(folder / "best_model" / "model.safetensors") for folder in (one, two))
        assert first.keys() == second.keys()
        for key in first:
            if "k_proj.bias" not in key:  # its gradients are rounding, which Adam blows up
                torch.testing.assert_close(first[key], second[key], rtol=2e-3, atol=2e-3, msg=f"{stage} {key}")
        for a, b in zip(*(read_metrics(folder.parent, stage) for folder in (one, two)), strict=True):
            for figure in {"loss", "val_loss", "grad_norm"} & a.keys():
                assert a[figure] == pytest.approx(b[figure], rel=2e-3), (stage, a, b)


def test_the_best_model_is_a_plain_one_and_checkpoints_are_shared(sharded: Path) -> None:
    tokenizer = KronosTokenizer.from_pretrained(sharded / "tokenizer" / "best_model")
    base_model = Kronos.from_pretrained(sharded / "basemodel" / "best_model")
    assert gather_model(tokenizer) is tokenizer and gather_model(base_model) is base_model
    for stage in STAGES:
        checkpoints = sorted((sharded / stage / "checkpoints").iterdir())
        assert checkpoints
        for checkpoint in checkpoints:
            shards = sorted(path.name for path in (checkpoint / SHARDED_WEIGHTS).glob("*.distcp"))
            assert shards == ["__0_0.distcp", "__1_0.distcp"]


@pytest.mark.slow
def test_interrupted_equals_uninterrupted_bit_for_bit(config: Path, sharded: Path) -> None:
    """Stopped in the middle of the base model's second epoch, after the checkpoint at its first's end."""
    run_dir = run(config, "interrupted", "basemodel-5")
    assert not json.loads((run_dir / "basemodel" / "stage.json").read_text())["finished"]
    run(config, "interrupted", "none")
    for stage in STAGES:
        model = Path(stage) / "best_model" / "model.safetensors"
        assert (run_dir / model).read_bytes() == (sharded / model).read_bytes()
        records = [json.loads((folder / stage / "stage.json").read_text()) for folder in (run_dir, sharded)]
        assert records[0] == records[1]


@pytest.mark.slow
def test_bf16_losses_are_in_float32(config: Path, sharded: Path) -> None:
    run_dir = run(config, "bf16", "none", "training.precision=bf16", "training.accumulation_steps=2")
    for stage in STAGES:
        wide, narrow = (
            [line["val_loss"] for line in read_metrics(folder, stage) if "val_loss" in line]
            for folder in (sharded, run_dir)
        )
        assert narrow == pytest.approx(wide, rel=2e-2)
        assert narrow != wide
        assert all(torch.tensor(loss).bfloat16().item() != loss for loss in narrow)


def test_what_does_not_work_together_is_refused(tiny_config: Path) -> None:
    config = load_config(tiny_config, ["distributed.strategy=fsdp", "training.torch_compile=true", "training.lora={}"])
    with pytest.raises(ConfigError, match=r"does not work together with training.lora, training.torch_compile"):
        check_sharding(config, world_size=2)
    check_sharding(load_config(tiny_config, ["training.torch_compile=true"]), world_size=2)


def test_a_process_alone_holds_the_whole_model_and_says_so(tiny_config: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = load_config(tiny_config, ["distributed.strategy=fsdp"])
    with caplog.at_level(logging.WARNING):
        check_sharding(config, world_size=1)
    assert "this is one process: it holds the whole model" in caplog.text
    assert not is_sharded(config)


def test_a_checkpoint_of_the_other_strategy_is_refused(tiny_config: Path, tmp_path: Path) -> None:
    config = load_config(tiny_config, [])
    plain, shared = tmp_path / "checkpoint-1", tmp_path / "checkpoint-2"
    plain.mkdir()
    (shared / SHARDED_WEIGHTS).mkdir(parents=True)
    check_resumable(plain, config)
    with pytest.raises(ConfigError, match=r"written by several processes with distributed.strategy=fsdp"):
        check_resumable(shared, config)
