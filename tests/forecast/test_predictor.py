import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import kronos
from kronos.errors import CheckpointError, ConfigError, DataError
from kronos.forecast import Forecast, KronosPredictor, Sampling
from kronos.forecast import paths as module
from kronos.forecast.decoding.generate import generate_paths
from kronos.model import PRESETS, Kronos, KronosTokenizer
from kronos.saved_run import SavedRun, load_run_config
from tests.conftest import GOLDEN, load_vectors

CANDLES = pd.read_csv(GOLDEN / "candles.csv", parse_dates=["timestamps"])
INDEXED = CANDLES.set_index("timestamps")
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


def test_the_reference_decode_is_unrotated(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(module, "generate_paths", lambda *a: seen.append(a[7]) or generate_paths(*a))
    for flag in (False, True):
        forecast(load_predictor(reference_decode=flag))
    assert [decoding.rotate_s2 for decoding in seen] == [True, False]
    assert [decoding.policy for decoding in seen] == ["slide", "recompute"]


def test_of_a_long_history_only_what_fits_the_context_is_looked_at() -> None:
    long = pd.concat([INDEXED[:KNOWN].set_axis(INDEXED.index[:KNOWN] - pd.Timedelta("30D")) * 3, INDEXED[:KNOWN]])
    options = {"y_timestamp": INDEXED.index[KNOWN : KNOWN + 4], "n_paths": 2, "seed": 0, "verbose": False}
    alone, limited = (load_predictor(max_context=KNOWN).forecast(frame, **options) for frame in (INDEXED[:KNOWN], long))
    np.testing.assert_array_equal(limited.paths, alone.paths)


def test_many_repairs_and_spreads_are_said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    hot = Sampling(temperature=3.0, top_p=1.0)
    monkeypatch.setattr("kronos.forecast.forecast.MANY_REPAIRS", 0.001)
    made = load_predictor().forecast(INDEXED[:KNOWN] - 60.0, horizon=24, n_paths=40, sampling=hot, seed=0, verbose=True)
    assert made.repairs.share > 0.001 and (made.paths[..., :4] < 0).any()
    assert [note.split()[0] for note in made.notes[-2:]] == ["The", "Over"]
    assert caplog.messages == [f"series 0: {note}" for note in made.notes]


def test_threads_share_a_model() -> None:
    preset = PRESETS["demo"]
    model = Kronos(**preset.base_model | {"resid_dropout_p": 0.5, "token_dropout_p": 0.5}).train()
    predictor = KronosPredictor(model, KronosTokenizer(**preset.tokenizer).train())
    expected = forecast(predictor, pred_len=12)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: forecast(predictor, pred_len=12), range(12)))
    assert model.training
    for result in results:
        pd.testing.assert_frame_equal(result, expected)


@pytest.mark.parametrize("part", ["model.head.proj_s2", "model.dep_layer.norm", "tokenizer.embed", "tokenizer.head"])
def test_weights_that_are_no_numbers_are_refused(part: str) -> None:
    models = {"model": load_predictor().model, "tokenizer": load_predictor().tokenizer}
    kind, name = part.split(".", 1)
    torch.nn.init.constant_(models[kind].get_submodule(name).weight, math.nan)
    with pytest.raises(CheckpointError, match="weights that are not finite"):
        KronosPredictor(**models)


def test_it_shows_its_context_and_where_it_computes() -> None:
    assert repr(load_predictor(max_context=64, device="cpu")) == "KronosPredictor(max_context=64, device='cpu')"


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


def sample_paths(predictor: KronosPredictor, lengths: list[int], n_paths: int = 3, horizon: int = 8) -> list[Forecast]:
    """Forecasts of the golden candles' ends, of several lengths, all from the same origin but for the second."""
    frames = [INDEXED[KNOWN - length : KNOWN] for length in lengths]
    if len(frames) > 1:
        frames[1] = INDEXED[KNOWN + 5 - lengths[1] : KNOWN + 5]
    return predictor.forecast_batch(frames, None, None, horizon, n_paths=n_paths, seed=3, verbose=False)


def test_prediction_is_the_mean_of_the_forecast() -> None:
    predictor = load_predictor()
    upstream = Sampling(top_p=0.9)  # the default of `predict`
    forecasts = predictor.forecast(INDEXED[:KNOWN], horizon=8, n_paths=5, sampling=upstream, seed=0, verbose=False)
    mean = predictor.predict(INDEXED[:KNOWN], pred_len=8, sample_count=5, seed=0, verbose=False)
    assert forecasts.paths.shape == (5, 8, 6) and forecasts.origin == INDEXED.index[KNOWN - 1]
    assert forecasts.last_close == INDEXED["close"].iloc[KNOWN - 1]
    pd.testing.assert_frame_equal(mean, forecasts.mean)


