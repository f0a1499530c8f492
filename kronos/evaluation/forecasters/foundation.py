"""The pretrained models for any time series that a run can be compared with, if their packages are installed."""

from collections.abc import Callable

from kronos.config.evaluation import EvaluationConfig
from kronos.evaluation.forecasters.base import Forecaster
from kronos.evaluation.forecasters.chronos import build_chronos
from kronos.evaluation.forecasters.fracast import build_fracast

FOUNDATION_MODELS: dict[str, Callable[[EvaluationConfig], Forecaster]] = {
    "fracast": build_fracast,
    "chronos": build_chronos,
}
