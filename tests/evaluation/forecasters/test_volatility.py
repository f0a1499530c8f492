"""The baselines that know volatility, on simulated closes whose volatility is known."""

import numpy as np
import pandas as pd
import pytest

from kronos.candles import CANDLE_COLUMNS
from kronos.evaluation.forecasters.base import Forecaster, ForecastInput, NotApplicable, PastCloses
from kronos.evaluation.forecasters.garch import (
    Garch,
    build_garch,
    draw_shocks,
    filter_variance,
    fit_garch,
    simulate_garch,
)
from kronos.evaluation.forecasters.majority import build_majority
from kronos.evaluation.forecasters.naive import NAIVE_FORECASTERS, NaiveForecaster
from kronos.evaluation.forecasters.volatility import (
    LAMBDAS,
    build_ewma,
    build_time_of_day,
    choose_lambda,
    compute_ewma_variance,
    compute_trailing_variance,
    find_slots,
    measure_profile,
)
from kronos.evaluation.scores.metrics import compute_crps
from tests.data.planted import DAY, trading_times

TRUE = Garch(omega=0.02, alpha=0.1, beta=0.88, nu=6.0)  # of variance 1
UNIT = 0.01
LOOKBACK, HORIZON = 120, 6
BUILDERS = {"majority": build_majority, "ewma": build_ewma, "garch": build_garch, "time_of_day": build_time_of_day}


def simulate(n: int, seed: int, fitted: Garch = TRUE) -> np.ndarray:
    """Steps of a GARCH process, after a burn-in."""
    shocks = draw_shocks(fitted, (n + 500,), np.random.default_rng(seed))
    return UNIT * np.diff(simulate_garch(fitted, np.array(1.0), shocks[np.newaxis])[0], prepend=0.0)[500:]


def season(times: pd.DatetimeIndex) -> np.ndarray:
    """The volatility of each time of day: high at the open and the close."""
    slot = np.unique(find_slots(times), return_inverse=True)[1]
    return UNIT * (0.5 + 2 * np.abs(slot / (DAY - 1) - 0.5) ** 2 * 4)


def make_past(steps, times, lookback=LOOKBACK, horizon=HORIZON, symbol="", interval="5min") -> PastCloses:
    closes = pd.Series(10 * np.exp(np.cumsum(steps)), index=times)
    return PastCloses({symbol: [closes]}, lookback, horizon, pd.Timedelta(interval))


def make_known(steps, times, symbol: str = "", horizon: int = HORIZON) -> list[ForecastInput]:
    """All forecast inputs of a series, one every horizon."""
    closes = pd.DataFrame(dict.fromkeys(CANDLE_COLUMNS, 10 * np.exp(np.cumsum(steps))), index=times)
    ends = range(LOOKBACK, len(steps) - horizon + 1, horizon)
    return [ForecastInput("", closes[end - LOOKBACK : end], times[end : end + horizon], symbol) for end in ends]


def measure_gain(forecaster: Forecaster, steps, times) -> float:
    """The share by which its CRPS is below that of `volatility`."""
    known, levels = make_known(steps, times), np.cumsum(steps)
    ends = np.arange(LOOKBACK, len(steps) - HORIZON + 1, HORIZON)
    actual = levels[ends[:, np.newaxis] + np.arange(HORIZON)] - levels[ends - 1, np.newaxis]
    last = np.array([each.closes[-1] for each in known])[:, np.newaxis, np.newaxis]
    own, usual = (
        compute_crps(np.log(each.sample(known, 300, 0) / last), actual).mean()
        for each in (forecaster, NAIVE_FORECASTERS["volatility"])
    )
    return float(1 - own / usual)


def test_weights_fall_by_lambda_and_sum_to_1() -> None:
    steps = np.random.default_rng(0).normal(size=(3, 50))
    weights = 0.9 ** np.arange(50)[::-1]
    expected = (steps**2 * weights).sum(axis=1) / weights.sum()
    assert compute_ewma_variance(steps, 0.9) == pytest.approx(expected)
    assert compute_ewma_variance(steps, 1.0) == pytest.approx((steps**2).mean(axis=1))


@pytest.mark.parametrize("decay", LAMBDAS)
def test_the_trailing_variance_is_that_of_the_lookback_at_each_step(decay: float) -> None:
    steps = np.random.default_rng(1).normal(size=300)
    found = compute_trailing_variance(steps, decay, 40)
    for at in (0, 10, 39, 40, 299):
        assert found[at] == pytest.approx(compute_ewma_variance(steps[max(at - 39, 0) : at + 1], decay))


def test_lambda_is_1_where_volatility_is_constant_and_below_where_it_clusters() -> None:
    rng = np.random.default_rng(2)
    assert choose_lambda([rng.normal(size=20_000)], 5, 250) == 1.0
    assert choose_lambda([1e-6 * rng.normal(size=20_000)], 5, 250) == 1.0  # whatever the unit
    quick = Garch(omega=0.02, alpha=0.1, beta=0.88, nu=50.0)
    assert choose_lambda([simulate(20_000, 3, quick)], 5, 250) in (0.9, 0.94)


