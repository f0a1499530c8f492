"""The returns of trading rules in words (evaluation.costs_bp)."""

from kronos.evaluation.results import Evaluation, Trade
from kronos.report.words.catalogue import Words
from kronos.report.words.numbers import format_level, format_percent


def write_money(evaluation: Evaluation, words: Words) -> list[str]:
    """Return a heading and a line for each rule; nothing if the returns were not asked for."""
    money = evaluation.money
    if money is None:
        return []
    lines = [f"  {_write_trade(each, evaluation.confidence, words)}" for each in money.trades]
    return [words("money.heading", costs=money.costs_bp, n=money.n_origins), "", *lines]


def _write_trade(trade: Trade, confidence: float, words: Words) -> str:
    mean, low, high = (format_percent(value, 3, sign=True) for value in (trade.mean, trade.low, trade.high))
    return words(
        "money.trade",
        rule=words(f"money.rules.{trade.rule}"),
        mean=mean,
        confidence=format_level(confidence),
        low=low,
        high=high,
        in_market=format_percent(trade.in_market, 0),
        turnover=trade.turnover,
    )
