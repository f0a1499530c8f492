"""`kronos predict` as a user types it, and what it says to bad input."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.image import imread
from typer.testing import CliRunner, Result

from kronos.cli.main import app
from kronos.data import read_candles
from kronos.evaluation.scores.calibration import Calibration
from kronos.evaluation.stored_calibration import describe_conditions, write_calibration
from kronos.forecast import KronosPredictor, Sampling
from kronos.model import Kronos, KronosTokenizer
from kronos.model.pretrained import hash_weights
from kronos.names import name_file
from kronos.run_folder import RunFolder
from kronos.stage_record import StageRecord
from tests.conftest import GOLDEN, ROOT, FinishedRun
from tests.data.quality.test_repair import crypto

SYNTHETIC = ROOT / "data" / "synthetic_5min.csv"
MODELS = ("--tokenizer", GOLDEN / "tokenizer", "--model", GOLDEN / "predictor")
SMALL = ("--horizon", 6, "--lookback", 30, "--paths", 4)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


@pytest.fixture
def candles(tmp_path: Path) -> Path:
    """Three days and a bit of 5-minute candles; the last stands at 10:10."""
    path = tmp_path / "data" / "600977.csv"
    path.parent.mkdir()
    path.write_text("".join(SYNTHETIC.open().readlines()[:153]))
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_bad_candles_matter_where_the_forecast_reads_them(candles: Path, out: Path) -> None:
    lines = candles.read_text().splitlines()
    for row, status in ((20, 0), (140, 1)):  # long before the lookback of 30, and within
        cells = lines[row].split(",")
        spoilt = ",".join([cells[0], cells[1], "0.5", *cells[3:]])
        candles.write_text("\n".join([*lines[:row], spoilt, *lines[row + 1 :]]) + "\n")
        result = invoke(*MODELS, "--data", candles, *SMALL, "--no-pictures", "--out", out)
        assert result.exit_code == status, result.output
        assert (f"line {row + 1}" in result.output and "impossible candles" in result.output) == bool(status)


@pytest.mark.parametrize("zoned", [True, False])
def test_origins_about_clocks_put_back(tmp_path: Path, out: Path, zoned: bool) -> None:
    """The night in which an hour comes twice, with zones in the file and without."""
    frame = crypto(20, "with its offset" if zoned else None)
    path = tmp_path / "c.csv"
    frame.to_csv(path, index=False)
    local = pd.to_datetime(frame["timestamps"].str[:19]) if zoned else frame["timestamps"]
    twice = int((local.diff() < pd.Timedelta(0)).to_numpy().argmax())
    for row in (twice - 3, twice - 1, twice + 3, twice + 20):
        result = invoke(*MODELS, "--data", path, *SMALL, "--origin", str(local[row]), "--out", out, "--no-pictures")
        assert result.exit_code == 0, result.output
    result = invoke(*MODELS, "--data", path, *SMALL, "--origin", str(local[twice - 4]), "--out", out, "--json")
    assert result.exit_code == 0, result.output


def test_a_forecast_does_not_read_across_a_split(candles: Path, out: Path) -> None:
    frame = pd.read_csv(candles)
    frame.loc[140:, ["open", "high", "low", "close"]] /= 2
    frame.to_csv(candles, index=False)
    result = invoke(*MODELS, "--data", candles, *SMALL, "--no-pictures", "--out", out)
    assert result.exit_code == 0 and "after a jump or a long gap: 12 candles" in result.output
    frame.loc[151:, ["open", "high", "low", "close"]] /= 2
    frame.to_csv(candles, index=False)
    result = invoke(*MODELS, "--data", candles, *SMALL, "--no-pictures", "--out", out)
    assert result.exit_code == 1 and "1 candle(s) between the last jump or long gap and the origin" in result.output


def test_what_trained_together_is_forecast_together(candles: Path, out: Path) -> None:
    """One symbol in a file a year; and a run's own max_gap."""
    frame = pd.read_csv(candles).assign(symbol="AAA")
    candles.unlink()
    for name, rows in (("2023", slice(0, 100)), ("2024", slice(100, None))):
        frame[rows].to_csv(candles.with_name(f"{name}.csv"), index=False)
    result = invoke(*MODELS, "--data", candles.parent, *SMALL, "--no-pictures", "--out", out, "--json")
    assert result.exit_code == 0 and [f["name"] for f in json.loads(result.stdout)["forecasts"]] == ["AAA"]
    assert json.loads(result.stdout)["forecasts"][0]["origin"] == pd.Timestamp(frame["timestamps"].iloc[-1]).isoformat()


