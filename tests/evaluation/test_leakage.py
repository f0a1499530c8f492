"""The self-test finds forecasters and lookbacks that see what comes, and passes those that do not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch

from kronos import Kronos, KronosPredictor, KronosTokenizer
from kronos.config.data import DataConfig
from kronos.config.evaluation import EvaluationConfig
from kronos.data import CandleSet
from kronos.evaluation.baselines import FITTED_BASELINES
from kronos.evaluation.forecasters.base import Forecaster, ForecastInput, KronosForecaster
from kronos.evaluation.forecasters.foundation import FOUNDATION_MODELS
from kronos.evaluation.forecasters.lstm import LstmForecaster
from kronos.evaluation.forecasters.lstm_network import LstmNetwork
from kronos.evaluation.forecasters.naive import NAIVE_FORECASTERS
from kronos.evaluation.origins.past import collect_past
from kronos.evaluation.origins.walk_forward import Origins, build_forecast_input
from kronos.forecast import Sampling
from tests.conftest import GOLDEN
from tests.evaluation.forecasters.test_quantiles import save_chronos_2
from tests.evaluation.leakage import find_leaks
from tests.evaluation.synthetic import Oracle, autoregression, load_frames

PROCESS = autoregression(0.002, 0.5)
ROWS = np.array([60, 61, 150, 300])  # the second's lookback reaches beyond the first; the last is of another symbol
LOOKBACK, HORIZON, N_PATHS = 60, 3, 2  # longer than a day, the season of such candles


@pytest.fixture(scope="module")
def candles(tmp_path_factory) -> CandleSet:
    frames = [PROCESS.make_frame(seed, 5) for seed in range(2)]  # of 240 candles each
    return load_frames(tmp_path_factory.mktemp("made") / "candles", *frames)


def find(build_forecaster, candles: CandleSet, rows: np.ndarray = ROWS, build=build_forecast_input) -> list[int]:
    leaks = find_leaks(build_forecaster, candles, rows, LOOKBACK, HORIZON, N_PATHS, 0, build)
    for leak in leaks:
        assert leak.name.endswith(f"{candles.timestamps(leak.row, leak.row + 1)[0]:%Y-%m-%d %H:%M}")
    return [leak.row for leak in leaks]


@dataclass
class Peeking:
    """Moves the last close by what it sees: of the candles it holds, at a row of ROWS, or of all that is known at all origins."""

    see: Callable[[CandleSet, int, Sequence[ForecastInput]], float]
    candles: CandleSet
    name: str = "peeking"
    label: str = "Peeking"

    def sample(self, known: Sequence[ForecastInput], n_paths: int, seed: int) -> np.ndarray:
        seen = [
            each.closes[-1] * (1 + 1e-3 * self.see(self.candles, row, known)) for each, row in zip(known, ROWS.tolist())
        ]
        return np.tile(np.reshape(seen, (-1, 1, 1)), (1, n_paths, HORIZON))


def build_kronos() -> KronosForecaster:
    models = Kronos.from_pretrained(GOLDEN / "predictor"), KronosTokenizer.from_pretrained(GOLDEN / "tokenizer")
    predictor = KronosPredictor(*models, device="cpu", max_context=LOOKBACK + HORIZON)
    return KronosForecaster("golden", "Golden", predictor, Sampling())


def build_lstm(cell: str = "lstm", indicators: Sequence[str] = ()) -> LstmForecaster:
    """Of random weights: as it begins, the network would look at the last close and the volatility alone."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LstmNetwork(
            LOOKBACK,
            8,
            n_layers=1,
            directions=2,
            attention=True,
            dropout=0.0,
            clip=5.0,
            cell=cell,
            indicators=indicators,
        )
        torch.nn.init.normal_(model.head.weight)
    return LstmForecaster(model.eval())


@dataclass
class Optional:
    """A forecaster that needs a package, built when it is first used; skipped if the package is not installed."""

    name: str  # of the package
    build: Callable[[], Forecaster]

    @cached_property
    def model(self) -> Forecaster:
        pytest.importorskip(self.name)
        return self.build()

    def sample(self, known: Sequence[ForecastInput], n_paths: int, seed: int) -> np.ndarray:
        return self.model.sample(known, n_paths, seed)


def build_chronos() -> Forecaster:
    with TemporaryDirectory() as folder:
        return FOUNDATION_MODELS["chronos"](EvaluationConfig(chronos=str(save_chronos_2(Path(folder)))))


@pytest.fixture(scope="module")
def long_candles(tmp_path_factory) -> CandleSet:
    frames = [PROCESS.make_frame(seed, 12) for seed in range(2)]  # of 576 candles each
    return load_frames(tmp_path_factory.mktemp("long") / "candles", *frames)


ANY_GAP = DataConfig(data_path=Path("any"))  # only data.max_gap and the window are read
LATE_ROWS = np.array([400, 401, 500, 1000])  # the last is of the other symbol, at the time of 424


