"""Whether a run's earlier verdicts already used the time that new origins forecast."""

import re

import numpy as np

from kronos.errors import CheckpointError
from kronos.evaluation.origins.clock import find_local_times
from kronos.evaluation.origins.walk_forward import Origins
from kronos.evaluation.records import Note
from kronos.evaluation.results import Evaluation
from kronos.run_folder import ReportFolder, RunFolder

CODE = "judged_before"


def note_judged_before(run: RunFolder, report: ReportFolder, origins: Origins) -> list[Note]:
    """Return a note if an earlier verdict of a run has judged the time of some origins.

    An earlier verdict in the same folder with the same last candle does not count: it is this one, or one that began
    elsewhere. Its note is kept if this one is made again.

    Args:
        report: the folder of the verdict that is being made.
    """
    first, last = (find_local_times(origins.candles, origins.rows + ahead) for ahead in (1, origins.horizon))
    latest, judged = "", np.zeros(len(origins), bool)
    for folder in run.list_reports():
        earlier = _read(folder)
        if earlier is None:
            continue
        until = earlier.last_actual or earlier.last_origin  # versions without the former: a little too early
        if folder.path == report.path and _to_time(until) == last.max(initial=0):
            if again := [note for note in earlier.notes if _is_same(note, origins)]:
                return again
            continue
        used = (first <= _to_time(until)) & (last > _to_time(earlier.first_origin))
        judged |= used
        latest = max(latest, until) if used.any() else latest
    values = {"n": int(judged.sum()), "n_all": len(origins), "since": latest}
    return [Note(code=CODE, values=values)] if judged.any() else []


def _read(folder: ReportFolder) -> Evaluation | None:
    try:
        return Evaluation.read(folder.results)
    except CheckpointError:
        return None


def _is_same(note: Note, origins: Origins) -> bool:
    return note.code == CODE and note.values["n_all"] == len(origins)


def _to_time(text: str) -> int:
    """Return a local time, "2024-09-02 09:35", in microseconds; 0 if it is not one."""
    return int(np.datetime64(text, "us").astype(np.int64)) if re.match(r"\d{4}-", text) else 0
