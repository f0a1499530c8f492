"""Alarms: rare while all is well, and soon after a change."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from kronos.ledger.alarms import FORECASTS_TO_A_FALSE_ALARM, Alarm, compute_wealth, find_alarms

RNG = np.random.default_rng


def time_to_alarm(draw: Callable[[np.random.Generator], np.ndarray], m: float, n_runs: int) -> list[float]:
    """The forecasts until the alarm, infinite if there is none in the drawn ones."""
    found = []
    for seed in range(n_runs):
        on = np.flatnonzero(compute_wealth(draw(RNG(seed)), m) >= FORECASTS_TO_A_FALSE_ALARM)
        found.append(on[0] + 1 if len(on) else np.inf)
    return found


def test_wealth_by_hand() -> None:
    """One bet of each share: x = 1 with m = 0.5 wins as much as is staked, x = 0 loses it; below 1 all begins anew."""
    shares = np.array([0.1, 0.25, 0.5, 0.9])
    first, second, third = compute_wealth(np.array([1.0, 0.0, 1.0]), 0.5)
    assert first == pytest.approx((1 + shares).mean()) and second == pytest.approx(((1 + shares) * (1 - shares)).mean())
    assert second < 1 and third == pytest.approx(first)


@pytest.mark.parametrize("m", [0.15, 0.5, 0.95])
def test_false_alarms_are_as_rare_as_said(m: float) -> None:
    """In a third of the time to a false alarm, at most a third of the runs may have one, at the edge of the range."""
    n = FORECASTS_TO_A_FALSE_ALARM // 3
    times = time_to_alarm(lambda rng: (rng.random(n) < m).astype(float), m, 60)
    assert np.mean(np.isfinite(times)) <= 1 / 3


@pytest.mark.parametrize(("share", "within"), [(0.3, 120), (0.5, 40), (1.0, 10)])
def test_a_change_is_found_soon_also_after_a_good_time(share: float, within: int) -> None:
    def draw(rng: np.random.Generator) -> np.ndarray:
        return np.append(rng.random(500) < 0.05, rng.random(400) < share).astype(float)

    times = np.array(time_to_alarm(draw, 0.15, 40))
    assert (times > 500).mean() > 0.95 and np.median(times) - 500 < within


def make_grades(n: int, covered: np.ndarray, crps: np.ndarray) -> pd.DataFrame:
    times = pd.date_range("2024-01-01", periods=n, freq="1D")
    grades = {"number": range(n), "symbol": "A", "origin": times, "time": times + pd.Timedelta(hours=1), "step": 0}
    return pd.DataFrame(grades | {"horizon": 1, "covered_90": covered, "crps": crps, "crps_baseline": np.ones(n)})


def find(grades: pd.DataFrame) -> dict[str, Alarm]:
    return {alarm.kind: alarm for alarm in find_alarms(grades)}


def test_which_alarm_comes() -> None:
    rng, n = RNG(1), 300
    good = find(make_grades(n, rng.random(n) < 0.9, rng.gamma(4, 0.22, n)))
    assert not any(alarm.is_on for alarm in good.values()) and good["too_narrow"].since is None
    narrow = find(make_grades(n, rng.random(n) < 0.6, rng.gamma(4, 0.22, n)))
    assert [kind for kind, alarm in narrow.items() if alarm.is_on] == ["too_narrow"]
    assert narrow["too_narrow"].since is not None and narrow["too_narrow"].mean == pytest.approx(0.4, abs=0.1)
    wide = find(make_grades(n, np.ones(n, bool), rng.gamma(4, 0.22, n)))
    assert [kind for kind, alarm in wide.items() if alarm.is_on] == ["too_wide"]
    bad = find(make_grades(n, rng.random(n) < 0.9, rng.gamma(4, 0.4, n)))
    assert [kind for kind, alarm in bad.items() if alarm.is_on] == ["no_skill"]


def test_an_alarm_that_comes_again_is_on_since_then() -> None:
    covered = np.concatenate([np.zeros(20), np.ones(300), np.zeros(20)])
    alarm = find(make_grades(len(covered), covered, np.ones(len(covered))))["too_narrow"]
    assert alarm.since is not None and alarm.since >= alarm.origins[320]


def test_no_grades_no_alarm() -> None:
    assert not any(alarm.is_on for alarm in find_alarms(make_grades(0, np.ones(0, bool), np.ones(0))))
    still = make_grades(3, np.ones(3, bool), np.full(3, np.nan)).assign(crps_baseline=np.nan)
    assert not any(alarm.is_on for alarm in find_alarms(still))
