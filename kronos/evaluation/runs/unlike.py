"""How the candles of an evaluation differ from those that a run was trained on."""

from pathlib import Path

from kronos.config import Config
from kronos.data import CandleSet
from kronos.data.against_run import collect_differences
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
        differences = collect_differences(kinds, run)
        if run is not own:
            differences = {
                key: [f"baseline {run.path.name}: {text}" for text in each] for key, each in differences.items()
            }
        log_notes(differences.items())
        symbols: dict[str, list[str]] = {}
        for symbol, texts in differences.items():
            for text in texts:
                symbols.setdefault(text, []).append(symbol)
        for text, (first, *more) in symbols.items():
            values = {"symbol": first, "n_more": len(more), "text": text}
            notes.append(Note(code="unlike_candles_of_many" if more else "unlike_candles", values=values))
    return notes
