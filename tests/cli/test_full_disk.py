"""A file that cannot be written, in any command: one line, nothing half written, and the same result once there is room.

A limit of the size of files stands for a full disk: it needs no root, and stops the writers of all libraries.
"""

import re
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from kronos.data.windows import load
from kronos.disk.temporaries import TEMPORARY_NAME
from kronos.files import is_whole
from tests.conftest import FAST, FinishedRun, invoke

pytestmark = pytest.mark.slow
SEARCH = ["--trials", "2", "training.max_steps=2", "experiment.train_tokenizer=false"]


@contextmanager
def limited(n_bytes: int) -> Iterator[None]:
    """Let no file of this process become larger."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def check_failure(words: Sequence[object], folder: Path, n_bytes: int) -> None:
    with limited(n_bytes):
        done = invoke(*words)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.exit_code == 1 and len(errors) == 1, done.output
    assert re.search(r"cannot be written: .*\. (Raise the limit|Free some|Check the|Choose another)", errors[0]), errors
    assert "Traceback" not in done.output and not TEMPORARY_NAME.search(errors[0]), errors
    assert not [path for path in folder.rglob(".*") if TEMPORARY_NAME.fullmatch(path.name)]
    assert all(map(is_whole, folder.rglob("checkpoint-*")))


def read_all(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("n_bytes", [700, 30_000, 77_777, 140_001, 250_000, 1_000_000])
def test_a_training(finished_run: FinishedRun, tiny_config: Path, tmp_path: Path, n_bytes: int) -> None:
    words = ["train", "--config", tiny_config, *FAST]
    check_failure(words, tmp_path, n_bytes)
    again = invoke(*words, "--skip-existing")
    assert again.exit_code == 0, again.output
    for stage in ("tokenizer", "basemodel"):
        model = Path(stage) / "best_model" / "model.safetensors"
        assert (tmp_path / "runs/tiny" / model).read_bytes() == (finished_run.path / model).read_bytes()


@pytest.mark.parametrize("n_bytes", [3_000, 30_000, 1_000_000])
def test_an_evaluation(copied_run: Path, tmp_path: Path, n_bytes: int) -> None:
    words = ["evaluate", "--run", copied_run, "--language", "en"]
    before = read_all(copied_run / "report")
    check_failure(words, tmp_path, n_bytes)
    assert read_all(copied_run / "report") == before
    again = invoke(*words)
    assert again.exit_code == 0 and read_all(copied_run / "report").keys() == before.keys(), again.output


@pytest.mark.parametrize("n_bytes", [300, 3_000, 30_000, 1_000_000])
def test_a_forecast(finished_run: FinishedRun, tmp_path: Path, n_bytes: int) -> None:
    words = ["predict", "--run", finished_run.path, "--out", tmp_path, "--save-paths", "--paths", "5"]
    assert invoke(*words, "--seed", "1").exit_code == 0
    before = read_all(tmp_path)
    check_failure(words, tmp_path, n_bytes)
    assert read_all(tmp_path) == before and len(before) == 4
    assert invoke(*words).exit_code == 0 and read_all(tmp_path).keys() == before.keys()


@pytest.mark.parametrize("n_bytes", [4_000, 40_000, 110_000, 150_001])
def test_a_search(tiny_config: Path, tmp_path: Path, n_bytes: int) -> None:
    words = [
        "tune",
        "--config",
        tiny_config,
        "--space",
        "training.predictor_learning_rate: {choices: [0.01, 0.02]}",
        *SEARCH,
    ]
    check_failure(words, tmp_path, n_bytes)
    again = invoke(*words)
    assert again.exit_code == 0 and (tmp_path / "runs/tiny/tune/best.yaml").is_file(), again.output


def test_a_comparison(finished_run: FinishedRun, tmp_path: Path) -> None:
    words = ["compare", finished_run.path, "--html", tmp_path / "c.html"]
    assert invoke(*words).exit_code == 0
    before = read_all(tmp_path)
    check_failure(words, tmp_path, 1_000)
    assert read_all(tmp_path) == before and invoke(*words).exit_code == 0


@pytest.mark.parametrize("n_bytes", [100, 2_000])
def test_the_cache_of_a_check(tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_bytes: int) -> None:
    monkeypatch.setattr(load, "CACHE_FROM_BYTES", 0)
    words = ["check", "--config", tiny_config]
    check_failure(words, tmp_path, n_bytes)
    again = invoke(*words)
    assert again.exit_code == 0, again.output
