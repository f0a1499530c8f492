"""`kronos export --mlflow`: the loaded model forecasts what the run does, wherever the run has gone."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from kronos.batch.forecaster import Forecaster
from tests.batch.candles import SYMBOLS, make_candles
from tests.conftest import FinishedRun, invoke


@pytest.mark.slow
def test_a_loaded_model_forecasts_what_the_run_does(finished_run: FinishedRun, tmp_path: Path) -> None:
    pyfunc = pytest.importorskip("mlflow.pyfunc")
    run, out = tmp_path / "run", tmp_path / "model"
    shutil.copytree(finished_run.path, run)
    result = invoke("export", "--run", run, "--mlflow", out)
    assert result.exit_code == 0, result.output
    frame = make_candles(SYMBOLS[:2])
    expected = Forecaster(run, horizon=4, n_paths=3, seed=5)(frame)
    by_default = Forecaster(run)(frame)
    shutil.rmtree(run)
    model = pyfunc.load_model(str(out))
    made = model.predict(frame, params={"horizon": 4, "n_paths": 3, "seed": 5})
    pd.testing.assert_frame_equal(made, expected)
    pd.testing.assert_frame_equal(model.predict(frame), by_default)
    assert not list(out.rglob("checkpoints")) and not list(out.rglob("*.png"))