def test_a_file_of_many_symbols(candles: Path, out: Path) -> None:
    frame = pd.read_csv(candles)
    both = pd.concat([frame.assign(symbol="000001"), frame.assign(symbol="BTC/USDT")]).sort_values("timestamps")
    both.to_parquet(candles.with_suffix(".parquet"))
    candles.unlink()
    result = invoke(*MODELS, "--data", candles.parent, *SMALL, "--no-pictures", "--out", out)
    assert result.exit_code == 0, result.output
    assert {path.name for path in out.iterdir()} == {
        f"{name}_forecast.csv" for name in ("000001", name_file("BTC/USDT"))
    }
    one, other = (pd.read_csv(path)["close"] for path in out.iterdir())
    assert not np.allclose(one, other)  # each draws its own random numbers


def test_table_picture_and_page_of_the_future(candles: Path, out: Path) -> None:
    result = invoke(*MODELS, "--data", candles, *SMALL, "--out", out)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(out / "600977_forecast.csv", index_col="timestamps", parse_dates=True)
    last = read_candles(candles).index[-1]
    assert list(table.index) == list(pd.date_range(last, periods=7, freq="5min")[1:])
    assert {"close", "close_q0.05", "close_q0.95", "volume_q0.5", "probability_up"} <= set(table)
    assert (table["close_q0.05"] <= table["close_q0.95"]).all()
    assert (table["close_mean"] == table["close"]).all() and (table["close_median"] == table["close_q0.5"]).all()
    assert len(read_candles(out / "600977_forecast.csv")) == 6  # in the format of our own candles
    assert imread(out / "600977_forecast.png").shape[:2] == (700, 1200)
    assert "600977" in (out / "600977_forecast.html").read_text()
    assert {path.name for path in out.iterdir()} == {f"600977_forecast.{kind}" for kind in ("csv", "png", "html")}
    for words in (
        "600977",
        "5–95%",
        "higher",
        "needed repair" if "None of" in result.output else "repaired",
        "4 sampled paths",
        "open … amount are the mean of the paths",
    ):
        assert words in result.output


def test_json_is_all_there_is_on_stdout(candles: Path, out: Path) -> None:
    origin = read_candles(candles).index[100]
    options = ("--origin", origin, "--quantiles", "0.5,0.1", "--no-pictures", "--save-paths", "--json", "--out", out)
    result = invoke(*MODELS, "--data", candles, *SMALL, *options)
    assert result.exit_code == 0, result.output
    parsed = json.loads(result.stdout)
    assert parsed["errors"] == []
    (forecast,) = parsed["forecasts"]
    assert forecast["name"] == "600977" and forecast["origin"] == origin.isoformat()
    assert forecast["timestamps"] == [time.isoformat() for time in read_candles(candles).index[101:107]]
    assert list(forecast["quantiles"]) == ["0.1", "0.5"] and len(forecast["quantiles"]["0.1"]["close"]) == 6
    assert len(forecast["truth"]["close"]) == 6
    risk = forecast["risk"]
    assert len(risk["value_at_risk"]) == len(forecast["timestamps"]) and risk["confidence"] == 0.95
    assert all(es >= var for es, var in zip(risk["expected_shortfall"], risk["value_at_risk"]))
    assert 0 <= risk["maximum_drawdown"]["median"] <= risk["maximum_drawdown"]["q0.95"] < 1
    assert set(forecast["files"]) == {"table", "paths"} and forecast["repairs"]["n_candles"] == 24
    paths = pd.read_csv(forecast["files"]["paths"])
    assert len(paths) == 4 * 6
    means = paths.groupby("timestamps")["close"].mean()
    assert means.to_list() == pytest.approx(forecast["mean"]["close"])


