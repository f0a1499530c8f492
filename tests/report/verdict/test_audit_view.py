import json
from pathlib import Path
from typing import Any

import pytest

from kronos.data.quality.findings import FINDINGS
from kronos.report.verdict.audit_view import MAX_SERIES, AuditView, read_audit
from kronos.report.words.catalogue import Words
from tests.report.made_evaluation import make_audit

EN, ZH = Words("en"), Words("zh")


def read(folder: Path, audit: Any, words: Words = EN) -> AuditView | None:
    (folder / "data.json").write_text(json.dumps(audit))
    return read_audit(folder, words)


def test_every_finding_has_words() -> None:
    assert all(words.has(f"audit.codes.{code}") for code in FINDINGS for words in (EN, ZH))


def test_series_and_findings(tmp_path: Path) -> None:
    en, zh = read(tmp_path, make_audit()), read(tmp_path, make_audit(), ZH)
    assert en is not None and zh is not None and en.n_series == 3 and en.has_few_series and not en.more
    assert "95,408" in en.summary and "Gaps: 7" in en.summary
    assert [cell.text for cell in zh.series[0].cells][-1] == "5 分钟"
    repair, _ = en.findings  # the more severe first
    assert (repair.head, zh.findings[1].head) == ("repair", "提示")
    assert [cell.text for cell in repair.cells[:3]] == ["repeated rows; the first is kept", "2", "1"]
    assert [cell.text for cell in zh.findings[0].cells] == ["重复行", "2", "1", "600977 · 第 812 行 (2021-03-02 10:05)"]


def test_many_series_and_findings_of_a_kind(tmp_path: Path) -> None:
    audit = make_audit()
    audit["symbols"] = [audit["symbols"][0] | {"symbol": str(n)} for n in range(5000)]
    audit["findings"] = [audit["findings"][0] | {"symbol": str(n)} for n in range(40)]
    view = read(tmp_path, audit)
    assert view is not None and len(view.series) == MAX_SERIES and "4,800" in view.more and not view.has_few_series
    (row,) = view.findings
    assert [cell.text for cell in row.cells[:3]] == ["candles missing within the trading hours", "280", "40"]


@pytest.mark.parametrize("damaged", [None, [], {"symbols": 3}, {"candles": 1, "symbols": [{}], "findings": []}])
def test_a_damaged_or_missing_audit(tmp_path: Path, damaged: Any) -> None:
    assert read_audit(tmp_path, EN) is None
    assert read(tmp_path, damaged) is None
