"""`kronos predict` and `kronos compare` into a folder with outputs of others, and of killed commands."""

from pathlib import Path

import pytest

from kronos.disk.temporaries import HOST
from kronos.report.forecast import files
from tests.conftest import FinishedRun, invoke

DEAD = f".{HOST}-{2**22 + 5}."  # how a temporary name begins of a process that is no more


def predict(run: FinishedRun, data: Path, out: Path, *words: str) -> list[str]:
    done = invoke("predict", "--run", run.path, "--data", data, "--out", out, "--paths", "2", *words)
    assert done.exit_code == 0, done.output
    return done.stderr.splitlines()


def test_another_symbol_keeps_its_forecast(finished_run: FinishedRun, tmp_path: Path) -> None:
    """Also on a file system to which upper and lower case are the same."""
    out = tmp_path / "out"
    for name in ("BTC", "btc", "btc"):
        data = tmp_path / name / f"{name}.csv"
        data.parent.mkdir(exist_ok=True)
        data.write_bytes(finished_run.candles.read_bytes())
        logged = predict(finished_run, data, out, "--no-pictures")
    names = {path.name.casefold() for path in out.iterdir()}
    assert len(names) == 2 and "btc_forecast.csv" in names
    assert any(line.startswith(f"Earlier forecasts in {out} are replaced: btc-") for line in logged)


def test_what_killed_commands_left_of_the_same_outputs_is_removed(finished_run: FinishedRun, tmp_path: Path) -> None:
    for name in ("candles_forecast", "other_forecast", "c.html"):
        (tmp_path / f"{DEAD}{name}").mkdir()
    predict(finished_run, finished_run.candles, tmp_path, "--no-pictures")
    done = invoke("compare", finished_run.path, "--html", tmp_path / "c.html")
    assert done.exit_code == 0, done.output
    assert {path.name for path in tmp_path.iterdir()} == {"candles_forecast.csv", "c.html", f"{DEAD}other_forecast"}


def test_a_full_disk_mixes_no_two_forecasts(
    finished_run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One error, not one for each symbol; the table is of the forecast whose page is there."""
    predict(finished_run, finished_run.candles, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def fill_the_disk(*given: object) -> None:
        raise OSError(28, "No space left on device", str(given[3]))

    monkeypatch.setattr(files, "write_page", fill_the_disk)
    done = invoke("predict", "--run", finished_run.path, "--out", tmp_path, "--paths", "3")
    [error] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.exit_code == 1 and error.startswith(f"error: {tmp_path}/candles_forecast.html: cannot be written: No ")
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()} and len(before) == 3
