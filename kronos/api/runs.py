"""Fine-tune, evaluate and load runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from kronos.api.options import name_keys
from kronos.api.tasks import Candles, build_task, name_sources
from kronos.api.verdicts import Verdict
from kronos.config import Config
from kronos.config.load import build_config, build_reading_config
from kronos.config.recipes import RecipeName
from kronos.config.section import set_key
from kronos.errors import ConfigError
from kronos.evaluation.model_without_run import build_model_config, load_judged_models
from kronos.evaluation.results import Evaluation
from kronos.evaluation.stored_calibration import calibrate, describe_conditions, find_calibration
from kronos.forecast import Forecast, KronosPredictor, Sampling
from kronos.planning.check import check_candles
from kronos.planning.enough import RATIOS
from kronos.run import FinishedRun, run_evaluation, run_model_evaluation, run_training
from kronos.run_folder import RunFolder, lock_run_folder
from kronos.saved_run import check_trained, find_max_context, find_tokenizer_of, load_run_config
from kronos.urls import CandleSource


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
        report = self.folder.report
        return Verdict(Evaluation.read(report.results), report.page) if report.results.is_file() else None

    @property
    def report(self) -> Path | None:
        """The page of the verdict; None if there is none."""
        page = self.folder.report.page
        return page if page.is_file() else None

    def predictor(self, **options: Any) -> KronosPredictor:
        """Load the best models.

        Args:
            options: those of `KronosPredictor.from_run`, for example device="cpu".

        Raises:
            CheckpointError: the run has no base model yet, or it is damaged.
        """
        return KronosPredictor.from_run(self.path, **options)

    def forecast(
        self,
        candles: Candles | None = None,
        horizon: int | None = None,
        *,
        symbol: str | None = None,
        origin: str = "last",
        n_paths: int = 30,
        seed: int = 0,
        sampling: Sampling | None = None,
        exchange: str | None = None,
        verbose: bool = True,
    ) -> Forecast:
        """Forecast one series from its last candle, as `kronos predict` does: with calibrated bands if there are any.

        Args:
            candles: a frame, or files, of the known candles; by default the run's own.
            horizon: how many candles to forecast; by default that of the training.
            symbol: which series, if there are several.
            origin: with files, a local time to forecast from instead, such as "2024-04-02 10:10".
            n_paths, seed, exchange, verbose: as for `KronosPredictor.forecast`.
            sampling: temperature, top_k and top_p; by default those of the run.

        Returns:
            The forecast, with the candles before it and, after an earlier origin, the actual ones.

        Raises:
            DataError: the candles are malformed. ConfigError: an option is wrong. CheckpointError: the run is not trained.
        """
        data, report = self.config.data, self.config.report
        horizon = data.predict_window if horizon is None else self._predictor.check_horizon(horizon)
        sampling = sampling or Sampling(report.temperature, 0, report.top_p)
        name, task = build_task(self.config, candles, symbol, horizon, origin, exchange)
        known = task.history[-data.lookback_window :]
        (forecast,) = self._predictor.forecast_batch(
            [known], None, [task.future], n_paths=n_paths, sampling=sampling, seed=seed, names=[name], verbose=verbose
        )
        forecast = replace(
            forecast,
            notes=(*task.notes, *forecast.notes),
            history=task.history,
            actual=task.actual if len(task.actual) else None,
        )
        conditions = describe_conditions(self._predictor, sampling, data.lookback_window, horizon)
        calibration = find_calibration(self.folder.calibration, conditions, n_paths) if n_paths > 1 else None
        return calibrate(forecast, calibration, known["close"].to_numpy()) if calibration else forecast

    def evaluate(self, data: Candles | None = None, since: str | datetime | None = None, **options: Any) -> Verdict:
        """Evaluate the run again, or on other candles; see `kronos.evaluate`."""
        return evaluate(self, data, since=since, **options)

    @cached_property
    def _predictor(self) -> KronosPredictor:
        return self.predictor()

    def __repr__(self) -> str:
        verdict = self.verdict
        return f"Run({str(self.path)!r})\n{verdict!r}" if verdict else f"Run({str(self.path)!r}), not evaluated"

    def _repr_html_(self) -> str:
        verdict = self.verdict
        return verdict._repr_html_() if verdict else f"<p>{self.path}: not evaluated</p>"


def load_run(path: str | Path) -> Run:
    """Load a run from its folder, {base_path}/{exp_name}.

    Raises:
        ConfigError: there is no run. CheckpointError: it has no base model yet.
    """
    run = Run(Path(path).expanduser())
    check_trained(run.config)
    return run


def finetune(
    data: Candles,
    model: str = "nano",
    *,
    tokenizer: str | None = None,
    lookback: int | None = None,
    horizon: int | None = None,
    recipe: RecipeName = "safe",
    out: str | Path = "finetuned/my_run",
    resume: bool = False,
    **options: Any,
) -> Run:
    """Fine-tune a model on candles, and evaluate it on held-out ones.

    Args:
        data: a frame of candles, one for each symbol, or files, folders, globs or URLs of them.
        model: the base model to start from: a folder, a hub name such as "NeoQuasar/Kronos-small", or "nano".
        tokenizer: by default the one that belongs to the model.
        lookback, horizon: in candles; by default proposed as `check` does.
        recipe: named settings: "safe", "full" or "published".
        out: the folder of the run.
        resume: skip finished stages of an earlier run there, and resume an interrupted one. Otherwise they are trained again.
        options: any key of the configuration: epochs=3, training={"epochs": 3} or **{"training.epochs": 3}.

    Raises:
        ConfigError: an option is wrong. DataError: the candles are unusable. CheckpointError: a model cannot be loaded.
    """
    config = _configure(data, model, tokenizer, lookback, horizon, recipe, Path(out), options)
    with lock_run_folder(config.model_paths.run_folder):
        run_training(config, skip_existing=resume)
    return Run(config.model_paths.run_folder.path)


def evaluate(
    run: Run | str | Path,
    data: Candles | None = None,
    *,
    tokenizer: str | None = None,
    since: str | datetime | None = None,
    **options: Any,
) -> Verdict:
    """Evaluate a run, or any model, on candles that it was not trained on.

    Args:
        run: a run or its folder; or a model: its folder, its hub name or "nano". A model needs data.
        data: other candles than the run's own, as for `finetune`.
        tokenizer: of a model; by default the one that belongs to it.
        since: forecast only candles after this local time, such as "2024-09-02".
        options: keys of the configuration, as for `finetune`, for example n_origins or rivals=["last_close"].

    Raises:
        ConfigError: an option is wrong. DataError: there is nothing to forecast. CheckpointError: a model cannot be loaded.
    """
    after = None if since is None else pd.Timestamp(since).to_pydatetime()
    if isinstance(run, Run) or RunFolder(Path(run).expanduser()).config.is_file():
        path = run.path if isinstance(run, Run) else Path(run).expanduser()
        return _evaluate_run(load_run_config(path).override(name_keys(options)), data, after)
    return _evaluate_model(str(run), tokenizer, data, after, options)


def _configure(
    data: Candles,
    model: str,
    tokenizer: str | None,
    lookback: int | None,
    horizon: int | None,
    recipe: RecipeName,
    out: Path,
    options: dict[str, Any],
) -> Config:
    """Build the configuration of a training; the length of windows that is not given is proposed."""
    given = name_keys(options)
    sizes = {"data.lookback_window": lookback, "data.predict_window": horizon}
    given |= {key: n for key, n in sizes.items() if n is not None}
    defaults: dict[str, Any] = {
        "model_paths.pretrained_predictor": model,
        "model_paths.pretrained_tokenizer": tokenizer or find_tokenizer_of(model),
        "model_paths.base_path": out.parent,
        "model_paths.exp_name": out.name,
        "data.max_context": find_max_context(model),
        **{f"data.{key}": share for key, share in RATIOS.items()},
    }
    values: dict[str, Any] = {"recipe": recipe, "data": {"data_path": ["*"]}}
    for key, value in (defaults | given).items():
        set_key(values, tuple(key.split(".")), value, "finetune")
    config = build_config(values, name="finetune")
    config = config.override({"data.data_path": name_sources(data, config)})
    if missing := [key for key in sizes if key not in given]:
        found = check_candles(config, with_splits=False).enough
        proposed = {"data.lookback_window": found.lookback, "data.predict_window": found.horizon} if found else {}
        config = config.override({key: proposed[key] for key in missing if key in proposed})
    return config


def _evaluate_run(config: Config, data: Candles | None, since: datetime | None) -> Verdict:
    with lock_run_folder(config.model_paths.run_folder):
        return _wrap(run_evaluation(config, _name_source(data, config), since))


def _evaluate_model(
    model: str, tokenizer: str | None, data: Candles | None, since: datetime | None, options: dict[str, Any]
) -> Verdict:
    source = _name_source(data, build_reading_config([]))
    config = build_model_config(model, tokenizer, source, None, []).override(name_keys(options))
    models = load_judged_models(config)
    with lock_run_folder(config.model_paths.run_folder):
        return _wrap(run_model_evaluation(config, models, since))


def _name_source(data: Candles | None, config: Config) -> CandleSource | None:
    sources = [] if data is None else name_sources(data, config)
    if len(sources) > 1:
        raise ConfigError("evaluate takes one source of candles, got {n}. Give a folder or a glob.", n=len(sources))
    return sources[0] if sources else None


def _wrap(finished: FinishedRun) -> Verdict:
    assert finished.evaluation is not None
    return Verdict(finished.evaluation, finished.report.page)
