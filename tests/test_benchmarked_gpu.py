"""The table of `make gpu`, at toy size on the CPU."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.process]


def test_the_table_holds_every_figure_and_ends_in_json() -> None:
    command = [sys.executable, "benchmarks/gpu.py", "--toy", "--device", "cpu"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    *table, last = done.stdout.strip().splitlines()
    figures = json.loads(last)
    assert {"card", "torch", "forecasts", "training"} == set(figures)
    assert [row["n_paths"] for row in figures["forecasts"]] == [1, 1, 30, 30, 3]
    for row in figures["forecasts"]:
        assert row["seconds"] > 0 and row["kernels_per_step"] > 50 and row["tokens_per_s"] > 0
        assert (row["plain_s"] is None) == (row["dtype"] != "float32")
    assert [row["name"] for row in figures["training"]] == ["demo tokenizer", "demo model"]
    assert all(row["tokens_per_s"] > 0 and 0 < row["of_peak"] < 1 for row in figures["training"])
    text = "\n".join(table)
    for heading in (
        "1st candle, ms",
        "step, ms",
        "candles/s",
        "of bandwidth",
        "of peak",
        "kernels/step",
        "memory, MiB",
    ):
        assert heading in text
