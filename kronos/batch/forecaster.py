"""`Forecaster`: a long frame of candles of many symbols in, a long frame of quantiles out."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, overload

import pandas as pd
import pyarrow as pa
import pyarrow.feather

from kronos.batch.candles import join_symbols, split_symbols
from kronos.batch.quantile_table import build_schema, check_columns, tabulate
from kronos.config import Config
from kronos.config.changes import FOR_READING, NO_EFFECT_ON_FORECASTS, OTHER_CANDLES, check_changes
from kronos.config.load import list_keys
from kronos.data import ReadingOptions, read_frames
from kronos.data.elsewhere.options import FetchOptions
from kronos.data.frames import to_rows
from kronos.data.quality.findings import raise_errors
from kronos.disk.temporaries import temporary_folder
from kronos.errors import DataError, WriteError
from kronos.evaluation.scores.calibration import Calibration
from kronos.evaluation.stored_calibration import calibrate, describe_conditions, find_calibration
from kronos.files import hash_file
from kronos.forecast import KronosPredictor, Sampling
from kronos.forecast.chunks import choose_group_size
from kronos.forecast.forecast import QUANTILES, check_quantile
from kronos.forecast.inputs import check_count
from kronos.forecast.limits import limit_forecast
from kronos.forecast.origin import LAST, ForecastTask, split_symbol
from kronos.forecast.predictor import N_PATHS
from kronos.forecast.sampling import choose_seed
from kronos.names import name_symbol
from kronos.progress.log_levels import raise_log_levels
from kronos.saved_run import SavedRun, load_models, load_run_config

logger = logging.getLogger(__name__)

DATA = "kronos.data"  # whose loggers tell what is repaired


class Forecasts(NamedTuple):
    """What became of symbols.

    table: horizon rows for each symbol that was forecast, with the columns of `Forecaster.schema`.
    left_out: the symbols that could not be forecast, and why.
    """

    table: pa.Table
    left_out: dict[str, str]


@dataclass
class Forecaster:
    """Forecasts many symbols from their last candles, with the models and settings of a run, as `kronos predict` does.

    It is called with a frame of whole symbols, as Ray Data's `map_batches` and a loop do, or with an iterator of frames,
    as Spark's `mapInPandas` does. The models are loaded at the first call, once in each process that gets a copy.

    run: the run's folder, {base_path}/{exp_name}.
    horizon: how many candles to forecast; by default that of the training.
    n_paths: how many futures to sample. seed: the same seed gives the same forecast of a symbol, whatever its batch.
    sampling: temperature, top_k and top_p; by default those of the run.
    quantiles: those to return, from 0 to 1. columns: of which columns; by default of the close only.
    calibrated: correct the quantiles of prices by the run's calibration, if there is one.
    exchange: whose calendar gives the future times: XSHG, XNYS, 24/7, …
    device: where to compute, as for `KronosPredictor`.
    reading: how candles are read, in keys of data and repairs, for example ["data.timezone=Asia/Shanghai"].
    """

    run: str | PathLike[str]
    horizon: int | None = None
    n_paths: int = N_PATHS
    seed: int = 0
    sampling: Sampling | None = None
    quantiles: Sequence[float] = QUANTILES
    columns: Sequence[str] = ("close",)
    calibrated: bool = True
    exchange: str | None = None
    device: str = "cpu"
    reading: Sequence[str] = ()

    def __post_init__(self) -> None:
        self.quantiles = sorted({check_quantile(each) for each in self.quantiles})
        self.columns = check_columns(self.columns)
        check_count("the number of paths", self.n_paths)
        choose_seed(self.seed)
        check_changes(list_keys(self.reading), FOR_READING, NO_EFFECT_ON_FORECASTS)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy for another process needs: it loads the models itself."""
        return {name: value for name, value in vars(self).items() if name in self.__dataclass_fields__}

    @property
    def schema(self) -> Any:
        """The columns of the result, see `build_schema`."""
        return build_schema(self.columns, self.quantiles)

    @overload
    def __call__(self, batch: pd.DataFrame) -> pd.DataFrame: ...
    @overload
    def __call__(self, batch: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]: ...
    def __call__(self, batch: pd.DataFrame | Iterable[pd.DataFrame]) -> pd.DataFrame | Iterator[pd.DataFrame]:
        """Forecast the symbols of a frame, or of frames one after the other.

        Symbols that cannot be forecast are logged as warnings and left out; `forecast` returns them.

        Args:
            batch: symbol, timestamps, open, high, low, close and, if known, volume and amount, under any names that are
                recognised in a file. In an iterator, the rows of a symbol may go on in the next frame, not later.

        Raises:
            DataError: a frame has no column of symbols.
        """
        if isinstance(batch, pd.DataFrame):
            return self._forecast_and_warn(_to_table(batch)) if len(batch) else self.schema.empty_table().to_pandas()
        tables = (_to_table(frame) for frame in batch if len(frame))
        return map(self._forecast_and_warn, join_symbols(tables, self.column_names))

    def _forecast_and_warn(self, table: Any) -> pd.DataFrame:
        done = self.forecast((symbol, [rows]) for symbol, rows in split_symbols(table, self.column_names))
        for symbol, reason in done.left_out.items():
            logger.warning("%s: left out: %s", symbol, reason)
        frame: pd.DataFrame = done.table.to_pandas()
        return frame

    def forecast(self, tables: Iterable[tuple[str, Sequence[Any]]]) -> Forecasts:
        """Forecast symbols, each with tables of PyArrow of its rows, in groups. One symbol at a time is read."""
        left_out: dict[str, str] = {}
        group, done = dict[str, ForecastTask](), list[Any]()
        size = choose_group_size(self._predictor.device)
        with temporary_folder() as folder:
            for symbol, own in tables:
                name = name_symbol(symbol)
                try:
                    group[name] = self._read(name, own, folder)
                except DataError as error:
                    left_out[name] = _without_place(error, name, folder)
                if len(group) == size:
                    done += self._forecast_group(group)
                    group = {}
        done += self._forecast_group(group) if group else []
        return Forecasts(pa.concat_tables(done) if done else self.schema.empty_table(), left_out)

    def _read(self, name: str, tables: Sequence[Any], folder: Path) -> ForecastTask:
        """Read one symbol as files are read, with all checks and repairs."""
        files = [folder / f"{number}.feather" for number in range(len(tables))]
        for file, table in zip(files, tables):
            try:
                pyarrow.feather.write_feather(table, str(file), compression="uncompressed")
            except OSError as error:
                raise WriteError.about(file, error) from error
        with raise_log_levels({DATA: logging.ERROR}):  # repairs: a line for each symbol, with temporary files
            frames, unreadable = read_frames(files, self._options, self._config.repairs, self._config.data.max_gap)
        raise_errors(unreadable)
        if not frames:
            raise DataError("no candle lies between data.since and data.until.")
        if len(frames) > 1:
            raise DataError("the rows are of several symbols. Name the column of symbols with data.columns.")
        return split_symbol(frames[0], name, LAST, self._lookback, self._horizon, self.exchange)

    def _forecast_group(self, group: Mapping[str, ForecastTask]) -> Iterator[Any]:
        """Forecast symbols together, as `kronos predict` does. A forecast does not depend on its group."""
        histories = [task.history[-self._lookback :] for task in group.values()]
        futures, names = [task.future for task in group.values()], list(group)
        forecasts = self._predictor.forecast_batch(
            *(histories, None, futures, self._horizon),
            n_paths=self._n_paths,
            sampling=self._sampling,
            seed=self.seed,
            names=names,
            symbols=names,
            verbose=False,
        )
        for forecast, task in zip(forecasts, group.values()):
            known = task.history["close"].to_numpy()[-self._lookback :]
            made = calibrate(forecast, self._calibration, known)
            made = limit_forecast(made, made.name, self._config.data.board, task.history)
            yield tabulate(made, self.columns, self.quantiles)

    def describe(self) -> dict[str, Any]:
        """Return what the forecasts depend on beside the candles, as plain values: weights' hashes and settings."""
        stored = self._config.model_paths.run_folder.calibration
        options = {key: str(value) for key, value in asdict(self._options).items()}
        return self.conditions | {
            "n_paths": self._n_paths,
            "seed": self.seed,
            "quantiles": list(self.quantiles),
            "columns": list(self.columns),
            "calibration": hash_file(stored) if self._calibration else None,
            "exchange": self.exchange,
            "reading": options
            | {
                "max_gap": self._config.data.max_gap,
                "board": self._config.data.board,
                "repairs": self._config.repairs.model_dump(),
            },
        }

    @property
    def column_names(self) -> Mapping[str, str]:
        """Our names of columns to the files', where they are given."""
        return self._options.columns

    @property
    def fetching(self) -> FetchOptions:
        """How candles are fetched that a URL names."""
        return FetchOptions.of(self._config.data)

    @cached_property
    def conditions(self) -> dict[str, Any]:
        """The models and settings that a verdict and a calibration are valid for."""
        return describe_conditions(self._predictor, self._sampling, self._lookback, self._horizon)

    @property
    def is_calibrated(self) -> bool:
        """Whether the quantiles of prices are corrected by the run's calibration."""
        return self._calibration is not None

    @property
    def on_cpu(self) -> bool:
        return self._predictor.device.type == "cpu"

    @cached_property
    def _config(self) -> Config:
        others = [f"{key}=null" for key in OTHER_CANDLES]
        return load_run_config(Path(self.run).expanduser(), [*others, *self.reading])

    @cached_property
    def _options(self) -> ReadingOptions:
        """How the candles are read: each symbol is a series of its own."""
        data = self._config.data
        return ReadingOptions.of(data.model_copy(update={"series": "separate"}))

    @cached_property
    def _predictor(self) -> KronosPredictor:
        return KronosPredictor.from_run(SavedRun(self._config, *load_models(self._config)), device=self.device)

    @cached_property
    def _horizon(self) -> int:
        wanted = self._config.data.predict_window if self.horizon is None else self.horizon
        return self._predictor.check_horizon(wanted)

    @property
    def _lookback(self) -> int:
        return self._config.data.lookback_window

    @cached_property
    def _sampling(self) -> Sampling:
        report = self._config.report
        return self.sampling or Sampling(report.temperature, 0, report.top_p)

    @property
    def _n_paths(self) -> int:
        return 1 if self._sampling.greedy else self.n_paths  # greedy paths are all the same

    @cached_property
    def _calibration(self) -> Calibration | None:
        if not self.calibrated or self._n_paths == 1:
            return None
        return find_calibration(self._config.model_paths.run_folder.calibration, self.conditions, self._n_paths)


def _to_table(frame: pd.DataFrame) -> Any:
    return pa.Table.from_pandas(to_rows(frame, "batch"), preserve_index=False)


def _without_place(error: DataError, name: str, folder: Path) -> str:
    """Return an error's text without the symbol and the temporary file in front."""
    text = re.sub(rf"{re.escape(str(folder))}/\d+\.feather", lambda _: name, str(error))
    return re.sub(rf"^(?:{re.escape(name)}[:,] )+", "", text)
