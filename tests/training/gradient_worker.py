"""Runs both stages and keeps every step's averaged gradients; as a rank of torchrun: CONFIG OUT [OVERRIDE ...]"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from accelerate import PartialState

from kronos.config import load_config
from kronos.training import run_pipeline
from kronos.training import stage as stage_module
from kronos.training.arguments import start_process


def run_recorded(config_path: Path, out: Path, overrides: Sequence[str]) -> None:
    rank = int(os.environ.get("RANK", "0"))

    class Recording(stage_module.ProgressCallback):
        def on_pre_optimizer_step(self, args, state, control, **kwargs) -> None:
            gradients = {name: p.grad.clone() for name, p in kwargs["model"].named_parameters() if p.grad is not None}
            out.mkdir(parents=True, exist_ok=True)
            torch.save(gradients, out / f"{self._stage}-{state.global_step}-rank{rank}.pt")

    config = load_config(config_path, overrides)
    start_process(config, int(os.environ.get("WORLD_SIZE", "1")))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stage_module, "ProgressCallback", Recording)
        run_pipeline(config, skip_existing=False)


if __name__ == "__main__":
    run_recorded(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
    PartialState().destroy_process_group()
