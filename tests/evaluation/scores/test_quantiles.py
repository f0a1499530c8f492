"""Medians and quantiles of paths are NumPy's, to the last bit."""

import numpy as np
import pytest

from kronos.evaluation.scores.figures import LEVELS, WQL_QUANTILES
from kronos.evaluation.scores.quantiles import find_median, find_quantiles

SHARES = sorted({0.0, 1.0, 0.05, 0.95, *WQL_QUANTILES, *(level / 100 for level in LEVELS)})


@pytest.mark.parametrize("n_paths", [1, 2, 7, 30, 999, 1000])
@pytest.mark.parametrize("scale", [1.0, 1e-9])
def test_quantiles_are_numpy_s(n_paths: int, scale: float) -> None:
    paths = scale * np.random.default_rng(n_paths).standard_t(2, (5, n_paths, 4))
    paths[0, :, 1] = paths[0, 0, 1]  # equal values
    paths[1, : n_paths // 2] = 0.0
    ordered = np.sort(paths, axis=1)
    for method in ("linear", "weibull"):
        expected = np.quantile(paths, SHARES, axis=1, method=method)
        assert np.array_equal(find_quantiles(ordered, SHARES, method), expected)
    assert np.array_equal(find_median(paths), np.median(paths, axis=1))
    assert np.array_equal(find_median(paths[0]), np.median(paths[0], axis=0))
