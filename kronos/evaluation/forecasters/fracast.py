"""Fracast-0, a small pretrained model for any time series. Its weights are in the wheel of the package fracast."""

import numpy as np
from accelerate import PartialState
from torch import nn

from kronos.candles import Array
from kronos.config.evaluation import EvaluationConfig
from kronos.evaluation.forecasters.base import Forecaster
from kronos.evaluation.forecasters.quantiles import QuantileForecaster, import_extra
from kronos.evaluation.records import Note
from kronos.model.pretrained import hash_weights


def build_fracast(config: EvaluationConfig) -> Forecaster:
    """Load the model in full precision.

    Raises:
        NotApplicable: the package is not installed.
    """
    package, version = import_extra("fracast", "fracast")
    model = package.FracastModel.from_pretrained(weights="fp32", device=PartialState().device)

    def predict(series: Array, horizon: int) -> Array:
        return np.asarray(model.forecast_batch(series, horizon=horizon))

    return QuantileForecaster(
        name="fracast",
        key=repr((version, hash_weights(nn.ModuleList([model.core, model.head])))),
        about=Note(code="fracast", values={"version": version}),
        probabilities=model.quantiles,
        predict=predict,
        longest=model.horizon,  # for longer ones it appends its medians to the series, and loses the uncertainty
    )