def test_paths_do_not_depend_on_how_many_there_are_nor_on_the_steps_to_follow() -> None:
    predictor = load_predictor(dtype=torch.float64)
    many = sample_paths(predictor, [KNOWN], n_paths=7, horizon=12)[0].paths
    np.testing.assert_allclose(sample_paths(predictor, [KNOWN], n_paths=3)[0].paths, many[:3, :8], rtol=1e-6)


@pytest.mark.parametrize(("budget", "n_chunks"), [(1, 18), (1_000_000, 5), (2**40, 1)])
def test_chunks_change_nothing(budget: int, n_chunks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = load_predictor(dtype=torch.float64, max_context=40)
    lengths = [KNOWN, 30, 12, 12, 5, KNOWN]
    expected = sample_paths(predictor, lengths)
    calls = []
    generate = module.generate_paths
    monkeypatch.setattr(module, "measure_budget", lambda device: budget)
    monkeypatch.setattr(module, "generate_paths", lambda *a: calls.append(a) or generate(*a))
    for forecast_, other in zip(sample_paths(predictor, lengths), expected):
        np.testing.assert_allclose(forecast_.paths, other.paths, rtol=1e-6)
    assert len(calls) == n_chunks


def test_a_series_does_not_depend_on_its_company() -> None:
    predictor = load_predictor(dtype=torch.float64)
    together = sample_paths(predictor, [KNOWN, 17, 3])
    for i, length in enumerate([KNOWN, 17, 3]):
        frame = INDEXED[KNOWN + 5 * (i == 1) - length : KNOWN + 5 * (i == 1)]
        alone = predictor.forecast(frame, horizon=8, n_paths=3, seed=3, verbose=False)
        np.testing.assert_allclose(together[i].paths, alone.paths, rtol=1e-6)
    assert not np.allclose(together[0].paths, together[1].paths)


def test_a_name_gives_a_series_draws_of_its_own() -> None:
    predictor = load_predictor()
    unnamed, named, again = (forecast(predictor, sample_count=3, name=name) for name in (None, "600977", "600977"))
    assert not unnamed.equals(named)
    pd.testing.assert_frame_equal(named, again)
    frames = [INDEXED[:KNOWN]] * 3
    how = {"y_timestamp_list": [INDEXED.index[KNOWN : KNOWN + 8]] * 3, "seed": 0, "verbose": False}
    together = predictor.predict_batch(frames, sample_count=3, names=["600978", "600977", ""], **how)
    assert not np.allclose(together[0], named, rtol=1e-6)
    np.testing.assert_allclose(together[1], named, rtol=1e-6)
    np.testing.assert_allclose(together[2], unnamed, rtol=1e-6)
    upstream = Sampling(top_p=0.9)
    in_messages_only = predictor.forecast_batch(frames, n_paths=3, names=["a", "b", "c"], sampling=upstream, **how)
    np.testing.assert_allclose(in_messages_only[1].mean, unnamed, rtol=1e-6)
    with pytest.raises(DataError, match="3 series, but 1 symbols"):
        predictor.forecast_batch(frames, n_paths=3, symbols=["a"], **how)


def test_every_path_is_possible_and_repairs_are_counted() -> None:
    sampling = Sampling(temperature=3.0, top_p=1.0)
    predictor = load_predictor()
    made = predictor.forecast(INDEXED[:KNOWN], horizon=24, n_paths=40, sampling=sampling, seed=0, verbose=False)
    opened, high, low, closed, volume, amount = np.moveaxis(made.paths, -1, 0)
    assert (low <= np.minimum(opened, closed)).all() and (high >= np.maximum(opened, closed)).all()
    assert (low > 0).all() and (volume >= 0).all() and (amount >= 0).all()
    assert made.repairs.n_candles == 40 * 24 and 0 < made.repairs.any <= made.repairs.n_candles
    as_published = load_predictor(reference_decode=True, max_context=64)
    assert as_published.forecast(INDEXED[:KNOWN], horizon=4, n_paths=2, verbose=False).repairs is None


def test_greedy_forecasts_need_no_seed() -> None:
    predictor = load_predictor()
    first, other = (forecast(predictor, T=0.0, seed=seed) for seed in (1, 2))
    pd.testing.assert_frame_equal(first, other)
    pd.testing.assert_frame_equal(first, forecast(predictor, top_k=1))


def test_without_future_times_they_follow_the_history() -> None:
    times = pd.date_range("2024-04-01", periods=KNOWN, freq="h")
    frame = CANDLES[:KNOWN].drop(columns="timestamps")
    expected = pd.date_range(times[-1], periods=9, freq="h")[1:]
    made = load_predictor().predict(frame, times, pred_len=8, verbose=False)
    assert (made.index == expected).all()
    with_column = frame.assign(timestamps=times)
    assert (load_predictor().predict(with_column, pred_len=8, verbose=False).index == expected).all()


@pytest.mark.parametrize("changes", [{"volume": 0.0, "amount": 0.0}, dict.fromkeys(CANDLES.columns[1:], 7.5)])
def test_constant_candles_and_zero_volume_are_fine(changes: dict) -> None:
    flat = INDEXED[:KNOWN].assign(**changes)
    made = load_predictor().forecast(flat, horizon=8, n_paths=4, seed=0, verbose=False)
    assert np.isfinite(made.paths).all() and (made.paths[..., :4] > 0).all()
    for column, value in changes.items():
        close = max(abs(value) * 1e-3, 1e-4)
        assert (made.median[column] - value).abs().max() < close


@pytest.mark.parametrize("dtype", ["bfloat16", torch.float64])
def test_the_caller_s_model_keeps_its_type(dtype: str | torch.dtype) -> None:
    tokenizer = KronosTokenizer.from_pretrained(GOLDEN / "tokenizer")
    model = Kronos.from_pretrained(GOLDEN / "predictor")
    predictor = KronosPredictor(model, tokenizer, dtype=dtype)
    made = forecast(predictor, T=0.0, pred_len=1)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert predictor.tokenizer is tokenizer and predictor.model is not model
    np.testing.assert_allclose(made["close"], forecast(load_predictor(), T=0.0, pred_len=1)["close"], rtol=0.02)


def test_the_mode_comes_back_after_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = load_predictor()
    predictor.model.train()
    monkeypatch.setattr(module, "generate_paths", lambda *a: math.sqrt(-1))
    with pytest.raises(ValueError):
        forecast(predictor)
    assert predictor.model.training and predictor.model.dep_layer.training


def test_a_full_device_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(module, "generate_paths", fail)
    with pytest.raises(ConfigError, match="too little memory"):
        forecast(load_predictor())


def test_lists_must_match_and_errors_name_the_series() -> None:
    predictor, frame = load_predictor(), INDEXED[:KNOWN]
    with pytest.raises(DataError, match="2 series, but 1 y_timestamp"):
        predictor.predict_batch([frame, frame], None, [INDEXED.index[KNOWN:48]], 8, verbose=False)
    with pytest.raises(DataError, match="list of frames is empty"):
        predictor.predict_batch([], pred_len=8, verbose=False)
    with pytest.raises(DataError, match="one for each series, got dict"):
        predictor.predict_batch({"a": frame}, pred_len=8, verbose=False)
    assert len(predictor.predict_batch((frame for _ in range(2)), pred_len=8, verbose=False)) == 2
    with pytest.raises(DataError, match="got one frame"):
        predictor.predict_batch(frame, pred_len=8, verbose=False)
    with pytest.raises(ConfigError, match="the horizon is missing"):
        predictor.forecast(frame, verbose=False)
    spoilt = frame.copy()
    spoilt.iloc[7, 3] = math.nan
    with pytest.raises(DataError, match="600977, row 7: close is nan"):
        predictor.forecast_batch([frame, spoilt], horizon=8, names=["000001", "600977"], verbose=False)
    with pytest.raises(DataError, match="series 1, row 7: close is nan"):
        predictor.predict_batch([frame, spoilt], pred_len=8, verbose=False)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.accelerator.is_available(), reason="no GPU")
