"""In what candles differ from a run's is worded in both languages; the log has the English text."""

import pytest

from kronos.data.against_run import DIFFERENCES, Difference
from kronos.evaluation.records import Note
from kronos.report.words.catalogue import Words, read_texts
from kronos.report.words.sentences import write_note

HOURS = {"own": "1–3", "trained": "9–11", "share": "100%", "weekday": "Sunday", "time": "01:00", "by": "+8"}


def test_the_catalogue_has_the_texts_of_the_log() -> None:
    texts = read_texts("en")
    assert {key: texts[f"differences.{key}"] for key in DIFFERENCES} == DIFFERENCES


@pytest.mark.parametrize(
    ("difference", "run", "chinese"),
    [
        (
            Difference("interval", {"own": "1 day", "trained": "5 minutes"}),
            "",
            "这些 K 线的周期是 1 天，而训练所用的是 5 分钟",
        ),
        (Difference("hours_moved", HOURS | {"zone": "Asia/Shanghai"}), "", "例如星期日 01:00；这些 K 线分布在 1–3 时"),
        (Difference("no_volume"), "other", "基准 other：这些 K 线没有成交量"),
    ],
)
def test_a_note_is_worded_in_its_language(difference: Difference, run: str, chinese: str) -> None:
    values = {"symbol": "A", "n_more": 0, "text": str(difference), "difference": difference.code, "run": run}
    note = Note(code="unlike_candles", values={**difference.values, **values})
    assert chinese in write_note(note, Words("zh"))
    assert str(difference) in write_note(note, Words("en"))


def test_a_note_of_an_earlier_version_keeps_its_text() -> None:
    note = Note(code="unlike_candles", values={"symbol": "A", "n_more": 0, "text": "they differ"})
    assert write_note(note, Words("zh")).endswith("：they differ")
