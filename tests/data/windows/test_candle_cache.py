"""Large sets are mapped from one copy on disk, identified by content, complete or not used."""

import logging
from pathlib import Path

import numpy as np
import pytest

from kronos.config.data import DataConfig, RepairsConfig
from kronos.data import WindowDataset, load_candles, split_candles
from kronos.errors import DataError
from tests.data.planted import make_frame


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataConfig:
    """Three symbols, one with a defect, in files that count as large."""
    monkeypatch.setattr("kronos.data.windows.load.CACHE_FROM_BYTES", 1)
    folder = tmp_path / "candles"
    folder.mkdir()
    for seed in range(3):
        frame = make_frame(seed, 20)
        frame.drop(index=range(390 + 50 * seed, 393 + 50 * seed) if seed else []).to_csv(
            folder / f"s{seed}.csv", index=False
        )
    return DataConfig(data_path=(folder,), lookback_window=96, predict_window=24, cache_dir=tmp_path / "cache")


def entries(data: DataConfig) -> list[Path]:
    return [path for path in data.cache_dir.iterdir() if path.is_dir()]


def test_the_same_candles_and_findings_as_in_memory(data: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    built = load_candles(data, RepairsConfig())
    mapped = load_candles(data, RepairsConfig())
    monkeypatch.setattr("kronos.data.windows.load.CACHE_FROM_BYTES", 1 << 40)
    in_memory = load_candles(data, RepairsConfig())
    assert isinstance(mapped.candles.values, np.memmap) and not isinstance(in_memory.candles.values, np.memmap)
    for audited in (built, mapped):
        assert audited.candles.symbols == in_memory.candles.symbols
        assert audited.findings == in_memory.findings and len(audited.findings) == 2
        assert audited.candles.content_hash() == in_memory.candles.content_hash()
        for name in ("values", "instants", "calendar"):
            assert np.array_equal(getattr(audited.candles, name), getattr(in_memory.candles, name))
    batches = []
    for candles in (mapped.candles, in_memory.candles):
        split = split_candles(candles, data)["train"]
        batches.append(WindowDataset(candles, split.starts, data).__getitems__(range(0, len(split), 97)))
    assert all((batches[0][key] == batches[1][key]).all() for key in batches[0])


def test_a_second_run_reads_no_file(
    data: DataConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    load_candles(data, RepairsConfig())
    monkeypatch.setattr("kronos.data.windows.load.read_file", lambda *_: pytest.fail("a file was read"))
    with caplog.at_level(logging.INFO):
        load_candles(data, RepairsConfig())
    assert "mapped into memory from" in caplog.text and len(entries(data)) == 1


def test_another_content_or_setting_is_another_entry(data: DataConfig) -> None:
    load_candles(data, RepairsConfig())
    load_candles(data, RepairsConfig(gaps="fill"))
    assert len(entries(data)) == 2
    file = data.data_path[0] / "s0.csv"
    file.write_text(file.read_text().replace("2024-03-01 09:35:00,", "2024-03-01 09:35:00,0", 1))
    load_candles(data, RepairsConfig())
    assert len(entries(data)) == 3
    file.touch()  # the content counts, not the time
    load_candles(data, RepairsConfig())
    assert len(entries(data)) == 3


DAMAGES = {
    "gone": lambda content: None,
    "cut": lambda content: content[:-100],
    "zeroed": lambda content: bytes(len(content)),
    "one bit": lambda content: bytes([content[0] ^ 1]) + content[1:],
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["values", "instants", "calendar", "index.json", "complete.json"])
def test_a_damaged_entry_is_built_again(
    data: DataConfig, name: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    load_candles(data, RepairsConfig())
    (folder,) = entries(data)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    damaged = DAMAGES[damage](whole[name])
    (folder / name).write_bytes(damaged or b"")
    if damaged is None:
        (folder / name).unlink()
    again = load_candles(data, RepairsConfig())
    assert f"{folder} is damaged or incomplete and is made anew" in caplog.text
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
    assert np.array_equal(again.candles.values, np.frombuffer(whole["values"], np.float32).reshape(-1, 6))


def test_a_cache_that_cannot_be_written_says_where_else(data: DataConfig, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be written: .*data\.cache_dir"):
        load_candles(data.override({"cache_dir": tmp_path / "file"}), RepairsConfig())


def test_a_full_disk_leaves_nothing_half_written(data: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_up(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kronos.data.windows.candle_cache.compute_small_calendar", fill_up)
    with pytest.raises(DataError, match=r"No space left on device. Choose another folder with data\.cache_dir"):
        load_candles(data, RepairsConfig())
    assert entries(data) == []


def test_nothing_readable_is_no_crash(data: DataConfig) -> None:
    for file in data.data_path[0].iterdir():
        file.write_text("no candles\n1\n")
    audited = load_candles(data, RepairsConfig())
    assert len(audited.candles) == 0 and {finding.kind for finding in audited.findings} == {"unreadable"}
