"""Drawing the next subtoken from its logits."""

import hashlib
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kronos.errors import ConfigError
from kronos.model.base_model import sample_categorical

COLDEST, HOTTEST = 1e-6, 1e6


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn, in the order of Hugging Face: first the temperature, then top_k, then top_p.

    temperature: sharpens below 1, flattens above 1; 0 is greedy: always the most probable token.
    top_k: draw from the k most probable tokens; 0 for all of them.
    top_p: draw from the fewest tokens whose probabilities sum to p (arXiv 1904.09751, section 3.1); 1 for all of them.

    Raises:
        ConfigError: a value is invalid.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not is_number(self.temperature) or not 0 <= self.temperature <= HOTTEST:
            raise ConfigError(
                "the temperature (T) must be a number from 0 to {highest:g}, got {value!r}; 0 is greedy decoding.",
                highest=HOTTEST,
                value=self.temperature,
            )
        if not isinstance(self.top_k, Integral) or isinstance(self.top_k, bool) or self.top_k < 0:
            raise ConfigError("top_k must be 0 (off) or a positive number of tokens, got {value!r}.", value=self.top_k)
        if not is_number(self.top_p) or not 0 < self.top_p <= 1:
            raise ConfigError(
                "top_p must be a number above 0, at most 1, got {value!r}; 1 switches it off.", value=self.top_p
            )

    @property
    def greedy(self) -> bool:
        """Whether the most probable token is always taken. A temperature too small to divide by counts as 0."""
        return self.temperature < COLDEST


def is_number(value: object) -> bool:
    """Whether value is a real number of Python or NumPy."""
    return isinstance(value, Real) and not isinstance(value, bool)


DEFAULT_SAMPLING = Sampling()


def filter_logits(logits: Tensor, sampling: Sampling) -> Tensor:
    """Divide logits (..., V) by the temperature, and set those excluded to −inf; at least one always remains."""
    logits = logits / float(sampling.temperature)
    if 0 < sampling.top_k < logits.shape[-1]:
        smallest_kept = logits.topk(int(sampling.top_k), dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < smallest_kept, -torch.inf)
    if sampling.top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True)
        probability_before = ordered.softmax(-1).cumsum(-1).roll(1, dims=-1)
        probability_before[..., 0] = -1  # the first remains, however small top_p is
        dropped = probability_before >= float(sampling.top_p)
        logits = logits.masked_fill(dropped.scatter(-1, order, dropped), -torch.inf)
    return logits


def sample(logits: Tensor, sampling: Sampling, uniforms: Tensor) -> Tensor:
    """Sample tokens (...) from logits (..., V) with uniforms (...) in [0, 1)."""
    if sampling.greedy:
        return logits.argmax(-1)
    return sample_categorical(filter_logits(logits.float(), sampling), uniforms)


def choose_seed(seed: object) -> int:
    """Return the seed or, for None, one drawn from torch's global generator."""
    if seed is None:
        return int(torch.randint(2**62, ()).item())
    if not isinstance(seed, Integral) or isinstance(seed, bool) or seed < 0:
        raise ConfigError("the seed must be a whole number of at least 0, or None; got {seed!r}.", seed=seed)
    return int(seed)


def draw_path_uniforms(seed: int, origin: pd.Timestamp, paths: slice, horizon: int, symbol: str = "") -> Tensor:
    """Draw the random numbers (P, horizon, 2) in [0, 1) that paths of a series are sampled with, for s1 and s2 of each step.

    They depend on the seed, the origin (its clock time in any zone), the symbol, the path and the step. They do not depend on
    the batch, on the other series, or on how many paths and steps there are. Different origins and symbols draw
    independently; without a symbol, series of the same origin share their draws.
    """
    start, end = [seed, number_of(origin)], hash_symbol(symbol)
    generators = (np.random.default_rng([*start, path, *end]) for path in range(paths.start, paths.stop))
    return torch.from_numpy(np.stack([each.random((horizon, 2), dtype=np.float32) for each in generators]))


def number_of(origin: pd.Timestamp) -> int:
    """Return an origin's clock time as a number of at least 0, for seeds."""
    return int(origin.tz_localize(None).as_unit("us").asm8.view("i8")) % 2**64  # positive before 1970 too


def hash_symbol(symbol: str) -> list[int]:
    """Return a symbol as a number for seeds; nothing for an empty one, which leaves the seed as it is."""
    return [int.from_bytes(hashlib.sha256(symbol.encode()).digest()[:8])] if symbol else []