def test_the_same_seed_the_same_forecast(candles: Path, out: Path) -> None:
    tables = []
    for seed in (1, 1, 2):
        assert invoke(*MODELS, "--data", candles, *SMALL, "--seed", seed, "--no-pictures", "--out", out).exit_code == 0
        tables.append((out / "600977_forecast.csv").read_text())
    assert tables[0] == tables[1] != tables[2]


def test_a_folder_is_forecast_file_by_file_and_a_bad_file_is_named(candles: Path, out: Path) -> None:
    other = candles.with_name("000001.csv")
    other.write_text("".join(candles.open().readlines()[:60]))
    candles.with_name("bad.csv").write_text("timestamps,open\n2024-01-01,1\n")
    result = invoke(*MODELS, "--data", candles.parent, *SMALL, "--no-pictures", "--format", "parquet", "--out", out)
    assert result.exit_code == 1
    assert "bad.csv: column high, low, close missing" in result.output and "1 of 3 files" in result.output
    assert {path.name for path in out.iterdir()} == {"600977_forecast.parquet", "000001_forecast.parquet"}
    folder = out.parent / "other company"
    folder.mkdir()
    for name in ("000001", "000002"):
        shutil.copy(other, folder / f"{name}.csv")
    again = out.parent / "again"
    options = ("--no-pictures", "--format", "parquet", "--out", again)
    assert invoke(*MODELS, "--data", folder, *SMALL, *options).exit_code == 0
    first, second = (pd.read_parquet(each / "000001_forecast.parquet") for each in (out, again))
    pd.testing.assert_frame_equal(first, second, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "give either --run (the folder of a run) or --model"),
        (("--tokenizer", GOLDEN / "tokenizer"), "give either --run (the folder of a run) or --model"),
        ((*MODELS, "--run", "finetuned/demo"), "give either --run (the folder of a run) or --model"),
        (("--tokenizer", GOLDEN / "tokenizer", "--run", "finetuned/demo"), "--tokenizer needs --model"),
        (("--model", GOLDEN / "predictor", "--data", SYNTHETIC), "the tokenizer of this model is not known"),
        (MODELS, "give --data"),
        (("--run", "nowhere"), "nowhere: there is no run here"),
        ((*MODELS, "--data", SYNTHETIC, "--out", SYNTHETIC), "is a file; choose a folder"),
        ((*MODELS, "--data", SYNTHETIC, "--origin", "02/04/2024 10:10"), "not a local time"),
        ((*MODELS, "--data", "nowhere.csv"), "nowhere.csv: no such file"),
        ((*MODELS, "--data", SYNTHETIC, "--horizon", 0), "the horizon (pred_len) must be a whole number of at least 1"),
        ((*MODELS, "--data", SYNTHETIC, "--horizon", 512), "beyond max_context = 512"),
        ((*MODELS, "--data", SYNTHETIC, "--lookback", 1), "at least 2"),
        ((*MODELS, "--data", SYNTHETIC, "--horizon", 10**12), "beyond max_context = 512"),
        ((*MODELS, "--data", SYNTHETIC, "--paths", 0), "number of paths"),
        ((*MODELS, "--data", SYNTHETIC, "--paths", 10**9), "Sample fewer paths"),
        ((*MODELS, "--data", SYNTHETIC, "--top-p", 0), "top_p"),
        ((*MODELS, "--data", SYNTHETIC, "--quantiles", "0.5;0.9"), "numbers separated by commas"),
        ((*MODELS, "--data", SYNTHETIC, "--quantiles", "50"), "from 0 to 1"),
        ((*MODELS, "--data", SYNTHETIC, "--origin", "soon"), "not a local time"),
        ((*MODELS, "--data", SYNTHETIC, "--device", "abacus"), "device 'abacus'"),
        ((*MODELS, "--data", SYNTHETIC, "--exchange", "XSGH"), "XSHG"),
        ((*MODELS, "--data", SYNTHETIC, "--out", SYNTHETIC.parent), "choose another folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_status_1(options: tuple, words: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke(*options)
    assert result.exit_code == 1, result.output
    assert "None" not in result.output
    assert words in result.output and "Traceback" not in result.output
    assert result.output.splitlines()[-1].startswith("error: ") and not any(tmp_path.rglob("*forecast.*"))


def test_prices_keep_to_the_limits_of_a_board(candles: Path, out: Path) -> None:
    """The file's name tells the board. The day before closed so high that the lower limit is near."""
    frame, prices = pd.read_csv(candles), ["open", "high", "low", "close"]
    frame.loc[143, prices] *= 1.11
    frame.to_csv(named := candles.with_name("SH600977.csv"), index=False)
    options = (*MODELS, "--data", named, *SMALL, "--no-pictures", "--save-paths", "--out", out)
    lowest = {}
    for override in ("data.board=unlimited", "repairs.unsorted=sort"):  # the second is the default
        done = invoke(*options, override)
        assert done.exit_code == 0, done.output
        lowest[override] = pd.read_csv(out / "SH600977_paths.csv")[prices].min(axis=None)
        limited = "Prices keep to the exchange's daily price limits in 1 of 1 series" in done.stdout
        assert limited == override.startswith("repairs"), done.stdout
    free, kept = lowest.values()
    assert free < kept == pytest.approx(round(0.9 * frame["close"][143], 2))


def write_unusual(candles: Path) -> Path:
    """The candles under names and with a row that need a mapping and a repair."""
    header, *lines = candles.read_text().splitlines()
    path = candles.with_name("unusual.csv")
    twice = ",".join([*lines[-1].split(",")[:5], "7", "7"])
    path.write_text("\n".join([header.replace("close", "Final"), *lines, twice]) + "\n")
    return path


def test_overrides_tell_how_the_file_is_read(golden_run: Path, candles: Path, out: Path) -> None:
    overrides = ("data.columns={close: Final}", "repairs.conflicting=first", "data.series=separate")
    for models in (MODELS, ("--run", golden_run)):
        options = (*models, "--data", write_unusual(candles), *SMALL[2:], "--horizon", 6, "--no-pictures", "--out", out)
        assert "column close missing" in invoke(*options).output
        assert "repairs.conflicting" in invoke(*options, overrides[0]).output
        result = invoke(*options, *overrides)
        assert result.exit_code == 0, result.output
        assert len(pd.read_csv(out / "unusual_forecast.csv")) == 6


@pytest.mark.parametrize(
    "override", ["data.clip=3", "training.batch_size=8", "repairs.conflict=first", "data.column=x"]
)
def test_other_overrides_are_refused(candles: Path, out: Path, override: str) -> None:
    result = invoke(*MODELS, "--data", candles, *SMALL, override, "--out", out)
    assert result.exit_code == 1 and override.partition("=")[0] in result.output and not out.exists()


def test_candles_unlike_those_of_the_run_are_noted(finished_run: FinishedRun, candles: Path, out: Path) -> None:
    options = ("--run", finished_run.path, "--paths", 2, "--no-pictures", "--json", "--out", out)
    frame = pd.read_csv(candles, parse_dates=["timestamps"])
    texts = {
        "": frame,
        "interval": frame[::3],
        "time zone": frame.assign(timestamps=frame["timestamps"] - pd.Timedelta("8h")),
    }
    for text, changed in texts.items():
        changed.to_csv(candles, index=False)
        result = invoke(*options, "--data", candles)
        assert result.exit_code == 0, result.output
        (forecast,) = json.loads(result.stdout)["forecasts"]
        notes = [note for note in forecast["notes"] if "training" in note or "trained" in note]
        assert bool(notes) == bool(text) and text in " ".join(notes)
        assert all(note in result.stderr for note in notes)


def test_an_unwritable_folder_is_said(candles: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = invoke(*MODELS, "--data", candles, *SMALL, "--no-pictures", "--out", tmp_path / "file" / "out")
    assert result.exit_code == 1 and "Not a directory" in result.output


def test_a_run_brings_its_models_candles_and_settings(golden_run: Path, candles: Path, out: Path) -> None:
    run = golden_run
    assert invoke("--run", run, "--no-pictures", "--out", out).exit_code == 0
    assert len(pd.read_csv(out / "candles_forecast.csv")) == 8  # predict_window
    options = ("--data", candles, "--horizon", 5, "--rising", "red", "--context-policy", "grow", "--dtype", "bfloat16")
    result = invoke("--run", run, *options, "--out", out)
    assert result.exit_code == 0, result.output
    assert len(pd.read_csv(out / "600977_forecast.csv")) == 5


def test_every_setting_of_sampling_and_of_the_run_is_used(
    tiny_config: Path, golden_run: Path, candles: Path, out: Path
) -> None:
    run = golden_run

    def forecast(*options: object, **settings: object) -> float:
        changed = tiny_config.read_text().replace("max_context: 24", f"max_context: {settings.get('max_context', 24)}")
        changed = changed.replace("data:\n", f"data:\n  clip: {settings.get('clip', 5.0)}\n", 1)
        (run / "config.yaml").write_text(changed + f"  temperature: {settings.get('temperature', 1.0)}\n")
        assert invoke("--run", run, "--data", candles, "--no-pictures", "--out", out, *options).exit_code == 0
        return pd.read_csv(out / "600977_forecast.csv")["close"].sum()

    usual, greedy = forecast(), forecast("-T", 0)
    assert forecast() == usual != greedy
    assert forecast("--top-k", 1) == pytest.approx(greedy) == forecast(temperature=0.0)
    for other in (forecast(clip=0.1), forecast(max_context=12), forecast("--top-p", 0.1), forecast("--lookback", 9)):
        assert other != usual


def test_few_candles_before_the_origin_are_said(candles: Path, out: Path) -> None:
    origin = read_candles(candles).index[9]
    result = invoke(*MODELS, "--data", candles, *SMALL, "--origin", origin, "--no-pictures", "--out", out)
    assert (
        result.exit_code == 0 and "600977: 10 candles up to the origin, fewer than the lookback of 30" in result.output
    )


def test_models_of_a_run_named_by_folder_bring_its_settings_and_their_tokenizer(
    golden_run: Path, candles: Path, out: Path
) -> None:
    run = golden_run
    tokenizer_hash = hash_weights(KronosTokenizer.from_pretrained(GOLDEN / "tokenizer"))
    record = StageRecord(stage="basemodel", tokenizer_hash=tokenizer_hash, settings={"windows a step": 1})
    record.write(run / "basemodel")
    models = ("--tokenizer", run / "tokenizer" / "best_model", "--model", run / "basemodel" / "best_model")
    options = ("--data", candles, "--no-pictures", "--out", out)
    assert invoke(*models, *options).exit_code == 0
    by_folder = (out / "600977_forecast.csv").read_text()
    result = invoke("--run", run, *options)
    assert "has not finished" in result.output and (out / "600977_forecast.csv").read_text() == by_folder
    record.model_copy(update={"tokenizer_hash": "other"}).write(run / "basemodel")
    for given in (models, ("--run", run)):
        result = invoke(*given, *options)
        assert result.exit_code == 1 and "trained with another tokenizer" in result.output
    shutil.rmtree(run / "basemodel" / "best_model")
    record.write(run / "basemodel")
    assert "has no base model yet" in invoke("--run", run, *options).output


def test_a_model_brings_its_tokenizer_and_its_context(candles: Path, out: Path) -> None:
    options = ("--data", candles, *SMALL, "--no-pictures", "--out", out, "--json")
    result = invoke("--model", "nano", *options)
    assert result.exit_code == 0 and "--max-context is not given" not in result.output
    assert "kronos evaluate --model nano --data" in json.loads(result.stdout)["forecasts"][0]["verdict"]["command"]
    given = invoke("--model", "nano", "--tokenizer", "nano", "--max-context", 144, *options)
    first, second = (json.loads(each.stdout)["forecasts"][0]["mean"] for each in (result, given))
    assert first == second
    assert "beyond max_context = 144" in invoke("--model", "nano", "--data", candles, "--horizon", 144).output


def test_a_file_that_cannot_be_written_stops_no_other(candles: Path, out: Path) -> None:
    """A folder is in the way of one; a long name and two that differ in case are written."""
    for name in ("x" * 240 + ".csv", "btc.csv", "BTC.csv"):
        candles.with_name(name).write_text(candles.read_text())
    (out / "600977_forecast.csv").mkdir(parents=True)
    result = invoke(*MODELS, "--data", candles.parent, *SMALL, "--no-pictures", "--out", out)
    assert result.exit_code == 1 and "1 of 4 files" in result.output
    written = {path.name.lower() for path in out.iterdir() if path.is_file()}
    assert len(written) == 3 and max(map(len, written)) < 150


CORRECTIONS = (0.5, 0.8, 1.25)  # of the 50, 80 and 90% bands, in units of volatility


def read_table(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "600977_forecast.csv")


@pytest.fixture
def calibrated_run(golden_run: Path) -> Path:
    """A run with a calibration as `kronos evaluate` writes it; the same for all 8 steps."""
    predictor = KronosPredictor.from_run(golden_run)
    calibration = Calibration(20, tuple((each,) * 8 for each in CORRECTIONS), (1, 1, 1))
    conditions = describe_conditions(predictor, Sampling(1.0, 0, 1.0), lookback=16, horizon=8)
    write_calibration(RunFolder(golden_run).calibration, calibration, conditions)
    return golden_run


def test_the_calibration_of_a_run_widens_quantiles_by_its_corrections(
    calibrated_run: Path, candles: Path, out: Path
) -> None:
    options = ("--run", calibrated_run, "--data", candles, "--save-paths", "--no-pictures")
    quantiles = ("--quantiles", "0.05,0.1,0.25,0.5,0.75,0.9,0.95")
    result = invoke(*options, *quantiles, "--out", out)
    assert result.exit_code == 0 and "calibrated on 20 origins" in result.output and "calibrated" in result.stdout
    calibrated, history = read_table(out), read_candles(candles)["close"].to_numpy()[-16:]
    paths = pd.read_csv(out / "600977_paths.csv")
    volatility = np.sqrt(np.square(np.diff(np.log(history))).mean())
    for price in ("open", "high", "low", "close"):
        sampled = np.log(np.stack([group[price] for _, group in paths.groupby("path")]) / history[-1])
        for (low, high), correction in zip(((0.25, 0.75), (0.1, 0.9), (0.05, 0.95)), CORRECTIONS):
            by = correction * volatility * np.sqrt(np.arange(1, 9))
            for q, sign in ((low, -1), (high, 1)):
                expected = np.quantile(sampled, q, axis=0, method="weibull") + sign * by
                actual = np.log(calibrated[f"{price}_q{q}"] / history[-1])
                np.testing.assert_allclose(actual, expected, atol=2e-6)  # files hold seven digits
    assert invoke(*options, *quantiles, "--no-calibrate", "--out", out.parent / "as_sampled").exit_code == 0
    as_sampled = read_table(out.parent / "as_sampled")
    same = [name for name in as_sampled if not ("_q" in name and name[:3] in ("ope", "hig", "low", "clo"))]
    pd.testing.assert_frame_equal(calibrated[same], as_sampled[same])
    assert (out / "600977_paths.csv").read_text() == (out.parent / "as_sampled" / "600977_paths.csv").read_text()
    pd.testing.assert_series_equal(calibrated["close_q0.5"], as_sampled["close_q0.5"])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--horizon", 7), "made with another horizon"),
        (("--lookback", 12), "made with another lookback"),
        (("--temperature", 0.5, "--top-k", 3), "made with another temperature, top_k"),
        (("--paths", 18), "18 paths are too few"),
    ],
)
def test_a_calibration_for_other_settings_is_not_applied(
    calibrated_run: Path, candles: Path, out: Path, options: tuple[object, ...], reason: str
) -> None:
    given = ("--run", calibrated_run, "--data", candles, "--no-pictures", *options)
    result = invoke(*given, "--out", out)
    assert result.exit_code == 0 and reason in result.stderr
    invoke(*given, "--no-calibrate", "--out", out.parent / "as_sampled")
    assert (out / "600977_forecast.csv").read_text() == (out.parent / "as_sampled/600977_forecast.csv").read_text()


