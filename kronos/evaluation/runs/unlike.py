"""How the candles of an evaluation differ from those that a run was trained on."""

from pathlib import Path

from kronos.config import Config
from kronos.data import CandleSet
from kronos.data.against_run import Difference, collect_differences
from kronos.data.candle_kind import describe_kind
from kronos.evaluation.baselines import list_names
from kronos.evaluation.records import Note
from kronos.forecast.inputs import log_notes
from kronos.run_folder import RunFolder


def note_unlike_candles(config: Config, candles: CandleSet, with_own: bool) -> list[Note]:
    """Log and return how candles differ from those of the runs that forecast them: the evaluated one and the baselines.

    Args:
        with_own: whether to compare the candles with those of the evaluated run too.
    """
    own = config.model_paths.run_folder
    others = [RunFolder(Path(name)) for name in config.evaluation.rivals if name not in list_names()]
    kinds = [describe_kind(candles, symbol) for symbol in candles.symbols]
    notes = []
    for run in [own, *others] if with_own else others:
        name = "" if run is own else run.path.name
        texts: dict[str, tuple[Difference, list[str]]] = {}
        for symbol, differences in collect_differences(kinds, run).items():
            for each in differences:
                text = f"baseline {name}: {each}" if name else str(each)
                texts.setdefault(text, (each, []))[1].append(symbol)
        log_notes((symbol, [text]) for text, (_, symbols) in texts.items() for symbol in symbols)
        for text, (difference, (first, *more)) in texts.items():
            values = {"symbol": first, "n_more": len(more), "text": text, "difference": difference.code, "run": name}
            code = "unlike_candles_of_many" if more else "unlike_candles"
            notes.append(Note(code=code, values={**difference.values, **values}))
    return notes
