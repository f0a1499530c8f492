"""`KronosPredictor`: candles and timestamps in, forecast candles out."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Self

import pandas as pd
import torch

from kronos.candles import CANDLE_COLUMNS
from kronos.data.files.options import ReadingOptions
from kronos.data.frames import Frame
from kronos.errors import ConfigError
from kronos.forecast.chunks import check_room
from kronos.forecast.decoding.options import ContextPolicy, Decoding
from kronos.forecast.decoding.static_decoder import StaticDecoders
from kronos.forecast.devices import has_static_decoders, place_models
from kronos.forecast.forecast import Forecast, build_forecast
from kronos.forecast.inputs import InputSeries, build_all_inputs, check_count, count_times, list_frames, log_notes
from kronos.forecast.paths import PathSampler
from kronos.forecast.sampling import DEFAULT_SAMPLING, Sampling, choose_seed, is_number
from kronos.forecast.timestamps import Timestamps
from kronos.model import Kronos, KronosTokenizer
from kronos.model.pretrained import check_pair, check_trained_with
from kronos.run_folder import RunFolder
from kronos.saved_run import SavedRun, choose_context, find_run_of, find_tokenizer_of, load_pair, load_saved_run

N_PATHS = 30


class KronosPredictor:
    """Forecasts candles with a base model and its tokenizer."""

    def __init__(
        self,
        model: Kronos,
        tokenizer: KronosTokenizer,
        device: str | torch.device | None = None,
        max_context: int = 512,
        clip: float = 5.0,
        reference_decode: bool = False,
        context_policy: ContextPolicy | None = None,
        dtype: str | torch.dtype | None = None,
        compile: bool = False,
    ) -> None:
        """Take the models. A copy is made when another device or type is asked for; the caller's own never change.

        Args:
            device: where to compute; by default a GPU if there is one, else where the model is.
            max_context: how many candles a forecast attends to at most; what the model was trained with.
            clip: normalised inputs are clipped to ±clip standard deviations.
            reference_decode: reproduce the forecasts of the reference implementation, which decodes s2 without
                the rotation it was trained with, adds 1e-5 to the standard deviation of any price, rolls its
                context (recompute) and leaves impossible candles as they are.
            context_policy: what to do when lookback and horizon together exceed max_context, see `Decoding`:
                "slide" (the default), "grow" or "recompute".
            dtype: of the base model, "float32", "bfloat16" or "float16"; by default unchanged. The tokenizer keeps
                its own: rounding a candle would change its tokens.
            compile: compile the decoding step with torch.compile, which slows the first forecast down.

        Raises:
            CheckpointError: tokenizer and model have different bits, or weights that are not finite.
            ConfigError: an argument is invalid.
        """
        if not (isinstance(model, Kronos) and isinstance(tokenizer, KronosTokenizer)):
            raise ConfigError(
                "KronosPredictor takes a Kronos, then a KronosTokenizer; got {first}, {second}.",
                first=type(model).__name__,
                second=type(tokenizer).__name__,
            )
        check_pair(tokenizer, model, len(CANDLE_COLUMNS))
        check_trained_with(model, tokenizer)
        if not (is_number(clip) and clip > 0):
            raise ConfigError("clip must be a positive number of standard deviations, got {clip!r}.", clip=clip)
        by_default: ContextPolicy = "recompute" if reference_decode else "slide"
        self.context_policy = by_default if context_policy is None else context_policy
        self.max_context = check_count("max_context", max_context)
        self.clip = clip
        self.reference_decode = reference_decode
        self._build_decoding(DEFAULT_SAMPLING)  # raises if the policy is unknown
        self.device, self.model, self.tokenizer = place_models(model, tokenizer, device, dtype, compile)
        self._static = StaticDecoders(self.model, compile) if has_static_decoders(self.device) else None

    def __repr__(self) -> str:
        return f"KronosPredictor(max_context={self.max_context:,}, device={str(self.device)!r})"

    @classmethod
    def from_run(cls, run: str | PathLike[str] | SavedRun, **options: Any) -> Self:
        """Take the best models of a run: of its folder, {base_path}/{exp_name}, or already loaded.

        Args:
            options: those of `KronosPredictor`; max_context and clip are by default what the run was trained with.

        Raises:
            ConfigError: the folder holds no run, or an argument is invalid.
            CheckpointError: the run has no base model yet, or its models do not fit together.
        """
        config, tokenizer, model = run if isinstance(run, SavedRun) else load_saved_run(Path(run).expanduser())
        trained = {"max_context": config.data.max_context, "clip": config.data.clip}
        return cls(model, tokenizer, **trained | {name: value for name, value in options.items() if value is not None})

    @classmethod
    def from_pretrained(cls, model: str | PathLike[str], tokenizer: str | None = None, **options: Any) -> Self:
        """Take the best models of a run, or a base model and its tokenizer.

        Args:
            model: a run or its folder; or a base model: a folder, a hub name such as "NeoQuasar/Kronos-small", or "nano".
            tokenizer, options: by default the tokenizer and max_context that belong to the model.

        Raises:
            ConfigError: the tokenizer is not known, or an argument is invalid. CheckpointError: a model cannot be used.
        """
        name, folder = os.fspath(model), Path(model).expanduser()
        if RunFolder(folder).config.is_file():
            if tokenizer is not None:
                raise ConfigError("tokenizer needs a model. A run has its own tokenizer.")
            return cls.from_run(folder, **options)
        tokens, base_model = load_pair(name, tokenizer or find_tokenizer_of(name))
        if trained_by := find_run_of(folder, tokens):
            return cls.from_run(SavedRun(trained_by, tokens, base_model), **options)
        return cls(base_model, tokens, **options | {"max_context": choose_context(name, options.get("max_context"))})

    def predict(
        self,
        df: Frame,
        x_timestamp: Timestamps | None = None,
        y_timestamp: Timestamps | None = None,
        pred_len: int | None = None,
        T: float = 1.0,
        top_k: int = 0,
        top_p: float = 0.9,
        sample_count: int = 1,
        verbose: bool = True,
        seed: int | None = None,
        name: str | None = None,
    ) -> pd.DataFrame:
        """Forecast the candles that follow df, as the mean over sampled paths.

        The arguments are those of `forecast`, under upstream's names: pred_len is the horizon, T the temperature,
        sample_count the number of paths. `top_p` is upstream's 0.9, which narrows the paths; that of `forecast` is 1.

        Returns:
            pred_len rows of open, high, low, close, volume, amount indexed by timestamp, in the units of df.
        """
        return self.predict_batch(
            *([df], [x_timestamp], [y_timestamp], pred_len, T, top_k, top_p, sample_count, verbose, seed),
            names=None if name is None else [name],
        )[0]

    def predict_batch(
        self,
        df_list: Sequence[Frame],
        x_timestamp_list: Sequence[Timestamps | None] | None = None,
        y_timestamp_list: Sequence[Timestamps | None] | None = None,
        pred_len: int | None = None,
        T: float = 1.0,
        top_k: int = 0,
        top_p: float = 0.9,
        sample_count: int = 1,
        verbose: bool = True,
        seed: int | None = None,
        names: Sequence[str] | None = None,
    ) -> list[pd.DataFrame]:
        """Forecast many series of any lengths. The arguments and results are lists of those of `predict`."""
        forecasts = self.forecast_batch(
            df_list,
            x_timestamp_list,
            y_timestamp_list,
            pred_len,
            n_paths=sample_count,
            sampling=Sampling(T, top_k, top_p),
            seed=seed,
            names=names,
            symbols=names,
            verbose=verbose,
        )
        return [forecast.mean for forecast in forecasts]

    def forecast(
        self,
        df: Frame,
        x_timestamp: Timestamps | None = None,
        y_timestamp: Timestamps | None = None,
        horizon: int | None = None,
        *,
        n_paths: int = N_PATHS,
        sampling: Sampling = DEFAULT_SAMPLING,
        seed: int | None = None,
        exchange: str | None = None,
        name: str | None = None,
        verbose: bool = True,
        reading: ReadingOptions | Mapping[str, str] | None = None,
    ) -> Forecast:
        """Sample futures of the candles in df.

        Args:
            df: the L known candles, a frame of pandas, polars, PyArrow or DuckDB: open, high, low, close and, if known,
                volume and amount. Without volume both are 0; without amount it is volume × mean(open, high, low, close).
            x_timestamp: their L local (exchange) times; by default the frame's index or its column timestamps.
            y_timestamp: the future times. By default they follow the pattern of the history or, with exchange, that
                exchange's calendar.
            horizon: how many candles to forecast; by default the length of y_timestamp.
            n_paths: how many futures to sample.
            sampling: temperature, top_k and top_p.
            seed: the same seed gives the same forecast in any batch; by default drawn from torch's global generator.
            exchange: a code of exchange_calendars such as XSHG or XNYS (needs the extra `calendars`).
            name: stands for the series in messages, and makes its random draws its own: without names, all series that
                end at the same time share their draws, and their paths move together.
            verbose: show a progress bar, and log the forecasts' notes.
            reading: our names of columns to the frame's, or options such as ReadingOptions(timezone="Asia/Shanghai").

        Raises:
            DataError: the candles or the times are malformed. ConfigError: a parameter is invalid.
        """
        return self.forecast_batch(
            [df],
            [x_timestamp],
            [y_timestamp],
            horizon,
            n_paths=n_paths,
            sampling=sampling,
            seed=seed,
            exchange=exchange,
            names=None if name is None else [name],
            symbols=None if name is None else [name],
            verbose=verbose,
            reading=reading,
        )[0]

    def forecast_batch(
        self,
        df_list: Sequence[Frame],
        x_timestamp_list: Sequence[Timestamps | None] | None = None,
        y_timestamp_list: Sequence[Timestamps | None] | None = None,
        horizon: int | None = None,
        *,
        n_paths: int = N_PATHS,
        sampling: Sampling = DEFAULT_SAMPLING,
        seed: int | None = None,
        exchange: str | None = None,
        names: Sequence[str] | None = None,
        symbols: Sequence[str] | None = None,
        verbose: bool = True,
        reading: ReadingOptions | Mapping[str, str] | None = None,
    ) -> list[Forecast]:
        """Forecast many series of any lengths, in chunks that fit the memory.

        A series' forecast does not depend on the other series.

        Args: lists of those of `forecast`; names stand for the series in messages, symbols make their random draws their own.
        """
        frames = list_frames(df_list)
        horizon = self.check_horizon(count_times(y_timestamp_list) if horizon is None else horizon)
        n_paths = check_count("the number of paths (sample_count)", n_paths)
        check_room((len(frames), n_paths, horizon, len(CANDLE_COLUMNS)))
        seed = choose_seed(seed)
        if not isinstance(sampling, Sampling):
            kind = type(sampling).__name__
            raise ConfigError("sampling must be a Sampling(temperature, top_k, top_p), got {kind}.", kind=kind)
        given = frames, x_timestamp_list, y_timestamp_list, names, horizon, exchange, symbols, reading
        inputs = [self._limit(series) for series in build_all_inputs(*given)]
        models = self.tokenizer, self.model, self.device
        how = self.clip, self.reference_decode, self._build_decoding(sampling)
        all_paths = PathSampler(*models, *how, self._static).sample(inputs, n_paths, horizon, seed, verbose)
        repair = not self.reference_decode
        forecasts = [build_forecast(series, paths, repair=repair) for series, paths in zip(inputs, all_paths)]
        if verbose:
            log_notes((forecast.name, forecast.notes) for forecast in forecasts)
        return forecasts

    def _build_decoding(self, sampling: Sampling) -> Decoding:
        return Decoding(self.max_context, self.context_policy, sampling, rotate_s2=not self.reference_decode)

    def check_horizon(self, horizon: object) -> int:
        """Return the horizon.

        Raises:
            ConfigError: it is not a whole number of at least 1, or it does not fit the context.
        """
        number = check_count("the horizon (pred_len)", horizon)
        if number >= self.max_context:
            raise ConfigError(
                "a horizon (pred_len) of {horizon} is beyond max_context = {max_context}, which holds the horizon and at "
                "least one known candle. Forecast at most {most}.",
                horizon=number,
                max_context=self.max_context,
                most=self.max_context - 1,
            )
        return number

    def _limit(self, series: InputSeries) -> InputSeries:
        """Keep the latest max_context candles; under recompute all, as the reference implementation normalises by all."""
        n_known = len(series.candles)
        if self.context_policy == "recompute" or n_known <= self.max_context:
            return series
        latest = slice(n_known - self.max_context, None)
        return replace(series, candles=series.candles[latest], timestamps=series.timestamps[latest])
