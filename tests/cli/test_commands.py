"""The commands as a user types them, and what they say to bad input."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner, Result

from kronos.cli.commands.train import train_base_model, train_tokenizer
from kronos.cli.main import app
from kronos.cli.session import Process, read_process, select_cuda_device
from kronos.run_folder import RunFolder, lock_run_folder
from kronos.stage_record import StageRecord
from tests.conftest import GOLDEN, ROOT, FinishedRun

runner = CliRunner()


def invoke(*arguments: object, command=None) -> Result:
    target = app
    if command:
        target = typer.Typer()
        target.command()(command)
    words = [str(argument) for argument in arguments]
    return runner.invoke(target, words if command else ["train", *words])


def script(name: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(ROOT / name), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, cwd=cwd, check=False)


@pytest.fixture(autouse=True)
def same_visible_devices(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    yield


@pytest.mark.slow
@pytest.mark.process
def test_train_sequential_from_another_working_directory(tiny_config: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = script("train_sequential.py", "--config", tiny_config, "model_paths.base_path=here", cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    run_dir = elsewhere / "here" / "tiny"
    for name in (
        "tokenizer/best_model",
        "basemodel/best_model",
        "basemodel/metrics.jsonl",
        "config.yaml",
        "logs/train.log",
    ):
        assert (run_dir / name).exists()
    for name in ("basemodel/best_model", "logs/train.log"):
        assert str(Path("here/tiny") / name) in done.stdout
    for n in (1, 2):
        picture = (run_dir / "report" / f"forecast_{n}.png").read_bytes()
        assert picture.startswith(b"\x89PNG") and len(picture) > 10_000
    log = (run_dir / "logs" / "train.log").read_text()
    assert "tokenizer  done" in log and "basemodel  done" in log
    assert "tiny: train the tokenizer" in log.splitlines()[0] and "loading PyTorch" in log.splitlines()[1]
    assert re.search(r"time  Total  +[0-9.]+ s \(100%\)$", log.splitlines()[-1])
    assert not list(run_dir.rglob(".*"))  # no temporary file is left


def test_kronos_train_and_the_stage_scripts(tiny_config: Path, tmp_path: Path) -> None:
    first = invoke("--config", tiny_config, command=train_tokenizer)
    assert first.exit_code == 0, first.output
    run_dir = tmp_path / "runs" / "tiny"
    assert StageRecord.read(run_dir / "tokenizer").finished and not (run_dir / "basemodel").exists()
    second = invoke("--config", tiny_config, "report.n_origins=0", command=train_base_model)
    assert second.exit_code == 0, second.output
    log = (run_dir / "logs" / "train.log").read_text(encoding="utf-8")
    assert f"uses the tokenizer {run_dir / 'tokenizer' / 'best_model'}" in log
    assert StageRecord.read(run_dir / "basemodel").finished
    third = invoke("--config", tiny_config, "report.n_origins=0", "--skip-existing")
    assert third.exit_code == 0 and third.output.count("finished before, skipped") == 2


@pytest.mark.slow
def test_skip_flags(tiny_config: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "runs" / "tiny"
    assert invoke("--config", tiny_config, "--skip-tokenizer", "report.n_origins=0").exit_code == 0
    assert not (run_dir / "tokenizer").exists() and (run_dir / "basemodel").exists()
    assert invoke("--config", tiny_config, "--skip-basemodel", "model_paths.exp_name=other").exit_code == 0
    assert (tmp_path / "runs/other/tokenizer").exists() and not (tmp_path / "runs/other/basemodel").exists()


@pytest.mark.slow
def test_skip_existing_in_the_yaml(tiny_config: Path, copied_run: Path) -> None:
    again = invoke("--config", tiny_config, "--skip-basemodel", "experiment.skip_existing=true")
    assert "finished before, skipped" in again.output


@pytest.mark.process
def test_modules_and_help(tmp_path: Path) -> None:
    for command in (["-m", "kronos", "train"], [ROOT / "finetune_tokenizer.py"], [ROOT / "finetune_base_model.py"]):
        done = subprocess.run(
            [sys.executable, *map(str, command), "--help"],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            check=False,
        )
        assert done.returncode == 0 and "--config" in done.stdout and "--skip-existing" in done.stdout


def replace_config(folder: Path, old: str, new: str) -> Path:
    folder.mkdir()
    for file in (GOLDEN / "predictor").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = folder / "config.json"
    config.write_text(config.read_text().replace(old, new))
    return folder


BAD_INPUT = {
    "both stages off": (["--skip-tokenizer", "--skip-basemodel"], "nothing to train"),
    "misspelt key": (["training.batchsize=3"], "did you mean training.batch_size?"),
    "wrong type": (["training.batch_size=many"], "training.batch_size is 'many'"),
    "ratios": (["data.train_ratio=0.9"], "must be 1, but 0.9 + 0.2 + 0.1 = 1.2"),
    "missing CSV": (["data.data_path=none.csv"], "none.csv: no such file"),
    "folder": ([f"data.data_path={GOLDEN / 'tokenizer'}"], "no file of candles in this folder"),
    "empty CSV": (["data.data_path={tmp}/empty.csv"], "the file is empty"),
    "too few train rows": (["data.lookback_window=500"], "120 rows, of which train gets 84"),
    "too few val rows": (["data.train_ratio=0.88", "data.val_ratio=0.02"], "val gets 2 "),
    "pretrained folder missing": (["model_paths.pretrained_predictor={tmp}/none"], "no such model folder"),
    "no config.json": (["model_paths.pretrained_tokenizer={tmp}"], "has no config.json"),
    "other shapes": (["model_paths.pretrained_predictor={tmp}/shapes"], "does not fit its config.json"),
    "other bits": (
        ["experiment.pre_trained_predictor=false", "model_paths.pretrained_predictor=mini"],
        "the tokenizer writes 6 + 6 bits, but the base model reads 10 + 10",
    ),
    "preset as pretrained": (["model_paths.pretrained_tokenizer=demo"], "'demo' is a preset"),
    "unwritable output": (["model_paths.base_path={tmp}/empty.csv"], "cannot be written"),
    "batch too large": (["training.batch_size=100"], "there are only 61 train windows"),
    "comet": (["experiment.use_comet=true"], "pip install comet_ml"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_clear_line(case: str, tiny_config: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    replace_config(tmp_path / "shapes", '"ff_dim": 48', '"ff_dim": 64')
    arguments, words = BAD_INPUT[case]
    result = invoke("--config", tiny_config, *(argument.format(tmp=tmp_path) for argument in arguments))
    assert result.exit_code == 1
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and words in errors[0], result.stderr
    assert result.stderr.splitlines()[-1] == errors[0]
    assert "Traceback" not in result.output
    assert not list((tmp_path / "runs").rglob("best_model"))


def read_results(run_dir: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file() and path.parent.name != "logs"}


def test_bad_input_leaves_an_earlier_run_untouched(finished_run: FinishedRun, copied_run: Path, tmp_path: Path) -> None:
    own = f"model_paths.base_path={tmp_path / 'runs'}"
    before = read_results(copied_run)
    for case, (arguments, _) in BAD_INPUT.items():
        if case not in ("other shapes", "empty CSV", "unwritable output"):
            words = [argument.format(tmp=tmp_path) for argument in arguments]
            assert invoke("--config", finished_run.config, own, *words).exit_code == 1, case
    assert read_results(copied_run) == before


@pytest.mark.slow
def test_a_tokenizer_from_elsewhere_for_the_base_model_alone(tiny_config: Path) -> None:
    """Upstream's normal use of finetuned_tokenizer."""
    named = f"model_paths.finetuned_tokenizer={GOLDEN / 'tokenizer'}"
    assert invoke("--config", tiny_config, named, command=train_base_model).exit_code == 0
    assert invoke("--config", tiny_config, named, "--skip-tokenizer").exit_code == 0
    assert "but stage 1 writes" in invoke("--config", tiny_config, named).stderr


