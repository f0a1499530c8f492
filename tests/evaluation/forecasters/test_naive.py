"""The baselines without weights, on candles whose best forecast is known."""

import warnings

import numpy as np
import pandas as pd
import pytest

from kronos.candles import CANDLE_COLUMNS
from kronos.config.evaluation import BASELINES
from kronos.evaluation.baselines import FITTED_BASELINES
from kronos.evaluation.forecasters import naive
from kronos.evaluation.forecasters.base import ForecastInput, NotApplicable
from kronos.evaluation.forecasters.naive import NAIVE_FORECASTERS, baseline, choose_season, compute_levels
from kronos.evaluation.records import Note
from kronos.report.words.catalogue import Words
from kronos.report.words.sentences import write_note

STEP = 0.01  # standard deviation of simulated log returns


def make_known(closes, times=None, horizon: int = 12, future=None) -> ForecastInput:
    if times is None:
        times = pd.date_range("2024-01-02 09:35", periods=len(closes), freq="5min")
    if future is None:
        future = pd.date_range(times[-1], periods=horizon + 1, freq=times[1] - times[0])[1:]
    return ForecastInput("known", pd.DataFrame(dict.fromkeys(CANDLE_COLUMNS, closes), index=times), future)


def walk(n: int, seed: int, drift: float = 0.0) -> np.ndarray:
    return 10 * np.exp(np.random.default_rng(seed).normal(drift, STEP, n).cumsum())


def sessions(n_days: int) -> pd.DatetimeIndex:
    """Half-hours of a morning and an afternoon, on weekdays."""
    days = pd.bdate_range("2024-01-04", periods=n_days)
    hours = [*pd.timedelta_range("10h", "11h30m", freq="30min"), *pd.timedelta_range("13h30m", "15h", freq="30min")]
    return pd.DatetimeIndex([day + hour for day in days for hour in hours])


def test_all_baselines_without_weights_are_there() -> None:
    assert set(NAIVE_FORECASTERS) | set(FITTED_BASELINES) == set(BASELINES) - {"pretrained", "lstm"}
    for name, forecaster in NAIVE_FORECASTERS.items():
        assert forecaster.name == name
        assert forecaster.label == name and Words("zh").has(f"forecasters.{name}")


@pytest.mark.parametrize("name", ["last_close", "volatility", "drift"])
def test_bands_of_a_random_walk_hold_what_they_say(name: str) -> None:
    """80 % bands of 400 simulated walks; the standard error is 2 %."""
    inside = []
    for seed in range(400):
        closes = walk(312, seed)
        paths = NAIVE_FORECASTERS[name].sample([make_known(closes[:300])], 200, seed)[0]
        low, high = np.quantile(paths, [0.1, 0.9], axis=0)
        inside.append((closes[300:] >= low) & (closes[300:] <= high))
    covered = np.mean(inside, axis=0)
    assert covered.mean() == pytest.approx(0.8, abs=0.04)
    assert covered[0] == pytest.approx(0.8, abs=0.07) and covered[-1] == pytest.approx(0.8, abs=0.07)


def test_volatility_grows_with_the_square_root_of_time_and_its_steps_are_independent() -> None:
    paths = np.log(NAIVE_FORECASTERS["volatility"].sample([make_known(walk(2000, 1))], 4000, 0)[0])
    assert paths.std(axis=0) == pytest.approx(STEP * np.sqrt(np.arange(1, 13)), rel=0.06)
    correlation = np.corrcoef(np.diff(paths, axis=1).T)[0, 1:]
    assert np.abs(correlation).max() < 0.06
    assert np.corrcoef(paths[:, 0], paths[:, 3])[0, 1] == pytest.approx(
        0.5, abs=0.05
    )  # sqrt(1 / 4): paths, not marginals