def test_the_last_step_of_a_fit_is_within_the_data() -> None:
    """A jump in the last step only changes the losses of moments whose horizon reaches it."""
    steps = np.random.default_rng(4).normal(size=400)
    with pytest.raises(NotApplicable):
        choose_lambda([steps[:100]], 20, 60)
    assert choose_lambda([steps[:200], steps[200:]], 20, 60) in LAMBDAS


def test_ewma_of_lambda_1_is_as_wide_as_volatility() -> None:
    times = pd.date_range("2020-01-01", periods=6000, freq="D")
    steps = np.random.default_rng(5).normal(scale=UNIT, size=6000)
    ewma = build_ewma(make_past(steps[:5000], times[:5000], interval="1D"))
    known = make_known(steps[5000:5200], times[5000:5200])[:1]
    own, usual = (
        np.log(each.sample(known, 20_000, 0)[0]).std(axis=0) for each in (ewma, NAIVE_FORECASTERS["volatility"])
    )
    assert own == pytest.approx(usual, rel=0.02)


def test_arch_finds_the_parameters_again() -> None:
    fitted = fit_garch(simulate(5000, 6))
    assert fitted.alpha == pytest.approx(TRUE.alpha, abs=0.03) and fitted.beta == pytest.approx(TRUE.beta, abs=0.05)
    assert 4 < fitted.nu < 9 and fitted.omega == pytest.approx(TRUE.omega * UNIT**2, rel=0.6)


def test_the_filter_and_the_simulation_follow_the_recursion() -> None:
    steps = np.random.default_rng(7).normal(size=(2, 30))
    variance = (steps**2).mean(axis=1)
    for step in steps.T:
        variance = TRUE.omega + TRUE.alpha * step**2 + TRUE.beta * variance
    assert filter_variance(TRUE, steps) == pytest.approx(variance)
    moves = simulate_garch(TRUE, np.array([4.0, 0.25]), np.random.default_rng(8).normal(size=(2, 40_000, 5)))
    expected = [[(1 + TRUE.persistence**h * (start - 1)) for h in range(5)] for start in (4.0, 0.25)]  # of variance 1
    assert moves.var(axis=1) == pytest.approx(np.cumsum(expected, axis=1), rel=0.03)


@pytest.mark.slow
def test_garch_and_ewma_gain_what_knowing_the_state_is_worth() -> None:
    """The oracle knows the true parameters."""

    def draw(known: ForecastInput, n_paths: int, rng: np.random.Generator) -> np.ndarray:
        state = filter_variance(TRUE._replace(omega=TRUE.omega * UNIT**2), np.diff(np.log(known.closes)))
        shocks = draw_shocks(TRUE, (n_paths, HORIZON), rng)
        return known.closes[-1] * np.exp(UNIT * simulate_garch(TRUE, state / UNIT**2, shocks))

    steps, times = simulate(20_000, 9), pd.date_range("1950-01-01", periods=20_000, freq="D")
    past = make_past(steps[:6000], times[:6000], interval="1D")
    oracle, garch, ewma = (
        measure_gain(forecaster, steps[6000:], times[6000:])
        for forecaster in (NaiveForecaster("oracle", "oracle", draw), build_garch(past), build_ewma(past))
    )
    print(f"\noracle {oracle:.2%}, garch {garch:.2%}, ewma {ewma:.2%}")
    assert oracle > 0.01 and garch == pytest.approx(oracle, rel=0.15) and 0.6 * oracle < ewma < 1.1 * oracle


def test_the_profile_is_found_and_gains() -> None:
    times = trading_times(200)[: 200 * DAY]
    true = season(times)
    steps = true * np.random.default_rng(10).normal(size=len(times))
    profile = measure_profile(steps, find_slots(times))
    assert profile.scale(times[:DAY]) == pytest.approx(true[:DAY], rel=0.2)
    unknown = pd.DatetimeIndex(["2024-01-01 03:00"])
    assert profile.scale(unknown) == pytest.approx(np.sqrt((true**2).mean()), rel=0.05)
    split = 100 * DAY
    time_of_day = build_time_of_day(make_past(steps[:split], times[:split]))
    gain = measure_gain(time_of_day, steps[split:], times[split:])

    def draw(known: ForecastInput, n_paths: int, rng: np.random.Generator) -> np.ndarray:
        width = true[np.searchsorted(times, known.future)]
        return known.closes[-1] * np.exp((width * rng.normal(size=(n_paths, HORIZON))).cumsum(axis=1))

    oracle = measure_gain(NaiveForecaster("oracle", "oracle", draw), steps[split:], times[split:])
    ewma = measure_gain(build_ewma(make_past(steps[:split], times[:split])), steps[split:], times[split:])
    print(f"\noracle {oracle:.2%}, time of day {gain:.2%}, ewma {ewma:.2%}")
    assert oracle > 0.03 and gain == pytest.approx(oracle, rel=0.1) and ewma < 0.2 * oracle


