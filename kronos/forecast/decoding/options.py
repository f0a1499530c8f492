"""What decoding is asked for, what it starts from, and its choice of a token."""

from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from kronos.errors import ConfigError
from kronos.forecast.sampling import DEFAULT_SAMPLING, Sampling, sample
from kronos.model import Kronos
from kronos.model.base_model import KronosCaches

ContextPolicy = Literal["grow", "slide", "recompute"]


@dataclass(frozen=True)
class Decoding:
    """How futures are decoded.

    max_context: W, how many tokens the model was trained to attend to.
    policy: what to do when lookback and horizon together exceed W.
        grow: leave out the oldest candles of the lookback from the start; every step attends to all the others.
        slide: drop the oldest cache entries as new ones arrive; the others keep what they have attended to.
        recompute: read the latest W tokens again at every step, as the reference implementation does; exact and slow.
    rotate_s2: False reproduces the reference implementation's unrotated one-step decode of s2.
    """

    max_context: int
    policy: ContextPolicy = "slide"
    sampling: Sampling = DEFAULT_SAMPLING
    rotate_s2: bool = True

    def __post_init__(self) -> None:
        if self.policy not in get_args(ContextPolicy):
            known = ", ".join(get_args(ContextPolicy))
            raise ConfigError("the context policy must be {known}; got {policy!r}.", known=known, policy=self.policy)

    @property
    def window(self) -> int | None:
        """How many latest positions a cached step attends to; None for all of them."""
        return self.max_context if self.policy == "slide" else None

    def count_known(self, step: int, horizon: int) -> int:
        """Return how many known tokens fit beside those of the paths."""
        n_own = {"grow": horizon, "slide": 0, "recompute": step}[self.policy]
        return self.max_context - n_own

    def rolls(self, lengths: tuple[int, ...], step: int) -> bool:
        """Whether a step reads the context of series of these lengths anew."""
        return self.policy == "recompute" and max(lengths) + step > self.max_context


@dataclass(frozen=True)
class KnownTokens:
    """The tokens of S series, left-aligned and padded on the right.

    s1_ids, s2_ids: (S, L). stamp: (S, L, C). lengths: S numbers.
    """

    s1_ids: Tensor
    s2_ids: Tensor
    stamp: Tensor
    lengths: tuple[int, ...]

    def latest(self, n: int) -> Self:
        """Return at most n tokens of each series, the latest."""
        kept = tuple(min(length, n) for length in self.lengths)
        if kept == self.lengths:
            return self
        first = torch.tensor([old - new for old, new in zip(self.lengths, kept)], device=self.s1_ids.device)
        index = first[:, None] + torch.arange(max(kept), device=first.device)  # (S, L)
        index = index.clamp(max=self.s1_ids.shape[1] - 1)
        rows = torch.arange(len(kept), device=first.device)[:, None]
        return type(self)(self.s1_ids[rows, index], self.s2_ids[rows, index], self.stamp[rows, index], kept)

    def select(self, series: list[int]) -> Self:
        """Return the tokens of some series, which may be named more than once."""
        lengths = tuple(self.lengths[i] for i in series)
        return type(self)(self.s1_ids[series], self.s2_ids[series], self.stamp[series], lengths)


def choose_tokens(
    model: Kronos, latest: Tensor, caches: KronosCaches, sampling: Sampling, uniforms: Tensor
) -> tuple[Tensor, Tensor]:
    """Sample the next tokens of R paths.

    Args:
        latest: (R, 1, D), the hidden state of each path's latest token.
        uniforms: (2, R, 1) in [0, 1), to draw s1 and s2 with.

    Returns:
        The tokens s1 and s2 (2, R, 1), and a number that is finite only if all logits are.
    """
    s1_logits = model.predict_s1(latest)
    s1_next = sample(s1_logits, sampling, uniforms[0])
    s2_logits = model.predict_s2(latest, s1_next, caches)
    s2_next = sample(s2_logits, sampling, uniforms[1])
    checksum = s1_logits.sum(dtype=torch.float32) + s2_logits.sum(dtype=torch.float32)
    return torch.stack([s1_next, s2_next]), checksum
