"""The LSTM baseline: train it on the run's own windows, with the engine of the stages, and forecast with it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState

from kronos.candles import CANDLE_COLUMNS, PRICE_COLUMNS, Array, compute_calendar
from kronos.config import Config
from kronos.config.affects import collect_weight_settings
from kronos.data import CandleSet, WindowDataset
from kronos.data.windows.dataset import Batch
from kronos.data.windows.normalize import Statistics
from kronos.data.windows.splits import SplitName, WindowStarts, spread_evenly
from kronos.evaluation.forecasters.base import CLOSE, Forecaster, ForecastInput, NotApplicable
from kronos.evaluation.forecasters.indicators import WARM_UP
from kronos.evaluation.forecasters.lstm_network import LstmNetwork
from kronos.evaluation.forecasters.quantiles import import_extra
from kronos.forecast.coherence import find_price_floor
from kronos.forecast.devices import eval_mode
from kronos.forecast.sampling import draw_path_uniforms
from kronos.model.pretrained import hash_weights
from kronos.run_folder import StageFolder
from kronos.stage_record import GLOBAL_BATCH, StageRecord
from kronos.training.saved.same_on_all_ranks import check_same_record
from kronos.training.saved.stage_settings import CANDLES_KEY, hash_candles, renew_candle_hashes
from kronos.training.stage import Stage, run_stage
from kronos.training.step_counts import count_windows_a_step

N_VALIDATIONS = 20  # over the whole training
PATIENCE = 5  # validations without improvement, if training.early_stopping_patience is not set
N_CHECKPOINTS = 4
MAX_VAL_WINDOWS = 512  # spread evenly over the validation split
# The hash of the candles stands for these.
REPLACED_BY_HASH = (
    *("data.data_path", "data.query", "data.since", "data.until"),
    *("data.columns", "data.time_format", "data.decimal"),
)
# Keys that earlier versions did not have. With these values, their LSTMs are the same.
ADDED: dict[str, Any] = {"evaluation.lstm.cell": "lstm", "evaluation.lstm.indicators": [], "data.timezone": None}
ROWS_AT_A_TIME = 8192  # paths that are sampled together


@dataclass(frozen=True, eq=False)
class LstmForecaster:
    """A trained LSTM, on the device that it forecasts on."""

    model: LstmNetwork
    moves: bool = True

    @property
    def name(self) -> str:
        return self.model.cell

    @property
    def label(self) -> str:
        return self.model.cell

    @cached_property
    def key(self) -> str:
        return hash_weights(self.model)

    def sample(self, known: Sequence[ForecastInput], n_paths: int, seed: int) -> Array:
        """Sample closes (N, n_paths, H). Random numbers depend on seed, origin, symbol and path, as in `KronosPredictor`.

        The other origins affect the result only by rounding. If all known prices are positive, closes are at least
        `find_price_floor`.
        """
        together = max(ROWS_AT_A_TIME // n_paths, 1)
        pieces = [known[i : i + together] for i in range(0, len(known), together)]
        with eval_mode(self.model):
            return np.concatenate([self._sample(piece, n_paths, seed) for piece in pieces])

    def _sample(self, known: Sequence[ForecastInput], n_paths: int, seed: int) -> Array:
        candles = np.stack([each.candles[list(CANDLE_COLUMNS)].to_numpy(np.float64) for each in known])  # (N, L, 6)
        statistics = Statistics.compute(candles.copy())
        times, future = (
            np.stack([compute_calendar(index) for index in indices])
            for indices in ([each.candles.index for each in known], [each.future for each in known])
        )
        uniforms = torch.stack(
            [draw_path_uniforms(seed, each.origin, slice(0, n_paths), future.shape[1], each.symbol) for each in known]
        )
        inputs = (torch.from_numpy(part) for part in (statistics.normalise(candles, self.model.clip), times, future))
        device = next(self.model.parameters()).device
        drawn = self.model.sample_closes(*(part.to(device) for part in (*inputs, uniforms)))
        of_close = Statistics(statistics.mean[..., CLOSE, None], statistics.scale[..., CLOSE, None])  # (N, 1, 1)
        closes = of_close.denormalise(drawn.cpu().double().numpy())
        floors = [find_price_floor(prices) for prices in candles[..., : len(PRICE_COLUMNS)]]
        lowest = np.array([-np.inf if floor is None else floor for floor in floors])
        raised: Array = np.maximum(closes, lowest[:, None, None])
        return raised


def build_lstm(config: Config, windows: dict[SplitName, WindowDataset], candles: CandleSet, folder: Path) -> Forecaster:
    """Train the LSTM in a folder, resume interrupted training, or load it; all ranks must call this.

    If the folder was trained with other settings, it is renamed and training starts again.

    Args:
        windows: the run's windows of train and val. candles: the candles of these windows.

    Raises:
        NotApplicable: its indicators need TA-Lib, which is not installed, or a longer lookback.
        DataError: there are fewer train windows than one batch needs.
        KronosError: training fails, or the disk is full or not writable.
    """
    _check_indicators(config.evaluation.lstm.indicators, config.data.lookback_window)
    wanted = StageRecord(
        stage="lstm",
        settings=_collect_settings(config, candles),
        n_processes=int(PartialState().num_processes),
    )
    record = StageRecord.read(folder)
    check_same_record(wanted)  # also waits until all ranks have read the record
    resumes = record is not None and _is_same(record, wanted, candles)
    if record and resumes and record.finished:  # the number of processes may differ
        wanted = wanted.model_copy(update={"settings": record.settings})
    stage = Stage(
        "lstm", folder, _build_model(config), _prepare_batch, windows["train"], _thin_out(windows["val"]), wanted
    )
    run_stage(_derive_config(config, folder), stage, skip_existing=resumes)
    return _load(stage.best_model)


def find_lstm(folder: Path) -> Forecaster | None:
    """Load the trained LSTM of a folder, with any settings; None if there is none, or it is damaged.

    Raises:
        NotApplicable: its indicators need TA-Lib, which is not installed.
    """
    record = StageRecord.read(folder)
    is_usable = record and record.finished and record.fits_best_model(folder)
    return _load(StageFolder(folder).best_model) if is_usable else None


def _load(model: Path) -> Forecaster:
    network = LstmNetwork.from_pretrained(model).to(PartialState().device)
    _check_indicators(network.indicators, network.lookback)
    return LstmForecaster(network)


def _check_indicators(names: Sequence[str], lookback: int) -> None:
    """Check that TA-Lib is installed and the lookback is long enough, if there are indicators."""
    if not names:
        return
    import_extra("talib", "TA-Lib")
    if lookback < (least := max(WARM_UP[name] for name in names)):
        raise NotApplicable("short_for_indicators", n=lookback, least=least)


def _build_model(config: Config) -> LstmNetwork:
    lstm = config.evaluation.lstm
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        return LstmNetwork(
            lookback=config.data.lookback_window,
            hidden_size=lstm.hidden_size,
            n_layers=lstm.n_layers,
            directions=lstm.directions,
            attention=lstm.attention,
            dropout=lstm.dropout,
            clip=config.data.clip,
            cell=lstm.cell,
            indicators=lstm.indicators,
        )


def _derive_config(config: Config, folder: Path) -> Config:
    """Return the run's configuration with the LSTM's own settings.

    Batches, seed and optimizer are those of the run. There are no trackers. The LSTM's config.yaml is in its own folder.
    """
    training, n_steps = config.training, config.evaluation.lstm.max_steps
    every = max(n_steps // N_VALIDATIONS, 1)
    return config.override(
        {
            "training.max_steps": n_steps,
            "training.eval_steps": every,
            "training.log_interval": every,
            "training.save_steps": max(n_steps // N_CHECKPOINTS, 1),
            "training.save_total_limit": 1,
            "training.early_stopping_patience": training.early_stopping_patience or PATIENCE,
            "training.lr_scheduler": "cosine",
            "training.lr_scheduler_kwargs": {},
            "training.precision": "fp32",
            "training.torch_compile": False,
            "training.accumulation_steps": 1,
            "training.auto_find_batch_size": False,
            "training.best_by": "loss",
            "experiment.trackers": (),
            "experiment.use_comet": False,
            "model_paths.base_save_path": folder,
        }
    )


def _collect_settings(config: Config, candles: CandleSet) -> dict[str, Any]:
    """Collect the settings that determine the weights of the LSTM, by YAML name."""
    settings = {
        key: value
        for key, value in collect_weight_settings(config, "lstm").items()
        if key not in REPLACED_BY_HASH and not key.startswith("repairs.")  # replaced by the candles' hash
    }
    settings = {key: value for key, value in settings.items() if key not in ADDED or value != ADDED[key]}
    if jumps := [row for symbol in candles.symbols for row in symbol.jump_rows]:
        settings["jumps"] = hashlib.sha256(repr(jumps).encode()).hexdigest()[:12]  # no window crosses one
    return settings | {CANDLES_KEY: hash_candles(candles), GLOBAL_BATCH: count_windows_a_step(config)}


def _is_same(record: StageRecord, wanted: StageRecord, candles: CandleSet) -> bool:
    """Whether an LSTM was trained with these settings, on any number of processes."""
    settings = renew_candle_hashes(record.settings, wanted.settings, candles)
    return settings | {GLOBAL_BATCH: None} == wanted.settings | {GLOBAL_BATCH: None}


def _thin_out(val: WindowDataset) -> WindowDataset:
    """Return at most MAX_VAL_WINDOWS validation windows, because the LSTM is validated often."""
    chosen = val.starts.take(spread_evenly(len(val), MAX_VAL_WINDOWS, seed=0))
    return WindowDataset(val.candles, WindowStarts(chosen, np.ones_like(chosen)), val.config)


def _prepare_batch(batch: Batch, step: int | None) -> Batch:
    return {"candles": batch["candles"], "stamp": batch["stamp"]}
