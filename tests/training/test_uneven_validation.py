"""Validation windows that do not divide among the ranks are each counted once, also where some ranks get none."""

import json
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.training.test_distributed import TORCHRUN, launch

THREE_RANKS = [*TORCHRUN[:-1], "--nproc_per_node=3"]
TWO_WINDOWS = ["data.train_ratio=0.8", "data.val_ratio=0.075", "data.test_ratio=0.125"]


@pytest.mark.slow
@pytest.mark.parametrize(("split", "n_windows"), [([], 17), (TWO_WINDOWS, 2)])
def test_three_ranks_validate_as_one(tiny_config: Path, tmp_path: Path, split: list[str], n_windows: int) -> None:
    losses = []
    for launcher, batch_size in (([sys.executable], 12), (THREE_RANKS, 4)):
        folder = tmp_path / f"batches-of-{batch_size}"
        settings = [f"training.batch_size={batch_size}", "training.max_steps=1", f"model_paths.base_path={folder}"]
        done = launch(*launcher, ROOT / "finetune_tokenizer.py", "--config", tiny_config, *settings, *split)
        assert done.returncode == 0, done.stderr
        log = (folder / "tiny/logs/train.log").read_text(encoding="utf-8")
        assert f", {n_windows} validation windows\n" in log
        losses.append(json.loads((folder / "tiny" / "tokenizer" / "stage.json").read_text())["start_loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
