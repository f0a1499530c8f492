"""The core of the server: what HTTP and MCP offer, without either."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, TypeVar

from kronos.config.schema import Language
from kronos.errors import ConfigError, KronosError
from kronos.forecast import Forecast, Sampling
from kronos.serving.answers import ServedForecasts, Settings, build_response, describe_run, describe_verdict
from kronos.serving.batcher import Batcher
from kronos.serving.candles import remove_leftovers
from kronos.serving.errors import BusyError, DeadlineError, StoppingError, UnknownModelError
from kronos.serving.metrics import Metrics
from kronos.serving.runs import ServedRun, ServedRuns
from kronos.serving.schemas import (
    CheckRequest,
    CheckResponse,
    ForecastRequest,
    ForecastResponse,
    Health,
    ModelInfo,
    ModelList,
)
from kronos.serving.steps import Kind, Series, audit, compute, finish, read_all
from kronos.version import __version__

logger = logging.getLogger(__name__)

LONGEST_RETRY = 60  # seconds
N_READERS = 2  # threads; more would take time from the one that forecasts

P = ParamSpec("P")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Limits:
    """What a server takes on.

    max_batch_size: series computed together. batch_wait_timeout: seconds that a series waits for company. queue_size: series
    that wait or are being computed. max_candles: that one request may sample, over series, paths and times. timeout: seconds
    until an answer. reload_interval: seconds between looks at the files of the runs; 0: never.
    """

    max_batch_size: int = 32
    batch_wait_timeout: float = 0.02
    queue_size: int = 256
    max_candles: int = 500_000
    timeout: float = 60.0
    reload_interval: float = 5.0


@dataclass(eq=False)
class Service:
    """Forecasts with runs that are kept in memory. Use it within `running`.

    on_forecasts: given the forecasts of every request before they are sent, one request at a time, in a thread of its own. If it
        raises an error, they are not sent.
    """

    runs: ServedRuns
    limits: Limits = Limits()
    on_forecasts: Callable[[ServedForecasts], object] | None = None
    metrics: Metrics = field(default_factory=Metrics)
    _n_admitted: int = 0
    _rate: float = 0.0  # series a second, of the last batch
    _batcher: Batcher[Kind, Series, Forecast] | None = None
    _readers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(N_READERS, "kronos-read"))
    _recorder: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "kronos-record"))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Compute forecasts, and reload runs that change, during the block."""
        limits = self.limits
        await asyncio.to_thread(remove_leftovers)
        self._batcher = Batcher(compute, limits.max_batch_size, limits.batch_wait_timeout, self._observe_batch)
        for run in self.runs.values():
            self.metrics.loaded.labels(run.name).set(run.loaded_at)
        tasks = [asyncio.create_task(self._batcher.run())]
        if limits.reload_interval:
            tasks.append(asyncio.create_task(self._keep_reloading()))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._batcher = None
            self._readers.shutdown(wait=False, cancel_futures=True)
            self._recorder.shutdown(wait=True)

    @property
    def is_ready(self) -> bool:
        """Whether forecasts are computed."""
        return self._batcher is not None

    async def forecast(self, request: ForecastRequest, language: Language = "en") -> ForecastResponse:
        """Forecast series.

        Raises:
            UnknownModelError, BusyError, DeadlineError, StoppingError: see there.
            DataError: candles are malformed. ConfigError: a parameter does not fit the run.
        """
        run = self.find_run(request.model)
        settings = self._settle(run, request)
        with self._admitted(len(request.inputs)), self.metrics.seconds.labels(run.name).time():
            try:
                async with asyncio.timeout(settings.timeout):
                    response = await self._answer(request, run, settings, language)
            except TimeoutError:
                raise DeadlineError(
                    "no answer within {seconds:g} s. Ask for fewer series or paths, or later.", seconds=settings.timeout
                ) from None
        self.metrics.forecasts.labels(run.name).inc(len(request.inputs))
        return response

    async def check(self, request: CheckRequest, language: Language = "en") -> CheckResponse:
        """Audit candles as `kronos check` does.

        Raises:
            DataError: the columns do not make a table. What is wrong within a file is in the result.
        """
        with self._admitted(1):
            try:
                async with asyncio.timeout(self.limits.timeout):
                    return await self._read(audit, request, language)
            except TimeoutError:
                raise DeadlineError(
                    "no answer within {seconds:g} s. Give fewer candles.", seconds=self.limits.timeout
                ) from None

    def list_models(self, language: Language = "en") -> ModelList:
        """Return the runs with their verdicts."""
        return ModelList(data=[self.describe_model(run, language) for run in self.runs.values()])

    def describe_model(self, run: ServedRun, language: Language = "en") -> ModelInfo:
        """Return a run with its verdict, for forecasts with its own settings."""
        data, report = run.config.data, run.config.report
        outlook = run.find_outlook(
            Sampling(report.temperature, 0, report.top_p), data.lookback_window, data.predict_window, 30
        )
        return ModelInfo(
            id=run.name,
            created=int(run.loaded_at),
            context_length=data.lookback_window,
            prediction_length=data.predict_window,
            run=describe_run(run),
            verdict=describe_verdict(outlook.summary, outlook.calibration is not None, language),
        )

    def health(self) -> Health:
        """Return whether forecasts can be asked for."""
        status = "ok" if self.is_ready else "not ready"
        return Health(status=status, models=list(self.runs), waiting=self._n_admitted, version=__version__)

    def find_run(self, name: str | None) -> ServedRun:
        """Return a run by its name; the first for None.

        Raises:
            UnknownModelError: there is none of this name.
        """
        name = next(iter(self.runs)) if name is None else name
        if name not in self.runs:
            template = "there is no model {name!r}. Choose one of these: {known}."
            raise UnknownModelError(template, name=name, known=", ".join(self.runs))
        return self.runs[name]

    def _settle(self, run: ServedRun, request: ForecastRequest) -> Settings:
        asked, data, report = request.parameters, run.config.data, run.config.report
        temperature = report.temperature if asked.temperature is None else asked.temperature
        sampling = Sampling(temperature, asked.top_k, report.top_p if asked.top_p is None else asked.top_p)
        try:
            horizon = run.predictor.check_horizon(asked.prediction_length or data.predict_window)
        except KronosError as error:
            raise error.within("parameters.prediction_length") from None
        if (wanted := len(request.inputs) * asked.n_paths * horizon) > self.limits.max_candles:
            raise ConfigError(
                "{n} series × {n_paths} paths × {horizon} candles are {wanted:,} sampled candles; this server samples {most:,} "
                "for a request. Ask for fewer paths, candles or series.",
                n=len(request.inputs),
                n_paths=asked.n_paths,
                horizon=horizon,
                wanted=wanted,
                most=self.limits.max_candles,
            )
        return Settings(
            horizon=horizon,
            lookback=asked.context_length or data.lookback_window,
            n_paths=1 if sampling.greedy else asked.n_paths,  # greedy paths are all the same
            sampling=sampling,
            seed=asked.seed,
            levels=tuple(dict.fromkeys(asked.quantile_levels)),
            calibrate=asked.calibrate,
            timeout=min(asked.timeout_seconds or math.inf, self.limits.timeout),
        )

    @contextmanager
    def _admitted(self, n_series: int) -> Iterator[None]:
        """Count series from their arrival to their answer.

        Raises:
            BusyError: the queue has no room for them now. ConfigError: it never has. StoppingError: nothing is computed.
        """
        if self._batcher is None:
            raise StoppingError("the server is not ready, or is stopping. Ask again in a moment.")
        size = self.limits.queue_size
        if n_series > size:
            raise ConfigError(
                "{n} series, but the queue of this server holds {size}. Ask for fewer.", n=n_series, size=size
            )
        if self._n_admitted + n_series > size:
            template = "{n} series are waiting; at most {size} may. Ask again in {seconds} s, or for fewer series."
            seconds = min(max(math.ceil(self._n_admitted / (self._rate or math.inf)), 1), LONGEST_RETRY)
            error = BusyError(template, n=self._n_admitted, size=size, seconds=seconds)
            error.retry_after = seconds
            raise error
        self._n_admitted += n_series
        self.metrics.waiting.set(self._n_admitted)
        try:
            yield
        finally:
            self._n_admitted -= n_series
            self.metrics.waiting.set(self._n_admitted)

    async def _answer(
        self, request: ForecastRequest, run: ServedRun, settings: Settings, language: Language
    ) -> ForecastResponse:
        assert self._batcher is not None
        series = await self._read(read_all, request, run, settings)
        sampled = await self._batcher.submit((run, settings.batch), series)
        outlook, forecasts = await self._read(finish, run, settings, series, sampled)
        response = await self._read(build_response, request, run, settings, forecasts, outlook.summary, language)
        if self.on_forecasts is not None:
            served = ServedForecasts(
                str(run.config.model_paths.run_folder.path),
                outlook.conditions,
                {"seed": settings.seed, "n_paths": settings.n_paths},
                forecasts,
            )
            await asyncio.get_running_loop().run_in_executor(self._recorder, self.on_forecasts, served)
        return response

    async def _read(self, function: Callable[P, Result], *arguments: P.args, **named: P.kwargs) -> Result:
        """Call a function that reads candles or writes an answer, in a thread."""
        call = partial(function, *arguments, **named)
        return await asyncio.get_running_loop().run_in_executor(self._readers, call)

    def _observe_batch(self, n_series: int, seconds: float) -> None:
        self._rate = n_series / max(seconds, 1e-6)
        self.metrics.observe_batch(n_series, seconds)

    async def _keep_reloading(self) -> None:
        while True:
            await asyncio.sleep(self.limits.reload_interval)
            for name in await asyncio.to_thread(self.runs.reload):
                self.metrics.reloads.labels(name).inc()
                self.metrics.loaded.labels(name).set(self.runs[name].loaded_at)
