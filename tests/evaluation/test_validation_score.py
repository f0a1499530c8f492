"""Rating a base model by its forecasts from the validation split."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import PartialState
from scipy import stats

from kronos import Kronos, KronosPredictor, KronosTokenizer, load_config
from kronos.data import CandleSet, Split, load_candles, split_candles
from kronos.data.windows.splits import spread_evenly
from kronos.errors import CheckpointError, DataError
from kronos.evaluation import validation_score
from kronos.evaluation.validation_score import N_PATHS, ValidationScore, check_moves, measure_scale
from tests.conftest import GOLDEN
from tests.evaluation.synthetic import load_frames, random_walk


@pytest.fixture(autouse=True)
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    PartialState(cpu=True)
    monkeypatch.setattr(validation_score, "FEWEST_INDEPENDENT", 1)


@pytest.fixture
def models() -> tuple[Kronos, KronosTokenizer]:
    return Kronos.from_pretrained(GOLDEN / "predictor"), KronosTokenizer.from_pretrained(GOLDEN / "tokenizer")


def load(tiny_config: Path, best_by: str, *overrides: str):
    config = load_config(tiny_config, [f"training.best_by={best_by}", *overrides])
    candles, _ = load_candles(config.data, config.repairs)
    return config, candles, split_candles(candles, config.data)["val"]


def with_closes(candles: CandleSet, split: Split, change) -> CandleSet:
    """The candles with the closes of the validation horizons changed."""
    values = np.array(candles.values)
    first = split.starts[0] + 16
    values[first:, 3] = change(values[first:, 3])
    return replace(candles, values=values)


@pytest.mark.parametrize("best_by", ["crps", "mae", "direction", "ic"])
def test_the_figure_is_that_of_the_predictor_s_forecasts(tiny_config: Path, models, best_by: str, monkeypatch) -> None:
    """Each origin forecast on its own, the figure written out."""
    monkeypatch.setattr(validation_score, "N_ORIGINS", 3)
    config, candles, val = load(tiny_config, best_by)
    found = ValidationScore(config, candles, val)(*models)
    predictor = KronosPredictor(*models, device="cpu", max_context=24)
    figures = []
    for window in spread_evenly(len(val), 3, validation_score.SEED):
        frame = candles.frame(val.starts[window], val.starts[window] + 24).astype(np.float64)
        known, actual = frame[:16], frame["close"].to_numpy()[16:]
        forecast = predictor.forecast(known, y_timestamp=frame.index[16:], n_paths=N_PATHS, seed=validation_score.SEED)
        closes, scale, last = forecast.paths[..., 3], known["close"].std(ddof=0), known["close"].iloc[-1]
        median = np.median(closes, axis=0)
        if best_by == "direction":
            figures.append((np.sign(median - last) == np.sign(actual - last))[actual != last])
        elif best_by == "mae":
            figures.append(np.abs(median - actual) / scale)
        elif best_by == "ic":
            figures.append(np.stack([closes.mean(axis=0) - last, actual - last]) / scale)
        else:
            pairs = np.abs(closes[:, None] - closes[None]).sum(axis=(0, 1)) / (N_PATHS * (N_PATHS - 1))
            figures.append((np.abs(closes - actual).mean(axis=0) - pairs / 2) / scale)
    if best_by == "ic":
        figures = [[stats.pearsonr(*np.array(figures)[:, :, h].T).statistic for h in range(8)]]
    assert found == pytest.approx(np.concatenate(figures).mean(), rel=1e-5)
    assert found == ValidationScore(config, candles, val)(*models)


def test_too_few_origins_choose_no_model(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation_score, "FEWEST_INDEPENDENT", 4)
    with pytest.raises(DataError, match=r"best_by is crps, but .* only 3 horizons .*best_by=horizon_loss"):
        ValidationScore(*load(tiny_config, "crps"))
    monkeypatch.setattr(validation_score, "FEWEST_INDEPENDENT", 3)
    ValidationScore(*load(tiny_config, "crps"))


def test_the_model_and_the_random_state_stay_as_they_were(tiny_config: Path, models) -> None:
    model, tokenizer = models
    model.train()
    model.transformer[0].eval()
    score = ValidationScore(*load(tiny_config, "crps"))
    weights, state = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    score(model, tokenizer)
    assert model.training and not model.transformer[0].training and not tokenizer.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    ids, stamp = torch.zeros(2, 5, dtype=torch.long), torch.zeros(2, 5, 5)
    model(ids, ids, stamp).loss.backward()  # nothing of the inference is left in it


def test_what_comes_changes_no_forecast(tiny_config: Path, models, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lookback of the first origin alone is before the horizons, so one origin."""
    monkeypatch.setattr(validation_score, "spread_evenly", lambda *_: np.array([0]))
    config, candles, val = load(tiny_config, "mae")
    other = with_closes(candles, val, lambda close: close[::-1] * 1.001)
    scores = [ValidationScore(config, each, val) for each in (candles, other)]
    first, second = (score._forecast(*models, range(1))[0] for score in scores)
    np.testing.assert_array_equal(first, second)
    assert scores[0](*models) != scores[1](*models)


