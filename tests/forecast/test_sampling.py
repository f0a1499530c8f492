import inspect
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from kronos.cli.predict_source import Source
from kronos.config.schema import ReportConfig
from kronos.errors import ConfigError
from kronos.forecast import KronosPredictor
from kronos.forecast.sampling import Sampling, draw_path_uniforms, filter_logits, number_of, sample

ORIGIN = pd.Timestamp("2024-04-02 10:10")


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("top_k", [0, 1, 5, 64, 1000])
@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 1.0])
def test_filters_compose_as_in_hugging_face(temperature: float, top_k: int, top_p: float) -> None:
    logits = torch.randn(20, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    warpers = [TemperatureLogitsWarper(temperature)] if temperature != 1 else []
    warpers += [TopKLogitsWarper(top_k)] if top_k else []
    warpers += [TopPLogitsWarper(top_p)] if top_p < 1 else []
    expected = logits
    for warper in warpers:
        expected = warper(None, expected)
    torch.testing.assert_close(filter_logits(logits, Sampling(temperature, top_k, top_p)), expected)


def test_temperature_zero_is_the_most_probable_token() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0], [0.0, -1.0, 5.0]])
    assert sample(logits, Sampling(temperature=0), torch.tensor([0.99, 0.0])).tolist() == [1, 2]


def test_only_the_functions_of_upstream_cut_the_tails_off() -> None:
    defaults = {
        name: inspect.signature(getattr(KronosPredictor, name)).parameters
        for name in ("predict", "predict_batch", "forecast", "forecast_batch")
    }
    assert [defaults[name]["top_p"].default for name in ("predict", "predict_batch")] == [0.9, 0.9]
    assert [defaults[name]["sampling"].default.top_p for name in ("forecast", "forecast_batch")] == [1, 1]
    assert ReportConfig().top_p == 1  # of the evaluation, of pictures and of `kronos predict --run`
    assert Source._field_defaults["top_p"] == 1  # of `kronos predict` without a run


@pytest.mark.parametrize(
    "sampling", [Sampling(1e-45), Sampling(1e-7), Sampling(1e-3), Sampling(top_p=1e-60), Sampling(Fraction(1, 1000))]
)
def test_extremes_come_close_to_greedy(sampling: Sampling) -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0]])
    assert sample(logits, sampling, torch.tensor([0.999])).item() == 1


def test_samples_follow_the_distribution() -> None:
    logits = torch.log(torch.tensor([0.5, 0.3, 0.2])).expand(20000, 3)
    uniforms = torch.rand(20000, generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(sample(logits, Sampling(top_p=1.0), uniforms)) / 20000
    torch.testing.assert_close(counts, torch.tensor([0.5, 0.3, 0.2]), atol=0.01, rtol=0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 10**400}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_k": 2.5}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"top_p": float("nan")}, "top_p"),
        ({"top_p": None}, "top_p"),
    ],
)
def test_nonsense_is_a_clear_error(options: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Sampling(**options)


def test_draws_belong_to_seed_origin_path_and_step_alone() -> None:
    draws = draw_path_uniforms(7, ORIGIN, slice(0, 10), 12)
    assert draws.shape == (10, 12, 2) and draws.dtype == torch.float32
    assert (draws >= 0).all() and (draws < 1).all() and len(draws.unique()) == draws.numel()
    assert torch.equal(draw_path_uniforms(7, ORIGIN, slice(4, 10), 5), draws[4:, :5])
    assert torch.equal(draw_path_uniforms(7, ORIGIN.tz_localize("Asia/Shanghai"), slice(0, 10), 12), draws)
    assert torch.equal(draw_path_uniforms(7, ORIGIN.as_unit("s"), slice(0, 10), 12), draws)
    for other in (
        draw_path_uniforms(8, ORIGIN, slice(0, 10), 12),
        draw_path_uniforms(7, ORIGIN + pd.Timedelta(minutes=5), slice(0, 10), 12),
    ):
        assert abs(np.corrcoef(other.flatten(), draws.flatten())[0, 1]) < 0.2
    assert draw_path_uniforms(0, pd.Timestamp("1524-03-01"), slice(0, 1), 1).shape == (1, 1, 2)
    assert draw_path_uniforms(2**80, pd.Timestamp("1912-03-01"), slice(0, 1), 1).shape == (1, 1, 2)


def test_symbols_of_one_origin_draw_independently_and_one_alone_as_ever() -> None:
    draws = {symbol: draw_path_uniforms(7, ORIGIN, slice(0, 200), 12, symbol) for symbol in ("", "600977", "600978")}
    generator = np.random.default_rng([7, number_of(ORIGIN), 3])
    assert np.array_equal(draws[""][3], generator.random((12, 2), dtype=np.float32))
    for one, other in (("", "600977"), ("600977", "600978")):
        assert abs(np.corrcoef(draws[one].flatten(), draws[other].flatten())[0, 1]) < 0.05
