"""Runs: their verdicts, their models and their forecasts."""

from __future__ import annotations

import html
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

from kronos.api.candles import Candles
from kronos.api.evaluating import evaluate
from kronos.api.options import name_keys
from kronos.api.session import called_from_python
from kronos.api.tasks import build_task
from kronos.api.verdicts import Verdict
from kronos.config import Config
from kronos.evaluation.results import Evaluation
from kronos.evaluation.stored_calibration import calibrate, describe_conditions, find_calibration
from kronos.forecast import Forecast, KronosPredictor, Sampling
from kronos.forecast.inputs import log_notes
from kronos.forecast.limits import limit_forecast
from kronos.forecast.origin import LAST
from kronos.run_folder import RunFolder
from kronos.saved_run import check_trained, load_run_config


@dataclass(frozen=True, repr=False)
class Run:
    """A trained run: its models, its verdict and its settings. It can be given as the path of its folder.

    path: its folder, {base_path}/{exp_name}.
    """

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)

    @cached_property
    def config(self) -> Config:
        """The resolved configuration."""
        return load_run_config(self.path)

    @property
    def folder(self) -> RunFolder:
        """All paths that the run has written."""
        return self.config.model_paths.run_folder

    @property
    def verdict(self) -> Verdict | None:
        """The verdict on held-out candles of the run's own; None if there is none.

        Raises:
            CheckpointError: its file is damaged.
        """
        report, language = self.folder.report, self.config.report.language
        return Verdict(Evaluation.read(report.results), report.page, language) if report.results.is_file() else None

    @property
    def report(self) -> Path | None:
        """The page of the verdict; None if there is none."""
        page = self.folder.report.page
        return page if page.is_file() else None

    def predictor(self, **options: Any) -> KronosPredictor:
        """Load the best models.

        Args:
            options: those of `KronosPredictor`, for example device="cpu".

        Raises:
            CheckpointError: the run has no base model yet, or it is damaged.
        """
        with called_from_python():
            return KronosPredictor.from_run(self.path, **options)

    def forecast(
        self,
        candles: Candles | None = None,
        horizon: int | None = None,
        *,
        symbol: str | None = None,
        origin: str | datetime = LAST,
        n_paths: int = 30,
        seed: int = 0,
        sampling: Sampling | None = None,
        calibrated: bool = True,
        exchange: str | None = None,
        verbose: bool = True,
        **reading: Any,
    ) -> Forecast:
        """Forecast one series from its last candle, as `kronos predict` does: with calibrated bands if there are any.

        Args:
            candles: the known candles: a frame, a dict of frames, or files; by default the run's own.
            horizon: how many candles to forecast; by default that of the training.
            symbol: which series, if there are several.
            origin: a local time to forecast from instead, such as "2024-04-02 10:10".
            sampling: temperature, top_k and top_p; by default those of the run.
            calibrated: correct the quantiles of prices by the run's calibration, if there is one.
            n_paths, seed, exchange, verbose: as for `KronosPredictor.forecast`.
            reading: keys of data and repairs that say how candles are read, for example timezone="Asia/Shanghai".

        Returns:
            The forecast, with the candles before it and, after an earlier origin, the actual ones.

        Raises:
            DataError: the candles are malformed. ConfigError: an option is wrong. CheckpointError: the run is not trained.
        """
        with called_from_python():
            data, report = self.config.data, self.config.report
            horizon = self._predictor.check_horizon(data.predict_window if horizon is None else horizon)
            sampling = sampling or Sampling(report.temperature, 0, report.top_p)
            n_paths = 1 if sampling.greedy else n_paths  # greedy paths are all the same
            given = symbol, horizon, str(origin), exchange, name_keys(reading)
            name, task, n_series = build_task(self.config, candles, *given)
            known = task.history[-data.lookback_window :]
            (forecast,) = self._predictor.forecast_batch(
                [known],
                y_timestamp_list=[task.future],
                n_paths=n_paths,
                sampling=sampling,
                seed=seed,
                names=[name],
                symbols=[name] if n_series > 1 else None,
                verbose=verbose,
            )
            actual = task.actual if len(task.actual) else None
            short = task.note_short(data.lookback_window)
            log_notes([(name, short)])
            notes = (*task.notes, *short, *forecast.notes)
            forecast = replace(forecast, notes=notes, history=task.history, actual=actual)
            conditions = describe_conditions(self._predictor, sampling, data.lookback_window, horizon)
            usable = calibrated and n_paths > 1
            calibration = find_calibration(self.folder.calibration, conditions, n_paths) if usable else None
            made = calibrate(forecast, calibration, known["close"].to_numpy())
            return limit_forecast(made, name, name_keys(reading).get("data.board", data.board), task.history)

    def evaluate(self, data: Candles | None = None, since: str | datetime | None = None, **options: Any) -> Verdict:
        """Evaluate the run again, or on other candles; see `kronos.evaluate`."""
        return evaluate(self, data, since=since, **options)

    @cached_property
    def _predictor(self) -> KronosPredictor:
        return KronosPredictor.from_run(self.path)

    def __repr__(self) -> str:
        verdict = self.verdict
        return f"Run({str(self.path)!r})\n{verdict!r}" if verdict else f"Run({str(self.path)!r}), not evaluated"

    def _repr_html_(self) -> str:
        verdict, name = self.verdict, html.escape(f"Run({str(self.path)!r})")
        return f"<p>{name}</p>{verdict._repr_html_()}" if verdict else f"<p>{name}, not evaluated</p>"


def load_run(path: str | PathLike[str]) -> Run:
    """Load a run from its folder, {base_path}/{exp_name}.

    Raises:
        ConfigError: there is no run. CheckpointError: it has no base model yet.
    """
    with called_from_python():
        run = Run(Path(path).expanduser())
        check_trained(run.config)
        return run
