"""An evaluation as a run might leave it, made up, with the files beside it, for the tests of the report."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kronos.config import Config, load_config
from kronos.evaluation.invented_drift.score import decide_outcome, find_largest_drift
from kronos.evaluation.records import (
    PIT_BINS,
    BandFigures,
    DirectionFigures,
    HitRate,
    HorizonFigures,
    Note,
    RiskTest,
    UpProbabilityBin,
    ValueAtRisk,
)
from kronos.evaluation.results import (
    CalibrationResult,
    Comparison,
    Evaluation,
    Evidence,
    Example,
    ForecasterResult,
    InventedDrift,
    LeftOut,
    Money,
    SymbolSkill,
    Trade,
    Verdict,
)
from kronos.report.verdict.examples import ExampleForecast
from kronos.training.tokenizer_gate import TokenizerFigures, TokenizerHealth
from tests.conftest import ROOT, write_tiny_config
from tests.report.forecast.made_forecast import make_forecast

CANDLES = pd.read_csv(ROOT / "data" / "synthetic_5min.csv", parse_dates=["timestamps"], index_col="timestamps")[:400]
BASELINES: dict[str, tuple[float, Verdict]] = {
    "pretrained": (1.09, "helped"),
    "last_close": (1.42, "helped"),
    "drift": (1.01, "no difference"),
    "seasonal_naive": (1.2, "helped"),
    "volatility": (0.93, "hurt"),
    "lstm": (1.04, "too little data to tell"),
}
SYMBOLS = ("600977", "600519", "000001")
NEW = "kronos evaluate --run runs/ashare_600977_5min --data new.csv --since '2024-09-30 15:00'"


def make_evaluation(horizon: int = 24, n_origins: int = 180, **changes: Any) -> Evaluation:
    """Every field filled; errors that grow with the square root of the time."""
    random = np.random.default_rng(0)
    forecasters = [_make_forecaster("finetuned", 1.0, horizon, random)]
    forecasters += [_make_forecaster(name, factor, horizon, random) for name, (factor, _) in BASELINES.items()]
    values: dict[str, Any] = {
        "run": "ashare_600977_5min",
        "version": "1.0.0",
        "created": "2026-11-21 03:45",
        "candles": "data/ashare_600977_5min.csv",
        "split": "test",
        "notes": [Note(code="over_budget", values={"n": 180, "n_usable": 1912, "minutes": 10.0})],
        "lookback": 512,
        "horizon": horizon,
        "stride": horizon,
        "interval": "5 minutes",
        "n_symbols": 3,
        "first_origin": "2024-05-03 10:35",
        "last_origin": "2024-09-28 14:55",
        "n_origins": n_origins,
        "n_paths": 50,
        "temperature": 1.0,
        "top_p": 0.9,
        "seed": 42,
        "metric": "crps",
        "confidence": 0.95,
        "margin": 0.02,
        "last_actual": "2024-09-30 15:00",
        "clock_times": {
            f"{hour:02}:{minute:02}": 3 + minute % 3 for hour in (10, 11, 13, 14) for minute in range(0, 60, 5)
        },
        "n_clock_times": 48,
        "next_steps": make_next_steps(),
        "judge_new": NEW,
        "evidence": Evidence(baseline="pretrained", gain=0.05, n_origins=600, n_candles=28_800, days=912.0),
        "money": make_money(),
        "value_at_risk": make_value_at_risk(),
        "forecasters": forecasters,
        "comparisons": [_make_comparison(name, "crps", horizon, n_origins, random) for name in BASELINES],
        "left_out": [LeftOut(baseline="runs/other", reason=Note(code="seen_candles", values={"until": "2024-05-04"}))],
        "calibration": make_calibration(horizon, random),
        "tokenizer": TokenizerHealth(before=_health(14.2, 0.41), after=_health(9.7, 0.55), kept="after"),
        "invented_drift": (make_drift("finetuned", 0.42, horizon), make_drift("pretrained", 0.12, horizon)),
        "examples": [
            Example(kind=kind, symbol="600977", origin=f"2024-06-0{i} 10:35", row=100 + i, figure=0.12 * i**2)
            for i, kind in enumerate(("best", "median", "worst"), start=1)
        ],
        "environment": {"Python": "3.11.9", "torch": "2.11.0", "GPU": "NVIDIA H200", "transformers": "5.17.0"},
        "command": "kronos evaluate runs/ashare_600977_5min",
    }
    return Evaluation(**values | changes)


def make_next_steps() -> tuple[Note, ...]:
    return (
        Note(code="judge_new", values={"command": NEW}),
        Note(code="stop_here", values={"baseline": "volatility"}),
        Note(code="calibrate_narrow", values={"level": 90, "share": 0.8312}),
    )


def make_money() -> Money:
    figures = {"low": -0.0021, "high": 0.0013, "turnover": 0.8, "in_market": 0.61, "n_trades": 110}
    return Money(
        costs_bp=5.0,
        trades=tuple(Trade(rule=rule, mean=-0.0004, **figures) for rule in ("median", "up_60", "long_only")),
    )


def make_value_at_risk() -> ValueAtRisk:
    found = {"p_coverage": 0.004, "p_independence": float("nan"), "independent": True, "low": 0.04, "high": 0.13}
    test = RiskTest(level=0.95, n_exceeded=17, n_expected=8.0, outcome="too many", share=0.081, **found)
    return ValueAtRisk(calibrated=True, n_origins=160, tests=(test,))


def make_drift(
    name: str, drift: float, horizon: int = 24, spread: float = 0.04, n_walks: int = 128, shared: float = 0.26
) -> InventedDrift:
    largest = find_largest_drift(0.02)
    figures = _figures(np.full(horizon, drift), spread)
    return InventedDrift(
        name=name,
        n_walks=n_walks,
        n_paths=32,
        drift=figures,
        shared_drift=_figures(np.full(horizon, shared), spread),
        largest_drift=largest,
        outcome=decide_outcome(figures, n_walks, largest),
        width=_figures(np.full(horizon, 0.93), 0.03),
        coverage=_figures(np.full(horizon, 0.871), 0.02),
        cost=_figures(np.full(horizon, drift**2 / 2), 0.01),
    )


def _figures(by_horizon: np.ndarray, spread: float = np.nan) -> HorizonFigures:
    overall = float(by_horizon.mean())
    return HorizonFigures(
        overall=overall, by_horizon=tuple(by_horizon.tolist()), low=overall - spread, high=overall + spread
    )


def _make_direction(random: np.random.Generator) -> DirectionFigures:
    bins = [
        UpProbabilityBin(forecast=p, actual=0.5 + 0.3 * (p - 0.5), low=0.4, high=0.6, n_cases=90)
        for p in np.linspace(0.2, 0.8, 7)
    ]
    thirds = [
        HitRate(share=share, low=share - 0.05, high=share + 0.05, n_cases=900, least_sure=0.0, surest=0.3)
        for share in (0.501, 0.512, 0.534)
    ]
    return DirectionFigures(up_share=0.513, base_rate_brier=0.2498, bins=tuple(bins), thirds=tuple(thirds))


def _make_forecaster(name: str, factor: float, horizon: int, random: np.random.Generator) -> ForecasterResult:
    error = 0.0011 * factor * np.sqrt(np.arange(1, horizon + 1)) * random.normal(1, 0.015, horizon)
    level = {level: level / 100 - 0.06 * factor + random.normal(0, 0.015, horizon) for level in (50, 80, 90)}
    shares = {f"coverage_{key}": _figures(np.clip(values, 0, 1), 0.06) for key, values in level.items()}
    log_return = {
        **_make_errors(error),
        "r2": _figures(random.normal(-0.02, 0.01, horizon)),
        "r2_os": _figures(random.normal(-0.01, 0.01, horizon)),
        "direction": _figures(random.normal(0.51, 0.02, horizon), 0.04),
        "brier": _figures(random.normal(0.249, 0.002, horizon)),
        "auc": _figures(random.normal(0.52, 0.02, horizon)),
        "f1": _figures(random.normal(0.51, 0.02, horizon)),
        "ic": _figures(random.normal(0.02, 0.02, horizon)),
        "rank_ic": _figures(random.normal(0.02, 0.02, horizon)),
        "wql": _figures(random.normal(0.9, 0.02, horizon)),
        **shares,
        **{f"width_{key}": _figures(error * key / 30) for key in level},
    }
    price = {**_make_errors(19 * error), "mape": _figures(error), "mase": _figures(900 * error), **shares}
    if name == "last_close":  # one sure path: no distribution
        log_return |= {f"coverage_{key}": _figures(np.full(horizon, np.nan)) for key in level}
    pit = random.multinomial(180 * horizon, _u_shape(0.5 * factor)) if name != "last_close" else np.zeros(PIT_BINS, int)
    moves = name not in ("last_close", "volatility")
    return ForecasterResult(
        name=name,
        label=name,
        price=price,
        log_return=log_return,
        pit=tuple(pit.tolist()),
        pit_low=0.7 * 180 * horizon / PIT_BINS,
        pit_high=1.3 * 180 * horizon / PIT_BINS,
        moves=moves,
        direction=_make_direction(random) if moves else None,
        seconds=41.3 * factor,
    )


def _make_errors(error: np.ndarray) -> dict[str, HorizonFigures]:
    return {"crps": _figures(error * 0.7), "mae": _figures(error), "rmse": _figures(error * 1.4)}


def _u_shape(depth: float) -> np.ndarray:
    shape = 1 + depth * np.linspace(-1, 1, PIT_BINS) ** 4
    return shape / shape.sum()


def _make_comparison(
    baseline: str, metric: str, horizon: int, n_origins: int, random: np.random.Generator
) -> Comparison:
    factor, outcome = BASELINES[baseline]
    skill, width = 1 - 1 / factor, 0.15 if outcome == "too little data to tell" else 0.03
    by_horizon = skill + random.normal(0, 0.008, horizon)
    return Comparison(
        baseline=baseline,
        metric=metric,
        own_figure=0.0031,
        baseline_figure=0.0031 * factor,
        skill=skill,
        low=skill - width,
        high=skill + width,
        p_value={"helped": 0.0004, "hurt": 0.012}.get(outcome, 0.374),
        p_adjusted=np.nan if baseline == "pretrained" else {"helped": 0.002, "hurt": 0.031}.get(outcome, 0.8),
        smallest_gain=0.09,
        by_symbol=tuple(
            SymbolSkill(symbol=each, skill=skill - 0.05 * i, n_origins=60) for i, each in enumerate(SYMBOLS)
        ),
        n_origins=n_origins,
        n_independent=n_origins / 1.9,
        outcome=outcome,
        skill_by_horizon=tuple(by_horizon),
        low_by_horizon=tuple(by_horizon - 1.5 * width),
        high_by_horizon=tuple(by_horizon + 1.5 * width),
    )


def make_calibration(horizon: int, random: np.random.Generator) -> CalibrationResult:
    """Bands that were too narrow, and the same ones widened."""

    def bands(shift: float, factor: float) -> BandFigures:
        levels = {
            str(level): np.clip(level / 100 + shift + random.normal(0, 0.01, horizon), 0, 1) for level in (50, 80, 90)
        }
        widths = {level: _figures(factor * float(level) / 1e4 * np.sqrt(np.arange(1, horizon + 1))) for level in levels}
        return BandFigures(coverage={level: _figures(values) for level, values in levels.items()}, width=widths)

    return CalibrationResult(n_origins=96, before=bands(-0.07, 1.0), after=bands(-0.005, 1.22))


def _health(error_bp: float, used: float) -> TokenizerFigures:
    return TokenizerFigures(
        n_windows=400,
        error_bp=error_bp,
        s1_used=used,
        s2_used=used + 0.1,
        s1_perplexity=212.4,
        s2_perplexity=377.1,
        clip_rate=0.0021,
    )


def make_examples(evaluation: Evaluation, horizon: int = 20, scale: float = 1.0) -> list[ExampleForecast]:
    """A forecast for each example of an evaluation, from synthetic candles at any scale of prices."""
    candles = CANDLES.copy()
    candles[["open", "high", "low", "close"]] *= scale
    made = []
    for n, example in enumerate(evaluation.examples):
        origin = 90 * (n + 1)
        history, truth = candles[origin - 80 : origin], candles[origin : origin + horizon]
        forecast = make_forecast(30, history, truth)
        made.append(ExampleForecast(example, history, replace(forecast, name=example.symbol), truth))
    return made


def make_run(folder: Path, language: str = "en") -> tuple[Path, Config]:
    """A run's folder with the losses of both stages and the audit, and its configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    config = load_config(write_tiny_config(folder), [f"report.language={language}"])
    run_dir = config.model_paths.base_save_path
    for stage, loss, kept in (("tokenizer", 0.05, 400), ("basemodel", 5.2, 300)):
        (run_dir / stage).mkdir(parents=True)
        lines = [json.dumps(line) for line in _make_losses(loss, kept)]
        (run_dir / stage / "metrics.jsonl").write_text("\n".join([*lines, '{"step": 40']))  # the last was cut off
    (run_dir / "data.json").write_text(json.dumps(make_audit()))
    return run_dir, config


