"""Any folder of a run ends in finite results or in one error, and what is damaged is not believed."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from kronos.files import SEAL_KEY, write_sealed
from tests.conftest import FAST, FinishedRun, invoke
from tests.fuzzing import CHANGES, MUTATIONS, Change, Mutation, assert_ended_well, fuzz, mutate_bytes, mutate_values

DAMAGES = ["bytes", "bytes", "values", "values", "gone", "folder", "empty"]
Damage = tuple[str, int, Sequence[Mutation], Sequence[Change]]
DAMAGE = st.tuples(st.sampled_from(DAMAGES), st.integers(0, 1 << 20), MUTATIONS, CHANGES)
PICTURES = (".png", ".html", ".lock")  # nothing reads these


def damage(run: Path, how: str, which: int, mutations: Sequence[Mutation], changes: Sequence[Change]) -> Path:
    """Damage one file of a run's folder."""
    files = sorted(path for path in run.rglob("*") if path.is_file() and path.suffix not in PICTURES)
    path = files[which % len(files)]
    if how == "values" and path.suffix == ".json":
        values = mutate_values(json.loads(path.read_text()), changes)
        if isinstance(values, dict) and SEAL_KEY in values and which % 2:  # then its checksum is right
            write_sealed(path, {key: value for key, value in values.items() if key != SEAL_KEY})
        else:
            path.write_text(json.dumps(values))
    elif how in ("gone", "folder"):
        path.unlink()
        if how == "folder":
            path.mkdir()
    else:
        path.write_bytes(b"" if how == "empty" else mutate_bytes(path.read_bytes(), mutations))
    return path


def check_run(finished: FinishedRun, how: Damage, words: Sequence[object]) -> bool:
    """Damage a copy of a finished run and run a command on it; return whether it succeeded. {run} stands for the copy."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(shutil.copytree(finished.path, Path(folder) / "tiny"))
        damage(run, *how)
        filled = (str(word).replace("{run}", str(run)).replace("{folder}", folder) for word in words)
        result = invoke(*filled)
        accepted = assert_ended_well(result)
        if accepted and "--json" in words:
            assert _is_finite(json.loads(result.stdout))
    return accepted


@fuzz(6, DAMAGE, n_fuzz=600, kind="run folders")
def test_predict(finished_run: FinishedRun, how: Damage) -> bool:
    words = ["predict", "--run", "{run}", "--out", "{folder}", "--json", "--paths", 2, "--no-pictures"]
    return check_run(finished_run, how, words)


def _is_finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


@fuzz(3, DAMAGE, n_fuzz=250, kind="run folders")
def test_compare(finished_run: FinishedRun, how: Damage) -> bool:
    return check_run(finished_run, how, words=["compare", "{run}", finished_run.path])


@fuzz(2, DAMAGE, n_fuzz=100, kind="run folders", slow=True)
def test_evaluate(finished_run: FinishedRun, how: Damage) -> bool:
    return check_run(finished_run, how, words=["evaluate", "--run", "{run}"])


@fuzz(2, DAMAGE, n_fuzz=100, kind="run folders", slow=True)
def test_skip_existing(finished_run: FinishedRun, how: Damage) -> bool:
    words = ["train", "--config", finished_run.config, *FAST, "--skip-existing", "model_paths.base_path={folder}"]
    return check_run(finished_run, how, words=words)
