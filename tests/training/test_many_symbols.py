"""Both stages on many symbols: what the configuration says of windows reaches the training."""

import json
import logging
from pathlib import Path

import pytest
from accelerate import PartialState

from kronos import load_config
from kronos.errors import DataError
from kronos.training import run_pipeline
from tests.data.planted import make_frame


@pytest.fixture
def config_path(tiny_config: Path, tmp_path: Path) -> Path:
    """tiny.yaml on four symbols, one with a hole, one with a candle that cannot be."""
    PartialState(cpu=True)
    folder = tmp_path / "symbols"
    folder.mkdir()
    for seed in range(4):
        frame = make_frame(seed, 4)
        frame = frame.drop(index=range(60, 70)) if seed == 1 else frame
        if seed == 2:
            frame.loc[50, "high"] = 1.0
        frame.to_csv(folder / f"s{seed}.csv", index=False)
    return tiny_config


def run(config_path: Path, tmp_path: Path, *overrides: str):
    keys = ["repairs.impossible=widen", "data.windows_per_epoch=64", "data.balance_symbols=true", "data.train_stride=2"]
    return run_pipeline(load_config(config_path, [f"data.data_path={tmp_path}/symbols", *keys, *overrides]), False)


@pytest.mark.slow
def test_windows_of_many_symbols(config_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        result = run(config_path, tmp_path, "data.test_symbols=[s3]", "data.max_gap=5")
    assert all(record.finished and record.steps == 2 * 64 // 16 for record in result.records.values())
    assert len(result.candles.symbols) == 4 and len(result.splits["test"]) > len(result.splits["val"])
    assert "64 train windows an epoch" in caplog.text and "to gaps" in caplog.text
    assert "repair:" in caplog.text and "note:" in caplog.text
    audit = json.loads((tmp_path / "runs" / "tiny" / "data.json").read_text())
    assert {finding["code"] for finding in audit["findings"]} == {"impossible", "gaps"}
    assert [symbol["candles"] for symbol in audit["symbols"]] == [336, 326, 336, 336]


def test_errors_stop_the_run_before_anything_is_written(config_path: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"s2\.csv, line 52 .*: impossible candles .* set repairs\.impossible"):
        run(config_path, tmp_path, "repairs.impossible=error")
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_mapped_candles_train_the_same_model(
    config_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = "experiment.train_basemodel=false"
    plain = run(config_path, tmp_path, only).records["tokenizer"]
    monkeypatch.setattr("kronos.data.windows.load.CACHE_FROM_BYTES", 1)
    cached = [f"data.cache_dir={tmp_path}/cache", only]
    mapped = [run(config_path, tmp_path, *cached).records["tokenizer"] for _ in range(2)]
    assert plain.best_loss == mapped[0].best_loss == mapped[1].best_loss
