"""The losses that the stages of a run left in metrics.jsonl."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kronos.config import Config
from kronos.config.training import HORIZON_LOSS_NAME, STAGES, StageName
from kronos.disk.reading import parse_json, read_regular
from kronos.errors import CheckpointError
from kronos.stage_record import StageRecord

MAX_POINTS = 1000  # of a curve; of longer ones, means of neighbours are drawn

Point = tuple[float, float]  # step, loss


@dataclass(frozen=True)
class StageCurves:
    """The losses of one stage by step. kept: those of the best model, one or none.

    If the loss of the horizon chose the best model, the validation losses are those.
    """

    name: StageName
    train: tuple[Point, ...]
    validation: tuple[Point, ...]
    kept: tuple[Point, ...]


def read_learning_curves(run_dir: Path, config: Config) -> list[StageCurves]:
    """Read the curves of a run's stages; missing or damaged ones are left out."""
    curves = []
    for name in STAGES:
        stage = replace(config.model_paths.run_folder, path=run_dir).stage(name)
        lines = _read_lines(stage.metrics)
        record = _read_record(stage.path)
        by_horizon = record is not None and record.best_by == HORIZON_LOSS_NAME
        train, validation = (_pick(lines, key) for key in ("loss", "val_horizon_loss" if by_horizon else "val_loss"))
        if train or validation:
            curves.append(StageCurves(name, _thin(train), _thin(validation), _find_kept(record, validation)))
    return curves


def _read_record(folder: Path) -> StageRecord | None:
    try:
        return StageRecord.read(folder)
    except CheckpointError:
        return None


def _find_kept(record: StageRecord | None, validation: Sequence[Point]) -> tuple[Point, ...]:
    """Return the point of the best model by the stage's record, or else that of the lowest loss."""
    best_step = record.best_step if record else None
    kept = [point for point in validation if point[0] == best_step]
    if not kept and best_step is None and validation:
        kept = [min(validation, key=lambda point: point[1])]
    return tuple(kept[-1:])


def _read_lines(path: Path) -> list[dict[str, Any]]:
    try:
        text = read_regular(path).decode(errors="replace")
    except OSError:  # a run may be moved without it
        return []
    return [line for line in map(_parse, text.splitlines()) if line]


def _parse(line: str) -> dict[str, Any] | None:
    try:
        figures = parse_json(line)
    except ValueError:  # half a line, of a run that was killed
        return None
    return figures if isinstance(figures, dict) else None


def _pick(lines: Sequence[dict[str, Any]], key: str) -> list[Point]:
    """Return (step, figure) of the lines where both are numbers; the last one of a step that was validated twice."""
    points = {
        float(line["step"]): float(line[key])
        for line in lines
        if isinstance(line.get("step"), int) and isinstance(line.get(key), int | float)
    }
    return [(step, figure) for step, figure in sorted(points.items()) if np.isfinite(figure)]


def _thin(points: Sequence[Point]) -> tuple[Point, ...]:
    if len(points) <= MAX_POINTS:
        return tuple(points)
    return tuple(
        (float(part[-1, 0]), float(part[:, 1].mean())) for part in np.array_split(np.array(points), MAX_POINTS)
    )
