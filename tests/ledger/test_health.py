"""The health of a ledger: which forecasts count, and for which models."""

from datetime import datetime
from pathlib import Path

from kronos.ledger.gauges import write_gauges
from kronos.ledger.health import measure_health
from kronos.ledger.records import Outcome
from kronos.ledger.store import Ledger
from tests.ledger.made import START, make_forecast


def test_a_forecast_that_is_logged_twice_counts_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    later = {"written": datetime(2024, 1, 1, 1)}
    ledger.append([make_forecast(), make_forecast().model_copy(update=later), make_forecast(width=2.0)])
    ledger.add_outcomes(Outcome(number=n, step=0, actual=100.5) for n in (1, 2, 3))
    (health,) = measure_health(ledger)
    assert (health.n_forecasts, health.n_repeated, health.n_open) == (3, 1, 2)
    assert health.overall.n_forecasts == health.overall.n_steps == 2


def test_models_that_were_replaced_raise_no_alarm(tmp_path: Path) -> None:
    """After `kronos refresh` the run has other models: the alarm was about the earlier ones."""
    ledger, n = Ledger(tmp_path / "ledger.db"), 40
    ledger.append([make_forecast(2 * k, width=0.1) for k in range(n)])
    ledger.add_outcomes(Outcome(number=k, step=step, actual=103.0) for k in range(1, n + 1) for step in (0, 1))
    (before,) = measure_health(ledger)
    assert [alarm.kind for alarm in before.alarms_on] == ["too_narrow"] and before.is_current
    assert before.alarms_on[0].since >= START
    ledger.append([make_forecast(2 * n).model_copy(update={"base_model": "9" * 64})])
    old, new = measure_health(ledger)
    assert (old.run, new.run) == ("finetuned/my (11111111)", "finetuned/my")
    assert not old.alarms_on and old.alarms[0].is_on and not new.alarms_on and new.n_forecasts == 1
    assert 'kronos_alarm{kind="too_narrow",run="finetuned/my"} 0.0' in write_gauges([old, new])
    ledger.append([make_forecast(2 * n + 2)])  # gone back to the earlier models
    assert [each.is_current for each in measure_health(ledger)] == [True, False]
