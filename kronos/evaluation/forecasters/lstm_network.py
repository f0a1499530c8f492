"""An autoregressive recurrent network that forecasts a distribution, after DeepAR (Salinas et al. 2020, arXiv 1704.04110).

An encoder LSTM reads the normalised candles of the lookback and their times and, if asked for, indicators of its closes. A decoder
LSTM starts from the encoder's state and predicts the distribution of the next close from the previous close. In training this is
the actual close; in a forecast it is the sampled one. Over the horizon only closes are modelled: the decoder reads closes and times,
neither whole candles nor indicators. Both may be GRUs instead (Cho et al. 2014, arXiv 1406.1078).

Changes of the close are divided by a unit s, the root mean square of the changes in the window's lookback (DeepAR's scaling,
section 3.3): (y_t − y_{t−1}) / s ~ Student-t(location, scale, degrees of freedom). The head's weights are initialised to zero.
The untrained network is therefore a random walk whose steps are as wide as those of the lookback.

Shapes: B windows, T = L + H candles, L lookback, H horizon, D hidden size, P paths.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import StudentT
from transformers.utils.generic import ModelOutput

from kronos.candles import CANDLE_COLUMNS
from kronos.evaluation.forecasters.base import CLOSE
from kronos.evaluation.forecasters.indicators import INPUTS, compute_indicators
from kronos.model.pretrained import PretrainedModel

SMALLEST_UNIT = 1e-3  # standard deviations of the lookback: the unit of a constant close
SMALLEST_SCALE = 1e-3  # units
LEAST_FREEDOM = 2.0  # degrees of freedom; the variance is finite above this
USUAL_FREEDOM = 5.0  # degrees of freedom of the untrained network
LARGEST_CHANGE = 10.0  # units; limits the network's input, not the changes that it forecasts

# The calendar columns that the network reads: period and harmonics. Day of the month and month are left out. Training data
# contain few of each: they would identify a stretch of the data instead of a season, and those of the test split are new.
HARMONICS = {
    "minute": (60.0, (1, 2)),
    "hour": (24.0, (1, 2, 4, 8)),  # trading hours are few; the first harmonic alone hardly separates them
    "weekday": (7.0, (1, 2, 3)),
}
N_CALENDAR = 2 * sum(len(harmonics) for _, harmonics in HARMONICS.values())
CELLS = {"lstm": nn.LSTM, "gru": nn.GRU}
States = tuple[Tensor, ...]  # hidden and cell state of an LSTM, hidden state of a GRU, (n_layers, B, D) each


@dataclass
class LstmOutput(ModelOutput):
    """Result of a training pass. window_loss: (B,), nats per step of the horizon. loss: its mean, a scalar."""

    loss: Tensor | None = None
    window_loss: Tensor | None = None


@dataclass(frozen=True)
class Encoded:
    """The encoded lookbacks, for the decoder.

    states: the decoder's initial states. memory: (B, L, directions · D), the encoder's outputs. unit: (B, 1), the unit of
    changes. close: (B, 1), the last close, in standard deviations. change: (B, 1), the last change, in units.
    """

    states: States
    memory: Tensor
    unit: Tensor
    close: Tensor
    change: Tensor


class LstmNetwork(PretrainedModel):
    """Encoder, decoder and a head that predicts location, scale and degrees of freedom of the next change."""

    def __init__(
        self,
        lookback: int,
        hidden_size: int,
        n_layers: int,
        directions: int,
        attention: bool,
        dropout: float,
        clip: float,
        cell: str = "lstm",
        indicators: Sequence[str] = (),
    ) -> None:
        """Args: lookback, candles of a training window; clip, standard deviations at which candles are clipped."""
        super().__init__()
        self.lookback, self.n_layers, self.directions, self.clip = lookback, n_layers, directions, clip
        self.cell, self.indicators = cell, tuple(indicators)
        between_layers = dropout if n_layers > 1 else 0.0
        self.encoder = CELLS[cell](
            len(CANDLE_COLUMNS) + 1 + N_CALENDAR + sum(INPUTS[name] for name in indicators),
            hidden_size,
            n_layers,
            batch_first=True,
            dropout=between_layers,
            bidirectional=directions == 2,
        )
        self.decoder = CELLS[cell](2 + N_CALENDAR, hidden_size, n_layers, batch_first=True, dropout=between_layers)
        read = directions * hidden_size
        self.bridge = nn.Linear(read, hidden_size) if directions == 2 else nn.Identity()
        self.attention = DecoderAttention(hidden_size, read) if attention else None
        self.head = nn.Linear(hidden_size, 3)
        nn.init.zeros_(self.head.weight)
        start = [0.0, _invert_softplus(1 - SMALLEST_SCALE), _invert_softplus(USUAL_FREEDOM - LEAST_FREEDOM)]
        self.head.bias.data.copy_(torch.tensor(start))

    @classmethod
    def from_config(cls, config: dict[str, Any], source: Path | str, n_tensors: int | None = None) -> Self:
        """Build an untrained model. A config.json of an earlier version names no cell and no indicators."""
        return super().from_config({"cell": "lstm", "indicators": []} | config, source, n_tensors)

    def forward(self, candles: Tensor, stamp: Tensor) -> LstmOutput:
        """Compute the loss of windows, candles (B, T, 6) with calendar rows (B, T, 5).

        It is the mean negative log-likelihood over the horizon. Steps from or to a clipped close are left out, because
        clipping falsifies their change.
        """
        distribution, changes = self.predict_steps(candles, stamp)
        unclipped = candles[:, self.lookback - 1 :, CLOSE].abs() < self.clip
        counts = (unclipped[:, 1:] & unclipped[:, :-1]).float()
        likelihood: Tensor = distribution.log_prob(changes)  # type: ignore[no-untyped-call]
        window_loss = -(likelihood * counts).sum(1) / counts.sum(1).clamp_min(1)
        return LstmOutput(window_loss.mean(), window_loss.detach())

    def predict_steps(self, candles: Tensor, stamp: Tensor) -> tuple[StudentT, Tensor]:
        """Predict each change of the horizon from the actual closes before it.

        Args:
            candles: windows (B, T, 6), with calendar rows stamp (B, T, 5).

        Returns:
            The distributions of the changes, and the actual changes, (B, H) each, in units.
        """
        encoded = self.encode(candles[:, : self.lookback], stamp[:, : self.lookback])
        closes = candles[:, self.lookback - 1 :, CLOSE]  # (B, 1 + H)
        changes = closes.diff() / encoded.unit  # (B, H)
        before = torch.cat([encoded.change, changes[:, :-1]], dim=1)
        distribution, _ = self.decode(closes[:, :-1], before, stamp[:, self.lookback :], encoded, encoded.states)
        return distribution, changes

    def encode(self, candles: Tensor, stamp: Tensor) -> Encoded:
        """Encode lookbacks: candles (B, L, 6) with calendar rows (B, L, 5)."""
        closes = candles[..., CLOSE]
        changes = closes.diff()
        unit = changes.square().mean(1, keepdim=True).sqrt().clamp_min(SMALLEST_UNIT)
        changes = F.pad(changes / unit, (1, 0))
        read = [candles, _bound(changes).unsqueeze(-1), embed_calendar(stamp)]
        if self.indicators:
            read.append(_bound(compute_indicators(closes, unit, self.indicators)))
        memory, after = _run(self.encoder, torch.cat(read, dim=-1))
        states = tuple(self.bridge(_join_directions(state, self.n_layers)).contiguous() for state in after)
        return Encoded(states, memory, unit, closes[:, -1:], changes[:, -1:])

    def decode(
        self, closes: Tensor, changes: Tensor, stamp: Tensor, encoded: Encoded, states: States
    ) -> tuple[StudentT, States]:
        """Decode K steps, starting from states.

        Args:
            closes: the close before each step (B, K), in standard deviations.
            changes: the change before each step (B, K), in units.
            stamp: the calendar rows of the times to forecast (B, K, 5).
            encoded: B' lookbacks. If each has P paths, B is B' × P, with the paths of a lookback in sequence.

        Returns:
            The distributions of the changes (B, K), in units, and the states after the last step.
        """
        read = torch.stack([closes.clamp(-self.clip, self.clip), _bound(changes)], dim=-1)
        hidden, states = _run(self.decoder, torch.cat([read, embed_calendar(stamp)], dim=-1), states)
        if self.attention is not None:
            hidden = self.attention(hidden, encoded.memory)
        location, scale, freedom = self.head(hidden).unbind(-1)
        scale, freedom = F.softplus(scale) + SMALLEST_SCALE, F.softplus(freedom) + LEAST_FREEDOM
        return StudentT(freedom, location, scale, validate_args=False), states

    @torch.no_grad()
    def sample_closes(self, candles: Tensor, stamp: Tensor, future: Tensor, uniforms: Tensor) -> Tensor:
        """Sample closes (B, P, H), in standard deviations of the lookback, not clipped.

        Args:
            candles: (B, L, 6), with calendar rows stamp (B, L, 5). future: the calendar rows (B, H, 5) to forecast.
            uniforms: (B, P, H, 2), random numbers in [0, 1) for each step of each path.
        """
        n_paths = uniforms.shape[1]
        encoded = self.encode(candles, stamp)
        unit, close, change = (_repeat(part, n_paths) for part in (encoded.unit, encoded.close, encoded.change))
        states = tuple(state.repeat_interleave(n_paths, dim=1) for state in encoded.states)
        times, drawn = _repeat(future, n_paths), uniforms.flatten(0, 1)  # (B·P, H, 5), (B·P, H, 2)
        closes = []
        for step in range(future.shape[1]):
            here = slice(step, step + 1)
            predicted, states = self.decode(close, change, times[:, here], encoded, states)
            change = predicted.loc + predicted.scale * draw_student(predicted.df, drawn[:, here])
            close = close + change * unit
            closes.append(close)
        return torch.cat(closes, dim=1).view(-1, n_paths, len(closes))


class DecoderAttention(nn.Module):
    """Attention of each decoder step over the whole lookback (Luong et al. 2015, arXiv 1508.04025, eqs. 5 to 8)."""

    def __init__(self, hidden_size: int, read: int) -> None:
        super().__init__()
        self.score = nn.Linear(hidden_size, read, bias=False)
        self.merge = nn.Linear(hidden_size + read, hidden_size, bias=False)

    def forward(self, hidden: Tensor, memory: Tensor) -> Tensor:
        """Return the decoder's output (B·P, K, D), mixed with the attended memory (B, L, read)."""
        query = self.score(hidden).view(len(memory), -1, memory.shape[-1])  # (B, P·K, read)
        context = (query @ memory.transpose(1, 2)).softmax(-1) @ memory
        context = context.reshape(*hidden.shape[:2], -1)  # (B·P, K, read)
        return torch.tanh(self.merge(torch.cat([hidden, context], dim=-1)))


