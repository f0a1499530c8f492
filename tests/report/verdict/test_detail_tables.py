"""The tables on direction, symbols, times of day and trading rules."""

from math import nan

import pytest

from kronos.evaluation.results import SymbolSkill
from kronos.report.verdict.detail_tables import (
    FEW_SYMBOLS,
    list_clock_times,
    list_direction,
    list_money,
    list_symbols,
    list_value_at_risk,
    write_value_at_risk,
)
from kronos.report.words.catalogue import Words
from tests.report.made_evaluation import make_evaluation

EVALUATION = make_evaluation()
EN, ZH = Words("en"), Words("zh")


def test_direction_has_the_base_rate_and_hits_by_how_sure_the_forecast_is() -> None:
    table = list_direction(EVALUATION, EN)
    assert table is not None and "51.3% of the actual moves went up" in table.how and "0.2498" in table.how
    assert table.heads == ("Fine-tuned model", "Pretrained model", "Drift", "Seasonal naive", "LSTM")  # these move
    rows = {row.head: [(cell.text, cell.interval) for cell in row.cells] for row in table.rows}
    assert rows["Hits of the surest third"][0] == ("53.4%", "48–58%")
    assert {"Brier score of P(up)", "AUC of P(up)", "F1 of the direction"} <= rows.keys()
    still = [each.model_copy(update={"direction": None}) for each in EVALUATION.forecasters]
    assert list_direction(EVALUATION.model_copy(update={"forecasters": still}), EN) is None


@pytest.mark.parametrize("kept, shown", [((0, 2), "53.4%"), ((2,), None)])
def test_of_two_parts_the_surer_one_is_the_surest(kept: tuple[int, ...], shown: str | None) -> None:
    """With few paths, P(up) has few values, and the forecasts make less than three parts."""
    own = EVALUATION.forecasters[0]
    assert own.direction
    fewer = own.direction.model_copy(update={"thirds": tuple(own.direction.thirds[i] for i in kept)})
    own = own.model_copy(update={"direction": fewer})
    table = list_direction(EVALUATION.model_copy(update={"forecasters": [own]}), EN)
    assert table is not None
    rows = {row.head: row.cells[0].text for row in table.rows}
    assert rows.get("Hits of the surest third") == shown and "Hits of the middle third" not in rows


def test_skill_by_symbol_names_the_best_and_the_worst() -> None:
    pretrained, random_walk = list_symbols(EVALUATION, EN)
    assert "Against the pretrained model, the run is better for 2 of 3 symbols" in pretrained.how
    assert "Best: 600977 (+8.3%); worst: 000001 (−1.7%)" in pretrained.how and "better for 0 of 3" in random_walk.how
    assert [row.cells[0].text for row in pretrained.rows] == ["+8.3%", "+3.3%", "−1.7%"]
    assert "3 个标的中有 2 个更好" in list_symbols(EVALUATION, ZH)[0].how


def test_of_many_symbols_both_ends_are_shown() -> None:
    skills = [SymbolSkill(symbol=f"S{n}", skill=n / 100 if n else nan, n_origins=5) for n in range(100)]
    own = EVALUATION.comparisons[0].model_copy(update={"by_symbol": tuple(skills)})
    (table,) = list_symbols(EVALUATION.model_copy(update={"comparisons": [own]}), EN)
    assert len(table.rows) == FEW_SYMBOLS and "99 of 100 symbols" in table.how
    assert (table.rows[0].head, table.rows[-1].head, table.rows[-1].cells[0].text) == ("S99", "S0", "–")
    assert "worst: S1 (+1.0%)" in table.how


@pytest.mark.parametrize(
    "times, n_times, words",
    [
        ({"09:35": 4, "10:00": 5}, 2, "at all 2 times of day, between 4 and 5"),
        ({"09:35": 4, "10:00": 5}, 48, "at 2 of the 48 times of day"),
        ({"09:50": 40}, 48, "All origins stand at 09:50. The verdict says nothing of other times"),
    ],
)
def test_times_of_day(times: dict[str, int], n_times: int, words: str) -> None:
    found = list_clock_times(EVALUATION.model_copy(update={"clock_times": times, "n_clock_times": n_times}), EN)
    assert found is not None and words in found.how and max(bar.height for bar in found.bars) == 100
    assert list_clock_times(EVALUATION.model_copy(update={"clock_times": {}}), EN) is None


def test_trading_rules_if_asked_for() -> None:
    table = list_money(EVALUATION, EN)
    assert table is not None and "costs of 5 basis points" in table.how and "not part of the verdict" in table.how
    assert [row.head for row in table.rows] == [
        "Sign of the median",
        "Long if P(up) is above 60%, short below 40%",
        "Always long",
    ]
    assert (table.rows[0].cells[0].text, table.rows[0].cells[0].interval) == ("−4.0", "[−21.0, 13.0]")
    assert list_money(EVALUATION.model_copy(update={"money": None}), EN) is None


def test_value_at_risk_in_plain_words() -> None:
    table = list_value_at_risk(EVALUATION, EN)
    assert table is not None and "one symbol at a time" in table.how and "calibrated" in table.how
    assert [cell.text for cell in table.rows[0].cells] == ["17", "8.0", "0.004", "–", "8.1%"]
    assert table.rows[0].cells[-1].interval == "4–13%"
    found, missing = write_value_at_risk(EVALUATION, EN)
    assert "17 of 160 forecasts ended in a larger loss, 8.0 were expected" in found and "understates the risk" in found
    assert missing == "VaR 99% needs at least 99 sampled paths (evaluation.n_paths)."
    assert "低估了风险" in write_value_at_risk(EVALUATION, ZH)[0]
    without = EVALUATION.model_copy(update={"value_at_risk": None})
    assert list_value_at_risk(without, EN) is None and not write_value_at_risk(without, EN)
