"""Small evaluations as plain values, for tests of what is done with them."""

from pathlib import Path
from typing import Any

from kronos.evaluation.records import PIT_BINS, HorizonFigures
from kronos.evaluation.results import FORMAT, Comparison, Evaluation, ForecasterResult

HORIZON = 2
FIGURES = {"crps": 0.001, "mae": 0.0015, "direction": 0.52, "coverage_80": 0.75}


def make_figures(figures: dict[str, float]) -> dict[str, HorizonFigures]:
    return {name: HorizonFigures(overall=value, by_horizon=(value,) * HORIZON) for name, value in figures.items()}


def make_forecaster(name: str, log_return: dict[str, float], price: dict[str, float] | None = None) -> ForecasterResult:
    return ForecasterResult(
        name=name,
        label=name,
        price=make_figures(price or {}),
        log_return=make_figures(log_return),
        pit=(1,) * PIT_BINS,
    )


def make_comparison(baseline: str, **changes: Any) -> Comparison:
    values = {
        "baseline": baseline,
        "metric": "crps",
        "own_figure": 0.001,
        "baseline_figure": 0.0011,
        "skill": 0.091,
        "low": 0.021,
        "high": 0.154,
        "p_value": 0.01,
        "n_origins": 40,
        "n_independent": 30.0,
        "outcome": "helped",
        "skill_by_horizon": (0.09,) * HORIZON,
        "low_by_horizon": (0.02,) * HORIZON,
        "high_by_horizon": (0.15,) * HORIZON,
    }
    return Comparison.model_validate(values | changes)


def make_outcome(baseline: str, outcome: str, skill: float, **changes: Any) -> Comparison:
    """A comparison with an interval as wide as befits its outcome."""
    width = 0.5 * abs(skill) if outcome in ("helped", "hurt") else 0.02 if outcome == "no difference" else 0.2
    ends = {"skill": skill, "low": skill - width, "high": skill + width}
    return make_comparison(baseline, outcome=outcome, p_value=0.5, n_origins=99, n_independent=99, **ends, **changes)


def make_evaluation(figures: dict[str, float] | None = None, **changes: Any) -> Evaluation:
    """An evaluation of a run with these figures of log returns; prices' errors are ten times as large."""
    own = FIGURES | (figures or {})
    price = {name: 10 * own[name] for name in ("crps", "mae")}
    values: dict[str, Any] = {
        "format": FORMAT,
        "run": "made",
        "version": "0.1.0",
        "created": "2024-06-01T12:00:00",
        "candles": "data/made.csv",
        "split": "test",
        "notes": [],
        "lookback": 16,
        "horizon": HORIZON,
        "stride": HORIZON,
        "interval": "5 minutes",
        "n_symbols": 1,
        "first_origin": "2024-04-01 09:35",
        "last_origin": "2024-04-05 15:00",
        "n_origins": 40,
        "n_paths": 50,
        "temperature": 1.0,
        "top_p": 0.9,
        "seed": 42,
        "metric": "crps",
        "confidence": 0.95,
        "margin": 0.05,
        "headline": "It helped.",
        "forecasters": [make_forecaster("finetuned", own, price), make_forecaster("last_close", {"mae": 0.0016})],
        "comparisons": [make_comparison("last_close")],
        "left_out": [],
        "calibration": None,
        "tokenizer": None,
        "examples": [],
        "environment": {},
        "command": "kronos evaluate --run made",
    }
    return Evaluation.model_validate(values | changes)


def write_evaluated_run(folder: Path, figures: dict[str, float] | None = None, **changes: Any) -> Path:
    """A run's folder with its evaluation."""
    (folder / "report").mkdir(parents=True)
    make_evaluation(figures, **changes).write(folder / "report" / "metrics.json")
    return folder
