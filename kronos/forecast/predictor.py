"""`KronosPredictor`: candles and timestamps in, forecast candles out."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from torch import nn

from kronos.candles import CANDLE_COLUMNS, PRICE_COLUMNS, Array, compute_calendar, stack_columns
from kronos.data.normalize import Statistics
from kronos.errors import ConfigError, DataError
from kronos.forecast.generate import generate_paths
from kronos.forecast.sampling import check_sampling
from kronos.model import Kronos, KronosTokenizer
from kronos.model.pretrained import check_pair

Timestamps = pd.Series | pd.Index
Module = TypeVar("Module", bound=nn.Module)


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
    ) -> None:
        """Take the models; they stay on their device and in their mode.

        Args:
            device: where to compute, by default where the model is. Models that are elsewhere are copied there.
            max_context: how many of the latest candles a forecast attends to; what the model was trained with.
            clip: normalised inputs are clipped to ±clip standard deviations.
            reference_decode: reproduce the forecasts of the reference implementation, which decodes s2 without
                the rotation it was trained with and adds 1e-5 to the standard deviation whatever the price.

        Raises:
            CheckpointError: tokenizer and model have different bits.
        """
        if not (isinstance(model, Kronos) and isinstance(tokenizer, KronosTokenizer)):
            given = f"{type(model).__name__}, {type(tokenizer).__name__}"
            raise ConfigError(f"KronosPredictor takes a Kronos, then a KronosTokenizer; got {given}.")
        check_pair(tokenizer, model, len(CANDLE_COLUMNS))
        self.device = torch.device(device) if device is not None else next(model.parameters()).device
        self.model = _on_device(model, self.device)
        self.tokenizer = _on_device(tokenizer, self.device)
        self.max_context = max_context
        self.clip = clip
        self.reference_decode = reference_decode

    def predict(
        self,
        df: pd.DataFrame,
        x_timestamp: Timestamps,
        y_timestamp: Timestamps,
        pred_len: int,
        T: float = 1.0,
        top_k: int = 0,
        top_p: float = 0.9,
        sample_count: int = 1,
        verbose: bool = True,
        seed: int | None = None,
    ) -> pd.DataFrame:
        """Forecast the candles that follow df.

        Args:
            df: the L known candles: open, high, low, close and, where known, volume and amount. Without volume both are
                taken as 0, without amount it is volume × mean(open, high, low, close).
            x_timestamp: their L local timestamps.
            y_timestamp: the pred_len timestamps to come.
            T, top_k, top_p: temperature, and how many tokens, with what share of the probability, to sample from.
            sample_count: paths to sample; the mean over them is returned.
            verbose: show a progress bar.
            seed: the same seed, the same forecast. By default it is drawn from torch's global generator.

        Returns:
            pred_len rows indexed by y_timestamp, in the units of df.

        Raises:
            DataError: df or the timestamps are malformed. ConfigError: a sampling parameter means nothing.
        """
        return self.predict_batch(
            [df], [x_timestamp], [y_timestamp], pred_len, T, top_k, top_p, sample_count, verbose, seed
        )[0]

    def predict_batch(
        self,
        df_list: Sequence[pd.DataFrame],
        x_timestamp_list: Sequence[Timestamps],
        y_timestamp_list: Sequence[Timestamps],
        pred_len: int,
        T: float = 1.0,
        top_k: int = 0,
        top_p: float = 0.9,
        sample_count: int = 1,
        verbose: bool = True,
        seed: int | None = None,
    ) -> list[pd.DataFrame]:
        """Forecast several series of one length together; the arguments and results are those of `predict`, listed."""
        check_sampling(T, top_k, top_p)
        self._check_lengths(df_list, x_timestamp_list, y_timestamp_list, pred_len, sample_count)
        candles = np.stack([_to_array(df, f"series {i}") for i, df in enumerate(df_list)])  # (N, L, F)
        stamps = np.stack(
            [
                np.concatenate([_to_calendar(x, "x_timestamp", i), _to_calendar(y, "y_timestamp", i)])
                for i, (x, y) in enumerate(zip(x_timestamp_list, y_timestamp_list))
            ]
        )
        statistics = Statistics.compute(candles, self.reference_decode)
        seed = int(torch.randint(2**62, ()).item()) if seed is None else seed
        with _in_eval_mode(self.model, self.tokenizer):
            paths = generate_paths(
                self.tokenizer,
                self.model,
                self._to_tensor(statistics.normalise(candles, self.clip), sample_count),
                self._to_tensor(stamps, sample_count),
                max_context=self.max_context,
                temperature=T,
                top_k=top_k,
                top_p=top_p,
                generator=torch.Generator(self.device).manual_seed(seed),
                reference_decode=self.reference_decode,
                show_progress=verbose,
            )
        mean = paths.reshape(len(df_list), sample_count, *paths.shape[1:]).cpu().double().mean(1).numpy()
        forecasts = statistics.denormalise(mean)
        return [
            pd.DataFrame(forecast, columns=list(CANDLE_COLUMNS), index=pd.DatetimeIndex(pd.Series(y)))
            for forecast, y in zip(forecasts, y_timestamp_list)
        ]

    def _to_tensor(self, array: Array, sample_count: int) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device).repeat_interleave(sample_count, dim=0)

    def _check_lengths(
        self,
        df_list: Sequence[pd.DataFrame],
        x_list: Sequence[Timestamps],
        y_list: Sequence[Timestamps],
        pred_len: int,
        sample_count: int,
    ) -> None:
        if not len(df_list) == len(x_list) == len(y_list) > 0:
            raise DataError(
                f"expected as many x_timestamp and y_timestamp as series, got {len(df_list)} series, {len(x_list)} and "
                f"{len(y_list)}."
            )
        if not 0 < pred_len < self.max_context:
            raise DataError(
                f"pred_len must lie between 1 and max_context - 1 = {self.max_context - 1}, got {pred_len}."
            )
        if sample_count < 1:
            raise DataError(f"sample_count must be at least 1, got {sample_count}.")
        for i, (df, x, y) in enumerate(zip(df_list, x_list, y_list)):
            if len(df) != len(x) or len(df) == 0:
                raise DataError(f"series {i}: {len(df)} candles, but {len(x)} x_timestamp; there must be one for each.")
            if len(y) != pred_len:
                raise DataError(f"series {i}: pred_len is {pred_len}, but there are {len(y)} y_timestamp.")
        if len(lengths := sorted({len(df) for df in df_list})) > 1:
            raise DataError(f"predict_batch needs series of one length, got lengths {', '.join(map(str, lengths))}.")


def _to_array(df: pd.DataFrame, name: str) -> Array:
    """Return the six columns of a frame (L, F) float64, making up absent volume and amount."""
    missing = [column for column in PRICE_COLUMNS if column not in df]
    if missing:
        raise DataError(
            f"{name}: column {', '.join(missing)} missing; the frame has {', '.join(map(str, df.columns))}."
        )
    try:
        values = stack_columns({column: df[column].to_numpy(np.float64) for column in CANDLE_COLUMNS if column in df})
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: not all candles are numbers: {error}.") from None
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise DataError(f"{name}, row {row}: {CANDLE_COLUMNS[column]} is {values[row, column]}, not a finite number.")
    return values


def _to_calendar(timestamps: Timestamps, name: str, i: int) -> Array:
    values = pd.Series(timestamps)
    if pd.api.types.is_numeric_dtype(values):
        raise DataError(f"series {i}: {name} holds numbers, not timestamps (pd.to_datetime makes them).")
    try:
        index = pd.DatetimeIndex(values)
    except (TypeError, ValueError) as error:
        raise DataError(f"series {i}: {name} does not hold timestamps: {error}.") from None
    if index.hasnans:
        raise DataError(f"series {i}: {name} has no time in row {int(index.isna().argmax())}.")
    return compute_calendar(index)


def _on_device(module: Module, device: torch.device) -> Module:
    if next(module.parameters()).device == device:
        return module
    return copy.deepcopy(module).to(device)


@contextmanager
def _in_eval_mode(*modules: nn.Module) -> Iterator[None]:
    """Switch dropout off, and give each module its mode back."""
    modes = [(part, part.training) for module in modules for part in module.modules()]
    try:
        for module in modules:
            module.eval()
        yield
    finally:
        for part, mode in modes:
            part.training = mode
