"""The LSTM baseline: what it may see, that it learns, and that it is trained as a stage is."""

import itertools
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate import PartialState
from scipy import stats

from kronos.candles import CANDLE_COLUMNS
from kronos.data.windows.normalize import EPSILON
from kronos.errors import DataError
from kronos.evaluation.forecasters.base import CLOSE, ForecastInput, NotApplicable
from kronos.evaluation.forecasters.lstm import LstmForecaster, find_lstm
from kronos.evaluation.forecasters.lstm_network import N_CALENDAR, LstmNetwork, draw_student, embed_calendar
from kronos.evaluation.forecasters.naive import NAIVE_FORECASTERS
from kronos.evaluation.records import Note
from kronos.evaluation.scores.metrics import compute_crps
from kronos.report.words.catalogue import Words
from kronos.stage_record import StageRecord
from tests.evaluation.forecasters.lstm_runs import list_known, prepare, train, write_predictable_candles
from tests.training.runs import Killed, equal, interrupt_at, read_metrics, weights
from tests.training.test_distributed import TORCHRUN, launch

LOOKBACK, HORIZON = 12, 6
SETTINGS = list(itertools.product((1, 2), (False, True), (1, 2)))
NETWORKS = [  # directions, attention, layers, cell, indicators
    *((*settings, "lstm", ()) for settings in SETTINGS),
    (1, False, 1, "gru", ()),
    (2, True, 2, "gru", ("sma", "rsi")),
]
each_network = pytest.mark.parametrize(("directions", "attention", "n_layers", "cell", "indicators"), NETWORKS)


@pytest.fixture(autouse=True)
def on_cpu() -> None:
    PartialState(cpu=True)


@pytest.fixture
def lstm_config(tiny_config: Path) -> Path:
    """The tiny configuration, with candles that can be forecast."""
    write_predictable_candles(tiny_config.with_name("candles.csv"))
    return tiny_config


def build(
    directions: int = 1,
    attention: bool = False,
    n_layers: int = 1,
    cell: str = "lstm",
    indicators: Sequence[str] = (),
    clip: float = 5.0,
) -> LstmNetwork:
    """A network whose head is not at zero, so that what it reads matters."""
    if indicators:
        pytest.importorskip("talib")
    torch.manual_seed(0)
    model = LstmNetwork(LOOKBACK, 8, n_layers, directions, attention, 0.0, clip, cell, indicators).eval()
    torch.nn.init.normal_(model.head.weight)
    return model


