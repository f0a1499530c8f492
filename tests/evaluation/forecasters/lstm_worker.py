"""Trains the LSTM as a rank of torchrun, or alone: CONFIG [OVERRIDE ...]"""

import os
import sys

from accelerate import PartialState

from kronos.training.arguments import start_process
from tests.evaluation.forecasters.lstm_runs import prepare, train

config_path, *overrides = sys.argv[1:]
run = prepare(config_path, *overrides)
start_process(run.config, int(os.environ.get("WORLD_SIZE", "1")))
train(run)
PartialState().destroy_process_group()