def test_a_file_where_a_stage_s_folder_should_be(tiny_config: Path, tmp_path: Path) -> None:
    (tmp_path / "runs" / "tiny").mkdir(parents=True)
    (tmp_path / "runs" / "tiny" / "tokenizer").touch()
    result = invoke("--config", tiny_config)
    assert result.exit_code == 1 and "Not a directory" in result.stderr and "Traceback" not in result.output


def test_missing_config() -> None:
    result = invoke("--config", "none.yaml")
    assert result.exit_code == 1 and "error: none.yaml: no such config file" in result.stderr


def test_bad_usage_is_status_2(tiny_config: Path) -> None:
    assert invoke().exit_code == 2
    assert invoke("--config", tiny_config, "--epochs", "3").exit_code == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_asked_for_and_absent(tiny_config: Path) -> None:
    for override in ("device.use_cuda=true", "device.device_id=3"):
        result = invoke("--config", tiny_config, override)
        assert result.exit_code == 1 and "Set device.use_cuda=false" in result.stderr


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_yaml_from_a_machine_with_a_gpu(tiny_config: Path, tmp_path: Path) -> None:
    """Training, evaluation and forecasts go on with the CPU, after one warning each."""
    tiny_config.write_text(tiny_config.read_text() + "device:\n  use_cuda: true\ndistributed:\n  backend: nccl\n")
    result = invoke("--config", tiny_config, "--skip-tokenizer", "report.n_origins=1")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("no GPU is available") == 1
    warning = next(line for line in result.stderr.splitlines() if "no GPU is available" in line)
    assert "Training takes about " in warning and warning.endswith(" --skip-existing")
    run = tmp_path / "runs" / "tiny"
    evaluated = runner.invoke(app, ["evaluate", "--run", str(run), "evaluation.rivals=[last_close]"])
    assert evaluated.exit_code == 0 and evaluated.stderr.count("no GPU is available") == 1, evaluated.output
    forecast = runner.invoke(app, ["predict", "--run", str(run), "--out", str(tmp_path / "out"), "--paths", "2"])
    assert forecast.exit_code == 0 and "GPU" not in forecast.stderr, forecast.output