def draw_windows(n: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    candles = torch.randn(n, LOOKBACK + HORIZON, 6, generator=generator).cumsum(1) / 4
    return candles, torch.randint(1, 7, (n, LOOKBACK + HORIZON, 5), generator=generator).float()


@each_network
def test_no_prediction_sees_what_comes_after(
    directions: int, attention: bool, n_layers: int, cell: str, indicators: Sequence[str]
) -> None:
    model = build(directions, attention, n_layers, cell, indicators)
    candles, stamp = draw_windows()
    before, _ = model.predict_steps(candles, stamp)
    for first in range(HORIZON):
        changed = candles.clone()
        changed[:, LOOKBACK + first :] += 1.0
        after, _ = model.predict_steps(changed, stamp)
        for old, new in ((before.loc, after.loc), (before.scale, after.scale), (before.df, after.df)):
            assert torch.equal(old[:, : first + 1], new[:, : first + 1])
            assert (old[:, first + 1 :] != new[:, first + 1 :]).all()


@each_network
def test_a_forecast_draws_from_what_training_would_predict(
    directions: int, attention: bool, n_layers: int, cell: str, indicators: Sequence[str]
) -> None:
    """Sampled closes, used as the actual ones, are location + scale × draw of the teacher-forced distributions."""
    model = build(directions, attention, n_layers, cell, indicators)
    candles, stamp = draw_windows()
    uniforms = torch.rand(3, 4, HORIZON, 2, generator=torch.Generator().manual_seed(2))
    closes = model.sample_closes(candles[:, :LOOKBACK], stamp[:, :LOOKBACK], stamp[:, LOOKBACK:], uniforms)
    assert closes.shape == (3, 4, HORIZON)
    for path in range(4):
        taken = candles.clone()
        taken[:, LOOKBACK:, CLOSE] = closes[:, path]
        given, changes = model.predict_steps(taken, stamp)
        expected = given.loc + given.scale * draw_student(given.df, uniforms[:, path])
        torch.testing.assert_close(changes, expected, rtol=1e-3, atol=1e-3)


def test_the_untrained_network_is_a_random_walk_as_wide_as_the_lookback_s_steps() -> None:
    model = LstmNetwork(LOOKBACK, 8, 1, 1, False, 0.0, 50.0).eval()
    candles, stamp = draw_windows(1)
    uniforms = torch.rand(1, 20000, HORIZON, 2, generator=torch.Generator().manual_seed(2))
    closes = model.sample_closes(candles[:, :LOOKBACK], stamp[:, :LOOKBACK], stamp[:, LOOKBACK:], uniforms)[0]
    steps = closes.diff(dim=1, prepend=candles[:, LOOKBACK - 1, CLOSE].expand(20000, 1))
    unit = candles[0, :LOOKBACK, CLOSE].diff().square().mean().sqrt().item()
    assert stats.kstest(steps.flatten().numpy() / unit, stats.t(5).cdf).statistic < 0.01


def test_draws_are_student_s() -> None:
    for freedom in (2.1, 5.0, 100.0):
        uniforms = torch.rand(20000, 2, generator=torch.Generator().manual_seed(0))
        drawn = draw_student(torch.full((20000,), freedom), uniforms)
        assert stats.kstest(drawn.numpy(), stats.t(freedom).cdf).pvalue > 0.01
    assert draw_student(torch.tensor(3.0), torch.tensor([0.0, 0.0])).isfinite()


def test_closes_that_are_cut_off_do_not_count() -> None:
    model = build()
    candles, stamp = draw_windows()
    candles[:, LOOKBACK + 3 :, CLOSE] = 5.0
    given, changes = model.predict_steps(candles, stamp)
    expected = -given.log_prob(changes)[:, :3].mean(1)
    torch.testing.assert_close(model(candles, stamp).window_loss, expected.detach())
    candles[:, LOOKBACK - 1 :, CLOSE] = 5.0
    assert model(candles, stamp).loss.item() == 0


def test_the_calendar_is_round_and_tells_times_apart() -> None:
    times = pd.DatetimeIndex(["2023-12-31 23:59", "2024-01-01 00:01", "2023-12-31 12:00", "2023-12-31 12:30"])
    stamp = torch.tensor([[t.minute, t.hour, t.day_of_week, t.day, t.month] for t in times]).float()
    placed = embed_calendar(stamp)
    assert placed.shape == (4, N_CALENDAR)
    of_weekday = [i for i in range(N_CALENDAR) if i % (N_CALENDAR // 2) >= 6]
    of_time = [i for i in range(N_CALENDAR) if i not in of_weekday]
    distance = torch.cdist(placed, placed)
    assert (placed[0] - placed[1])[of_time].norm() < 0.5 < 1 < (placed[0] - placed[1])[of_weekday].norm()
    assert distance[0, 2] > 2 and distance[2, 3] > 2  # half an hour as well


def test_it_learns_what_can_be_learnt(lstm_config: Path) -> None:
    """Returns of the time of day: its CRPS is a small part of the last close's, which knows only their spread."""
    run = prepare(lstm_config, "evaluation.lstm.max_steps=200")
    lstm = train(run)
    record = StageRecord.read(run.folder)
    assert record.finished and record.start_loss > 1.2 and record.best_loss < record.start_loss - 1.0
    known, actual = list_known(run)
    crps = {
        each.name: compute_crps(np.log(each.sample(known, 50, 0)), np.log(actual)).mean()
        for each in (lstm, NAIVE_FORECASTERS["last_close"])
    }
    assert crps["lstm"] < 0.25 * crps["last_close"]


@pytest.mark.parametrize(
    ("directions", "attention", "n_layers"),
    [SETTINGS[0], SETTINGS[-1], *(pytest.param(*each, marks=pytest.mark.slow) for each in SETTINGS[1:-1])],
)
def test_all_settings_are_trained_and_forecast_with(
    lstm_config: Path, directions: int, attention: bool, n_layers: int
) -> None:
    settings = {"directions": directions, "attention": str(attention).lower(), "n_layers": n_layers, "dropout": 0.1}
    run = prepare(lstm_config, *(f"evaluation.lstm.{key}={value}" for key, value in settings.items()))
    with warnings.catch_warnings(action="error", category=UserWarning):
        lstm = train(run)
    assert lstm.name == "lstm" and not lstm.model.training
    config = lstm.model._hub_mixin_config
    assert {key: config[key] for key in ("directions", "attention", "n_layers")} == {
        "directions": directions,
        "attention": attention,
        "n_layers": n_layers,
    }
    known, actual = list_known(run)
    paths = lstm.sample(known, 3, 0)
    assert paths.shape == (len(known), 3, 8) and np.isfinite(paths).all() and (paths > 0).all()
    assert paths == pytest.approx(np.broadcast_to(actual[:, None], paths.shape), rel=0.2)


@pytest.mark.slow
def test_a_forecast_belongs_to_seed_and_origin_whatever_the_company(lstm_config: Path, monkeypatch) -> None:
    run = prepare(lstm_config)
    lstm, (known, _) = train(run), list_known(run)
    together = lstm.sample(known[:5], 4, 7)
    for each, paths in zip(known, together):
        assert lstm.sample([each], 4, 7)[0] == pytest.approx(paths, rel=1e-5)
    assert lstm.sample(known[:5], 2, 7) == pytest.approx(together[:, :2], rel=1e-5)
    monkeypatch.setattr("kronos.evaluation.forecasters.lstm.ROWS_AT_A_TIME", 8)
    assert lstm.sample(known[:5], 4, 7) == pytest.approx(together, rel=1e-5)
    assert not np.allclose(lstm.sample(known[:5], 4, 8), together, rtol=1e-5)


@pytest.mark.slow
def test_it_knows_no_currency(lstm_config: Path) -> None:
    run = prepare(lstm_config)
    lstm, (known, _) = train(run), list_known(run)
    scaled = ForecastInput("", known[0].candles * [100, 100, 100, 100, 7, 700], known[0].future)
    expected = 100 * lstm.sample(known[:1], 4, 0)
    assert lstm.sample([scaled], 4, 0) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("level", [3.0, 0.0, -2.0])
def test_candles_that_stand_still(level: float) -> None:
    times = pd.date_range("2024-01-01", periods=LOOKBACK + HORIZON, freq="h")
    frame = pd.DataFrame(dict.fromkeys(CANDLE_COLUMNS, np.full(LOOKBACK, level)), index=times[:LOOKBACK])
    model = LstmNetwork(LOOKBACK, 8, 1, 1, False, 0.0, 5.0).eval()
    paths = LstmForecaster(model).sample([ForecastInput("", frame, times[LOOKBACK:])], 50, 0)
    assert paths == pytest.approx(level, abs=EPSILON)


def test_prices_stay_positive_where_they_were() -> None:
    times = pd.date_range("2024-01-01", periods=LOOKBACK + HORIZON, freq="h")
    closes = np.tile([1.0, 100.0], LOOKBACK // 2)
    known = [
        ForecastInput(
            "", pd.DataFrame(dict.fromkeys(CANDLE_COLUMNS, closes - by), index=times[:LOOKBACK]), times[LOOKBACK:]
        )
        for by in (0, 50)
    ]
    paths, of_spread = LstmForecaster(LstmNetwork(LOOKBACK, 8, 1, 1, False, 0.0, 5.0).eval()).sample(known, 100, 0)
    assert paths.min() == 0.01
    assert of_spread.min() < -60


@pytest.mark.slow
def test_interrupted_is_as_if_it_had_not_been(lstm_config: Path, tmp_path: Path) -> None:
    run = prepare(lstm_config)
    train(run)
    whole = run.folder.rename(tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patched, pytest.raises(Killed):
        interrupt_at(patched, 13)
        train(run)
    assert not StageRecord.read(run.folder).finished
    train(run)
    assert equal(weights(run.folder), weights(whole))
    first, second = (
        [(m["step"], m.get("loss"), m.get("val_loss")) for m in read_metrics(f)] for f in (run.folder, whole)
    )
    assert first == second


@pytest.mark.slow
def test_a_finished_one_is_loaded_and_one_of_other_settings_trained_anew(lstm_config: Path) -> None:
    run = prepare(lstm_config)
    first = train(run)
    written = (run.folder / "stage.json").stat().st_mtime_ns
    again = train(
        prepare(lstm_config, "training.log_interval=7", "training.basemodel_epochs=9", "evaluation.n_paths=9")
    )
    assert (run.folder / "stage.json").stat().st_mtime_ns == written
    assert equal(first.model.state_dict(), again.model.state_dict())
    for changed in ("evaluation.lstm.cell=gru", "training.seed=5", "data.clip=1.0"):
        other = train(prepare(lstm_config, changed))
        assert (run.folder / "stage.json").stat().st_mtime_ns != written
        assert not equal(first.model.state_dict(), other.model.state_dict())
    assert (run.folder.parent / "lstm.previous" / "best_model").is_dir()


@pytest.mark.slow
def test_one_of_an_earlier_version_is_the_default_one(lstm_config: Path) -> None:
    """Its files name neither cell nor indicators: it is neither trained again nor unreadable."""
    run = prepare(lstm_config)
    first = train(run)
    settings = StageRecord.read(run.folder).settings
    assert not {"evaluation.lstm.cell", "evaluation.lstm.indicators", "jumps"} & settings.keys()
    assert "data.max_gap" in settings  # a setting of none is a setting
    config = run.folder / "best_model" / "config.json"
    old = {key: value for key, value in json.loads(config.read_text()).items() if key not in ("cell", "indicators")}
    config.write_text(json.dumps(old))
    StageRecord.read(run.folder).model_copy(update={"best_model_sha256": None}).write(run.folder)
    written = (run.folder / "stage.json").stat().st_mtime_ns
    assert train(run).key == first.key and find_lstm(run.folder).key == first.key
    assert (run.folder / "stage.json").stat().st_mtime_ns == written


@pytest.mark.slow
def test_other_windows_of_the_same_candles_are_other_settings(lstm_config: Path) -> None:
    """A price jump, as at a split: whether windows cross it is not in the candles."""
    path = lstm_config.with_name("candles.csv")
    frame = pd.read_csv(path)
    frame.loc[300:, ["open", "high", "low", "close"]] /= 10
    frame.to_csv(path, index=False)
    broken, kept = (prepare(lstm_config, f"repairs.jumps={value}") for value in ("break", "keep"))
    assert broken.candles.content_hash() == kept.candles.content_hash()
    train(broken)
    settings = StageRecord.read(broken.folder).settings
    train(kept)
    assert StageRecord.read(kept.folder).settings | {"jumps": settings["jumps"]} == settings


@pytest.mark.slow
def test_a_gru_with_indicators_is_trained_and_forecasts(lstm_config: Path) -> None:
    pytest.importorskip("talib")
    wanted = ["data.lookback_window=24", "evaluation.lstm.cell=gru", "evaluation.lstm.indicators=[sma, rsi]"]
    run = prepare(lstm_config, *wanted)
    gru = train(run)
    assert gru.name == gru.label == "gru" and Words("zh").has("forecasters.gru")
    assert gru.model.encoder.input_size == 6 + 1 + N_CALENDAR + 3
    known, actual = list_known(run)
    assert gru.sample(known, 3, 0) == pytest.approx(np.broadcast_to(actual[:, None], (len(known), 3, 8)), rel=0.2)
    settings = StageRecord.read(run.folder).settings
    assert settings["evaluation.lstm.cell"] == "gru" and settings["evaluation.lstm.indicators"] == ["sma", "rsi"]
    assert find_lstm(run.folder).key == gru.key
    other = train(prepare(lstm_config, *wanted[:2], "evaluation.lstm.indicators=ema"))
    assert other.model.indicators == ("ema",) and other.key != gru.key


def test_indicators_that_cannot_be_computed(lstm_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build_with(*overrides: str) -> Note:
        with pytest.raises(NotApplicable) as refused:
            train(prepare(lstm_config, "evaluation.lstm.indicators=macd", *overrides))
        return refused.value.reason

    pytest.importorskip("talib")
    assert build_with("data.lookback_window=24") == Note(code="short_for_indicators", values={"n": 24, "least": 34})
    monkeypatch.setitem(sys.modules, "talib", None)
    assert build_with() == Note(code="not_installed", values={"package": "TA-Lib"})


def test_it_keeps_to_its_folder(lstm_config: Path) -> None:
    """The run's own config.yaml is not touched; trackers and the global random state are left alone."""
    run = prepare(lstm_config, "experiment.trackers=wandb")
    train(run)
    base = run.config.model_paths.base_save_path
    assert [path.name for path in base.iterdir()] == ["evaluation"]
    assert [path.name for path in (base / "evaluation").iterdir()] == ["lstm"]
    names = {path.name for path in run.folder.iterdir()}
    assert names == {"best_model", "checkpoints", "config.yaml", "metrics.jsonl", "stage.json"}


def test_too_few_windows_are_said(lstm_config: Path) -> None:
    with pytest.raises(DataError, match="batch_size is 512"):
        train(prepare(lstm_config, "training.batch_size=512"))


@pytest.mark.slow
def test_two_ranks_equal_one(lstm_config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    alone = prepare(lstm_config)
    train(alone)
    overrides = ["training.batch_size=8", f"model_paths.base_path={tmp_path / 'two'}"]
    done = launch(*TORCHRUN, Path(__file__).with_name("lstm_worker.py"), lstm_config, *overrides)
    assert done.returncode == 0, done.stderr
    shared = prepare(lstm_config, *overrides)
    one, two = (StageRecord.read(run.folder) for run in (alone, shared))
    assert one.finished and two.finished and one.best_step == two.best_step
    assert one.best_loss == pytest.approx(two.best_loss, rel=1e-4)
    train(shared)  # alone, what two have trained
    assert not [record for record in caplog.records if "other settings" in record.message]
    assert StageRecord.read(shared.folder) == two
