"""Runs both stages as a rank of torchrun, or alone, keeping every step's averaged gradients: CONFIG OUT [OVERRIDE ...]"""

import os
import sys
from pathlib import Path

import torch
from accelerate import PartialState

from kronos.config import load_config
from kronos.training import run_pipeline
from kronos.training import stage as stage_module
from kronos.training.arguments import start_process

config_path, out, *overrides = sys.argv[1:]
rank = int(os.environ.get("RANK", "0"))


class Recording(stage_module.ProgressCallback):
    def on_pre_optimizer_step(self, args, state, control, **kwargs) -> None:
        gradients = {name: p.grad.clone() for name, p in kwargs["model"].named_parameters() if p.grad is not None}
        Path(out).mkdir(parents=True, exist_ok=True)
        torch.save(gradients, Path(out) / f"{self._stage}-{state.global_step}-rank{rank}.pt")


stage_module.ProgressCallback = Recording
config = load_config(config_path, overrides)
start_process(config, int(os.environ.get("WORLD_SIZE", "1")))
run_pipeline(config, skip_existing=False)
PartialState().destroy_process_group()
