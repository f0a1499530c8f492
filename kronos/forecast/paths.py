"""Sampling the futures of many series, in chunks that fit the memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from kronos.candles import CANDLE_COLUMNS, Array, compute_calendar
from kronos.data.windows.normalize import Statistics
from kronos.forecast.chunks import (
    estimate_footprint,
    measure_budget,
    plan_chunks,
    translate_forecast_out_of_memory,
)
from kronos.forecast.decoding.generate import generate_paths, stack_padded
from kronos.forecast.decoding.options import Decoding
from kronos.forecast.decoding.static_decoder import StaticDecoders
from kronos.forecast.devices import eval_mode
from kronos.forecast.inputs import InputSeries
from kronos.forecast.sampling import draw_path_uniforms
from kronos.model import Kronos, KronosTokenizer
from kronos.model.linear import FEW_ROWS, Linear
from kronos.names import Message
from kronos.progress.bars import Progress
from kronos.threads import StepThreads


@dataclass(frozen=True, eq=False)
class PathSampler:
    """The models, where they compute and how they decode; for clip and reference_decode see `KronosPredictor`."""

    tokenizer: KronosTokenizer
    model: Kronos
    device: torch.device
    clip: float
    reference_decode: bool
    decoding: Decoding
    static: StaticDecoders | None = None

    def sample(
        self, inputs: Sequence[InputSeries], n_paths: int, horizon: int, seed: int, show_progress: bool
    ) -> Array:
        """Return sampled candles (S, P, horizon, 6) in the units of each series."""
        statistics = [Statistics.compute(series.candles, self.reference_decode) for series in inputs]
        paths = np.empty((len(inputs), n_paths, horizon, len(CANDLE_COLUMNS)))
        footprint = estimate_footprint(self.tokenizer, self.model, self.decoding.max_context, horizon)
        lengths = [len(series.candles) for series in inputs]
        chunks = list(plan_chunks(lengths, n_paths, footprint, measure_budget(self.device)))
        with (
            translate_forecast_out_of_memory(),
            eval_mode(self.model, self.tokenizer),
            Progress(Message("forecasting"), len(chunks) * horizon, "steps", shown=show_progress) as progress,
            StepThreads(self.device) as threads,
        ):

            def end_step() -> None:
                progress.update()
                threads.end_step()

            for chunk in chunks:
                chosen = [inputs[i] for i in chunk.series]
                normalised = [statistics[i].normalise(inputs[i].candles, self.clip) for i in chunk.series]
                uniforms = [
                    draw_path_uniforms(seed, series.timestamps[-1], chunk.paths, horizon, series.symbol)
                    for series in chosen
                ]
                threads.begin(horizon, self._may_use_fewer_threads(len(chosen) * uniforms[0].shape[0]))
                sampled = self._generate(chosen, normalised, torch.stack(uniforms), end_step)
                for i, of_series in zip(chunk.series, sampled):
                    paths[i, chunk.paths] = statistics[i].denormalise(of_series)
        return paths

    def _may_use_fewer_threads(self, n_rows: int) -> bool:
        """Whether the rounding of a step's products does not depend on the number of threads."""
        dtype = next(self.model.parameters()).dtype
        compiled = any(block._compiled_call_impl is not None for block in self.model.transformer)
        if n_rows > FEW_ROWS or dtype != torch.float32 or compiled or self.decoding.policy == "recompute":
            return False
        layers = [layer for layer in self.model.modules() if isinstance(layer, nn.Linear)]
        return all(isinstance(layer, Linear) and layer.splits_few_rows for layer in layers)

    def _generate(
        self,
        chosen: Sequence[InputSeries],
        normalised: Sequence[Array],
        uniforms: torch.Tensor,
        on_step: Callable[[], object],
    ) -> Array:
        """Sample (S, P, horizon, 6) normalised candles."""
        stamps = [compute_calendar(series.timestamps) for series in chosen]
        sampled = generate_paths(
            self.tokenizer,
            self.model,
            stack_padded(normalised).to(self.device, self.tokenizer.head.weight.dtype),
            tuple(len(part) for part in normalised),
            stack_padded(stamps).to(self.device),
            torch.from_numpy(np.stack([compute_calendar(series.future) for series in chosen])).to(self.device),
            uniforms.to(self.device),
            self.decoding,
            on_step,
            self.static,
        )
        return sampled.cpu().double().numpy()
