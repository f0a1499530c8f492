import json
from pathlib import Path
from typing import Any

import pytest

from kronos.data.quality.findings import FINDINGS
from kronos.report.verdict.audit_view import MAX_SERIES, AuditView, read_audit
from kronos.report.words.page_words import FINDINGS_ZH
from tests.report.made_evaluation import make_audit


def read(folder: Path, audit: Any) -> AuditView | None:
    (folder / "data.json").write_text(json.dumps(audit))
    return read_audit(folder)


def test_every_finding_has_chinese() -> None:
    assert FINDINGS_ZH.keys() == FINDINGS.keys()


def test_series_and_findings(tmp_path: Path) -> None:
    view = read(tmp_path, make_audit())
    assert view is not None and view.n_series == 3 and view.has_few_series and view.more is None
    assert "95,408" in view.summary["en"] and "Gaps: 7" in view.summary["en"]
    assert [cell.text["zh"] for cell in view.series[0].cells][-1] == "5 分钟"
    repair, note = view.findings  # the severer first
    assert (repair.head["en"], note.head["zh"]) == ("repair", "提示")
    what, count, series, place = (cell.text for cell in repair.cells)
    assert what == {"en": "repeated rows; the first is kept", "zh": "重复行"}
    assert (count["en"], series["en"]) == ("2", "1") and place["zh"] == "600977 · 第 812 行 (2021-03-02 10:05)"


def test_many_series_and_findings_of_a_kind(tmp_path: Path) -> None:
    audit = make_audit()
    audit["symbols"] = [audit["symbols"][0] | {"symbol": str(n)} for n in range(5000)]
    audit["findings"] = [audit["findings"][0] | {"symbol": str(n)} for n in range(40)]
    view = read(tmp_path, audit)
    assert view is not None and len(view.series) == MAX_SERIES and view.more is not None
    assert "4,800" in view.more["en"] and not view.has_few_series
    (row,) = view.findings
    assert [cell.text["en"] for cell in row.cells[:3]] == [FINDINGS["gaps"], "280", "40"]


@pytest.mark.parametrize("damaged", [None, [], {"symbols": 3}, {"candles": 1, "symbols": [{}], "findings": []}])
def test_a_damaged_or_missing_audit(tmp_path: Path, damaged: Any) -> None:
    assert read_audit(tmp_path) is None
    assert read(tmp_path, damaged) is None