def test_world_size_without_a_rendezvous(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kronos.cli.errors.WAIT_FOR_RANK_0_SECONDS", 0)
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = invoke("--config", tiny_config)
    assert result.exit_code == 1
    assert "WORLD_SIZE is 2, but this is not set: RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT." in result.stderr
    for name in ("LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("RANK", "7")
    assert "RANK is 7, but WORLD_SIZE is 2" in invoke("--config", tiny_config).stderr
    monkeypatch.setenv("WORLD_SIZE", "two")
    assert "Set it to a whole number" in invoke("--config", tiny_config).stderr


def test_leftovers_of_a_launcher_do_not_disturb_a_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """accelerate would wait for other processes if it saw them."""
    for name in ("LOCAL_RANK", "RANK"):
        monkeypatch.setenv(name, "0")
    assert read_process() == Process(0, 1)
    assert "LOCAL_RANK" not in os.environ and "RANK" not in os.environ


def test_a_second_run_in_the_same_folder_is_kept_out(tiny_config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "tiny"
    (folder / "logs").mkdir(parents=True)
    with lock_run_folder(RunFolder(folder)):
        result = invoke("--config", tiny_config)
    assert result.exit_code == 1 and "another run is writing here" in result.stderr
    assert invoke("--config", tiny_config, "--skip-basemodel").exit_code == 0


def test_dist_backend_is_checked(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIST_BACKEND", "carrier-pigeon")
    result = invoke("--config", tiny_config)
    assert result.exit_code == 1 and "distributed.backend is 'carrier-pigeon'" in result.stderr


def test_device_id_chooses_the_gpu(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    select_cuda_device(1, Process(0, 1))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "6"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    select_cuda_device(3, Process(0, 1))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # hides all
    select_cuda_device(0, Process(0, 1))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    select_cuda_device(0, Process(1, 2))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"  # torchrun's processes are told by their rank
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert "lists only 2 devices" in invoke("--config", tiny_config, "device.device_id=2").stderr
