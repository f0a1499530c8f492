"""The health of a ledger as gauges for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from kronos.ledger.health import Health


class HealthCollector(Collector):
    """The gauges of the current runs in a ledger; unknown figures are left out.

    kronos_forecasts, kronos_forecasts_graded, kronos_realised_coverage{level}, kronos_crps_ratio{baseline},
    kronos_direction_hits, kronos_alarm{kind} (1 while it is on) and kronos_alarm_wealth{kind}, all with the label run.
    """

    def __init__(self, health: Sequence[Health]) -> None:
        self.health = [each for each in health if each.is_current]

    def collect(self) -> Iterator[Metric]:
        yield self._build("kronos_forecasts", "Forecasts in the ledger", [], lambda each: {(): each.n_forecasts})
        yield self._build(
            "kronos_forecasts_graded", "Forecasts with a known close", [], lambda each: {(): each.overall.n_forecasts}
        )
        yield self._build(
            "kronos_realised_coverage",
            "Share of closes within the band",
            ["level"],
            lambda each: {(f"{level / 100:g}",): share for level, share in each.overall.coverage.items()},
        )
        yield self._build(
            "kronos_crps_ratio",
            "Error relative to the baseline; below 1 the model is better",
            ["baseline"],
            lambda each: {("ewma",): each.overall.crps_ratio},
        )
        yield self._build(
            "kronos_direction_hits", "Share of right directions", [], lambda each: {(): each.overall.hits}
        )
        yield self._build(
            "kronos_alarm",
            "1 while the alarm is on",
            ["kind"],
            lambda each: {(alarm.kind,): float(alarm.is_on) for alarm in each.alarms},
        )
        yield self._build(
            "kronos_alarm_wealth",
            "Evidence for the alarm",
            ["kind"],
            lambda each: {(alarm.kind,): float(alarm.wealth[-1]) for alarm in each.alarms if len(alarm.wealth)},
        )

    def _build(self, name, text, labels, find) -> GaugeMetricFamily:  # type: ignore[no-untyped-def]
        family = GaugeMetricFamily(name, text, labels=["run", *labels])
        for each in self.health:
            for values, figure in find(each).items():
                if isfinite(figure):
                    family.add_metric([each.run, *values], figure)
        return family


def write_gauges(health: Sequence[Health]) -> str:
    """Return the gauges in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(HealthCollector(health))
    return generate_latest(registry).decode()
