"""The figures of an evaluation against other people's implementations, their slow definitions, and cases without a figure."""

import warnings

import numpy as np
import pytest
import scoringrules
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from kronos.config.schema import LANGUAGES
from kronos.evaluation.records import LEVELS, HorizonFigures
from kronos.evaluation.scores.direction import compute_direction_figures, compute_up_probability
from kronos.evaluation.scores.figure_kinds import FIGURE_KINDS
from kronos.evaluation.scores.figures import (
    WQL_QUANTILES,
    compute_price_figures,
    compute_return_figures,
)
from kronos.evaluation.scores.metrics import compute_direction_hits
from kronos.report.words.catalogue import Words
from kronos.report.words.sentences import name_metric

N, P, H, L = 30, 21, 4, 50


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def returns() -> tuple[np.ndarray, np.ndarray]:
    """Skewed paths, so that mean and median differ, with a little skill."""
    generator = np.random.default_rng(0)
    actual = 0.01 * generator.standard_t(4, size=(N, H))
    paths = 0.2 * actual[:, np.newaxis] + 0.01 * (generator.exponential(size=(N, P, H)) - 0.8)
    return paths, actual


@pytest.fixture
def prices(returns) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    closes = np.exp(np.cumsum(0.01 * np.random.default_rng(1).normal(size=(N, L)), axis=1))
    closes *= np.geomspace(0.1, 5000, N)[:, np.newaxis]  # symbols of any price
    last = closes[:, -1:]
    return last[..., np.newaxis] * np.exp(returns[0]), last * np.exp(returns[1]), closes


def check(figure: HorizonFigures, overall: float, by_horizon) -> None:
    assert figure.overall == pytest.approx(overall, rel=1e-9, abs=1e-12)
    assert figure.by_horizon == pytest.approx(list(by_horizon), rel=1e-9, abs=1e-12)


def check_pooled(figure: HorizonFigures, compute, actual: np.ndarray, forecast: np.ndarray) -> None:
    """That compute(actual, forecast) gives the figures of each time, and with all times as one sample the overall one."""
    check(figure, compute(actual.ravel(), forecast.ravel()), [compute(actual[:, h], forecast[:, h]) for h in range(H)])


def test_errors_are_those_of_scikit_learn(prices, returns) -> None:
    paths, actual, _ = prices
    for figures, p, y in (
        (compute_price_figures(*prices), paths, actual),
        (compute_return_figures(*returns), *returns),
    ):
        median, mean = np.median(p, axis=1), p.mean(axis=1)
        check_pooled(figures["mae"], sk.mean_absolute_error, y, median)
        check_pooled(figures["rmse"], sk.root_mean_squared_error, y, mean)
        assert figures["r2"].by_horizon == pytest.approx(sk.r2_score(y, mean, multioutput="raw_values"))
        assert figures["r2"].overall == pytest.approx(sk.r2_score(y, mean, multioutput="variance_weighted"))
    median = np.median(paths, axis=1)
    check_pooled(compute_price_figures(*prices)["mape"], sk.mean_absolute_percentage_error, actual, median)