def embed_calendar(stamp: Tensor) -> Tensor:
    """Return Fourier terms (..., N_CALENDAR) of calendar rows (..., 5) (FPP3, section 7.4); the hour includes its minutes."""
    minute, hour, weekday = stamp[..., : len(HARMONICS)].unbind(-1)
    columns = zip((minute, hour + minute / 60, weekday), HARMONICS.values())
    turns = [column * n / period for column, (period, harmonics) in columns for n in harmonics]
    angles = 2 * math.pi * torch.stack(turns, dim=-1)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def draw_student(freedom: Tensor, uniforms: Tensor) -> Tensor:
    """Draw from Student's t distribution with degrees of freedom (...), using uniforms (..., 2) in [0, 1).

    sqrt(f (u^(−2/f) − 1)) cos(2πv) has exactly this distribution (Bailey 1994, doi 10.2307/2153537).
    """
    u, v = (1 - uniforms).unbind(-1)  # u above 0
    radius = (freedom * torch.expm1(-2 / freedom * u.log())).sqrt()
    return radius * torch.cos(2 * math.pi * v)


def _run(network: nn.LSTM | nn.GRU, read: Tensor, states: States | None = None) -> tuple[Tensor, States]:
    """Run a recurrent network over inputs (B, K, ·); return its outputs (B, K, ·) and its states after the last one."""
    given = states[0] if states and isinstance(network, nn.GRU) else states
    outputs, after = network(read, given)
    return outputs, after if isinstance(after, tuple) else (after,)


def _bound(changes: Tensor) -> Tensor:
    return changes.clamp(-LARGEST_CHANGE, LARGEST_CHANGE)


def _repeat(part: Tensor, n_paths: int) -> Tensor:
    """Repeat (B, …) to (B·P, …), with the paths of a window in sequence."""
    return part.repeat_interleave(n_paths, dim=0)


def _join_directions(state: Tensor, n_layers: int) -> Tensor:
    """Concatenate the directions (n_layers · directions, B, D) to (n_layers, B, directions · D)."""
    return state.view(n_layers, -1, *state.shape[1:]).transpose(1, 2).flatten(2)


def _invert_softplus(value: float) -> float:
    return math.log(math.expm1(value))
