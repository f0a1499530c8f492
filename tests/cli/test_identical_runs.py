"""Equal settings, threads and ranks give equal files, whatever else differs between two processes."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kronos.run_folder import RunFolder
from tests.conftest import FAST, ROOT, write_tiny_config
from tests.training.test_distributed import TORCHRUN

pytestmark = [pytest.mark.slow, pytest.mark.process]

PATHS_AND_TIMES = {"created", "seconds", "command", "judge_new", "candles", "subject", "run", "name"}
SEED = {"one": "1", "two": "2"}
OTHERS = {"one": {"TZ": "UTC", "LC_ALL": "C.UTF-8"}, "two": {"TZ": "Asia/Shanghai", "LC_ALL": "C"}}


def write_run(folder: Path, names: Sequence[str]) -> Path:
    """Write a configuration and a folder of candles, whose files are made in the order of names."""
    folder.mkdir()
    lines = (ROOT / "data" / "synthetic_5min.csv").read_text().splitlines(keepends=True)
    (folder / "candles").mkdir()
    for name in names:
        n = int(name.removesuffix(".csv"))
        (folder / "candles" / name).write_text("".join([lines[0], *lines[120 * n + 1 : 120 * n + 121]]))
    return write_tiny_config(folder)


def train(launcher: Sequence[str], config: Path, name: str, *words: str) -> RunFolder:
    folder = config.parent
    settings = ["data.data_path=candles", f"model_paths.exp_name=run-{name}", "model_paths.base_path=runs"]
    extra = [*settings, "data.cache_dir=cache", "evaluation.losses=true", "evaluation.calibrate=true"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": SEED[name], "DIST_BACKEND": "gloo"}
    done = subprocess.run(
        [*launcher, str(ROOT / "train_sequential.py"), "--config", config.name, *FAST, *extra, *words],
        capture_output=True,
        text=True,
        env=environment | OTHERS[name] | {"CUDA_VISIBLE_DEVICES": ""},
        cwd=folder,
        umask=0o077 if name == "two" else 0o022,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return RunFolder(folder / "runs" / f"run-{name}")


def read_results(run: RunFolder) -> dict[str, bytes]:
    """Return what must be equal: weights, forecasts, losses, and the figures without paths and times."""
    files = [path for pattern in ("*.safetensors", "*.npz", "*.csv", "health.json") for path in run.path.rglob(pattern)]
    results = {str(path.relative_to(run.path)): path.read_bytes() for path in files}
    assert any(path.endswith("losses.csv") for path in results) and any(path.endswith(".npz") for path in results)
    return results | {"metrics.json": json.dumps(drop(json.loads(run.report.results.read_text()))).encode()}


def drop(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: drop(each) for key, each in value.items() if key not in PATHS_AND_TIMES or isinstance(each, dict)}
        return kept
    return [drop(each) for each in value] if isinstance(value, list) else value


def assert_equal(first: dict[str, bytes], second: dict[str, bytes]) -> None:
    assert first.keys() == second.keys()
    assert [path for path in first if first[path] != second[path]] == []


@pytest.mark.parametrize("launcher", [[sys.executable], TORCHRUN], ids=["alone", "torchrun"])
def test_two_runs_are_equal(tmp_path: Path, launcher: list[str]) -> None:
    """Other hash seeds, time zones, languages, umasks, folders, names, orders of files; then warm caches and one stage again."""
    one = read_results(train(launcher, write_run(tmp_path / "first", ["0.csv", "1.csv"]), "one"))
    config = write_run(tmp_path / "second place", ["1.csv", "0.csv"])
    two = train(launcher, config, "two")
    assert_equal(one, read_results(two))
    shutil.rmtree(two.basemodel.path)
    assert_equal(one, read_results(train(launcher, config, "two", "--skip-existing")))
