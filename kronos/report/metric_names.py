"""What metrics are called in charts and tables."""

from dataclasses import dataclass

from kronos.evaluate.results import Texts

IN_UNITS = ("mae", "rmse", "crps", "width_")


@dataclass(frozen=True)
class MetricLabel:
    """How to show a metric and how to read it.

    higher_is_better: None where neither is. percent: a share. in_units: in those of what is forecast: of prices the candles'
    own, of log returns 1, to be shown in basis points.
    """

    label: Texts
    explanation: Texts
    higher_is_better: bool | None
    percent: bool = False
    in_units: bool = False


def label_metric(name: str) -> MetricLabel:
    """Return what a metric is called; one that nobody knows keeps its name."""
    is_share = name.startswith(("coverage_", "direction"))
    return MetricLabel(
        {"en": name, "zh": name}, {"en": "", "zh": ""}, None, percent=is_share, in_units=name.startswith(IN_UNITS)
    )