@pytest.mark.parametrize("name", FITTED_BASELINES)
def test_fitted_baselines_know_nothing_after_the_first_origin(long_candles: CandleSet, name: str) -> None:
    """Changed candles after an origin change neither its forecast nor, after the first one, any fit."""

    def fit(candles: CandleSet) -> Forecaster:
        origins = Origins(candles, LATE_ROWS, LOOKBACK, HORIZON)
        return FITTED_BASELINES[name](collect_past(ANY_GAP, origins, None, {}))

    assert find(fit, long_candles, LATE_ROWS) == []


@pytest.mark.parametrize("name", FITTED_BASELINES)
def test_a_fit_on_later_candles_is_found(long_candles: CandleSet, name: str) -> None:
    def fit_late(candles: CandleSet) -> Forecaster:
        origins = Origins(candles, LATE_ROWS, LOOKBACK, HORIZON)
        past = collect_past(ANY_GAP, replace(origins, rows=LATE_ROWS + 60), None, {})
        return FITTED_BASELINES[name](past)

    found = find(fit_late, long_candles, LATE_ROWS)
    assert 400 in found or name == "ewma"  # its fit is a choice among five values, which may stay


HONEST: list[Forecaster] = [
    *NAIVE_FORECASTERS.values(),
    build_kronos(),
    build_lstm(),
    Optional("talib", lambda: build_lstm("gru", ("sma", "ema", "rsi", "macd"))),
    Optional("fracast", lambda: FOUNDATION_MODELS["fracast"](EvaluationConfig())),
    Optional("chronos", build_chronos),
    Oracle(PROCESS),
    Oracle(PROCESS, "nothing"),
]
each_honest = pytest.mark.parametrize("forecaster", HONEST, ids=lambda forecaster: forecaster.name)


@each_honest
def test_the_honest_pass(candles: CandleSet, forecaster: Forecaster) -> None:
    assert find(lambda _: forecaster, candles) == []


PLANTED = {
    "the next close": lambda candles, row, _: candles.values[row + 1, 3],
    "where the next close goes": lambda candles, row, _: np.sign(candles.values[row + 1, 3] - candles.values[row, 3]),
    "a later return": lambda candles, row, _: candles.values[row + 3, 3] / candles.values[row + 2, 3],
    "the last volume": lambda candles, row, _: candles.values[candles.symbol_at(row).stop - 1, 4],
    "the next candle of the other symbol": lambda candles, row, _: candles.values[(row + 240) % 480 + 1, 0],
    "the mean of all candles": lambda candles, *_: candles.values[:, 3].mean(),
}


@pytest.mark.parametrize("see", PLANTED.values(), ids=PLANTED)
def test_who_holds_the_candles_and_peeks_is_found(candles: CandleSet, see) -> None:
    assert find(lambda held: Peeking(see, held), candles) == ROWS.tolist()


def test_who_holds_the_candles_and_looks_back_only_passes(candles: CandleSet) -> None:
    assert find(lambda held: Peeking(lambda candles, row, _: candles.values[row - 20, 3], held), candles) == []


@each_honest
def test_a_lookback_that_ends_one_candle_late_is_found(candles: CandleSet, forecaster: Forecaster) -> None:
    def build_late(candles: CandleSet, rows: np.ndarray, lookback: int, horizon: int) -> list[ForecastInput]:
        known = build_forecast_input(candles, rows, lookback, horizon)
        late = build_forecast_input(candles, rows + 1, lookback, horizon)
        shifted = [other.candles.set_axis(each.candles.index) for each, other in zip(known, late)]
        return [ForecastInput(each.name, frame, each.future) for each, frame in zip(known, shifted)]

    assert find(lambda _: forecaster, candles, build=build_late) == ROWS.tolist()


def test_what_one_origin_learns_from_a_later_one_is_found(candles: CandleSet) -> None:
    """All see the lookback of 150; only that one, the latest, may. 300 is at the same time as 60, in its own symbol."""
    assert find(lambda held: Peeking(lambda *args: args[2][2].closes[-1], held), candles) == [60, 61, 300]


def test_only_the_origins_that_leak_are_named(candles: CandleSet) -> None:
    def see(candles: CandleSet, row: int, _: Sequence[ForecastInput]) -> float:
        return float(candles.values[row + (row == 150), 3])

    assert find(lambda held: Peeking(see, held), candles) == [150]


def test_a_volume_of_nothing_hides_no_leak(tmp_path: Path) -> None:
    candles = load_frames(tmp_path / "candles", PROCESS.make_frame(0, 5).assign(volume=0.0, amount=0.0))
    see = PLANTED["the last volume"]
    assert find(lambda held: Peeking(see, held), candles, ROWS[:1]) == [60]


def test_the_candles_stay_as_they_were(candles: CandleSet) -> None:
    before = np.array(candles.values)
    find(lambda held: Peeking(PLANTED["the next close"], held), candles)
    np.testing.assert_array_equal(candles.values, before)


def test_who_draws_anew_each_time_cannot_be_told(candles: CandleSet) -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(ValueError, match="draws anew each time"):
        find(lambda held: Peeking(lambda *_: generator.normal(), held), candles)


def test_the_last_candle_has_nothing_after_it(candles: CandleSet) -> None:
    with pytest.raises(ValueError, match="nothing comes after row 479"):
        find(lambda held: Peeking(lambda *_: 0.0, held), candles, np.array([479]))
