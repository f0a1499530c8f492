"""Runs both stages as a rank of torchrun, or alone, and leaves at a step: CONFIG STAGE-STEP [OVERRIDE ...]

It goes on with what is there. No stage is called "none".
"""

import os
import sys

from kronos.config import load_config
from kronos.training import run_pipeline
from kronos.training import stage as stage_module
from kronos.training.arguments import start_process

config_path, stop_at, *overrides = sys.argv[1:]


class Stopping(stage_module.ProgressCallback):
    def on_step_end(self, args, state, control, **kwargs) -> None:
        super().on_step_end(args, state, control, **kwargs)
        if f"{self._stage}-{state.global_step}" == stop_at:
            os._exit(0)


stage_module.ProgressCallback = Stopping
config = load_config(config_path, overrides)
start_process(config, int(os.environ.get("WORLD_SIZE", "1")))
run_pipeline(config, skip_existing=True)
