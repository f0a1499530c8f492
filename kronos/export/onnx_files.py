"""Write the models as ONNX graphs, and check what onnxruntime computes with them."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from kronos.config import Config
from kronos.errors import CheckpointError, ConfigError, WriteError
from kronos.export.graphs import Graph, build_graphs
from kronos.export.int8 import Int8Gate, find_windows, measure_int8, quantize
from kronos.files import replacing_folder, write_json
from kronos.model.pretrained import hash_weights
from kronos.names import Message
from kronos.progress.bars import track
from kronos.progress.log_levels import raise_log_levels
from kronos.saved_run import SavedRun
from kronos.version import __version__

OPSET = 20
TOLERANCE = 1e-4  # of the largest value of an output
SETTINGS, RUNNER = "kronos.json", "runner.py"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
LARGEST = 65_536  # of the free axes
NOISY = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


@dataclass(frozen=True)
class OnnxExport:
    """What was written.

    difference: the largest between what onnxruntime and PyTorch compute, relative to the largest value of each output.
    int8: how forecasts change in int8; None if that was not asked for. The int8 graphs are there only if it passes.
    """

    difference: float
    int8: Int8Gate | None = None


def export_onnx(saved: SavedRun, out: Path, int8: tuple[int, int] | None = None) -> OnnxExport:
    """Write the graphs, their settings and the runner into a folder, complete or not at all.

    Args:
        out: a new folder, or one of an earlier export, which is replaced.
        int8: how many forecasts of how many paths judge the base model in int8; None: only float32 is written.

    Raises:
        DataError: the run has too few candles to judge int8 by.
        ConfigError: a package is missing, or out holds something else. CheckpointError: they do not compute the same.
        WriteError: out cannot be written.
    """
    check_packages(PACKAGES, "onnx")
    check_out(out, SETTINGS)
    windows = find_windows(saved.config, int8[0]) if int8 else []
    tokenizer, model = saved.tokenizer.eval(), saved.model.eval()
    graphs = build_graphs(tokenizer, model, n_rows=3, n_tokens=8)
    others = build_graphs(tokenizer, model, n_rows=2, n_tokens=5)  # other sizes than those that were traced
    differences = []
    with replacing_folder(out) as folder, explain_writing(out):
        for name in track(graphs, Message("exporting"), len(graphs), "graphs"):
            _write_graph(graphs[name], folder / f"{name}.onnx")
            difference = _compare(others[name], folder / f"{name}.onnx")
            if not difference <= TOLERANCE:
                raise CheckpointError(
                    "{name}: onnxruntime computes other values than PyTorch (relative difference {difference:.1g}). Install the "
                    "versions of requirements-dev.txt, and report this.",
                    name=name,
                    difference=difference,
                )
            differences.append(difference)
        shutil.copyfile(Path(__file__).with_name(RUNNER), folder / RUNNER)
        write_json(folder / SETTINGS, describe(saved))
        gate = try_int8(folder, windows, saved.config.data.lookback_window, int8[1]) if int8 else None
    return OnnxExport(max(differences), gate)


def try_int8(folder: Path, windows: Sequence[pd.DataFrame], lookback: int, n_paths: int) -> Int8Gate:
    """Write the int8 graphs, and remove them if their forecasts are worse."""
    quantize(folder)
    gate = measure_int8(folder, windows, lookback, n_paths)
    if not gate.passes:
        for path in folder.glob("*.int8.onnx"):
            path.unlink()
    return gate


@contextmanager
def explain_writing(out: Path) -> Iterator[None]:
    """Name the folder in errors of other packages that write to it."""
    try:
        yield
    except OSError as error:
        raise WriteError.about(out, error) from error


def check_packages(names: tuple[str, ...], extra: str) -> None:
    """Check that optional packages are installed.

    Raises:
        ConfigError: one is not.
    """
    if missing := [name for name in names if find_spec(name) is None]:
        raise ConfigError(
            "this export needs {packages}. Run pip install {packages} (the extra {extra}).",
            packages=" ".join(missing),
            extra=extra,
        )


def check_out(out: Path, marker: str) -> None:
    """Check that a folder is new, empty, or of an earlier export, which its marker shows.

    Raises:
        ConfigError: it holds something else.
    """
    if out.exists() and not (out.is_dir() and ((out / marker).is_file() or not any(out.iterdir()))):
        raise ConfigError("{out} exists, and is no earlier export. Choose another folder.", out=out)


def describe(saved: SavedRun) -> dict[str, Any]:
    """Return what a runner needs beside the graphs, and what identifies the models."""
    config: Config = saved.config
    return {
        "kronos": __version__,
        "max_context": config.data.max_context,
        "clip": config.data.clip,
        "lookback": config.data.lookback_window,
        "horizon": config.data.predict_window,
        "temperature": config.report.temperature,
        "top_p": config.report.top_p,
        "tokenizer_sha256": hash_weights(saved.tokenizer),
        "base_model_sha256": hash_weights(saved.model),
    }


def _write_graph(graph: Graph, path: Path) -> None:
    batch, time = (torch.export.Dim(name, min=least, max=LARGEST) for name, least in (("batch", 1), ("time", 2)))
    free = {"batch": batch, "time": time}
    axes = tuple({axis: free[name] for axis, name in own.items()} for own in graph.axes)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            graph.module.eval(),
            graph.inputs,
            dynamo=True,
            dynamic_shapes=axes,
            input_names=graph.input_names,
            output_names=graph.output_names,
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    program.save(path)


def _compare(graph: Graph, path: Path) -> float:
    """Return the largest difference of the outputs, relative to the largest value of each."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = {each.name: given.numpy() for each, given in zip(session.get_inputs(), graph.inputs)}
    with torch.no_grad():
        expected = graph.module(*graph.inputs)
    outputs = expected if isinstance(expected, tuple) else (expected,)
    pairs = [(each.numpy(), made) for each, made in zip(outputs, session.run(None, inputs))]
    return max(float(np.abs(made - each).max() / max(np.abs(each).max(), 1e-9)) for each, made in pairs)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes on itself away."""
    with raise_log_levels(dict.fromkeys(NOISY, logging.ERROR)), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
