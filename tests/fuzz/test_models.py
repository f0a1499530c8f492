"""Any folder of a model or a checkpoint ends in finite forecasts, an unharmed training, or one error."""

from __future__ import annotations

import functools
import json
import shutil
import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st

from kronos import Kronos, KronosPredictor, KronosTokenizer
from kronos.errors import KronosError
from kronos.files import seal_folder
from kronos.training.saved.checkpoints import list_checkpoints
from tests.conftest import GOLDEN, invoke, write_tiny_config
from tests.fuzzing import (
    CHANGES,
    MUTATIONS,
    Change,
    Mutation,
    assert_ended_well,
    assert_explained,
    fuzz,
    mutate_bytes,
    mutate_values,
)

PARTS = st.sampled_from(["tokenizer", "predictor"])
FILES = ["config.json", "model.safetensors"]


def check_model(part: str, name: str, content: bytes) -> bool:
    """Load the golden models with one file replaced, forecast, and return whether that was possible."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {each: Path(shutil.copytree(GOLDEN / each, Path(folder) / each)) for each in ("tokenizer", "predictor")}
        (paths[part] / name).write_bytes(content)
        try:
            tokenizer = KronosTokenizer.from_pretrained(paths["tokenizer"])
            model = Kronos.from_pretrained(paths["predictor"])
            forecast = KronosPredictor(model, tokenizer, device="cpu").forecast(make_candles(), 3, n_paths=2, seed=1)
        except KronosError as error:
            assert_explained(str(error))
            return False
    assert np.isfinite(forecast.paths).all()
    return True


@functools.cache
def make_candles() -> pd.DataFrame:
    times = pd.date_range("2024-06-18 09:35", periods=20, freq="5min")
    close = 20 + np.sin(np.arange(20.0))
    return pd.DataFrame(
        {
            "timestamps": times,
            "open": close,
            "high": close + 1,
            "low": close - 1,
            "close": close,
            "volume": 9.0,
            "amount": 180.0,
        }
    )


@fuzz(10, PARTS, st.sampled_from(FILES), MUTATIONS, n_fuzz=900, kind="model and checkpoint folders")
def test_mutated_bytes(part: str, name: str, mutations: Sequence[Mutation]) -> bool:
    return check_model(part, name, mutate_bytes((GOLDEN / part / name).read_bytes(), mutations))


@fuzz(10, PARTS, CHANGES, n_fuzz=500, kind="model and checkpoint folders")
def test_odd_configurations(part: str, changes: Sequence[Change]) -> bool:
    config = json.loads((GOLDEN / part / "config.json").read_text())
    return check_model(part, "config.json", json.dumps(mutate_values(config, changes)).encode())


@fuzz(10, PARTS, CHANGES, n_fuzz=400, kind="model and checkpoint folders")
def test_odd_headers(part: str, changes: Sequence[Change]) -> bool:
    """The header of a safetensors file has the types, the shapes and the places of its tensors."""
    content = (GOLDEN / part / "model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.dumps(mutate_values(json.loads(content[8 : 8 + size]), changes)).encode()
    return check_model(part, "model.safetensors", struct.pack("<Q", len(header)) + header + content[8 + size :])


class Interrupted(Exception):
    pass


@functools.cache
def make_interrupted_run() -> Path:
    """A tiny run that was interrupted in its tokenizer stage, after its second checkpoint; return its configuration."""
    from kronos.training import stage as stage_module

    class Interrupting(stage_module.ProgressCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            super().on_step_end(args, state, control, **kwargs)
            if state.global_step == 5:
                raise Interrupted

    config = write_tiny_config(Path(tempfile.mkdtemp()))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stage_module, "ProgressCallback", Interrupting)
        result = invoke("train", "--config", config, *SHORT)
    assert isinstance(result.exception, Interrupted), result.output
    assert len(list_checkpoints(config.parent / "runs" / "tiny" / "tokenizer" / "checkpoints")) == 2
    return config


SHORT = [
    "experiment.train_basemodel=false",
    "training.save_steps=2",
    "training.save_total_limit=2",
]


@fuzz(3, st.integers(0, 99), st.booleans(), MUTATIONS, CHANGES, n_fuzz=400, kind="model and checkpoint folders")
def test_checkpoints(which: int, sealed: bool, mutations: Sequence[Mutation], changes: Sequence[Change]) -> bool:
    """A file of the newest checkpoint is damaged, in half of the cases in a way that its checksums do not show."""
    base = make_interrupted_run()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(shutil.copytree(base.parent / "runs" / "tiny", Path(folder) / "tiny"))
        checkpoint = list_checkpoints(run / "tokenizer" / "checkpoints")[0]
        files = sorted(path for path in checkpoint.iterdir() if path.is_file())
        path = files[which % len(files)]
        if path.suffix == ".json" and which % 2:
            path.write_text(json.dumps(mutate_values(json.loads(path.read_text()), changes)))
        else:
            path.write_bytes(mutate_bytes(path.read_bytes(), mutations))
        if sealed:
            seal_folder(checkpoint)
        words = ["--config", base, "--skip-existing", *SHORT, f"model_paths.base_path={folder}"]
        return assert_ended_well(invoke("train", *words))
