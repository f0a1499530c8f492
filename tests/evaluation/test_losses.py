"""losses.csv: whether it holds what was forecast, what happened, and the losses of the verdict."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kronos import load_config
from kronos.data import load_candles
from kronos.errors import KronosError
from kronos.evaluation import losses as losses_module
from kronos.evaluation.losses import QUANTILES, SCHEMA, open_loss_table
from kronos.evaluation.origins.walk_forward import Origins

N, PATHS, HORIZON = 5, 19, 8  # with 19 paths, the quantiles are paths: the 19 parts of 5% of a calibrated forecast


@pytest.fixture
def origins(tiny_config: Path) -> Origins:
    config = load_config(tiny_config)
    candles, _ = load_candles(config.data, config.repairs)
    return Origins(candles, np.array([40, 50, 60, 70, 80]), lookback=16, horizon=HORIZON)


def draw() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    losses = {name: rng.uniform(size=(N, HORIZON)) for name in ("crps", "mae", "direction")}
    losses["direction"][0, 0] = np.nan
    return 0.01 * rng.standard_normal((N, PATHS, HORIZON)), losses


def test_rows_read_with_pandas(origins: Origins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses_module, "ORIGINS_AT_ONCE", 2)
    returns, losses = draw()
    path = tmp_path / "report" / "losses.csv"
    with open_loss_table(path, origins) as table:
        table.add("finetuned", returns, losses)
        table.add("last_close", returns, losses, moves=False)
        assert not path.exists()
    frame = pd.read_csv(path, parse_dates=["origin"])
    assert list(frame.columns) == SCHEMA.names and len(frame) == 2 * N * HORIZON
    assert [path.name for path in path.parent.iterdir()] == ["losses.csv"]
    first = frame[frame.forecaster == "finetuned"]
    assert (first.symbol == "candles").all() and first.step.tolist() == list(range(1, HORIZON + 1)) * N
    times = [origins.candles.timestamps(row, row + 1)[0] for row in origins.rows]
    assert first.origin.tolist() == [time for time in times for _ in range(HORIZON)]
    np.testing.assert_allclose(first.close, origins.actual.ravel(), rtol=1e-6)
    actual = np.log(origins.actual / origins.closes[:, -1:])
    np.testing.assert_allclose(first.actual, actual.ravel(), rtol=1e-5, atol=1e-7)
    ordered = np.sort(returns, axis=1)
    for name, share in QUANTILES.items():
        np.testing.assert_allclose(first[name], ordered[:, round(20 * share) - 1].ravel(), rtol=1e-6)
    for column, metric in {"crps": "crps", "absolute_error": "mae", "hit": "direction"}.items():
        np.testing.assert_allclose(first[column], losses[metric].ravel(), rtol=1e-6)
    assert np.isnan(first.hit.iloc[0])
    last = frame[frame.forecaster == "last_close"]
    assert (last.q50 == 0).all() and np.allclose(last.q90, first.q90)


def test_an_error_leaves_the_earlier_file(origins: Origins, tmp_path: Path) -> None:
    path = tmp_path / "losses.csv"
    path.write_text("earlier")
    with pytest.raises(ValueError, match="stopped"), open_loss_table(path, origins) as table:
        table.add("finetuned", *draw())
        raise ValueError("stopped")
    assert path.read_text() == "earlier" and list(tmp_path.glob(".*")) == []
    blocked = tmp_path / "file" / "losses.csv"
    blocked.parent.write_text("")
    with pytest.raises(KronosError, match="cannot be written"), open_loss_table(blocked, origins):
        pass