def test_origins_are_of_validation_alone(tiny_config: Path) -> None:
    config, candles, val = load(tiny_config, "crps")
    score = ValidationScore(config, candles, val)
    test_begins = candles.timestamps(0, len(candles))[val.starts[0] + 16 + val.rows]
    assert len(score._histories) == len(val) == 17  # fewer windows than N_ORIGINS: all of them
    assert max(future[-1] for future in score._futures) < test_begins
    assert all(len(history) == 16 and len(future) == 8 for history, future in zip(score._histories, score._futures))


def test_a_damaged_model_is_said(tiny_config: Path, models) -> None:
    model, tokenizer = models
    with torch.no_grad():
        model.head.proj_s1.bias[0] = float("nan")
    with pytest.raises(CheckpointError, match="not finite"):
        ValidationScore(*load(tiny_config, "crps"))(model, tokenizer)


def test_a_close_that_never_moves_has_no_direction(tiny_config: Path) -> None:
    config, candles, val = load(tiny_config, "direction")
    still = replace(candles, values=np.full_like(candles.values, 7.0))
    with pytest.raises(DataError, match=r"does not move after any of 17 origin\(s\) of the validation split"):
        ValidationScore(config, still, val)
    assert ValidationScore(config, candles, val).higher_is_better


@pytest.mark.parametrize(
    "n_origins, message",
    [
        (2, "ic, which needs 3 origins, but the validation split has 2"),
        (17, "moves by the same amount after all 17 origins of the validation split"),
    ],
)
def test_moves_that_nothing_can_correlate_with(n_origins: int, message: str) -> None:
    actual = np.tile([0.1, -0.2], (n_origins, 1))
    with pytest.raises(DataError, match=message):
        check_moves("ic", actual)
    check_moves("ic", np.vstack([actual, actual, [[0.1, -0.3]]]))
    check_moves("crps", actual)


def test_the_same_forecast_everywhere_has_no_skill(tiny_config: Path, models, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is a figure, not a failure; a forecast that is not finite is one."""
    score = ValidationScore(*load(tiny_config, "ic"))
    n_origins, horizon = score._actual.shape
    for move, expected in ((0.3, 0.0), (np.inf, np.nan)):
        moves = np.full((N_PATHS, horizon), move)
        monkeypatch.setattr(score, "_forecast", lambda *_, moves=moves: [moves] * n_origins)
        np.testing.assert_equal(score(*models), expected)
    assert score.higher_is_better


def test_symbols_of_any_price_count_alike() -> None:
    closes = np.array([[1.0, 3.0, 1.0, 3.0]])
    assert measure_scale(closes) == pytest.approx(1.0) and measure_scale(1e-6 * closes) == pytest.approx(1e-6)
    assert measure_scale(np.array([[50.0, 50.0]])) == pytest.approx(5e-3)  # a price that stood still
    assert measure_scale(np.zeros((2, 3))).tolist() == [[1.0], [1.0]]


@pytest.mark.parametrize("n, n_chosen", [(1, 32), (17, 32), (32, 32), (33, 32), (1000, 32)])
def test_origins_are_different_and_spread(n: int, n_chosen: int) -> None:
    chosen = spread_evenly(n, n_chosen, seed=0)
    assert len(chosen) == min(n, n_chosen) and (np.diff(chosen) > 0).all() and chosen[0] >= 0 and chosen[-1] < n
    assert np.diff(chosen, prepend=0, append=n).max() <= 2 * -(-n // len(chosen))
    np.testing.assert_array_equal(chosen, spread_evenly(n, n_chosen, seed=0))


@pytest.mark.parametrize("n_symbols", [1, 2])
def test_several_symbols_draw_their_own_random_numbers(
    tiny_config: Path, models, tmp_path: Path, monkeypatch, n_symbols: int
) -> None:
    config = load_config(tiny_config, ["training.best_by=crps"])
    candles = load_frames(tmp_path / "made", *[random_walk(0.01).make_frame(0, 5)] * n_symbols)
    asked: list[list[str]] = []
    forecast = KronosPredictor.forecast_batch

    def note(self, *args, symbols, **options):
        asked.append(symbols)
        return forecast(self, *args, **options)

    monkeypatch.setattr(KronosPredictor, "forecast_batch", note)
    ValidationScore(config, candles, split_candles(candles, config.data)["val"])(*models)
    assert set(asked[0]) == ({""} if n_symbols == 1 else {"s0", "s1"})