def test_smape_and_mase_by_their_definitions(prices) -> None:
    paths, actual, closes = prices
    smape, mase = np.zeros((N, H)), np.zeros((N, H))
    for n in range(N):
        naive = sum(abs(closes[n, t] - closes[n, t - 1]) for t in range(1, L)) / (L - 1)
        for h in range(H):
            median = sorted(paths[n, :, h])[P // 2]
            error = abs(actual[n, h] - median)
            smape[n, h], mase[n, h] = 2 * error / (abs(actual[n, h]) + abs(median)), error / naive
    figures = compute_price_figures(*prices)
    check(figures["smape"], smape.mean(), smape.mean(axis=0))
    check(figures["mase"], mase.mean(), mase.mean(axis=0))


def test_the_mase_of_the_naive_one_step_forecast_is_1() -> None:
    closes = np.cumsum(np.ones((5, 10)), axis=1) * np.geomspace(1, 1e4, 5)[:, np.newaxis]
    paths = np.repeat(closes[:, np.newaxis, -1:], 3, axis=1)
    assert compute_price_figures(paths, closes[:, -1:] * 1.1, closes)["mase"].overall == pytest.approx(1)


def test_out_of_sample_r2_is_against_no_move(returns) -> None:
    paths, actual = returns

    def compute(y: np.ndarray, forecast: np.ndarray) -> float:
        return 1 - sk.mean_squared_error(y, forecast) / sk.mean_squared_error(y, np.zeros_like(y))

    check_pooled(compute_return_figures(paths, actual)["r2_os"], compute, actual, paths.mean(axis=1))
    assert compute_return_figures(np.zeros_like(paths), actual)["r2_os"].overall == 0


def test_direction_and_information_coefficients(returns) -> None:
    paths, actual = returns
    median, mean = np.median(paths, axis=1), paths.mean(axis=1)
    figures = compute_return_figures(paths, actual)
    check_pooled(figures["direction"], sk.accuracy_score, actual > 0, median > 0)
    for name, correlate in (("ic", stats.pearsonr), ("rank_ic", stats.spearmanr)):
        expected = [correlate(mean[:, h], actual[:, h]).statistic for h in range(H)]
        check(figures[name], np.mean(expected), expected)


def test_scores_of_the_distribution(prices, returns) -> None:
    for figures, p, y in (
        (compute_price_figures(*prices), *prices[:2]),
        (compute_return_figures(*returns), *returns),
    ):
        crps = scoringrules.crps_ensemble(y, p, m_axis=1, estimator="fair")
        check(figures["crps"], crps.mean(), crps.mean(axis=0))

        def compute(actual: np.ndarray, paths: np.ndarray) -> float:
            """As in GluonTS; paths (..., P)."""
            losses = [
                sk.mean_pinball_loss(actual, np.quantile(paths, q, axis=-1), alpha=q) * actual.size
                for q in WQL_QUANTILES
            ]
            return np.mean([2 * loss / np.abs(actual).sum() for loss in losses])

        last = p.swapaxes(1, 2)  # (N, H, P)
        by_horizon = [compute(y[:, h], last[:, h]) for h in range(H)]
        check(figures["wql"], compute(y.ravel(), last.reshape(-1, P)), by_horizon)


def test_quantile_losses_are_those_of_scoringrules(returns) -> None:
    paths, actual = returns
    losses = [scoringrules.quantile_score(actual, np.quantile(paths, q, axis=1), q).sum() for q in WQL_QUANTILES]
    expected = 2 * np.mean(losses) / np.abs(actual).sum()
    assert compute_return_figures(paths, actual)["wql"].overall == pytest.approx(expected)


def test_a_forecast_of_no_move_has_a_wql_of_1(returns) -> None:
    paths, actual = returns
    assert compute_return_figures(np.zeros_like(paths), actual)["wql"].overall == pytest.approx(1)


@pytest.mark.parametrize("level", LEVELS)
def test_bands(returns, level: int) -> None:
    paths, actual = returns
    low, high = np.percentile(paths, [50 - level / 2, 50 + level / 2], axis=1, method="weibull")
    inside = np.array([[low[n, h] <= actual[n, h] <= high[n, h] for h in range(H)] for n in range(N)])
    figures = compute_return_figures(paths, actual)
    check(figures[f"coverage_{level}"], inside.mean(), inside.mean(axis=0))
    check(figures[f"width_{level}"], (high - low).mean(), (high - low).mean(axis=0))


def test_an_actual_value_on_the_edge_is_inside() -> None:
    figures = compute_return_figures(np.full((3, 4, 2), 0.5), np.full((3, 2), 0.5))
    assert all(figures[f"coverage_{level}"].overall == 1 for level in LEVELS)


@pytest.mark.parametrize("draw, n_paths", [("random", 19), ("random", 50), ("normal", 50)])
@pytest.mark.parametrize("level", LEVELS)
def test_the_coverage_of_a_calibrated_forecast_is_nominal(level: int, draw: str, n_paths: int) -> None:
    """By simulation, with a standard error of 0.0025."""
    sample = getattr(np.random.default_rng(0), draw)
    paths, actual = sample(size=(40_000, n_paths, 1)), sample(size=(40_000, 1))
    found = compute_return_figures(paths, actual)[f"coverage_{level}"].overall
    assert found == pytest.approx(level / 100, abs=0.01)


def test_a_random_walk_forecast_without_skill_has_none() -> None:
    generator = np.random.default_rng(0)
    actual = 0.01 * np.cumsum(generator.normal(size=(4000, 8)), axis=1)
    paths = 0.01 * np.cumsum(generator.normal(size=(4000, 20, 8)), axis=2)
    figures = compute_return_figures(paths, actual)
    assert abs(figures["ic"].overall) < 0.04 and abs(figures["rank_ic"].overall) < 0.04
    assert figures["direction"].overall == pytest.approx(0.5, abs=0.02)
    assert figures["r2_os"].overall < 0 and figures["r2"].overall < 0


def test_what_has_no_figure_is_nan_and_not_an_error() -> None:
    """One origin, a price that stood still, actual values of 0."""
    still = compute_return_figures(np.zeros((1, 2, 1)), np.zeros((1, 1)))
    assert {name for name, figure in still.items() if np.isnan(figure.overall)} == {
        *("r2", "r2_os", "direction", "ic", "rank_ic", "wql")
    }
    zero = compute_price_figures(np.zeros((1, 2, 1)), np.zeros((1, 1)), np.zeros((1, 1)))
    assert {name for name, figure in zero.items() if np.isnan(figure.overall)} == {"r2", "mape", "smape", "mase", "wql"}
    constant = compute_return_figures(np.full((9, 3, 2), 0.1), np.full((9, 2), 0.1))
    assert {name for name, figure in constant.items() if np.isnan(figure.overall)} == {"r2", "ic", "rank_ic"}


def test_what_does_not_apply_is_left_out_of_the_mean() -> None:
    closes = np.array([[1.0, 2.0, 1.0], [5.0, 5.0, 5.0]])
    actual = np.array([[2.0, 0.0], [4.0, 8.0]])
    figures = compute_price_figures(np.ones((2, 3, 2)), actual, closes)
    check(figures["mase"], 1.0, [1.0, 1.0])  # the second lookback stood still
    check(figures["mape"], (1 / 2 + 3 / 4 + 7 / 8) / 3, [(1 / 2 + 3 / 4) / 2, 7 / 8])


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 4),
    p=st.integers(2, 5),
    h=st.integers(1, 3),
    length=st.integers(1, 4),
    values=st.sampled_from([0.0, 1.0, 100.0, 1e-9]),
    data=st.randoms(use_true_random=False),
)
def test_figures_of_any_shape(n: int, p: int, h: int, length: int, values: float, data) -> None:
    """H figures each, none infinite and none of errors missing; few different values, so that all coincidences come."""
    generator = np.random.default_rng(data.randrange(2**32))
    draw = lambda *shape: values * generator.integers(-1, 2, shape)  # noqa: E731
    always = {"mae", "rmse", "crps", *(f"{kind}_{level}" for kind in ("coverage", "width") for level in LEVELS)}
    for figures in (
        compute_return_figures(draw(n, p, h), draw(n, h)),
        compute_price_figures(100 + draw(n, p, h), 100 + draw(n, h), 100 + draw(n, length)),
    ):
        for name, figure in figures.items():
            every = np.array([figure.overall, *figure.by_horizon])
            assert every.shape == (h + 1,) and not np.isinf(every).any()
            assert name not in always or not np.isnan(every).any()
        for name in ("direction", "ic", "rank_ic"):
            if name in figures and not np.isnan(figures[name].overall):
                assert -1 <= figures[name].overall <= 1