@pytest.mark.parametrize("policy", ["grow", "slide", "recompute"])
def test_a_gpu_forecasts_what_a_cpu_does(policy: str) -> None:
    options = {"pred_len": 24, "T": 0.0}
    tokenizer, model = load_predictor(device="cpu").tokenizer, load_predictor(device="cpu").model
    on_gpu, on_cpu = (
        KronosPredictor(model, tokenizer, device, max_context=48, context_policy=policy) for device in (None, "cpu")
    )
    assert on_gpu.device.type != "cpu" and next(model.parameters()).device.type == "cpu"
    np.testing.assert_allclose(forecast(on_gpu, **options), forecast(on_cpu, **options), rtol=1e-3)


@pytest.mark.slow
def test_compiled_decoding_is_decoding() -> None:
    options = {"pred_len": 12, "sample_count": 3}
    model = Kronos.from_pretrained(GOLDEN / "predictor")
    compiled = KronosPredictor(model, KronosTokenizer.from_pretrained(GOLDEN / "tokenizer"), compile=True)
    np.testing.assert_allclose(forecast(compiled, **options), forecast(load_predictor(), **options), rtol=1e-4)
    assert compiled.model is not model and model.transformer[0]._compiled_call_impl is None


def test_compiling_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="and none is installed"):
        load_predictor(compile=True)


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
    ("options", "words"),
    [
        ({"T": -1.0}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"sample_count": 0}, "sample_count"),
        ({"sample_count": 2.5}, "sample_count"),
        ({"pred_len": 0}, "pred_len"),
        ({"seed": "x"}, "seed"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_parameter_that_means_nothing_is_one_clear_error(options: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        forecast(load_predictor(), **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_context": 0}, "max_context"),
        ({"clip": 0}, "clip"),
        ({"context_policy": ""}, "grow, slide, recompute; got ''"),
        ({"context_policy": "forget"}, "grow, slide, recompute; got 'forget'"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
        ({"device": "cuda:77"}, "device 'cuda:77' cannot be used"),
        ({"dtype": "int8"}, "dtype must be one of"),
        ({"dtype": np.float32}, "dtype must be one of"),
        ({"device": "meta"}, "device 'meta' cannot be used"),
        ({"clip": "5"}, "clip"),
    ],
)
def test_an_option_that_means_nothing_is_one_clear_error(options: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_predictor(**options)


@pytest.mark.parametrize("policy", ["grow", "slide", "recompute"])
def test_the_horizon_must_fit_the_context(policy: str) -> None:
    predictor = load_predictor(max_context=8, context_policy=policy)
    assert len(forecast(predictor, pred_len=7)) == 7
    with pytest.raises(ConfigError, match=r"horizon \(pred_len\) of 8 is beyond max_context = 8"):
        forecast(predictor, pred_len=8)


def test_swapped_models() -> None:
    tokenizer, model = (
        KronosTokenizer.from_pretrained(GOLDEN / "tokenizer"),
        Kronos.from_pretrained(GOLDEN / "predictor"),
    )
    with pytest.raises(ConfigError, match="takes a Kronos, then a KronosTokenizer; got KronosTokenizer, Kronos"):
        KronosPredictor(tokenizer, model)


def test_series_and_index_of_timestamps_give_the_same() -> None:
    predictor, times = load_predictor(), CANDLES["timestamps"]
    index = pd.DatetimeIndex(times)
    other = predictor.predict(CANDLES[:KNOWN], index[:KNOWN], index[KNOWN:48], 8, seed=0, verbose=False)
    pd.testing.assert_frame_equal(other, forecast(predictor), check_names=False)


def test_bits_must_agree() -> None:
    with pytest.raises(CheckpointError, match="do not belong together"):
        KronosPredictor(Kronos.from_pretrained(GOLDEN / "predictor"), KronosTokenizer(**PRESETS["mini"].tokenizer))


def test_a_predictor_of_a_run(golden_run: Path) -> None:
    """Of its folder, with what it was trained with; options that are given win."""
    models = Kronos.from_pretrained(GOLDEN / "predictor"), KronosTokenizer.from_pretrained(GOLDEN / "tokenizer")
    for options in ({}, {"max_context": 12, "clip": 1.0, "device": "cpu", "dtype": "float32"}):
        own = kronos.KronosPredictor.from_run(str(golden_run), **options)
        other = KronosPredictor(*models, **{"max_context": 24, "clip": 5.0} | options)
        assert (own.max_context, own.clip) == (other.max_context, other.clip)
        pd.testing.assert_frame_equal(forecast(own), forecast(other))
    loaded = SavedRun(load_run_config(golden_run), models[1], models[0])
    assert KronosPredictor.from_run(loaded).model is models[0]
    with pytest.raises(ConfigError, match="there is no run here"):
        KronosPredictor.from_run(golden_run / "basemodel")


@pytest.mark.parametrize("policy", ["grow", "slide", "recompute"])
def test_buffers_of_fixed_shape_forecast_the_same(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, but without a graph: series of different lengths, again and again, with one predictor."""
    options = {"max_context": 40, "context_policy": policy}
    usual = load_predictor(**options)
    monkeypatch.setattr("kronos.forecast.predictor.has_static_decoders", lambda device: True)
    static = load_predictor(**options)
    frames = [CANDLES.set_index("timestamps")[:n] for n in (KNOWN, 20, 33)]
    for sampling in (Sampling(top_p=0.9), Sampling(temperature=0)):
        expected, actual = (
            each.forecast_batch(frames, horizon=12, n_paths=3, seed=1, sampling=sampling, verbose=False)
            for each in (usual, static)
        )
        for theirs, ours in zip(expected, actual):
            np.testing.assert_allclose(ours.paths, theirs.paths, rtol=1e-4)
