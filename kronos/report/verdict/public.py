"""Leave out of a verdict what a model card must not tell: paths of this machine, and on request the candles."""

import re
from collections.abc import Sequence

from kronos.evaluation.records import Note
from kronos.evaluation.results import Evaluation
from kronos.report.words.catalogue import Words

TIME = r"\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2})?)?"
HIDDEN = "…"
PATH_REASONS = ("not_loadable",)  # whose error may name a folder


def make_public(evaluation: Evaluation, words: Words, symbols: Sequence[str] | None) -> Evaluation:
    """Return a verdict whose reasons name no path and whose notes, if symbols are given, neither symbols nor times.

    No note is left out: the catalogue has the text without the data, as notes.judged_before_hidden. In a text of another
    origin, symbols and times are replaced.
    """
    left_out = [
        each.model_copy(update={"reason": _rename(each.reason)}) if each.reason.code in PATH_REASONS else each
        for each in evaluation.left_out
    ]
    notes = evaluation.notes if symbols is None else [_hide(note, words, symbols) for note in evaluation.notes]
    return evaluation.model_copy(update={"left_out": tuple(left_out), "notes": tuple(notes)})


def _hide(note: Note, words: Words, symbols: Sequence[str]) -> Note:
    names = [rf"(?<![A-Za-z0-9]){re.escape(each)}(?![A-Za-z0-9])" for each in sorted(symbols, key=len, reverse=True)]
    data = re.compile("|".join([TIME, *names]))
    if note.texts:
        return note.model_copy(update={"texts": {key: data.sub(HIDDEN, text) for key, text in note.texts.items()}})
    return _rename(note) if words.has(f"notes.{note.code}_hidden") else note


def _rename(note: Note) -> Note:
    return note.model_copy(update={"code": f"{note.code}_hidden"})