def test_single_precision_is_computed_in_double(returns) -> None:
    paths, actual = returns
    rounded = [np.asarray(values, np.float32) for values in (paths, actual)]
    doubled = compute_return_figures(*(values.astype(np.float64) for values in rounded))
    assert compute_return_figures(*rounded) == doubled


def score_returns(paths: np.ndarray, actual: np.ndarray) -> dict[str, HorizonFigures]:
    hits = compute_direction_hits(paths, actual)
    return compute_return_figures(paths, actual) | compute_direction_figures(
        compute_up_probability(paths), hits, actual
    )


def test_every_figure_has_a_kind_a_name_and_a_meaning(prices, returns) -> None:
    known = compute_price_figures(*prices).keys() | score_returns(*returns).keys()
    assert FIGURE_KINDS.keys() == known | {"scaled_crps"}  # which needs the origins
    for name in FIGURE_KINDS:
        assert all(name_metric(name, Words(language), part) for language in LANGUAGES for part in ("label", "meaning"))


def test_kinds_say_which_figures_scale_with_the_prices(prices) -> None:
    first, tenfold = compute_price_figures(*prices), compute_price_figures(*(10 * values for values in prices))
    for name, figure in first.items():
        factor = 10 if FIGURE_KINDS[name].unit == "price" else 1
        assert tenfold[name].overall == pytest.approx(factor * figure.overall), name


def test_kinds_say_what_is_better(prices, returns) -> None:
    """The actual values as the forecast are at least as good by every metric that has a better side."""
    _, actual, closes = prices
    perfect = {
        **compute_price_figures(np.repeat(actual[:, np.newaxis], 2, axis=1), actual, closes),
        **score_returns(np.repeat(returns[1][:, np.newaxis], 2, axis=1), returns[1]),
    }
    ordinary = {**compute_price_figures(*prices), **score_returns(*returns)}
    for name, kind in FIGURE_KINDS.items():
        if kind.higher_is_better is not None and name in perfect:
            assert (perfect[name].overall > ordinary[name].overall) == kind.higher_is_better, name
