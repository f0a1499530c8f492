"""`kronos export --onnx`: onnxruntime forecasts what PyTorch does."""

import csv
import errno
import importlib.util
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kronos.errors import ConfigError
from kronos.export import int8, onnx_files
from kronos.export.int8 import Int8Gate, decide
from kronos.export.onnx_files import check_out, check_packages
from kronos.forecast import KronosPredictor, Sampling
from tests.conftest import ROOT, FinishedRun, invoke

CANDLES = pd.read_csv(ROOT / "data" / "synthetic_5min.csv", index_col="timestamps", parse_dates=True)


@pytest.fixture(scope="module")
def exported(finished_run: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "onnx"
    result = invoke("export", "--run", finished_run.path, "--onnx", out)
    assert result.exit_code == 0 and "onnxruntime computes what PyTorch does" in result.stdout, result.output
    return out


def load_forecaster(folder: Path, **options: Any) -> Any:
    """Load the runner that lies beside the graphs, as a program without the package does."""
    spec = importlib.util.spec_from_file_location("exported_runner", folder / "runner.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.OnnxForecaster(folder, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_known", "horizon", "sampling"),
    [
        (16, 8, Sampling(0.0)),
        (16, 8, Sampling()),
        (7, 5, Sampling(0.8, 12, 0.9)),
        (24, 12, Sampling()),
        (60, 20, Sampling(0.0)),
    ],
    ids=["greedy", "sampled", "filtered", "sliding", "sliding, greedy"],
)
def test_forecasts_are_those_of_the_package(
    exported: Path, finished_run: FinishedRun, n_known: int, horizon: int, sampling: Sampling
) -> None:
    predictor = KronosPredictor.from_run(finished_run.path, device="cpu")  # attends to 24 candles
    known, future = CANDLES[:n_known], CANDLES.index[n_known : n_known + horizon]
    options = {"n_paths": 5, "seed": 3}
    expected = predictor.forecast(known, None, future, sampling=sampling, name="AAA", verbose=False, **options).paths
    how = {"temperature": sampling.temperature, "top_k": sampling.top_k, "top_p": sampling.top_p, "symbol": "AAA"}
    made = load_forecaster(exported).forecast(
        known.to_numpy(), known.index.to_numpy(), future.to_numpy(), **options, **how
    )
    np.testing.assert_allclose(made[..., :4], expected[..., :4], rtol=1e-4)
    spread = known.to_numpy().std(axis=0)[4:]
    np.testing.assert_allclose(made[..., 4:] / spread, expected[..., 4:] / spread, atol=1e-4)


@pytest.mark.slow
@pytest.mark.process
def test_the_example_forecasts_without_pytorch(exported: Path, finished_run: FinishedRun, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('PyTorch is not needed here')")
    command = [sys.executable, ROOT / "examples" / "onnx_forecast.py", exported, finished_run.candles, "--horizon", "4"]
    done = subprocess.run(command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    known = pd.read_csv(finished_run.candles, index_col="timestamps", parse_dates=True)[-16:]
    future = known.index[-1] + (known.index[-1] - known.index[-2]) * np.arange(1, 5)
    settings = json.loads((exported / "kronos.json").read_text())
    sampling = Sampling(settings["temperature"], 0, settings["top_p"])
    expected = KronosPredictor.from_run(finished_run.path, device="cpu").forecast(
        known, None, future, n_paths=30, seed=0, sampling=sampling, verbose=False
    )
    np.testing.assert_allclose([float(row["close_mean"]) for row in rows], expected.mean["close"], rtol=1e-4)


@pytest.mark.slow
def test_int8_is_kept_only_if_it_is_not_worse(
    exported: Path, finished_run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kronos.saved_run import load_run_config

    int8.quantize(exported)
    config = load_run_config(finished_run.path, [f"data.data_path={ROOT / 'data' / 'synthetic_5min.csv'}"])
    windows = int8.find_windows(config, n_origins=20)
    gate = int8.measure_int8(exported, windows, lookback=16, n_paths=4)
    assert gate.n_origins == 20 and abs(gate.change) < 0.5 and gate.upper > gate.change
    assert (exported / "step.int8.onnx").stat().st_size < (exported / "step.onnx").stat().st_size
    for passes, upper in ((True, 0.01), (False, 0.03)):
        monkeypatch.setattr(onnx_files, "measure_int8", lambda *_, upper=upper: Int8Gate(0.0, upper, 20))
        int8.quantize(exported)
        assert onnx_files.try_int8(exported, windows, 16, 4).passes is passes
        assert len(list(exported.glob("*.int8.onnx"))) == 3 * passes


def test_the_gate_needs_evidence() -> None:
    same = np.linspace(1, 2, 40)
    assert decide(np.stack([same, 1.01 * same], axis=1)).passes
    worse = decide(np.stack([same, 1.03 * same], axis=1))
    assert not worse.passes and worse.change == pytest.approx(0.03)
    noise = np.where(np.arange(40) % 2, 0.2, -0.2)
    assert not decide(np.stack([same, same + noise], axis=1)).passes  # equal on average, but hardly known


def test_a_full_disk_leaves_nothing_and_names_the_folder(
    finished_run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(graph: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as onnx does, without a name

    monkeypatch.setattr(onnx_files, "_write_graph", fill)
    result = invoke("export", "--run", finished_run.path, "--onnx", tmp_path / "out")
    assert result.exit_code == 1 and f"{tmp_path / 'out'}: cannot be written: No space left" in result.stderr
    assert not list(tmp_path.iterdir())


def test_what_is_missing_or_in_the_way_is_explained(finished_run: FinishedRun, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs no_such_package\. Run pip install no_such_package"):
        check_packages(("json", "no_such_package"), "onnx")
    (tmp_path / "mine.txt").write_text("do not remove")
    with pytest.raises(ConfigError, match="is no earlier export"):
        check_out(tmp_path, "kronos.json")
    few = ["--onnx", tmp_path / "new", "--int8"]  # 120 candles
    for options, message in (
        (["--int8"], "nothing to export"),
        (["--onnx", tmp_path], "is no earlier export"),
        (few, "int8 needs at least 20 to be judged by"),
    ):
        result = invoke("export", "--run", finished_run.path, *options)
        assert result.exit_code == 1 and message in result.stderr
