"""A checkpoint that someone changed and sealed again: nothing in it runs, and whatever is malformed is one error."""

import json
import math
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from kronos.errors import CheckpointError
from kronos.files import seal_folder
from kronos.training.saved.checkpoint_files import load_optimizer
from tests.conftest import write_tiny_config
from tests.training.runs import Killed, interrupt_at, run
from tests.training.saved.test_resume import CreatesAFile

BASE = ("basemodel",)
Change = Callable[[Path], None]


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a run that was interrupted after the checkpoint of step 3."""
    config = write_tiny_config(tmp_path_factory.mktemp("interrupted"))
    with pytest.MonkeyPatch.context() as patched, pytest.raises(Killed):
        interrupt_at(patched, 5)
        run(config, "training.save_steps=3", stages=BASE)
    return config


@pytest.fixture
def checkpoint(interrupted: Path, tmp_path: Path) -> Path:
    shutil.copytree(interrupted.parent, tmp_path / "copy")
    config = tmp_path / "copy" / interrupted.name
    config.write_text(config.read_text().replace(str(interrupted.parent), str(config.parent)))
    (found,) = (config.parent / "runs").rglob("checkpoint-*")
    return found


def resume(checkpoint: Path) -> None:
    config = next(parent for parent in checkpoint.parents if parent.name == "copy") / "tiny.yaml"
    run(config, "training.save_steps=3", stages=BASE, skip_existing=True)


def edit_json(name: str, change: Callable[[dict], dict]) -> Change:
    def edit(checkpoint: Path) -> None:
        path = checkpoint / name
        path.write_text(json.dumps(change(json.loads(path.read_text()))))

    return edit


def edit_state(**changes: object) -> Change:
    return edit_json("trainer_state.json", lambda state: state | changes)


def edit_tensors(name: str, change: Callable[[dict], object]) -> Change:
    def edit(checkpoint: Path) -> None:
        stored = torch.load(checkpoint / name, weights_only=False)
        changed = change(stored)
        torch.save(stored if changed is None else changed, checkpoint / name)

    return edit


def edit_moments(**changes: object) -> Change:
    return edit_tensors("optimizer.pt", lambda stored: stored["state"][3].update(changes))


def edit_rate(rate: object) -> Change:
    return edit_tensors("optimizer.pt", lambda stored: stored["param_groups"][0].update(lr=rate))


def edit_weights(change: Callable[[dict], dict]) -> Change:
    def edit(checkpoint: Path) -> None:
        path = checkpoint / "model.safetensors"
        save_file(change(load_file(path)), path)

    return edit


def write(name: str, content: bytes) -> Change:
    return lambda checkpoint: (checkpoint / name).write_bytes(content) and None


def remove(name: str) -> Change:
    return lambda checkpoint: (checkpoint / name).unlink()


def put_pipe(name: str) -> Change:
    def put(checkpoint: Path) -> None:
        (checkpoint / name).unlink()
        os.mkfifo(checkpoint / name)

    return put


def compress(checkpoint: Path) -> None:
    path = checkpoint / "optimizer.pt"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(path.with_suffix(".new"), "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    path.with_suffix(".new").replace(path)


def edit_numpy(place: int, value: object) -> Change:
    def change(stored: dict) -> None:
        stored["numpy"] = tuple(value if i == place else each for i, each in enumerate(stored["numpy"]))

    return edit_tensors("rng_state.pth", change)


NAMES = ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "progress.json"]
CHANGES: dict[str, Change] = {
    **{f"no {name}": remove(name) for name in NAMES},
    **{f"{name} empty": write(name, b"") for name in NAMES},
    **{f"{name} of other bytes": write(name, b"\xff\x00" * 99) for name in NAMES},
    **{f"{name} a pipe": put_pipe(name) for name in NAMES},
    "another step": edit_state(global_step=4),
    "a step of text": edit_state(global_step="3"),
    "a list as state": write("trainer_state.json", b"[1]"),
    "deep": write("trainer_state.json", b"[" * 100_000),
    "no history": edit_state(log_history=None),
    "a history without steps": edit_state(log_history=[{"eval_loss": 1.0}]),
    "a history of the future": edit_state(log_history=[{"step": 9, "eval_loss": 0.0}]),
    "an unknown key": edit_state(unknown=1),
    "no batch size": edit_state(train_batch_size="x"),
    "progress of text": edit_json("progress.json", lambda progress: {"loss": "1", "last_logged": 0}),
    "progress that is none": edit_json("progress.json", lambda progress: {"loss": math.nan, "last_logged": 0}),
    "progress of the future": edit_json("progress.json", lambda progress: progress | {"last_logged": 99}),
    "int8 weights": edit_weights(lambda weights: {name: each.to(torch.int8) for name, each in weights.items()}),
    "fewer weights": edit_weights(lambda weights: dict(list(weights.items())[1:])),
    "infinite weights": edit_weights(lambda weights: {name: each / 0 for name, each in weights.items()}),
    "other moments": edit_moments(exp_avg=torch.zeros(3)),
    "a moment of text": edit_moments(exp_avg="x"),
    "a moment of infinite size": edit_moments(exp_avg=torch.zeros(1).expand(2**40)),
    "NaN moments": edit_moments(exp_avg=torch.tensor(math.nan).expand(32)),
    "a step of the future": edit_moments(step=torch.tensor(1e9)),
    "a parameter too few": edit_tensors("optimizer.pt", lambda stored: stored["state"].pop(0) and None),
    "a parameter too many": edit_tensors("optimizer.pt", lambda stored: stored["state"].update({999: {}})),
    "no groups": edit_tensors("optimizer.pt", lambda stored: stored.update(param_groups=[])),
    "a rate that is none": edit_rate(math.nan),
    "a rate of text": edit_rate("x"),
    "compressed": compress,
    "a tensor as optimizer": edit_tensors("optimizer.pt", lambda stored: torch.zeros(3)),
    "a schedule of the future": edit_tensors("scheduler.pt", lambda stored: stored.update(last_epoch=10**6)),
    "a schedule of text": edit_tensors("scheduler.pt", lambda stored: stored.update(last_epoch="x")),
    "other rates": edit_tensors("scheduler.pt", lambda stored: stored.update(base_lrs=[])),
    "random numbers behind the end": edit_numpy(2, 10**9),
    "random words of floats": edit_numpy(1, np.zeros(624)),
    "too few random numbers": edit_tensors("rng_state.pth", lambda stored: stored.update(cpu=torch.zeros(3).byte())),
    "no random numbers": edit_tensors("rng_state.pth", lambda stored: stored.update(python=(3, (1,), None))),
}
FAST = {"no optimizer.pt", "trainer_state.json a pipe", "another step", "other moments", "a rate of text"}


@pytest.mark.parametrize(
    "change",
    [pytest.param(each, id=name, marks=[] if name in FAST else pytest.mark.slow) for name, each in CHANGES.items()],
)
def test_whatever_is_malformed_is_one_error(checkpoint: Path, change: Change) -> None:
    change(checkpoint)
    seal_folder(checkpoint)
    before = sorted(checkpoint.iterdir())
    with pytest.raises(
        CheckpointError, match=r"missing or malformed \(.*\)\. Remove the folder .*checkpoint-3"
    ) as caught:
        resume(checkpoint)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000
    assert sorted(checkpoint.iterdir()) == before


@pytest.mark.parametrize(
    "name",
    [
        "optimizer.pt",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("scheduler.pt", "rng_state.pth", "scaler.pt", "training_args.bin", "pytorch_model.bin")
        ),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("adapter_model.bin", "random_states_0.pkl", "custom_checkpoint_0.pkl", "optimizer.bin")
        ),
    ],
)
def test_a_planted_pickle_never_runs(checkpoint: Path, tmp_path: Path, name: str) -> None:
    created = tmp_path / "created"
    torch.save(CreatesAFile(created), checkpoint / name)
    seal_folder(checkpoint)
    try:
        resume(checkpoint)
    except CheckpointError as error:
        assert name in str(error)  # the files that are read; the others are not
    assert not created.exists()
    torch.load(checkpoint / name, weights_only=False)
    assert created.exists()  # the planted file does what it is said to do


@pytest.mark.slow
def test_settings_and_methods_are_not_taken_from_a_checkpoint(checkpoint: Path, interrupted: Path) -> None:
    """Only moments, rates and counts are: a schedule's state could replace its methods, a group its weight decay."""
    edit_tensors("scheduler.pt", lambda stored: stored.update(step="x", get_lr=None))(checkpoint)
    edit_tensors("optimizer.pt", lambda stored: stored["param_groups"][0].update(weight_decay=9.0, eps=1e9))(checkpoint)
    seal_folder(checkpoint)
    resume(checkpoint)
    untouched = next((interrupted.parent / "runs").rglob("checkpoint-3"))
    copy = checkpoint.parents[4] / "whole" / "copy"
    shutil.copytree(interrupted.parent, copy)
    config = copy / "tiny.yaml"
    config.write_text(config.read_text().replace(str(interrupted.parent), str(copy)))
    resume(copy / untouched.relative_to(interrupted.parent))
    first, second = (
        next((each / "runs").rglob("basemodel/best_model/model.safetensors")) for each in (checkpoint.parents[4], copy)
    )
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("fp16", [True, False])
def test_an_optimizer_whose_steps_were_all_skipped(tmp_path: Path, fp16: bool) -> None:
    """fp16 skips a step whose gradients overflow; a checkpoint may come before the first that did not."""
    folder = tmp_path / "checkpoint-1"
    folder.mkdir()
    optimizer = torch.optim.AdamW(torch.nn.Linear(2, 2).parameters())
    torch.save(optimizer.state_dict(), folder / "optimizer.pt")
    if not fp16:
        with pytest.raises(CheckpointError, match="not all parameters have a state"):
            load_optimizer(folder, optimizer)
        return
    torch.save({"scale": 1.0}, folder / "scaler.pt")
    load_optimizer(folder, optimizer)
    assert not optimizer.state_dict()["state"]