def test_steps_over_the_horizon_are_as_wide_as_their_slots() -> None:
    times = trading_times(100)[: 100 * DAY]
    true = season(times)
    steps = true * np.random.default_rng(11).normal(size=len(times))
    forecaster = build_time_of_day(make_past(steps, times, horizon=DAY))
    known = make_known(steps, times, horizon=DAY)[-1:]
    moves = np.diff(np.log(forecaster.sample(known, 4000, 0)[0]), axis=1)
    ratio = moves.std(axis=0) / true[np.searchsorted(times, known[0].future[1:])]
    assert ratio / ratio.mean() == pytest.approx(np.ones(DAY - 1), abs=0.25)
    assert np.corrcoef(moves.std(axis=0), true[np.searchsorted(times, known[0].future[1:])])[0, 1] > 0.98


def test_the_majority_is_the_direction_of_train() -> None:
    rng = np.random.default_rng(12)
    up, size = rng.random(5000) < 0.6, UNIT * rng.exponential(size=5000)
    steps = np.where(up, 0.5, -1.0) * size  # up more often, but down on average
    times = pd.date_range("2020-01-01", periods=5000, freq="D")
    past = make_past(steps, times, horizon=1, interval="1D")
    majority = build_majority(past)
    known = make_known(steps, times)[:2]
    moves = np.log(majority.sample([*known], 1000, 0) / np.array([each.closes[-1] for each in known])[:, None, None])
    share = (steps[LOOKBACK:] > 0).mean()
    assert (np.median(moves, axis=1) > 0).all() and moves.mean() < 0
    assert (moves > 0).mean(axis=1) == pytest.approx(np.full((2, 1), share), abs=2e-3)
    width = [np.sqrt(np.square(np.diff(np.log(each.closes))).mean()) for each in known]
    assert moves[0] / width[0] == pytest.approx(moves[1] / width[1])
    assert np.array_equal(majority.sample(known, 7, 0), majority.sample(known, 7, 1))  # nothing is drawn
    assert majority.moves


def test_moves_of_0_have_no_direction() -> None:
    rng = np.random.default_rng(13)
    steps = UNIT * rng.choice([1.0, 0.0, -1.0], p=[0.3, 0.5, 0.2], size=3000)
    times = pd.date_range("2020-01-01", periods=3000, freq="D")
    known = make_known(steps, times, horizon=1)[:1]
    paths = build_majority(make_past(steps, times, horizon=1)).sample(known, 1000, 0)
    assert (paths > known[0].closes[-1]).mean() == pytest.approx(0.6, abs=0.03)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_constant_price_is_left_out_or_forecast_to_stay(name: str) -> None:
    times = trading_times(40)[: 40 * DAY]
    still = np.zeros(len(times))
    with pytest.raises(NotApplicable):
        BUILDERS[name](make_past(still, times))
    steps = UNIT * np.random.default_rng(14).normal(size=len(times))
    known = make_known(still, times)[:1]
    paths = BUILDERS[name](make_past(steps, times)).sample(known, 20, 0)
    assert np.isfinite(paths).all()
    if name != "garch":  # its variance has a part that does not depend on the lookback
        assert paths == pytest.approx(known[0].closes[-1])


@pytest.mark.parametrize("name", BUILDERS)
def test_too_few_candles_are_no_fit(name: str) -> None:
    times = trading_times(40)[: 40 * DAY]
    steps = UNIT * np.random.default_rng(15).normal(size=len(times))
    with pytest.raises(NotApplicable) as error:
        BUILDERS[name](make_past(steps[:60], times[:60]))
    assert error.value.reason.code in ("few_for_fit", "few_for_profile")
    with pytest.raises(NotApplicable):
        BUILDERS[name](PastCloses({}, LOOKBACK, HORIZON, pd.Timedelta("5min")))
    short = make_known(steps, times)[0]
    short = ForecastInput("", short.candles[-5:], short.future)
    with pytest.raises(NotApplicable) as error:
        BUILDERS[name](make_past(steps, times)).sample([short], 3, 0)
    assert error.value.reason.code == "short_for_volatility"


def test_the_time_of_day_needs_several_candles_a_day() -> None:
    times = pd.date_range("2020-01-01", periods=3000, freq="D")
    steps = np.random.default_rng(16).normal(size=3000)
    with pytest.raises(NotApplicable) as error:
        build_time_of_day(make_past(steps, times, interval="1D"))
    assert error.value.reason.code == "not_intraday"


@pytest.mark.parametrize("name", ["last_close", "volatility", "ewma", "garch", "time_of_day"])
def test_symbols_draw_independently_and_one_alone_as_ever(name: str) -> None:
    times = trading_times(40)[: 40 * DAY]
    steps = UNIT * np.random.default_rng(17).normal(size=len(times))
    forecaster = BUILDERS[name](make_past(steps, times, symbol="a")) if name in BUILDERS else NAIVE_FORECASTERS[name]
    one, other = (np.log(forecaster.sample(make_known(steps, times, symbol)[:1], 4000, 0)[0, :, -1]) for symbol in "ab")
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.06
    assert one.std() == pytest.approx(other.std(), rel=0.15)  # b has no fit of its own and gets that of a
    assert not forecaster.moves
