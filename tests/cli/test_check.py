"""`kronos check` as a user types it."""

import gzip
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from kronos.candles import CANDLE_COLUMNS
from kronos.cli.main import app
from kronos.data.windows import dataset
from tests.conftest import ROOT
from tests.data.planted import make_frame, plant

DEMO = ROOT / "configs" / "demo.yaml"
SAMPLE = ROOT / "data" / "synthetic_5min.csv"


def invoke(*arguments: object) -> Result:
    result = CliRunner().invoke(app, ["check", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_a_sound_file(tmp_path: Path) -> None:
    result = invoke(SAMPLE)
    assert result.exit_code == 0 and "nothing found" in result.output
    assert "3,360 candles, 5 minutes, 2024-01-02 09:35 to 2024-04-08 15:00" in result.output


def test_planted_defects_as_a_table_and_as_json(tmp_path: Path) -> None:
    expected = plant(tmp_path, 40)
    table = invoke(tmp_path)
    assert table.exit_code == 1
    for words in (
        "errors",
        "repairs",
        "notes",
        "line 482",
        "set repairs.impossible to drop or widen or keep",
        "errors: 13",
    ):
        assert words in table.output
    assert "The files were not changed." in table.output
    done = invoke(tmp_path, "--json")
    report = json.loads(done.stdout)
    assert done.exit_code == 1 and report["candles"] == sum(symbol["candles"] for symbol in report["symbols"])
    reported = {(Path(f["source"]).stem, f["code"], f["severity"]) for f in report["findings"]}
    del expected["short"]  # of no window, without a configuration
    assert reported == {(name, code, severity) for name, kinds in expected.items() for code, severity in kinds}


def test_the_table_in_chinese_and_json_without_a_language(tmp_path: Path) -> None:
    frame = make_frame()
    pd.concat([frame, frame[:1]]).to_csv(tmp_path / "repeated.csv", index=False)
    frame.loc[480, "high"] = 1.0
    frame.to_csv(tmp_path / "impossible.csv", index=False)
    chinese = invoke(tmp_path, "--language", "zh").output
    assert (
        "2 个标的共" in chinese
        and "周期 5 分钟" in chinese
        and "重复行；各保留一条" in chinese
        and "1 个错误" in chinese
        and "文件未被改动" in chinese
        and "The files were not changed" not in chinese
    )
    assert invoke(tmp_path, "report.language=zh").output == chinese
    assert invoke(tmp_path, "--json", "--language", "zh").stdout == invoke(tmp_path, "--json").stdout


def test_repairs_as_overrides(tmp_path: Path) -> None:
    frame = make_frame()
    frame.loc[480, "high"] = 1.0
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert invoke(tmp_path / "a.csv").exit_code == 1
    repaired = invoke(tmp_path / "a.csv", "repairs.impossible=widen")
    assert repaired.exit_code == 0 and "widened to include open and close" in " ".join(repaired.output.split())


def test_the_windows_of_a_configuration() -> None:
    result = invoke("--config", DEMO, f"data.data_path={SAMPLE}", "data.train_stride=10")
    assert result.exit_code == 0
    assert re.search(
        r"train +2,184 candles, 207 windows \(18 independent\); left out: 1,858 to the stride", result.output
    )
    report = json.loads(invoke("--config", DEMO, f"data.data_path={SAMPLE}", "--json").stdout)
    assert report["windows"]["train"] == {"candles": 2184, "windows": 2065, "independent": 18, "left_out": {}}
    assert list(report["windows"]) == ["train", "val", "test"]


def write_as(kind: str, folder: Path) -> Path:
    """Write 300 candles in one of several ways."""
    frame = make_frame()[:300]
    path = folder / "my.csv"
    if kind == "parquet":
        path = folder / "my.parquet"
        frame.to_parquet(path)
    elif kind == "gbk, a title, compressed":
        text = frame.rename(columns={"timestamps": "时间", "close": "收盘"}).to_csv(index=False)
        path = folder / "my.csv.gz"
        path.write_bytes(gzip.compress(("深发展\n" + text).encode("gb18030")))
    elif kind == "utf-16":
        path.write_text(frame.to_csv(index=False), encoding="utf-16")
    elif kind == "newest first":
        frame[::-1].to_csv(path, index=False)
    elif kind == "zoned":
        frame.assign(timestamps=frame["timestamps"].astype(str) + "+08:00").to_csv(path, index=False)
    elif kind == "a file a month":
        path = folder
        for name, rows in (("a", slice(0, 100)), ("b", slice(100, None))):
            frame[rows].assign(symbol="X").to_csv(folder / f"{name}.csv", index=False)
    else:
        frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    "kind", ["plain", "parquet", "gbk, a title, compressed", "utf-16", "newest first", "zoned", "a file a month"]
)
def test_candles_as_read_beside_their_lines(tmp_path: Path, kind: str) -> None:
    path = write_as(kind, tmp_path)
    frame = make_frame()[:300]
    (symbol,) = json.loads(invoke(path, "--json").stdout)["symbols"]
    rows = frame.iloc[[0, 1, -2, -1]].to_dict("records")
    for read, row in zip(symbol["as_read"], rows, strict=True):
        assert pd.Timestamp(read["time"]) == row["timestamps"] and read["zone"] == (
            "+08:00" if kind == "zoned" else None
        )
        assert all(read[name] == pytest.approx(row[name], rel=1e-6) for name in CANDLE_COLUMNS if name in row)
        assert str(row["close"]) in read["raw"] and str(row["timestamps"]) in read["raw"]
    printed = invoke(path).output
    first = symbol["as_read"][0]
    assert f"{first['unit']} {first['line']}: {first['raw']}" in printed
    assert re.search(rf"{first['time']}.*  {rows[0]['close']:g} .*\n.*{first['unit']} {first['line']}:", printed)
    assert f"第 {first['line']} 行: {first['raw']}" in invoke(path, "--language", "zh").output


def test_whether_candles_are_enough(tmp_path: Path) -> None:
    def check(n: int, *words: str) -> dict[str, Any]:
        make_frame()[:n].to_csv(tmp_path / "my candles.csv", index=False)
        return json.loads(invoke(tmp_path / "my candles.csv", "--json", *words).stdout)

    proposed = check(2880)
    assert (proposed["enough"]["lookback_window"], proposed["enough"]["enough"]) == (48, "enough")
    assert proposed["enough"]["proposed"] and proposed["enough"]["independent"]["train"] >= 30
    assert shlex.split(proposed["next"]) == ["kronos", "init", str(tmp_path / "my candles.csv")]
    given = check(2880, "data.lookback_window=96", "data.predict_window=24")
    assert given["enough"]["enough"] == "little" and not given["enough"]["proposed"]
    assert shlex.split(given["next"]).count("data.lookback_window=96") == 1
    assert check(200)["enough"]["enough"] == "no_verdict"
    few = check(40)
    assert few["enough"]["enough"] == "none" and "next" not in few
    assert "no window fits" in invoke(tmp_path / "my candles.csv").output


def test_after_errors_the_next_step_is_to_correct_them(tmp_path: Path) -> None:
    plant(tmp_path, 3)
    output = invoke(tmp_path).output
    assert "next: correct the errors" in output and "kronos train" not in output


def test_what_an_epoch_takes() -> None:
    keys = ("data.windows_per_epoch=100", "data.balance_symbols=true")
    result = invoke("--config", DEMO, f"data.data_path={SAMPLE}", *keys)
    assert "2,065 windows (18 independent); 100 an epoch; the same number of each symbol" in " ".join(
        result.output.split()
    )


def test_equal_notes_of_many_files_are_one_row(tmp_path: Path) -> None:
    for seed in range(30):
        make_frame(seed).drop(columns="amount").to_csv(tmp_path / f"s{seed}.csv", index=False)
    result = invoke(tmp_path)
    assert result.output.count("no column amount") == 1 and "s0 and 29 more" in result.output
    assert "nothing found" in invoke(write_short(tmp_path / "other")).output  # no window was asked for


def test_each_file_s_errors_have_their_place(tmp_path: Path) -> None:
    for seed in range(3):
        frame = make_frame(seed)
        frame.loc[480 + seed, "close"] = None
        frame.to_csv(tmp_path / f"s{seed}.csv", index=False)
    output = invoke(tmp_path).output
    assert all(f"line {482 + seed}" in output and f"s{seed}" in output for seed in range(3))


def write_short(folder: Path) -> Path:
    folder.mkdir()
    for seed in (0, 1):
        make_frame(seed)[:100].to_csv(folder / f"short{seed}.csv", index=False)
    return folder


def test_the_self_test_says_that_it_was_not_run(tmp_path: Path) -> None:
    frame = make_frame()
    frame.loc[480, "high"] = 1.0
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert "the self-test was not run" in invoke("--config", DEMO, tmp_path / "a.csv", "--leakage").output


def test_paths_go_before_those_of_the_configuration(tmp_path: Path) -> None:
    make_frame().to_csv(tmp_path / "mine.csv", index=False)
    assert "mine.csv: 2,880 candles" in invoke("--config", DEMO, tmp_path / "mine.csv").output


def test_the_self_test(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("--config", DEMO, f"data.data_path={SAMPLE}", "--leakage")
    sound = invoke(*arguments)
    assert sound.exit_code == 0 and re.search(r"no leak: .* \(14 cuts, [\d,]+ windows", sound.output)
    assert json.loads(invoke(*arguments, "--json").stdout)["leaks"] == []
    build = dataset.WindowDataset.__init__

    def leaky(self, candles, starts, config, *rest):
        build(self, candles, starts, config, *rest)
        self.config = config.override({"lookback_window": config.window - 1, "predict_window": 1})

    monkeypatch.setattr(dataset.WindowDataset, "__init__", leaky)
    planted = invoke(*arguments)
    assert planted.exit_code == 1 and "LEAK: statistics at the cut" in planted.output
    assert json.loads(invoke(*arguments, "--json").stdout)["leaks"][0]["what"] == "statistics"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Give --config, or files of candles"),
        (("none.csv",), "none.csv: no such file"),
        (("*.none",), "no file matches"),
        ((SAMPLE, "repairs.imposible=drop"), "did you mean repairs.impossible?"),
        ((SAMPLE, "repairs.impossible=mend"), "repairs.impossible is 'mend'"),
        (("--config", DEMO, f"data.data_path={SAMPLE}", "data.lookback_window=5000"), "it needs at least 5024"),
        (("--config", DEMO, f"data.data_path={SAMPLE}", "data.test_symbols=[x]"), "no symbol x"),
        (("--config", DEMO, "data.val_end=2024-06-30"), "val_end is given without train_end"),
        (("--config", DEMO, "data.train_end=2024-06-30", "data.val_end=2024-06-01"), "must be later than train_end"),
        (("--config", DEMO, "data.columns={opn: a}"), "columns has unknown names: opn"),
        ((SAMPLE, "data.columns={open: opne}"), "Did you mean 'open'?"),
        (("--config", DEMO, "data.data_path="), "data_path is empty"),
    ],
)
def test_bad_input(arguments: tuple[object, ...], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 1 and words in " ".join(result.output.split())
