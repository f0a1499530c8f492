"""Decoding in buffers of fixed shape is decoding with caches that grow."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kronos.errors import CheckpointError
from kronos.forecast.decoding import static_decoder
from kronos.forecast.decoding.generate import decode_growing, generate_paths
from kronos.forecast.decoding.options import Decoding, KnownTokens
from kronos.forecast.decoding.static_decoder import StaticDecoder, StaticDecoders, round_up_series
from kronos.forecast.sampling import Sampling
from tests.conftest import assert_close
from tests.forecast.decoding.test_generate import GREEDY, POLICIES, generate, load_models, make_series


def make_tokens(lengths: tuple[int, ...], horizon: int, n_paths: int, seed: int = 0) -> tuple[KnownTokens, ...]:
    """Return known tokens, the calendar of the future and uniforms for `decode_growing`."""
    _, model = load_models()
    n_series, longest = len(lengths), max(lengths)
    _, known, future, uniforms = make_series(n_series, longest, horizon, n_paths, seed)
    generator = torch.Generator().manual_seed(seed)
    s1_ids, s2_ids = (
        torch.randint(2**bits, (n_series, longest), generator=generator) for bits in (model.s1_bits, model.s2_bits)
    )
    draws = uniforms.flatten(0, 1).permute(1, 2, 0).unsqueeze(-1).contiguous()
    return KnownTokens(s1_ids, s2_ids, known, lengths), future, draws


@settings(deadline=None, max_examples=60)
@given(
    policy=st.sampled_from(POLICIES),
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    horizon=st.integers(1, 12),
    room=st.integers(1, 40),
    n_paths=st.integers(1, 3),
    temperature=st.sampled_from([0.0, 1.0]),
    rotate_s2=st.booleans(),
)
def test_the_tokens_are_the_same(
    policy: str, lengths: list[int], horizon: int, room: int, n_paths: int, temperature: float, rotate_s2: bool
) -> None:
    _, model = load_models()
    decoding = Decoding(horizon + room, policy, Sampling(temperature, top_p=0.9), rotate_s2)
    inputs = make_tokens(tuple(lengths), horizon, n_paths)
    with torch.inference_mode():
        expected, checksum = decode_growing(model, *inputs, decoding)
        tokens, static_checksum = StaticDecoders(model).decode(*inputs, decoding)
    assert torch.equal(tokens, expected)
    if len(lengths) != 3:  # no row fills up
        torch.testing.assert_close(static_checksum, checksum, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("policy", POLICIES)
def test_in_float32_the_greedy_futures_are_the_same(policy: str) -> None:
    tokenizer, model = load_models(torch.float32)
    lookback, *rest = make_series(2, 40, 24, 2)
    known = lookback.float(), (40, 40), *rest, Decoding(48, policy, GREEDY)
    static = generate_paths(tokenizer, model, *known, static=StaticDecoders(model))
    assert_close(static, generate_paths(tokenizer, model, *known), 1e-5)


def test_a_call_leaves_no_trace_in_the_next() -> None:
    """Buffers are used again: by shorter series, by other series, and after a longer horizon."""
    _, model = load_models()
    decoders, decoding = StaticDecoders(model), Decoding(30, "recompute")
    calls = [
        make_tokens(lengths, horizon, 2, seed)
        for seed, (lengths, horizon) in enumerate([((40, 7), 12), ((3, 5), 9), ((40, 40), 2), ((20, 40), 12)])
    ]
    with torch.inference_mode():
        for inputs in calls:
            assert torch.equal(decoders.decode(*inputs, decoding)[0], decode_growing(model, *inputs, decoding)[0])
    assert len(decoders._kept) == 1


def test_changed_weights_are_used_at_once() -> None:
    model = copy.deepcopy(load_models()[1])
    decoders, decoding, inputs = StaticDecoders(model), Decoding(30), make_tokens((20,), 8, 3)
    with torch.inference_mode():
        before, _ = decoders.decode(*inputs, decoding)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    with torch.inference_mode():
        after, _ = decoders.decode(*inputs, decoding)
        expected, _ = decode_growing(model, *inputs, decoding)
    assert torch.equal(after, expected) and not torch.equal(after, before)


def test_numbers_that_are_not_finite_do_not_spoil_later_calls() -> None:
    tokenizer, sound = load_models()
    model = copy.deepcopy(sound)
    static, series, decoding = StaticDecoders(model), make_series(1, 20, 8, 2), Decoding(30)
    inputs = tokenizer, model, series[0], (20,), *series[1:], decoding
    with torch.no_grad():
        model.norm.weight.fill_(torch.nan)
    with pytest.raises(CheckpointError, match="not finite"):
        generate_paths(*inputs, static=static)
    with torch.no_grad():
        model.norm.weight.copy_(sound.norm.weight)
    torch.testing.assert_close(generate_paths(*inputs, static=static), generate(series, decoding))


def test_buffers_of_earlier_calls_are_dropped_when_they_take_much(monkeypatch: pytest.MonkeyPatch) -> None:
    _, model = load_models()
    decoders, decoding = StaticDecoders(model), Decoding(60)
    with torch.inference_mode():
        for n_paths in (1, 2, 3):
            decoders.decode(*make_tokens((20,), 8, n_paths), decoding)
        assert len(decoders._kept) == 3
        monkeypatch.setattr(static_decoder, "KEPT_SHARE", 0.0)
        decoders.decode(*make_tokens((20,), 8, 2), decoding)
    assert [shape.n_paths for shape, _ in decoders._kept] == [2]


def test_without_memory_the_earlier_buffers_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    _, model = load_models()
    decoders, decoding, build = StaticDecoders(model), Decoding(60), static_decoder.StaticDecoder

    def build_alone(*arguments: Any) -> StaticDecoder:
        if decoders._kept:
            raise torch.OutOfMemoryError
        return build(*arguments)

    monkeypatch.setattr(static_decoder, "StaticDecoder", build_alone)
    with torch.inference_mode():
        for n_paths in (1, 2):
            decoders.decode(*make_tokens((20,), 8, n_paths), decoding)
    assert [shape.n_paths for shape, _ in decoders._kept] == [2]


@pytest.mark.parametrize(
    ("n_series", "n_paths", "expected"), [(1, 1, 1), (3, 1, 4), (5, 30, 8), (16, 30, 16), (18, 30, 18), (100, 100, 100)]
)
def test_few_series_are_rounded_up(n_series: int, n_paths: int, expected: int) -> None:
    assert round_up_series(n_series, n_paths) == expected


@pytest.mark.slow
def test_compiled_steps_choose_the_same_tokens() -> None:
    _, model = load_models()
    decoding, inputs = Decoding(30), make_tokens((28, 20), 12, 2)
    with torch.inference_mode():
        expected, _ = decode_growing(model, *inputs, decoding)
        compiled, _ = StaticDecoders(model, compile=True).decode(*inputs, decoding)
    assert torch.equal(compiled, expected)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_compiler_is_not_loaded_in_vain(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.compiler, "set_stance", lambda stance: pytest.fail("loads torch._dynamo"))
    _, model = load_models()
    with torch.inference_mode():
        StaticDecoders(model).decode(*make_tokens((9,), 4, 1), Decoding(8, policy, GREEDY, True))
