"""Cached decoding against the plain way, which remembers nothing and shares nothing."""

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pad_sequence

from benchmarks.plain_decoding import generate_plainly
from kronos.errors import CheckpointError
from kronos.forecast.decoding.generate import generate_paths
from kronos.forecast.decoding.options import Decoding
from kronos.forecast.sampling import Sampling
from kronos.model import Kronos, KronosTokenizer
from tests.conftest import GOLDEN, assert_close

POLICIES = ["grow", "slide", "recompute"]
CALENDAR_SIZES = (60, 24, 7, 31, 12)
GREEDY = Sampling(temperature=0)


@functools.cache
def load_models(dtype: torch.dtype = torch.float64) -> tuple[KronosTokenizer, Kronos]:
    """In float64, where rounding practically never turns a draw."""
    tokenizer, model = (
        KronosTokenizer.from_pretrained(GOLDEN / "tokenizer"),
        Kronos.from_pretrained(GOLDEN / "predictor"),
    )
    return tokenizer.eval().to(dtype), model.eval().to(dtype)


def make_series(n_series: int, lookback: int, horizon: int, n_paths: int, seed: int = 0) -> list[torch.Tensor]:
    """Normalised candles, the calendar rows of the known and of the future, uniforms."""
    generator = torch.Generator().manual_seed(seed)
    stamp = torch.stack(
        [torch.randint(size, (n_series, lookback + horizon), generator=generator) for size in CALENDAR_SIZES], dim=-1
    ).float()
    return [
        torch.randn(n_series, lookback, 6, dtype=torch.float64, generator=generator),
        stamp[:, :lookback],
        stamp[:, lookback:],
        torch.rand(n_series, n_paths, horizon, 2, generator=generator),
    ]


def generate(series: list[torch.Tensor], decoding: Decoding, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    lookback, known, future, uniforms = series
    lengths = (lookback.shape[1],) * len(lookback)
    return generate_paths(*load_models(dtype), lookback.to(dtype), lengths, known, future, uniforms, decoding)


@settings(deadline=None, max_examples=60)
@given(
    policy=st.sampled_from(POLICIES),
    lookback=st.integers(1, 40),
    horizon=st.integers(1, 12),
    room=st.integers(1, 40),
    n_series=st.integers(1, 2),
    n_paths=st.integers(1, 3),
    temperature=st.sampled_from([0.0, 1.0]),
    rotate_s2=st.booleans(),
)
def test_cached_decoding_is_uncached_decoding(
    policy: str,
    lookback: int,
    horizon: int,
    room: int,
    n_series: int,
    n_paths: int,
    temperature: float,
    rotate_s2: bool,
) -> None:
    series = make_series(n_series, lookback, horizon, n_paths)
    decoding = Decoding(horizon + room, policy, Sampling(temperature), rotate_s2)
    expected = generate_plainly(*load_models(), *series, decoding)
    torch.testing.assert_close(generate(series, decoding), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("policy", POLICIES)
def test_in_float32_the_greedy_tokens_are_the_same(policy: str) -> None:
    series = make_series(2, 40, 24, 1)
    decoding = Decoding(48, policy, GREEDY)
    lookback, *rest = series
    models = load_models(torch.float32)
    assert_close(
        generate(series, decoding, torch.float32), generate_plainly(*models, lookback.float(), *rest, decoding), 1e-5
    )


def test_policies_differ_only_where_the_context_is_full() -> None:
    series = make_series(1, 40, 12, 2)
    fits, full = ([generate(series, Decoding(size, policy)) for policy in POLICIES] for size in (52, 44))
    for other in fits[1:]:
        torch.testing.assert_close(fits[0], other, rtol=1e-5, atol=1e-6)
    assert not any(torch.allclose(full[0], other, rtol=1e-3) for other in full[1:])
    assert not torch.allclose(full[1], full[2], rtol=1e-3)


@settings(deadline=None, max_examples=30)
@given(
    policy=st.sampled_from(POLICIES),
    lengths=st.lists(st.integers(1, 30), min_size=2, max_size=4),
    max_context=st.integers(9, 40),
)
def test_series_of_different_lengths_do_not_see_each_other(policy: str, lengths: list[int], max_context: int) -> None:
    horizon, n_paths = 8, 2
    decoding = Decoding(max_context, policy)
    alone = [make_series(1, length, horizon, n_paths, seed=i) for i, length in enumerate(lengths)]
    padded = [
        pad_sequence([series[part][0] for series in alone], batch_first=True, padding_value=padding)
        for part, padding in ((0, 9.0), (1, 1.0))
    ]
    stacked = [torch.cat([series[part] for series in alone]) for part in (2, 3)]
    together = generate_paths(*load_models(), padded[0], tuple(lengths), padded[1], *stacked, decoding)
    for i, series in enumerate(alone):
        torch.testing.assert_close(together[i], generate(series, decoding)[0], rtol=1e-5, atol=1e-6)


def test_a_diverged_model_is_said() -> None:
    tokenizer, _ = load_models()
    broken = Kronos.from_pretrained(GOLDEN / "predictor").double().eval()
    torch.nn.init.constant_(broken.norm.weight, float("nan"))
    series = make_series(1, 8, 2, 1)
    with pytest.raises(CheckpointError, match="not finite"):
        generate_paths(tokenizer, broken, series[0], (8,), *series[1:], Decoding(16))