def test_drift_keeps_the_mean_step_and_last_close_does_not() -> None:
    closes = walk(200, 2, drift=STEP)
    mean = np.diff(np.log(closes)).mean()
    known = [make_known(closes)]
    horizon = np.arange(1, 13)
    error = 5 * STEP * np.sqrt(horizon / 4000)
    drift, last = (
        np.log(NAIVE_FORECASTERS[name].sample(known, 4000, 0)[0] / closes[-1]) for name in ("drift", "last_close")
    )
    assert (np.abs(drift.mean(axis=0) - mean * horizon) < error).all()
    assert (np.abs(last.mean(axis=0)) < error).all()
    assert (np.abs(np.median(last, axis=0)) < 2 * error).all()


def test_seasonal_naive_is_exact_on_a_periodic_series() -> None:
    times = sessions(5)
    closes = np.tile(10 + np.arange(8.0), 5)
    known = make_known(closes[:24], times[:24], future=times[24:])  # two days: longer than a season
    paths = NAIVE_FORECASTERS["seasonal_naive"].sample([known], 7, 0)[0]
    assert paths == pytest.approx(np.tile(closes[24:], (7, 1)))


def test_seasonal_naive_takes_the_latest_day_and_spreads_by_what_changed_from_day_to_day() -> None:
    times = sessions(40)
    changes = np.random.default_rng(5).normal(0, STEP, 40 * 8)
    closes = 10 * np.exp(changes.reshape(40, 8).cumsum(axis=0)).ravel()  # each time of day a walk of its own
    known = make_known(closes[:304], times[:304], future=times[304:])
    paths = NAIVE_FORECASTERS["seasonal_naive"].sample([known], 4000, 0)[0]
    moved = np.log(paths / np.tile(closes[296:304], 2))
    assert np.abs(np.median(moved, axis=0)).max() < 0.2 * STEP
    assert moved.std(axis=0)[:8] == pytest.approx(STEP, rel=0.15)
    assert moved.std(axis=0)[8:] == pytest.approx(STEP * np.sqrt(2), rel=0.15)  # the second day adds a second residual


def test_seasonal_naive_of_one_season_is_a_point() -> None:
    times = sessions(2)
    known = make_known(walk(8, 0), times[:8], future=times[8:])
    paths = NAIVE_FORECASTERS["seasonal_naive"].sample([known], 3, 0)[0]
    assert paths == pytest.approx(np.tile(known.closes, (3, 1)))


def test_seasonal_naive_needs_a_season() -> None:
    times = sessions(2)
    with pytest.raises(NotApplicable) as refused:
        NAIVE_FORECASTERS["seasonal_naive"].sample([make_known(walk(6, 0), times[:6], future=times[6:])], 3, 0)
    assert refused.value.reason == Note(code="short_for_day", values={"n": 6})
    assert "6 根 K 线，不足一天" in write_note(refused.value.reason, Words("zh"), "reasons")


@pytest.mark.parametrize("missing", [0, 3])
def test_a_missing_candle_is_no_reason_to_refuse(missing: int) -> None:
    """One season and a half, and the phase wanted is not in it: the phase before it, or of none the first."""
    times = pd.date_range("2024-01-01", periods=48, freq="h")
    kept = np.flatnonzero(times.hour != missing)
    future = pd.DatetimeIndex(["2024-01-03"]) + pd.Timedelta(hours=missing)
    known = make_known(1.0 + times.hour[kept].to_numpy(), times[kept], future=future)
    paths = NAIVE_FORECASTERS["seasonal_naive"].sample([known], 5, 0)[0]
    assert paths == pytest.approx(1 + (missing - 1 if missing else 1))


@pytest.mark.parametrize(
    ("frequency", "season", "n"),
    [("30min", "day", 48), ("12h", "day", 2), ("B", "week", 5), ("W", "year", 52), ("MS", "year", 12)],
)
def test_the_season_is_that_of_the_candles(frequency: str, season: str, n: int) -> None:
    """A close that grows steadily is forecast to be what it was a season before."""
    times = pd.date_range("2021-01-04", periods=150, freq=frequency)
    assert choose_season(times).name == season
    closes = np.arange(1.0, 151)
    future = pd.date_range(times[-1], periods=3, freq=frequency)[1:]
    paths = NAIVE_FORECASTERS["seasonal_naive"].sample([make_known(-closes, times, future=future)], 5, 0)[0]
    assert paths == pytest.approx(np.tile(-closes[[150 - n, 151 - n]], (5, 1)))


