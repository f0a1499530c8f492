import numpy as np
import pandas as pd
import pytest
import torch

from kronos.errors import CheckpointError, ConfigError, DataError
from kronos.forecast import KronosPredictor
from kronos.model import PRESETS, Kronos, KronosTokenizer
from tests.conftest import GOLDEN, load_vectors

CANDLES = pd.read_csv(GOLDEN / "candles.csv", parse_dates=["timestamps"])
KNOWN = 40


def load_predictor(name: str = "predictor", **options) -> KronosPredictor:
    tokenizer = KronosTokenizer.from_pretrained(GOLDEN / "tokenizer")
    return KronosPredictor(Kronos.from_pretrained(GOLDEN / name), tokenizer, **options)


def forecast(predictor: KronosPredictor, pred_len: int = 8, candles: pd.DataFrame = CANDLES, **options) -> pd.DataFrame:
    known, times = candles[:KNOWN], CANDLES["timestamps"]
    options = {"verbose": False, "seed": 0} | options
    return predictor.predict(known, times[:KNOWN], times[KNOWN : KNOWN + pred_len], pred_len, **options)


@pytest.mark.parametrize("name", ["predictor", "predictor_fixed_time"])
@pytest.mark.parametrize(
    ("vector", "pred_len", "max_context"), [("forecast_inside", 8, 64), ("forecast_rolling", 24, 48)]
)
def test_golden_forecasts(name: str, vector: str, pred_len: int, max_context: int) -> None:
    predictor = load_predictor(name, max_context=max_context, reference_decode=True)
    expected = load_vectors(name)[vector].numpy()
    np.testing.assert_allclose(forecast(predictor, pred_len, top_k=1).to_numpy(), expected, rtol=2e-3)


def test_rotated_decoding_is_the_default_and_differs() -> None:
    sampled = {"pred_len": 24, "sample_count": 20, "top_p": 1.0}
    rotated, reference = (forecast(load_predictor(reference_decode=flag), **sampled) for flag in (False, True))
    assert not np.allclose(rotated, reference, rtol=1e-6)
    pd.testing.assert_frame_equal(forecast(load_predictor(), **sampled), rotated)


def test_result_is_upstream_s_frame() -> None:
    result = forecast(load_predictor())
    assert list(result.columns) == ["open", "high", "low", "close", "volume", "amount"]
    assert (result.index == CANDLES["timestamps"][KNOWN : KNOWN + 8]).all()


