"""Chronos-Bolt and Chronos-2, pretrained models for any time series (arXiv 2403.07815 and 2510.15821)."""

from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState

from kronos.candles import Array
from kronos.config.evaluation import EvaluationConfig
from kronos.errors import KronosError, first_line
from kronos.evaluation.forecasters.base import Forecaster, NotApplicable
from kronos.evaluation.forecasters.quantiles import QuantileForecaster, import_extra
from kronos.evaluation.records import Note
from kronos.model.pretrained import HUB_NAME, hash_weights, locate_model


def build_chronos(config: EvaluationConfig) -> Forecaster:
    """Load the model that evaluation.chronos names, a folder or a hub name, in float32.

    Raises:
        NotApplicable: the package is not installed, or the model cannot be loaded.
    """
    package, version = import_extra("chronos", "chronos-forecasting")
    try:
        source = config.chronos
        if (
            HUB_NAME.fullmatch(source) and not Path(source).is_dir()
        ):  # its own client asks a hub out of reach for minutes
            source = str(locate_model(source)[0].parent)
        pipeline = package.BaseChronosPipeline.from_pretrained(
            source, device_map=PartialState().device, dtype=torch.float32, use_safetensors=True
        )
        model, probabilities = pipeline.inner_model, pipeline.quantiles  # the first generation, Chronos-T5, has none
    except (
        KronosError,
        OSError,
        ValueError,
        RuntimeError,
        ImportError,
        LookupError,
        AttributeError,
        AssertionError,
    ) as error:
        reason = first_line(error)
        raise NotApplicable("chronos_not_loadable", model=config.chronos, error=reason) from None

    def predict(series: Array, horizon: int) -> Array:
        inputs = list(torch.from_numpy(series).float())  # Chronos-2 returns a list (1, H, Q), Chronos-Bolt (N, H, Q)
        found, _ = pipeline.predict_quantiles(inputs, prediction_length=horizon, quantile_levels=probabilities)
        return np.stack([each.reshape(horizon, -1).float().numpy() for each in found])

    return QuantileForecaster(
        name="chronos",
        key=repr((version, hash_weights(model), sorted(model.config.chronos_config.items()))),
        about=Note(code="chronos", values={"model": name_model(config.chronos), "version": version}),
        probabilities=probabilities,
        predict=predict,
    )


def name_model(source: str) -> str:
    """Return the hub name of a model, or the last part of its folder: a model card, which is published, has no path."""
    return Path(source).resolve().name if Path(source).is_dir() else source