@pytest.mark.parametrize("name", NAIVE_FORECASTERS)
def test_a_forecast_belongs_to_seed_and_origin_whatever_the_company(name: str) -> None:
    closes = walk(700, 3)
    known = [
        make_known(closes[i : i + 600], pd.date_range("2024-01-01", periods=600, freq="5min") + pd.Timedelta(hours=i))
        for i in range(3)
    ]
    together = NAIVE_FORECASTERS[name].sample(known, 5, 7)
    assert together.shape == (3, 5, 12)
    for each, paths in zip(known, together):
        assert np.array_equal(NAIVE_FORECASTERS[name].sample([each], 5, 7)[0], paths)
    assert not np.array_equal(NAIVE_FORECASTERS[name].sample(known, 5, 8), together)


@pytest.mark.parametrize("name", NAIVE_FORECASTERS)
def test_candles_that_stand_still_are_forecast_to_stand_still(name: str) -> None:
    with warnings.catch_warnings(action="error"):
        paths = NAIVE_FORECASTERS[name].sample([make_known(np.full(600, 3.0))], 5, 0)
        assert paths == pytest.approx(3.0, rel=1e-12)
        assert (NAIVE_FORECASTERS[name].sample([make_known(np.zeros(600))], 5, 0) == 0).all()


@pytest.mark.parametrize("name", NAIVE_FORECASTERS)
def test_prices_that_are_not_positive_move_by_differences(name: str) -> None:
    """Shifted by a number, the forecast is shifted too."""
    closes = np.random.default_rng(1).normal(0, 1, 600).cumsum()
    closes[5] = 0.0
    with warnings.catch_warnings(action="error"):
        paths, shifted = (NAIVE_FORECASTERS[name].sample([make_known(closes - by)], 5, 0) for by in (0, 1000))
    assert np.isfinite(paths).all()
    assert shifted == pytest.approx(paths - 1000)


def test_adding_one_as_the_docstring_says(monkeypatch) -> None:
    monkeypatch.setattr(naive, "NAIVE_FORECASTERS", {})
    code = naive.__doc__.split("the mean of the last 20 closes:\n\n")[1].split("\n\n`NAIVE_FORECASTERS")[0]
    names = {
        "baseline": baseline,
        "ForecastInput": ForecastInput,
        "np": np,
        "Array": np.ndarray,
        "compute_levels": compute_levels,
        "find_steps": naive.find_steps,
    }
    exec("\n".join(line[4:] for line in code.splitlines()), names)
    closes = walk(100, 0)
    paths = naive.NAIVE_FORECASTERS["mean_20"].sample([make_known(closes)], 2000, 0)[0]
    assert np.median(paths[:, 0]) == pytest.approx(closes[-20:].mean(), rel=STEP)


@pytest.mark.parametrize("name", ["last_close", "volatility", "drift"])
def test_a_short_lookback_does_not_narrow_the_steps(name: str) -> None:
    """Over many lookbacks of ten candles, the variance of the first step is on average that of the walk."""
    known = [make_known(walk(10, seed)) for seed in range(600)]
    paths = NAIVE_FORECASTERS[name].sample(known, 200, 0)
    last = np.stack([each.closes[-1:] for each in known])
    variance = np.log(paths[:, :, 0] / last).var(axis=1).mean()
    assert variance == pytest.approx(STEP**2, rel=0.08)


@pytest.mark.parametrize("name", ["last_close", "volatility", "drift"])
def test_a_lookback_too_short_for_volatility_is_refused(name: str) -> None:
    with pytest.raises(NotApplicable) as refused:
        NAIVE_FORECASTERS[name].sample([make_known(walk(8, 0))], 5, 0)
    assert refused.value.reason == Note(code="short_for_volatility", values={"n": 8, "least": 9})
    assert np.ptp(NAIVE_FORECASTERS[name].sample([make_known(walk(9, 0))], 5, 0)) > 0
