"""What the audit of a run's candles (data.json) tells the reader of its report."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kronos.data.quality.findings import FINDINGS
from kronos.evaluation.results import Texts
from kronos.report.verdict.tables import Cell, Row
from kronos.report.words.numbers import format_count
from kronos.report.words.page_texts import same, text
from kronos.report.words.page_words import FINDINGS_ZH, SEVERITIES, translate_units
from kronos.run_folder import RunFolder

MAX_SERIES = 200  # rows; the file has all
FEW_SERIES = 8  # that are shown without being asked for


@dataclass(frozen=True)
class AuditView:
    """The audit in words. more: that not all series are listed."""

    summary: Texts
    series: tuple[Row, ...]
    n_series: int
    more: Texts | None
    findings: tuple[Row, ...]

    @property
    def has_few_series(self) -> bool:
        return self.n_series <= FEW_SERIES


def read_audit(run_dir: Path) -> AuditView | None:
    """Read a run's audit; None where it is missing or damaged."""
    try:
        audit = json.loads(RunFolder(run_dir).audit.read_text(encoding="utf-8"))
        return _build_view(audit["symbols"], audit["findings"], audit["candles"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # a report is worth more than its audit
        return None


def _build_view(symbols: Sequence[dict[str, Any]], findings: Sequence[dict[str, Any]], n_candles: int) -> AuditView:
    n_more = len(symbols) - MAX_SERIES
    gaps, halts = (sum(f["count"] for f in findings if f["code"] == code) for code in ("gaps", "halts"))
    return AuditView(
        summary=text(
            "data_sum",
            candles=format_count(n_candles),
            series=format_count(len(symbols)),
            gaps=format_count(gaps),
            halts=format_count(halts),
        ),
        series=tuple(map(_list_series, symbols[:MAX_SERIES])),
        n_series=len(symbols),
        more=text("more_series", n=format_count(n_more)) if n_more > 0 else None,
        findings=tuple(_list_findings(findings)),
    )


def _list_series(symbol: dict[str, Any]) -> Row:
    names = [same(str(symbol["source"])), same(format_count(symbol["candles"]))]
    names += [same(str(symbol[key])) for key in ("first", "last")]
    return Row(same(str(symbol["symbol"])), tuple(map(Cell, (*names, translate_units(str(symbol["interval"]))))))


def _list_findings(findings: Sequence[dict[str, Any]]) -> list[Row]:
    """Return a row for each kind of finding, the severest first."""
    kinds: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for finding in findings:
        kinds[finding["severity"], finding["code"]].append(finding)
    ranks = list(SEVERITIES)
    rows = []
    for (severity, code), alike in sorted(kinds.items(), key=lambda kind: ranks.index(kind[0][0])):
        first = alike[0]
        what: Texts = {"en": FINDINGS.get(code, code), "zh": FINDINGS_ZH.get(code, code)}
        if len(alike) == 1:  # the audit speaks English only
            what["en"] = str(first["message"])
        place = " · ".join(filter(None, [str(first["symbol"]), *first["places"][:1]]))
        count = sum(each["count"] for each in alike)
        cells = [
            what,
            same(format_count(count) if count else ""),
            same(format_count(len({f["symbol"] for f in alike}))),
        ]
        rows.append(Row(SEVERITIES[severity], tuple(map(Cell, (*cells, translate_units(place))))))
    return rows
