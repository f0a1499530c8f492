"""Runs of tiny models in this process, whole and interrupted."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from kronos import load_config
from kronos.training import RunResult, run_pipeline
from kronos.training import stage as stage_module

BOTH = ("tokenizer", "basemodel")


class Killed(Exception):
    pass


def run(tiny_config: Path, *overrides: str, stages=BOTH, skip_existing: bool = False) -> RunResult:
    on = [f"experiment.train_{name}={str(name in stages).lower()}" for name in BOTH]
    return run_pipeline(load_config(tiny_config, [*on, *overrides]), skip_existing)


def read_metrics(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def read_figures(folder: Path) -> list[tuple]:
    return [(line["step"], line.get("loss"), line.get("val_loss")) for line in read_metrics(folder)]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "best_model" / "model.safetensors")


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    class Interrupting(stage_module.ProgressCallback):
        def on_step_end(self, args, state, control, **kwargs) -> None:
            super().on_step_end(args, state, control, **kwargs)
            if state.global_step == step:
                raise Killed

    monkeypatch.setattr(stage_module, "ProgressCallback", Interrupting)
