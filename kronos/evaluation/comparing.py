"""Compare a run with all baselines by all metrics, and correct for the number of comparisons."""

from collections.abc import Mapping, Sequence

import numpy as np

from kronos.candles import Array
from kronos.config.evaluation import EvaluationConfig
from kronos.evaluation.origins.walk_forward import Origins
from kronos.evaluation.results import Comparison, Evidence
from kronos.evaluation.scores.calibration import measure_volatility
from kronos.evaluation.scoring import COMPARED_BY
from kronos.evaluation.skill import PRETRAINED, STRAW_MEN, decide_skill, list_in_order
from kronos.evaluation.verdict import CaseTimes, adjust, compare_losses, estimate_evidence
from kronos.timing import timed

Losses = Mapping[str, Array]  # by metric of COMPARED_BY: (N, H)


@timed("scoring")
def compare_all(
    own: Losses, baselines: Mapping[str, Losses], times: CaseTimes, settings: EvaluationConfig
) -> list[Comparison]:
    """Compare a run with each baseline: by evaluation.metric, then by the other metrics.

    Outcomes by evaluation.metric account for the number of baselines (`adjust`). Two kinds of baselines do not count: the
    pretrained model, because whether fine-tuning helped is a question of its own that is asked beforehand, and those
    against which no outcome is shown.
    """
    compared: list[Comparison] = []
    for metric in dict.fromkeys([settings.metric, *COMPARED_BY]):
        row = [
            compare_losses(metric, name, own[metric], losses[metric], times, settings)
            for name, losses in baselines.items()
        ]
        compared += _finish(row, settings) if metric == settings.metric else map(_drop_symbols, row)
    return compared


def _finish(row: Sequence[Comparison], settings: EvaluationConfig) -> list[Comparison]:
    """Adjust the comparisons by the verdict's metric. The skill by symbol is kept where the headline quotes it."""
    counted = [each for each in row if each.baseline not in (PRETRAINED, *STRAW_MEN)]
    adjusted = {each.baseline: each for each in adjust(counted, settings)}
    finished = [adjusted.get(each.baseline, each) for each in row]
    skill = decide_skill(finished, settings.metric, settings.margin).comparison
    quoted = [PRETRAINED, *([skill.baseline] if skill else [])]
    return [each if each.baseline in quoted else _drop_symbols(each) for each in finished]


def _drop_symbols(comparison: Comparison) -> Comparison:
    return comparison.model_copy(update={"by_symbol": ()})


def describe_times(origins: Origins) -> CaseTimes:
    """Return when and where the origins are."""
    candles, numbers = origins.candles, origins.candles.symbol_numbers(origins.rows)
    names = [candles.symbols[number].symbol for number in numbers.tolist()] if len(np.unique(numbers)) > 1 else []
    return CaseTimes(origins.starts, origins.ends, measure_volatility(origins.closes), names)


def find_evidence(comparisons: Sequence[Comparison], metric: str, origins: Origins) -> Evidence | None:
    """Estimate what it takes to show that fine-tuning helps or, without a pretrained model, that there is skill.

    None for direction, whose skill is no share of an error, and without such a comparison.
    """
    asked = [each for each in comparisons if each.baseline == PRETRAINED and each.metric == metric]
    asked += list_in_order(comparisons, metric)
    if not asked or metric == "direction":
        return None
    days = (origins.ends.max() - origins.starts.min()) / 86_400e6
    numbers = origins.candles.symbol_numbers(origins.rows)
    n_candles = max(int(np.ptp(origins.rows[numbers == number])) for number in np.unique(numbers)) + origins.horizon
    return estimate_evidence(asked[0], n_candles, float(days))
