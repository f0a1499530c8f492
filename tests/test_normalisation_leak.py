"""The normalisation of a lookback gives the future away inside the lookback, and not where forecasts begin."""

import pytest

from benchmarks.normalisation_leak import draw_normalised_walks, list_positions, measure_leak

LOOKBACK, HORIZON = 48, 12
POSITIONS = list_positions(LOOKBACK, HORIZON)


@pytest.mark.parametrize("whole_window", [False, True])
def test_the_leak_ends_with_the_candles_of_the_statistics(whole_window: bool) -> None:
    walks = draw_normalised_walks(8_000, LOOKBACK, HORIZON, seed=0, whole_window=whole_window)
    leaks = {name: measure_leak(walks, position) for name, position in POSITIONS.items()}
    inside = leaks["lookback / 2"]
    assert inside.next_step > 0.05 and inside.ahead > 0.5
    assert leaks["8 candles before its end"].next_step > 0.05
    origin = leaks["end of the lookback (origin)"]
    if whole_window:
        assert origin.ahead > 0.1 and leaks["middle of the horizon"].next_step > 0.1
    else:
        assert abs(origin.next_step) < 0.01 and abs(origin.ahead) < 0.01
