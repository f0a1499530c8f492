"""Two launchers that find each other, as on two machines: they train as one, and say what is not the same on both."""

import contextlib
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import ROOT
from tests.training.test_distributed import ENVIRONMENT, launch

SCRIPT = ROOT / "train_sequential.py"


def free_port() -> int:
    with contextlib.closing(socket.socket()) as server:
        server.bind(("localhost", 0))
        return int(server.getsockname()[1])


def launch_nodes(*commands: list[object], folders: tuple[Path, ...] = (ROOT, ROOT)) -> list[tuple[int, str, str]]:
    """Run one command a node; returns each node's exit status, stdout and stderr."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc_per_node=1"]
    rendezvous = ["--rdzv-backend=c10d", f"--rdzv-endpoint=localhost:{free_port()}", "--rdzv-id=test"]
    nodes = [
        subprocess.Popen(
            [*torchrun, *rendezvous, *map(str, command)],
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True},
            env=ENVIRONMENT,
            cwd=folder,
        )
        for command, folder in zip(commands, folders)
    ]
    try:
        said = [node.communicate(timeout=180) for node in nodes]
    finally:
        for node in nodes:
            node.kill()
    return [(node.returncode, *texts) for node, texts in zip(nodes, said)]


@pytest.mark.slow
def test_two_nodes_equal_one_process(tiny_config: Path, tmp_path: Path) -> None:
    command = [SCRIPT, "--config", tiny_config]
    nodes = launch_nodes(*[[*command, "training.batch_size=8"]] * 2)
    assert [status for status, _, _ in nodes] == [0, 0], nodes
    said = "".join(error for _, _, error in nodes)
    assert said.count("2 processes on cpu") == 2  # once for each stage
    log = (tmp_path / "runs/tiny/logs/train.log").read_text()
    assert log.count("basemodel  step 6/6  epoch") == 1
    assert "".join(out for _, out, _ in nodes).count("pictures") == 1
    assert "" in [out + error for _, out, error in nodes]  # one node says nothing
    one = launch(sys.executable, SCRIPT, "--config", tiny_config, f"model_paths.base_path={tmp_path / 'one'}")
    assert one.returncode == 0, one.stderr
    for stage in ("tokenizer", "basemodel"):
        first, second = (tmp_path / name / "tiny" / stage for name in ("runs", "one"))
        assert sorted(path.name for path in first.iterdir()) == sorted(path.name for path in second.iterdir())
        losses, others = (
            [line.get("loss", line.get("val_loss")) for line in map(json.loads, (folder / "metrics.jsonl").open())]
            for folder in (first, second)
        )
        assert losses == pytest.approx(others, rel=2e-3)
        weights, expected = (load_file(folder / "best_model" / "model.safetensors") for folder in (first, second))
        for key in weights:
            if "k_proj.bias" not in key:  # its gradients are rounding, which Adam blows up
                torch.testing.assert_close(weights[key], expected[key], rtol=2e-3, atol=2e-3, msg=key)


@pytest.mark.slow
def test_nodes_launched_with_other_settings_are_told(tiny_config: Path) -> None:
    command = [SCRIPT, "--config", tiny_config, "training.batch_size=8"]
    nodes = launch_nodes(command, [*command, "training.basemodel_epochs=3", "training.tokenizer_epochs=3"])
    assert all(status for status, _, _ in nodes)
    said = "".join(error for _, _, error in nodes)
    assert "has other settings than rank 0 for the tokenizer (training.tokenizer_epochs" in said


@pytest.mark.slow
def test_nodes_without_a_shared_disk_are_told(tiny_config: Path, tmp_path: Path) -> None:
    """Two working directories stand for two disks."""
    folders = (tmp_path / "node0", tmp_path / "node1")
    for folder in folders:
        folder.mkdir()
    command = [SCRIPT, "--config", tiny_config, "training.batch_size=8", "model_paths.base_path=here"]
    nodes = launch_nodes(command, command, folders=folders)
    assert all(status for status, _, _ in nodes)
    said = "".join(error for _, _, error in nodes)
    assert "cannot see what rank 0 writes there" in said
    assert not list(tmp_path.glob("node*/here/tiny/.seen*"))
