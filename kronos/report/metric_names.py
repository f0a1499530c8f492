"""What metrics are called in charts and tables."""

from kronos.evaluate.metric_labels import METRIC_LABELS, MetricLabel
from kronos.report.page_texts import same


def label_metric(name: str) -> MetricLabel:
    """Return what a metric is called; one of another version, which nobody here knows, keeps its name."""
    return METRIC_LABELS.get(name) or MetricLabel(same(name), same(""), None)
