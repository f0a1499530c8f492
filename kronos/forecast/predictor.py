"""`KronosPredictor`: candles and timestamps in, forecast candles out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from kronos.candles import CANDLE_COLUMNS, Array, compute_calendar
from kronos.data.windows.normalize import Statistics
from kronos.errors import ConfigError
from kronos.forecast.chunks import (
    Chunk,
    check_room,
    estimate_footprint,
    measure_budget,
    plan_chunks,
    translate_forecast_out_of_memory,
)
from kronos.forecast.devices import eval_mode, place_models
from kronos.forecast.forecast import Forecast, build_forecast
from kronos.forecast.generate import ContextPolicy, Decoding, generate_paths, pad
from kronos.forecast.inputs import (
    Series,
    Timestamps,
    build_all_series,
    check_count,
    count_times,
    list_frames,
    log_notes,
)
from kronos.forecast.sampling import DEFAULT_SAMPLING, Sampling, choose_seed, draw_uniforms, is_number
from kronos.model import Kronos, KronosTokenizer
from kronos.model.pretrained import check_pair, check_trained_with

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
        """Take the models; the caller's own keep their device, type and mode, where another is asked for a copy is made.

        Args:
            device: where to compute; by default a GPU where there is one, else where the model is.
            max_context: how many candles a forecast attends to at most; what the model was trained with.
            clip: normalised inputs are clipped to ±clip standard deviations.
            reference_decode: reproduce the forecasts of the reference implementation, which decodes s2 without
                the rotation it was trained with, adds 1e-5 to the standard deviation whatever the price, rolls its
                context (recompute) and leaves impossible candles as they are.
            context_policy: what happens where lookback and horizon together exceed max_context, see `Decoding`:
                "slide" (the default), "grow" or "recompute".
            dtype: of the base model, "float32", "bfloat16" or "float16"; by default what it has. The tokenizer keeps
                its own: rounding a candle would change its tokens.
            compile: compile the transformer blocks with torch.compile; the first forecast then takes a while longer.

        Raises:
            CheckpointError: tokenizer and model have different bits, or weights that are not finite. ConfigError: an
                argument means nothing here.
        """
        if not (isinstance(model, Kronos) and isinstance(tokenizer, KronosTokenizer)):
            given = f"{type(model).__name__}, {type(tokenizer).__name__}"
            raise ConfigError(f"KronosPredictor takes a Kronos, then a KronosTokenizer; got {given}.")
        check_pair(tokenizer, model, len(CANDLE_COLUMNS))
        check_trained_with(model, tokenizer)
        if not (is_number(clip) and clip > 0):
            raise ConfigError(f"clip must be a positive number of standard deviations, got {clip!r}.")
        if context_policy is None:
            context_policy = "recompute" if reference_decode else "slide"
        self.context_policy = context_policy
        self.max_context = check_count("max_context", max_context)
        self.clip = clip
        self.reference_decode = reference_decode
        self._build_decoding(DEFAULT_SAMPLING)  # an unknown policy is said here
        self.device, self.model, self.tokenizer = place_models(model, tokenizer, device, dtype, compile)

    def predict(
        self,
        df: pd.DataFrame,
        x_timestamp: Timestamps | None = None,
        y_timestamp: Timestamps | None = None,
        pred_len: int | None = None,
        T: float = 1.0,
        top_k: int = 0,
        top_p: float = 0.9,
        sample_count: int = 1,
        verbose: bool = True,
        seed: int | None = None,
    ) -> pd.DataFrame:
        """Forecast the candles that follow df, as the mean over sampled paths.

        The arguments are those of `forecast`, under upstream's names: pred_len is the horizon, T the temperature,
        sample_count the number of paths.

        Returns:
            pred_len rows of open, high, low, close, volume, amount indexed by timestamp, in the units of df.
        """
        return self.predict_batch(
            [df], [x_timestamp], [y_timestamp], pred_len, T, top_k, top_p, sample_count, verbose, seed
        )[0]

    def predict_batch(
        self,
        df_list: Sequence[pd.DataFrame],
        x_timestamp_list: Sequence[Timestamps | None] | None = None,
        y_timestamp_list: Sequence[Timestamps | None] | None = None,
        pred_len: int | None = None,
        T: float = 1.0,
        top_k: int = 0,
        top_p: float = 0.9,
        sample_count: int = 1,
        verbose: bool = True,
        seed: int | None = None,
    ) -> list[pd.DataFrame]:
        """Forecast many series, of any lengths; the arguments and results are those of `predict`, listed."""
        forecasts = self.forecast_batch(
            df_list,
            x_timestamp_list,
            y_timestamp_list,
            pred_len,
            n_paths=sample_count,
            sampling=Sampling(T, top_k, top_p),
            seed=seed,
            verbose=verbose,
        )
        return [forecast.mean for forecast in forecasts]

    def forecast(
        self,
        df: pd.DataFrame,
        x_timestamp: Timestamps | None = None,
        y_timestamp: Timestamps | None = None,
        horizon: int | None = None,
        *,
        n_paths: int = N_PATHS,
        sampling: Sampling = DEFAULT_SAMPLING,
        seed: int | None = None,
        exchange: str | None = None,
        verbose: bool = True,
    ) -> Forecast:
        """Sample what may come after the candles of df.

        Args:
            df: the L known candles: open, high, low, close and, where known, volume and amount. Without volume both are
                taken as 0, without amount it is volume × mean(open, high, low, close).
            x_timestamp: their L local (exchange) times; by default the frame's index or its column timestamps.
            y_timestamp: the times to come. By default they are made: in the pattern of the history or, with exchange,
                by that exchange's calendar.
            horizon: how many candles to forecast; by default as many as y_timestamp has.
            n_paths: how many futures to sample.
            sampling: temperature, top_k and top_p.
            seed: the same seed, the same forecast, whatever the batch; by default drawn from torch's global generator.
                (Rounding varies with the batch: a draw on the very edge between two tokens may fall the other way.)
            exchange: a code of exchange_calendars such as XSHG or XNYS (needs the extra `calendars`).
            verbose: show a progress bar, and log what is in the forecasts' notes.

        Raises:
            DataError: the candles or the times are malformed. ConfigError: a parameter means nothing.
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
            verbose=verbose,
        )[0]

    def forecast_batch(
        self,
        df_list: Sequence[pd.DataFrame],
        x_timestamp_list: Sequence[Timestamps | None] | None = None,
        y_timestamp_list: Sequence[Timestamps | None] | None = None,
        horizon: int | None = None,
        *,
        n_paths: int = N_PATHS,
        sampling: Sampling = DEFAULT_SAMPLING,
        seed: int | None = None,
        exchange: str | None = None,
        names: Sequence[str] | None = None,
        verbose: bool = True,
    ) -> list[Forecast]:
        """Forecast many series, of any lengths, in pieces that fit the memory; otherwise as `forecast`, listed.

        A series' forecast does not depend on the company it keeps. names are what the series are called in messages.
        """
        frames = list_frames(df_list)
        horizon = self.check_horizon(count_times(y_timestamp_list) if horizon is None else horizon)
        n_paths = check_count("the number of paths (sample_count)", n_paths)
        check_room((len(frames), n_paths, horizon, len(CANDLE_COLUMNS)))
        seed = choose_seed(seed)
        if not isinstance(sampling, Sampling):
            raise ConfigError(f"sampling must be a Sampling(temperature, top_k, top_p), got {type(sampling).__name__}.")
        checked = build_all_series(frames, x_timestamp_list, y_timestamp_list, names, horizon, exchange)
        every_series = [self._limit(series) for series in checked]
        decoding = self._build_decoding(sampling)
        statistics = [Statistics.compute(series.candles, self.reference_decode) for series in every_series]
        paths = np.empty((len(every_series), n_paths, horizon, len(CANDLE_COLUMNS)))
        chunks = list(self._plan(every_series, n_paths, horizon))
        with (
            translate_forecast_out_of_memory(),
            eval_mode(self.model, self.tokenizer),
            tqdm(
                total=len(chunks) * horizon,
                desc="forecast",
                unit="step",
                disable=None if verbose else True,
                leave=False,
            ) as progress,
        ):
            for chunk in chunks:
                known = [statistics[i].normalise(every_series[i].candles, self.clip) for i in chunk.series]
                chosen = [every_series[i] for i in chunk.series]
                uniforms = [draw_uniforms(seed, series.timestamps[-1], chunk.paths, horizon) for series in chosen]
                sampled = self._generate(chosen, known, torch.stack(uniforms), decoding, progress.update)
                for i, of_series in zip(chunk.series, sampled):
                    paths[i, chunk.paths] = statistics[i].denormalise(of_series)
        forecasts = [
            build_forecast(series, sampled, repair=not self.reference_decode)
            for series, sampled in zip(every_series, paths)
        ]
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
                f"a horizon (pred_len) of {number} is beyond max_context = {self.max_context}, which holds it and at least one "
                f"known candle under every context policy; forecast at most {self.max_context - 1}."
            )
        return number

    def _plan(self, every_series: Sequence[Series], n_paths: int, horizon: int) -> Iterator[Chunk]:
        footprint = estimate_footprint(self.tokenizer, self.model, self.max_context, horizon)
        lengths = [len(series.candles) for series in every_series]
        return plan_chunks(lengths, n_paths, footprint, measure_budget(self.device))

    def _limit(self, series: Series) -> Series:
        """Leave out the candles before the latest max_context; the reference implementation normalises by them too."""
        n_known = len(series.candles)
        if self.context_policy == "recompute" or n_known <= self.max_context:
            return series
        latest = slice(n_known - self.max_context, None)
        return replace(series, candles=series.candles[latest], timestamps=series.timestamps[latest])

    def _generate(
        self,
        chosen: Sequence[Series],
        known: Sequence[Array],
        uniforms: torch.Tensor,
        decoding: Decoding,
        on_step: Callable[[], object],
    ) -> Array:
        """Sample (S, P, horizon, 6) normalised candles."""
        stamps = [compute_calendar(series.timestamps) for series in chosen]
        dtype = self.tokenizer.head.weight.dtype
        sampled = generate_paths(
            self.tokenizer,
            self.model,
            pad(known).to(self.device, dtype),
            tuple(len(part) for part in known),
            pad(stamps).to(self.device),
            torch.from_numpy(np.stack([compute_calendar(series.future) for series in chosen])).to(self.device),
            uniforms.to(self.device),
            decoding,
            on_step,
        )
        return sampled.cpu().double().numpy()
