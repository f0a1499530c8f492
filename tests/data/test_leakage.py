"""The self-test finds nothing as things are, and finds each leak that is planted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kronos.config.data import DataConfig, RepairsConfig
from kronos.data import leakage
from kronos.data.leakage import find_leaks
from kronos.data.windows import dataset, splits
from kronos.errors import DataError
from tests.data.planted import make_frame
from tests.data.quality.test_repair import crypto

WINDOWS = {"lookback_window": 40, "predict_window": 8, "train_ratio": 0.6, "val_ratio": 0.2, "test_ratio": 0.2}


@pytest.fixture
def data(tmp_path: Path) -> DataConfig:
    """Three symbols, with a hole, a split and a blank price."""
    frames = [make_frame(seed, 20) for seed in range(3)]
    frames[1] = frames[1].drop(index=range(490, 493))
    frames[2].loc[300:, ["open", "high", "low", "close"]] /= 2
    frames[2].loc[600, "close"] = frames[2].loc[400, "volume"] = np.nan
    for i, frame in enumerate(frames):
        frame.to_csv(tmp_path / f"s{i}.csv", index=False)
    return DataConfig(data_path=(tmp_path,), max_gap=2, **WINDOWS)


REPAIRS = RepairsConfig(not_finite="fill", gaps="fill", fill_limit=2)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"test_symbols": ("s2",), "embargo": 10},
        {"train_end": "2024-03-13", "val_end": "2024-03-20"},
        {"train_stride": 5},
    ],
)
def test_no_leak(data: DataConfig, keys: dict[str, object]) -> None:
    leaks = find_leaks(DataConfig(**data.model_dump() | keys), REPAIRS)
    assert leaks.leaks == [] and leaks.n_cuts >= 8 and leaks.n_windows > 1000


def kinds(data: DataConfig) -> set[str]:
    return {leak.what for leak in find_leaks(data, REPAIRS).leaks}


def test_statistics_of_the_whole_window_are_found(data: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What upstream does."""
    build = dataset.WindowDataset.__init__

    def leaky(self, candles, starts, config, *rest):
        build(self, candles, starts, config, *rest)
        self.config = config.override({"lookback_window": config.window - 1, "predict_window": 1})

    monkeypatch.setattr(dataset.WindowDataset, "__init__", leaky)
    assert kinds(data) == {"statistics"}


def test_statistics_of_the_whole_file_are_found(data: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare = leakage._prepare

    def leaky(*arguments):
        prepared = prepare(*arguments)
        values = prepared.candles.values
        return replace(prepared, candles=replace(prepared.candles, values=values / values.mean(axis=0)))

    monkeypatch.setattr(leakage, "_prepare", leaky)
    assert {"history", "batch", "statistics"} == kinds(data)


def test_a_train_split_that_reaches_into_validation_is_found(data: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out = splits._lay_out

    def leaky(name, spans, breaks, config):
        spans = (
            [replace(span, stop=min(span.stop + 5, span.symbol.stop)) for span in spans] if name == "train" else spans
        )
        return lay_out(name, spans, breaks, config)

    monkeypatch.setattr(splits, "_lay_out", leaky)
    assert "windows" in kinds(data)


def test_a_repair_that_looks_ahead_is_found(data: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blank volumes filled with the mean of the file."""
    inspect = leakage.inspect_series

    def leaky(raw, repairs):
        blank = np.isnan(raw.values)
        return inspect(replace(raw, values=np.where(blank, np.nanmean(raw.values, axis=0), raw.values)), repairs)

    monkeypatch.setattr(leakage, "inspect_series", leaky)
    assert "history" in kinds(data)


def test_jumps_found_from_the_whole_file_are_leaks(data: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    inspect = leakage.inspect_series

    def leaky(raw, repairs):
        inspected = inspect(raw, repairs)
        steps = np.abs(np.diff(np.log(inspected.raw.values[:, 3])))
        return replace(inspected, jumps=1 + np.flatnonzero(steps > np.quantile(steps, 0.999)))

    monkeypatch.setattr(leakage, "inspect_series", leaky)
    assert "windows" in kinds(data)


@pytest.mark.parametrize("start", ["2024-02-25", "2024-10-20"])
def test_no_leak_where_clocks_change(tmp_path: Path, start: str) -> None:
    crypto(20, None, start).to_csv(tmp_path / "c.csv", index=False)
    assert find_leaks(DataConfig(data_path=(tmp_path / "c.csv",), **WINDOWS), REPAIRS).leaks == []


def test_a_repair_that_looks_one_row_ahead_is_found(data: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    inspect = leakage.inspect_series

    def leaky(raw, repairs):
        inspected, blank = inspect(raw, repairs), np.isnan(raw.values)
        values = raw.values.copy()
        row, column = np.nonzero(blank)
        values[row, column] = raw.values[row + 1, column]
        return replace(
            inspected, raw=replace(inspected.raw, values=inspect(replace(raw, values=values), repairs).raw.values)
        )

    monkeypatch.setattr(leakage, "inspect_series", leaky)
    assert "history" in kinds(data)


def test_many_harmless_findings_hide_no_leak(data: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "s2.csv"
    rows = file.read_text().splitlines()
    file.write_text("\n".join([*rows, *rows[30:900:3]]) + "\n")  # 290 duplicates
    test_a_repair_that_looks_one_row_ahead_is_found(data, monkeypatch)


def test_a_cap_of_validation_is_no_leak(data: DataConfig) -> None:
    assert find_leaks(data.override({"val_windows": 20}), REPAIRS).leaks == []


def test_files_that_cannot_be_read_are_errors(data: DataConfig, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        find_leaks(data.override({"data_path": (tmp_path / "none",)}), REPAIRS)


def test_many_symbols_are_looked_at_in_part(data: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    all_symbols = find_leaks(data, REPAIRS)
    monkeypatch.setattr(leakage, "N_SYMBOLS", 1)
    one = find_leaks(data, REPAIRS)
    assert one.leaks == all_symbols.leaks == [] and one.n_windows < all_symbols.n_windows
