"""Training on a GPU: the losses of a CPU, whether gathered there or not, compiled or not, in one go or resumed."""

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import PartialState
from accelerate.state import AcceleratorState

from tests.conftest import ROOT
from tests.gpu.conftest import skip_on_cpu
from tests.training.runs import Killed, interrupt_at, read_metrics, run, weights

pytestmark = pytest.mark.slow
STAGES = ("tokenizer", "basemodel")


@pytest.fixture(autouse=True)
def on_device(device: torch.device) -> Iterator[None]:
    """Let this process train on the device, whatever it has trained on before."""
    AcceleratorState._reset_state(reset_partial_state=True)
    PartialState(cpu=device.type == "cpu")
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def train(config: Path, device: torch.device, name: str, *overrides: str, **options: Any) -> Path:
    """Train on a device and return the folder of the run."""
    chosen = [f"device.use_cuda={str(device.type == 'cuda').lower()}", f"model_paths.exp_name={name}"]
    run(config, *chosen, *overrides, **options)
    return config.parent / "runs" / name


def list_losses(run_folder: Path) -> list[float]:
    lines = [line for stage in STAGES for line in read_metrics(run_folder / stage)]
    return [line[key] for line in lines for key in ("loss", "val_loss") if key in line]


def test_the_losses_are_those_of_a_cpu(device: torch.device, tiny_config: Path) -> None:
    actual = list_losses(train(tiny_config, device, "device"))
    AcceleratorState._reset_state(reset_partial_state=True)
    PartialState(cpu=True)
    expected = list_losses(train(tiny_config, torch.device("cpu"), "cpu"))
    assert actual == pytest.approx(expected, rel=1e-2)
    assert actual[:3] == pytest.approx(expected[:3], rel=1e-4)


def test_batches_gathered_on_the_device_are_those_of_the_loader(device: torch.device, tiny_config: Path) -> None:
    held, loaded = (
        list_losses(train(tiny_config, device, name, f"training.data_on_device={name}")) for name in ("true", "false")
    )
    assert held == pytest.approx(loaded, rel=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_training_is_training(device: torch.device, tiny_config: Path, precision: str) -> None:
    skip_on_cpu(device, "tests/training/fit/test_compiling.py")
    import torch._dynamo  # takes a second

    losses, n_graphs = [], []
    for name in ("true", "false"):
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        options = [f"training.torch_compile={name}", f"training.precision={precision}"]
        losses.append(list_losses(train(tiny_config, device, name, *options)))
        n_graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert n_graphs[0] > 0 == n_graphs[1]
    compiled, eager = losses
    assert compiled == pytest.approx(eager, rel=1e-2 if precision == "fp32" else 5e-2)


@pytest.mark.parametrize("stage", STAGES)
def test_a_resumed_run_ends_where_one_that_ran_through_does(
    device: torch.device, tiny_config: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    options = "training.save_steps=2"
    whole = train(tiny_config, device, "whole", options, stages=(stage,))
    with monkeypatch.context() as patched:
        interrupt_at(patched, 3)
        with pytest.raises(Killed):
            train(tiny_config, device, "resumed", options, stages=(stage,))
    resumed = train(tiny_config, device, "resumed", options, stages=(stage,), skip_existing=True)
    whole, resumed = (weights(folder / stage) for folder in (whole, resumed))
    for key, weight in whole.items():
        torch.testing.assert_close(resumed[key], weight, rtol=1e-3, atol=1e-5)


def test_parts_of_a_batch_are_the_batch(device: torch.device, tiny_config: Path) -> None:
    parts, whole = (
        list_losses(train(tiny_config, device, f"parts{n}", f"training.accumulation_steps={n}")) for n in (4, 1)
    )
    assert parts == pytest.approx(whole, rel=1e-2)


def test_recomputed_activations_have_the_same_losses(device: torch.device, tiny_config: Path) -> None:
    less, usual = (
        list_losses(train(tiny_config, device, name, f"training.gradient_checkpointing={name}"))
        for name in ("true", "false")
    )
    assert less == pytest.approx(usual, rel=1e-3)


def test_the_log_tells_the_memory_and_finite_losses(device: torch.device, tiny_config: Path) -> None:
    folder = train(tiny_config, device, "found", "training.auto_find_batch_size=true", "training.precision=auto")
    lines = [line for stage in STAGES for line in read_metrics(folder / stage) if "loss" in line]
    assert all(line["memory_mb"] > 0 for line in lines)
    for key, limit in (("gpu_utilisation_percent", 100), ("gpu_temperature_c", 120)):
        assert all(0 <= line[key] <= limit for line in lines if key in line)
    assert all(math.isfinite(loss) for loss in list_losses(folder))


@pytest.mark.process
def test_one_rank_under_torchrun(device: torch.device, tiny_config: Path) -> None:
    """Its losses are those of a run without torchrun. No output names the backend, and none is checked."""
    skip_on_cpu(device, "tests/training/test_distributed.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=1", "train_sequential.py"]
    options = ["--config", str(tiny_config), "model_paths.exp_name=launched"]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    launched = list_losses(tiny_config.parent / "runs" / "launched")
    assert launched == pytest.approx(list_losses(train(tiny_config, device, "alone")), rel=1e-3)


@pytest.mark.process
def test_the_commands(device: torch.device, tiny_config: Path) -> None:
    """Train, evaluate and forecast on the device, as a user does."""
    skip_on_cpu(device, "tests/test_main_job.py")
    folder = tiny_config.parent / "runs" / "tiny"
    evaluation = ["evaluation.enabled=true", "evaluation.stride=4", "evaluation.n_paths=3"]
    for words in (
        ["train", "--config", tiny_config, *evaluation, "training.tokenizer_epochs=1", "training.basemodel_epochs=1"],
        ["predict", "--run", folder, "--device", "cuda", "--data", tiny_config.parent / "candles.csv"],
    ):
        command = [sys.executable, "-m", "kronos", *map(str, words)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    assert (folder / "report" / "index.html").is_file()