def test_a_calibration_of_other_weights_is_not_applied(calibrated_run: Path, candles: Path, out: Path) -> None:
    model = Kronos.from_pretrained(GOLDEN / "predictor")
    torch.nn.init.normal_(model.head.proj_s1.weight, generator=torch.Generator().manual_seed(0))
    model.save_pretrained(calibrated_run / "basemodel" / "best_model")
    result = invoke("--run", calibrated_run, "--data", candles, "--no-pictures", "--json", "--out", out)
    assert result.exit_code == 0 and "made with another base model" in result.stderr
    assert json.loads(result.stdout)["forecasts"][0]["calibrated"] is False


@pytest.mark.parametrize("damage", ["cut", "another number"])
def test_a_damaged_calibration_is_not_applied(calibrated_run: Path, candles: Path, out: Path, damage: str) -> None:
    path = RunFolder(calibrated_run).calibration
    whole = path.read_text()
    changed = re.sub(r'"n_origins": (\d)', r'"n_origins": 9\1', whole)
    path.write_text('{"conditions": ' if damage == "cut" else changed)
    result = invoke("--run", calibrated_run, "--data", candles, "--no-pictures", "--out", out)
    assert result.exit_code == 0 and "calibration.json: cannot be read" in result.stderr


def test_everything_for_people_is_in_one_language(golden_run: Path, candles: Path, out: Path) -> None:
    options = ("--run", golden_run, "--data", candles, "--paths", 4)
    english = invoke(*options, "--out", out)
    assert "median" in english.stdout and 'lang="en"' in (out / "600977_forecast.html").read_text()
    table = (out / "600977_forecast.csv").read_text()
    with (golden_run / "config.yaml").open("a") as file:
        file.write("  language: zh\n")  # of report, the last section
    chinese = invoke(*options, "--out", out)
    page = (out / "600977_forecast.html").read_text()
    assert chinese.exit_code == 0 and "中位数" in chinese.stdout and "预测不代表收益" in chinese.stdout
    assert "higher" not in chinese.stdout and 'lang="zh-CN"' in page and "8 根 K 线" in page
    assert (out / "600977_forecast.csv").read_text() == table
    as_json = [invoke(*options, "--json", "--no-pictures", "--language", each, "--out", out) for each in ("en", "zh")]
    assert as_json[0].stdout == as_json[1].stdout and "median" in invoke(*options, "--language", "en").stdout
