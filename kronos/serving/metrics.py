"""What Prometheus reads of a server."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The figures of one server, in a registry of its own; others may register theirs there."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.seconds = Histogram(
            "kronos_forecast_seconds",
            "Time from request to answer.",
            ["run"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.requests = Counter(
            "kronos_requests", "Requests, by status of the answer.", ["status"], registry=self.registry
        )
        self.forecasts = Counter("kronos_forecasts", "Series forecast.", ["run"], registry=self.registry)
        self.batch_size = Histogram("kronos_batch_size", "Series of a batch.", buckets=SIZES, registry=self.registry)
        self.batch_seconds = Histogram(
            "kronos_batch_seconds", "Time to compute a batch.", buckets=SECONDS, registry=self.registry
        )
        self.waiting = Gauge("kronos_waiting_series", "Series that wait or are being computed.", registry=self.registry)
        self.reloads = Counter(
            "kronos_reloads", "Runs loaded anew because they had changed.", ["run"], registry=self.registry
        )
        self.loaded = Gauge(
            "kronos_run_loaded_seconds",
            "When a run was loaded, in seconds since 1970.",
            ["run"],
            registry=self.registry,
        )

    def count_request(self, status: int) -> None:
        """Count a request by the status of its answer."""
        self.requests.labels(str(status)).inc()

    def observe_batch(self, n_series: int, seconds: float) -> None:
        """Count a batch."""
        self.batch_size.observe(n_series)
        self.batch_seconds.observe(seconds)
