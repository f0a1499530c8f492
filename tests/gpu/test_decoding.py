"""One step as one graph: captured, plain and growing decoding agree, in every policy and type."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch

from kronos.errors import CheckpointError
from kronos.forecast import KronosPredictor, Sampling
from kronos.forecast.decoding.generate import decode_growing, generate_paths
from kronos.forecast.decoding.options import Decoding, KnownTokens
from kronos.forecast.decoding.static_decoder import StaticDecoders
from kronos.forecast.decoding.step_graph import StepGraph
from kronos.model import Kronos, KronosTokenizer
from tests.conftest import GOLDEN, ROOT, assert_close
from tests.forecast.decoding.test_static_decoder import make_tokens
from tests.gpu.conftest import skip_on_cpu
from tests.model.test_cache import make_tokens as make_model_tokens
from tests.model.test_cache import read
from tests.model.test_static_cache import TOLERANCES, build_both

POLICIES = ["grow", "slide", "recompute"]
HORIZON = 20
Inputs = tuple[KnownTokens, torch.Tensor, torch.Tensor]


def load_model(device: torch.device, dtype: torch.dtype = torch.float64) -> Kronos:
    return Kronos.from_pretrained(GOLDEN / "predictor").eval().to(device, dtype)


def place(inputs: Inputs, device: torch.device) -> Inputs:
    known, future, draws = inputs
    tensors = (part.to(device) for part in (known.s1_ids, known.s2_ids, known.stamp))
    return KnownTokens(*tensors, known.lengths), future.to(device), draws.to(device)


def make_inputs(device: torch.device, lengths: tuple[int, ...] = (40, 40), n_paths: int = 3, seed: int = 0) -> Inputs:
    return place(make_tokens(lengths, HORIZON, n_paths, seed), device)


@torch.inference_mode()
@pytest.mark.parametrize("lengths", [(40, 40), (40, 7, 23)])
@pytest.mark.parametrize("policy", POLICIES)
def test_static_decoding_is_growing_decoding(device: torch.device, policy: str, lengths: tuple[int, ...]) -> None:
    model, decoding, inputs = load_model(device), Decoding(48, policy), make_inputs(device, lengths)
    tokens, _ = StaticDecoders(model).decode(*inputs, decoding)
    assert torch.equal(tokens, decode_growing(model, *inputs, decoding)[0])


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("policy", POLICIES)
def test_replayed_steps_are_plain_steps(device: torch.device, policy: str, dtype: torch.dtype) -> None:
    """The first call runs plain steps and then captures; in the second all are replayed."""
    model = load_model(device, dtype)
    decoders, decoding = StaticDecoders(model), Decoding(48, policy)
    first, other = make_inputs(device), make_inputs(device, seed=1)
    expected, _ = decoders.decode(*first, decoding)
    between, _ = decoders.decode(*other, decoding)
    again, checksum = decoders.decode(*first, decoding)
    assert torch.equal(again, expected) and not torch.equal(between, expected) and checksum.isfinite()
    (decoder,) = decoders._kept.values()
    captured = [anew for anew, graph in decoder._graphs.items() if graph._replay is not None]
    expected_graphs = [False, True] if policy == "recompute" else [False]
    assert captured == (expected_graphs if device.type == "cuda" else [])


@torch.inference_mode()
@pytest.mark.parametrize("window", [None, 10])
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_both_caches_give_the_same_hidden_states(device: torch.device, dtype: torch.dtype, window: int | None) -> None:
    model = load_model(device, dtype)
    prefix, own = (
        [part.to(device) for part in make_model_tokens(model, n, length, seed)]
        for n, length, seed in ((2, 9, 0), (6, 6, 1))
    )
    growing, static, positions = build_both(model, window)
    read(model, prefix, growing), read(model, prefix, static)
    for t in range(6):
        positions.advance()
        token = [part[:, t : t + 1] for part in own]
        assert_close(read(model, token, static), read(model, token, growing), TOLERANCES[dtype])


@torch.inference_mode()
def test_other_horizons_and_lookbacks_use_the_same_graph(device: torch.device) -> None:
    model = load_model(device)
    decoders, decoding = StaticDecoders(model), Decoding(64)
    for lengths, horizon in (((40,), 30), ((33,), 28), ((52,), 32)):
        inputs = place(make_tokens(lengths, horizon, 2), device)
        assert torch.equal(decoders.decode(*inputs, decoding)[0], decode_growing(model, *inputs, decoding)[0])
    assert len(decoders._kept) == 1


@torch.inference_mode()
def test_two_shapes_take_turns(device: torch.device) -> None:
    model = load_model(device)
    decoders, decoding = StaticDecoders(model), Decoding(64)
    for _ in range(2):
        for n_paths in (1, 5):
            inputs = make_inputs(device, n_paths=n_paths)
            expected, _ = decode_growing(model, *inputs, decoding)
            assert torch.equal(decoders.decode(*inputs, decoding)[0], expected)


def test_changed_weights_reach_the_graph(device: torch.device) -> None:
    model, decoding, inputs = load_model(device), Decoding(64), make_inputs(device)
    decoders = StaticDecoders(model)
    with torch.inference_mode():
        before, _ = decoders.decode(*inputs, decoding)
    with torch.no_grad():
        model.head.proj_s1.weight.mul_(-1)
    with torch.inference_mode():
        after, _ = decoders.decode(*inputs, decoding)
        assert torch.equal(after, decode_growing(model, *inputs, decoding)[0]) and not torch.equal(after, before)


def test_after_numbers_that_are_not_finite_the_next_call_is_sound(device: torch.device) -> None:
    tokenizer = KronosTokenizer.from_pretrained(GOLDEN / "tokenizer").eval().to(device)
    model = load_model(device, torch.float32)
    static, decoding, weight = StaticDecoders(model), Decoding(64), model.norm.weight.clone()
    ones = torch.ones(1, 40, 5, device=device)
    inputs = torch.randn(1, 40, 6).to(device), (40,), ones, ones[:, :HORIZON], torch.rand(1, 2, HORIZON, 2).to(device)
    with torch.no_grad():
        model.norm.weight.fill_(torch.nan)
    with pytest.raises(CheckpointError, match="not finite"):
        generate_paths(tokenizer, model, *inputs, decoding, static=static)
    with torch.no_grad():
        model.norm.weight.copy_(weight)
    assert generate_paths(tokenizer, model, *inputs, decoding, static=static).isfinite().all()


def test_a_step_that_no_graph_can_hold_stays_plain(device: torch.device, caplog: pytest.LogCaptureFixture) -> None:
    """It waits for the device, which a capture forbids."""
    counter = torch.zeros((), device=device)

    def step() -> None:
        counter.add_(1)
        counter.item()

    graph = StepGraph(step, device)
    for left in range(20, 0, -1):
        graph.run(left)
    assert counter.item() == 20
    assert len(caplog.messages) == (device.type == "cuda")


@pytest.mark.slow
@torch.inference_mode()
def test_compiled_steps_choose_the_same_tokens(device: torch.device) -> None:
    skip_on_cpu(device, "tests/forecast/decoding/test_static_decoder.py")
    model, decoding, inputs = load_model(device), Decoding(48), make_inputs(device)
    decoders = StaticDecoders(model, compile=True)
    for _ in range(2):
        tokens, _ = decoders.decode(*inputs, decoding)
        assert torch.equal(tokens, decode_growing(model, *inputs, decoding)[0])


@pytest.mark.parametrize("policy", POLICIES)
def test_a_predictor_forecasts_as_on_a_cpu(device: torch.device, policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    candles = pd.read_csv(ROOT / "data" / "synthetic_5min.csv", parse_dates=["timestamps"], index_col="timestamps")
    models = Kronos.from_pretrained(GOLDEN / "predictor"), KronosTokenizer.from_pretrained(GOLDEN / "tokenizer")
    options = {"max_context": 48, "context_policy": policy}
    usual = KronosPredictor(*models, device="cpu", **options)
    monkeypatch.setattr("kronos.forecast.predictor.has_static_decoders", lambda device: True)
    static = KronosPredictor(*models, device=device, **options)
    frames = [candles[:40], candles[60:85], candles[100:148]]
    expected, actual = (
        each.forecast_batch(frames, horizon=24, n_paths=1, sampling=Sampling(temperature=0), seed=0, verbose=False)
        for each in (usual, static)
    )
    for ours, theirs in zip(actual, expected):
        np.testing.assert_allclose(ours.paths, theirs.paths, rtol=1e-3)
    assert next(models[0].parameters()).device.type == "cpu"


def test_two_predictors_of_one_model_do_not_share_buffers(device: torch.device) -> None:
    model = load_model(device)
    other = copy.deepcopy(model)
    decoding, inputs = Decoding(64), make_inputs(device)
    with torch.no_grad():
        other.head.proj_s1.weight.mul_(-1)
    with torch.inference_mode():
        decoders = [StaticDecoders(each) for each in (model, other)]
        tokens = [each.decode(*inputs, decoding)[0] for _ in range(2) for each in decoders]
    assert torch.equal(tokens[0], tokens[2]) and torch.equal(tokens[1], tokens[3])
    assert not torch.equal(tokens[0], tokens[1])
