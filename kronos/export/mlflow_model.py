"""A run as an MLflow model of the flavour pyfunc: a long frame of candles in, a long frame of quantiles out.

This module needs MLflow, and is imported when it is used.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ParamSchema, ParamSpec

from kronos.batch.forecaster import Forecaster
from kronos.disk.temporaries import temporary_folder
from kronos.export.onnx_files import explain_writing
from kronos.files import replacing_folder
from kronos.forecast.predictor import N_PATHS
from kronos.run_folder import RunFolder
from kronos.saved_run import SavedRun
from kronos.version import __version__

MARKER = "MLmodel"  # the file that MLflow writes
RUN = "run"
PARAMS = ("horizon", "n_paths", "seed")


class PyfuncForecaster(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """What MLflow loads: a `Forecaster` on the run among its artifacts."""

    def load_context(self, context: Any) -> None:
        """Keep where the run is."""
        self._run = context.artifacts[RUN]
        self._forecasters: dict[tuple[object, ...], Forecaster] = {}

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Forecast every symbol of a frame, see `Forecaster.__call__`.

        Args:
            params: horizon (0: that of the training), n_paths and seed.
        """
        given = {name: value for name, value in (params or {}).items() if name in PARAMS}
        given["horizon"] = given.get("horizon") or None
        key = tuple(sorted(given.items(), key=lambda each: each[0]))
        if key not in self._forecasters:
            self._forecasters = {key: Forecaster(self._run, **given)}
        return self._forecasters[key](model_input)


def export_mlflow(saved: SavedRun, out: Path) -> None:
    """Write the models of a run as an MLflow model, complete or not at all. Pictures, logs and checkpoints are left out.

    Raises:
        WriteError: out cannot be written.
    """
    params = [
        ParamSpec("horizon", "long", 0),
        ParamSpec("n_paths", "long", N_PATHS),
        ParamSpec("seed", "long", 0),
    ]
    with temporary_folder() as folder, replacing_folder(out) as new, explain_writing(out):
        copy_models(saved, RunFolder(folder / RUN))
        mlflow.pyfunc.save_model(
            path=str(new),
            python_model=PyfuncForecaster(),
            artifacts={RUN: str(folder / RUN)},
            signature=ModelSignature(params=ParamSchema(params)),
            pip_requirements=[f"kronos-finetune=={__version__}"],
        )


def copy_models(saved: SavedRun, target: RunFolder) -> None:
    """Copy what forecasts need of a run: configuration, models with their records, calibration."""
    source = saved.config.model_paths.run_folder
    target.path.mkdir(parents=True)
    shutil.copy2(source.config, target.config)
    for stage, copied in ((source.tokenizer, target.tokenizer), (source.basemodel, target.basemodel)):
        for each in (stage.best_model, stage.record):
            if each.exists():
                copy = shutil.copytree if each.is_dir() else shutil.copy2
                copied.path.mkdir(exist_ok=True)
                copy(each, copied.path / each.name)
    if not target.tokenizer.best_model.is_dir():  # a pretrained one, from elsewhere
        saved.tokenizer.save_pretrained(target.tokenizer.best_model)
    if source.calibration.is_file():
        target.calibration.parent.mkdir()
        shutil.copy2(source.calibration, target.calibration)