def _make_losses(start: float, best: int) -> list[dict[str, float]]:
    random = np.random.default_rng(1)
    lines: list[dict[str, float]] = []
    for step in range(0, 401, 10):
        level = start * (0.55 + 0.45 * np.exp(-step / 90))
        if step:
            lines.append({"step": step, "epoch": step / 100, "loss": level * float(random.normal(1, 0.01))})
        if step % 50 == 0:
            lines.append({"step": step, "epoch": step / 100, "val_loss": level * (1.02 + ((step - best) / 1500) ** 2)})
    return lines


def make_audit() -> dict[str, Any]:
    """What the audit at the start of a run leaves."""
    symbols = [
        {
            "symbol": symbol,
            "source": f"data/{symbol}_5min.csv",
            "candles": n,
            "first": "2021-01-04 09:35",
            "last": "2024-09-30 15:00",
            "interval": "5 minutes",
        }
        for symbol, n in (("600977", 43_210), ("600519", 43_198), ("BTC<USDT> & Co", 9_000))
    ]
    finding = {"source": "data/600977_5min.csv", "symbol": "600977", "remedy": ""}
    findings = [
        finding | {"code": "gaps", "severity": "note", "count": 7, "message": "7 gaps within the trading hours"},
        finding
        | {"code": "duplicates", "severity": "repair", "count": 2, "message": "repeated rows; the first is kept"},
    ]
    return {
        "candles": 95_408,
        "symbols": symbols,
        "findings": [each | {"places": ["line 812 (2021-03-02 10:05)", "line 1,402"]} for each in findings],
    }
