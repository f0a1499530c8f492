"""What all tests share. Everything runs offline, on the CPU, without anything outside the repository."""

import os
import shutil
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["OMP_NUM_THREADS"] = (
    "1"  # for models this small; and threads that wait for each other on a busy machine crawl
)

import pytest
from hypothesis import settings
from safetensors.torch import load_file
from torch import Tensor
from typer.testing import CliRunner, Result

settings.register_profile("fuzz", derandomize=False)  # make fuzz

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden"
FUZZ_INPUTS = "fuzz inputs"
REAL_CANDLES = ROOT.parent / "shared" / "data" / "ashare_600977_5min.csv"


def load_vectors(name: str) -> dict[str, Tensor]:
    """The golden inputs and outputs of one model."""
    return load_file(GOLDEN / name / "vectors.safetensors")


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    """Relative error in the L2 norm, the measure that holds across machines."""
    assert actual.shape == expected.shape
    error = (actual - expected).norm() / expected.norm()
    assert error <= tolerance, f"relative L2 error {error:.2e}"


@pytest.fixture
def real_candles() -> Path:
    if not REAL_CANDLES.exists():
        pytest.skip("the real candles are not at hand")
    return REAL_CANDLES


TINY_CONFIG = """
data:
  data_path: {candles}
  lookback_window: 16
  predict_window: 8
  max_context: 24
  train_ratio: 0.7
  val_ratio: 0.2
  test_ratio: 0.1
  cache_dir: {base_path}/cache
training:
  tokenizer_epochs: 2
  basemodel_epochs: 2
  batch_size: 16
  log_interval: 1
  precision: fp32
  seed: 1
  tokenizer_learning_rate: 0.01
  predictor_learning_rate: 0.01
model_paths:
  pretrained_tokenizer: {golden}/tokenizer
  pretrained_predictor: {golden}/predictor
  exp_name: tiny
  base_path: {base_path}
evaluation:
  enabled: false
  invented_drift: false
report:
  n_origins: 2
  n_paths: 2
"""


def write_tiny_config(folder: Path) -> Path:
    """A YAML with which both stages take seconds: 120 synthetic candles, the golden models, no dropout."""
    candles = folder / "candles.csv"
    candles.write_text("".join((ROOT / "data" / "synthetic_5min.csv").open().readlines()[:121]))
    path = folder / "tiny.yaml"
    path.write_text(TINY_CONFIG.format(candles=candles, golden=GOLDEN, base_path=folder / "runs"))
    return path


@pytest.fixture
def tiny_config(tmp_path: Path) -> Path:
    """`write_tiny_config`, in a folder of the test's own."""
    return write_tiny_config(tmp_path)


FAST = [  # with which the tiny run, its evaluation and one picture take seconds
    "training.tokenizer_epochs=1",
    "training.basemodel_epochs=1",
    "evaluation.enabled=true",
    "evaluation.stride=2",
    "evaluation.n_paths=3",
    "evaluation.rivals=[pretrained, last_close, drift]",
    "report.n_origins=1",
]


def invoke(*words: object) -> Result:
    """Run `kronos` in this process, without a GPU."""
    from kronos.cli.main import app

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CUDA_VISIBLE_DEVICES", "")
        return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="session")
def few_random_walks() -> Iterator[None]:
    """Measure the invented drift on as few walks as there can be."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("kronos.evaluation.invented_drift.measure.SECONDS", 0.0)
        yield


class FinishedRun(NamedTuple):
    """A tiny run that the tests of a session share, and what it printed. Nobody changes it."""

    config: Path
    path: Path
    candles: Path
    output: Result


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, few_random_walks: None) -> FinishedRun:
    """`kronos train` with the tiny configuration and FAST, evaluated, with the invented drift."""
    folder = tmp_path_factory.mktemp("finished")
    config = write_tiny_config(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # NumPy's
        done = invoke("train", "--config", config, *FAST, "evaluation.invented_drift=true")
    assert done.exit_code == 0, done.output
    return FinishedRun(config, folder / "runs" / "tiny", folder / "candles.csv", done)


@pytest.fixture
def copied_run(finished_run: FinishedRun, tmp_path: Path) -> Path:
    """A copy of the shared run, where `tiny_config` would leave its own. Its candles stay where they were."""
    return Path(shutil.copytree(finished_run.path, tmp_path / "runs" / "tiny"))


@pytest.fixture
def golden_run(tiny_config: Path) -> Path:
    """The folder of a run with the configuration of `tiny_config` and the golden models, which are not trained here."""
    run = tiny_config.parent / "golden_run"
    for stage, model in (("tokenizer", "tokenizer"), ("basemodel", "predictor")):
        shutil.copytree(GOLDEN / model, run / stage / "best_model")
    shutil.copy(tiny_config, run / "config.yaml")
    return run


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Report how many inputs a fuzz test tried."""
    yield
    for kind, tally in getattr(getattr(item, "function", None), "tally", {}).items():
        item.user_properties.append((FUZZ_INPUTS, {kind: dict(tally)}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the inputs of the fuzz tests that passed, by kind. A test fails at the first traceback, hang or NaN."""
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    for report in terminalreporter.stats.get("passed", []):
        for name, tallies in report.user_properties:
            for kind, tally in tallies.items() if name == FUZZ_INPUTS else ():
                totals[kind].update(tally)
    if totals and settings.get_current_profile_name() == "fuzz":
        terminalreporter.section("inputs of the fuzz tests that passed")
        for kind, tally in sorted(totals.items()):
            refused = tally["inputs"] - tally["accepted"]
            terminalreporter.write_line(
                f"{kind:32}{tally['inputs']:8,}  accepted {tally['accepted']:7,}  refused {refused:7,}"
            )