def test_seed() -> None:
    predictor = load_predictor()
    first, again, other = (forecast(predictor, seed=seed, sample_count=3) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


def test_without_a_seed_torch_s_global_seed_decides() -> None:
    predictor = load_predictor()
    runs = []
    for global_seed in (5, 5, 6):
        torch.manual_seed(global_seed)
        runs.append(forecast(predictor, seed=None))
    pd.testing.assert_frame_equal(runs[0], runs[1])
    assert not runs[0].equals(runs[2])


def test_dropout_is_off_and_the_caller_s_mode_comes_back() -> None:
    preset = PRESETS["demo"]
    tokenizer = KronosTokenizer(**preset.tokenizer)
    model = Kronos(**preset.base_model | {"resid_dropout_p": 0.5, "ffn_dropout_p": 0.5, "token_dropout_p": 0.5})
    expected = forecast(KronosPredictor(model.eval(), tokenizer.eval()))
    model.train()
    model.norm.eval()
    pd.testing.assert_frame_equal(forecast(KronosPredictor(model, tokenizer)), expected)
    assert model.training and model.transformer[0].training and not model.norm.training


def test_batch_equals_single_when_greedy() -> None:
    predictor = load_predictor()
    times = CANDLES["timestamps"]
    others = CANDLES[20:].reset_index(drop=True)
    frames = predictor.predict_batch(
        [CANDLES[:KNOWN], others[:KNOWN]], [times[:KNOWN]] * 2, [times[KNOWN:48]] * 2, 8, top_k=1, verbose=False
    )
    assert not np.allclose(frames[0], frames[1], rtol=1e-3)
    np.testing.assert_allclose(frames[0], forecast(predictor, top_k=1), rtol=1e-5)
    np.testing.assert_allclose(frames[1], forecast(predictor, candles=others, top_k=1), rtol=1e-5)


def test_absent_volume_and_amount() -> None:
    predictor = load_predictor()
    zeros = forecast(predictor, candles=CANDLES.assign(volume=0.0, amount=0.0))
    pd.testing.assert_frame_equal(forecast(predictor, candles=CANDLES.drop(columns=["volume", "amount"])), zeros)
    mean_price = CANDLES[["open", "high", "low", "close"]].mean(axis=1)
    filled = forecast(predictor, candles=CANDLES.assign(amount=CANDLES["volume"] * mean_price))
    pd.testing.assert_frame_equal(forecast(predictor, candles=CANDLES.drop(columns="amount")), filled)


@pytest.mark.parametrize("scale", [1e-7, 1e4])
def test_forecast_scales_with_the_price(scale: float) -> None:
    """An asset at 5e-6 or 5e5 forecasts like one at 50."""
    prices = ["open", "high", "low", "close"]
    scaled = CANDLES.assign(**{name: CANDLES[name] * scale for name in prices})
    expected = forecast(load_predictor(), top_k=1)
    result = forecast(load_predictor(), candles=scaled, top_k=1)
    np.testing.assert_allclose(result[prices] / scale, expected[prices], rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"T": 0.0}, ConfigError, "temperature"),
        ({"T": float("nan")}, ConfigError, "temperature"),
        ({"top_p": 0.0}, ConfigError, "top_p"),
        ({"top_p": 1.5}, ConfigError, "top_p"),
        ({"top_k": -1}, ConfigError, "top_k"),
        ({"sample_count": 0}, DataError, "sample_count"),
        ({"pred_len": 0}, DataError, "pred_len"),
        ({"candles": CANDLES.drop(columns="close")}, DataError, "close missing"),
        ({"candles": CANDLES.assign(open=float("nan"))}, DataError, "row 0: open is nan"),
        ({"candles": CANDLES.assign(open="x")}, DataError, "numbers"),
        ({"candles": CANDLES[:30]}, DataError, "30 candles, but 40"),
    ],
)
def test_bad_input_is_one_clear_error(options: dict, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        forecast(load_predictor(), **options)


def test_swapped_models() -> None:
    tokenizer, model = (
        KronosTokenizer.from_pretrained(GOLDEN / "tokenizer"),
        Kronos.from_pretrained(GOLDEN / "predictor"),
    )
    with pytest.raises(ConfigError, match="takes a Kronos, then a KronosTokenizer; got KronosTokenizer, Kronos"):
        KronosPredictor(tokenizer, model)


@pytest.mark.parametrize(
    ("x_timestamp", "words"),
    [
        (CANDLES.index[:KNOWN], "x_timestamp holds numbers, not timestamps"),
        (pd.Series(["then"] * KNOWN), "x_timestamp does not hold timestamps"),
        (CANDLES["timestamps"][:KNOWN].where(CANDLES.index[:KNOWN] != 3), "x_timestamp has no time in row 3"),
    ],
)
def test_bad_timestamps(x_timestamp: pd.Series, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load_predictor().predict(CANDLES[:KNOWN], x_timestamp, CANDLES["timestamps"][KNOWN:48], 8, verbose=False)


def test_series_and_index_of_timestamps_give_the_same() -> None:
    predictor, times = load_predictor(), CANDLES["timestamps"]
    index = pd.DatetimeIndex(times)
    other = predictor.predict(CANDLES[:KNOWN], index[:KNOWN], index[KNOWN:48], 8, seed=0, verbose=False)
    pd.testing.assert_frame_equal(other, forecast(predictor), check_names=False)


def test_bits_must_agree() -> None:
    with pytest.raises(CheckpointError, match="do not belong together"):
        KronosPredictor(Kronos.from_pretrained(GOLDEN / "predictor"), KronosTokenizer(**PRESETS["mini"].tokenizer))
