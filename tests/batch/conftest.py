"""What the tests of batches share."""

import pytest

from kronos.batch.forecaster import Forecaster
from tests.conftest import FinishedRun


@pytest.fixture(scope="package")
def forecaster(finished_run: FinishedRun) -> Forecaster:
    return Forecaster(finished_run.path, horizon=4, n_paths=3)
