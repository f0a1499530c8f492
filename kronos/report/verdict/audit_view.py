"""The audit of a run's candles (data.json) as tables of the page."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kronos.data.quality.findings import SEVERITIES
from kronos.files import find_sealed
from kronos.names import make_all_printable
from kronos.report.verdict.tables import Cell, Row
from kronos.report.words.catalogue import Words
from kronos.report.words.details import write_detail
from kronos.report.words.numbers import format_count
from kronos.report.words.sentences import write_units
from kronos.run_folder import RunFolder

MAX_SERIES = 200  # rows; the file has all
FEW_SERIES = 8  # that are shown without a click


@dataclass(frozen=True)
class AuditView:
    """The audit in words. all_series: heading of the table. more: that not all series are listed."""

    summary: str
    series: tuple[Row, ...]
    n_series: int
    all_series: str
    more: str
    findings: tuple[Row, ...]

    @property
    def has_few_series(self) -> bool:
        return self.n_series <= FEW_SERIES


def read_audit(run_dir: Path, words: Words) -> AuditView | None:
    """Read a run's audit; None if it is missing or damaged."""
    audit = make_all_printable(find_sealed(RunFolder(run_dir).audit))
    if audit is None:
        return None
    try:
        return _build_view(audit["symbols"], audit["findings"], audit["candles"], words)
    except (ValueError, KeyError, TypeError, AttributeError):  # the report is useful without its audit
        return None


def _build_view(
    symbols: Sequence[dict[str, Any]], findings: Sequence[dict[str, Any]], n_candles: int, words: Words
) -> AuditView:
    n_more = len(symbols) - MAX_SERIES
    counts = {code: sum(each["count"] for each in findings if each["code"] == code) for code in ("gaps", "halts")}
    return AuditView(
        summary=words("audit.summary", candles=n_candles, series=len(symbols), **counts),
        series=tuple(_list_series(symbol, words) for symbol in symbols[:MAX_SERIES]),
        n_series=len(symbols),
        all_series=words("audit.all_series", n=len(symbols)),
        more=words("audit.more_series", n=n_more) if n_more > 0 else "",
        findings=tuple(_list_findings(findings, words)),
    )


def _list_series(symbol: dict[str, Any], words: Words) -> Row:
    values = [str(symbol["source"]), format_count(symbol["candles"]), str(symbol["first"]), str(symbol["last"])]
    interval = write_units(str(symbol["interval"]), words)
    return Row(str(symbol["symbol"]), tuple(map(Cell, (*values, interval))))


def _list_findings(findings: Sequence[dict[str, Any]], words: Words) -> list[Row]:
    """Return a row for each kind of finding, the most severe first."""
    kinds: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for finding in findings:
        kinds[finding["severity"], finding["code"]].append(finding)
    rows = []
    for (severity, code), alike in sorted(kinds.items(), key=lambda kind: SEVERITIES.index(kind[0][0])):
        first = alike[0]
        place = " · ".join(filter(None, [str(first["symbol"]), *first["places"][:1]]))
        count = sum(each["count"] for each in alike)
        cells = (
            _write_finding(code, alike, words),
            format_count(count) if count else "",
            format_count(len({each["symbol"] for each in alike})),
            write_units(place, words),
        )
        rows.append(Row(words(f"audit.severities.{severity}"), tuple(map(Cell, cells))))
    return rows


def _write_finding(code: str, alike: Sequence[dict[str, Any]], words: Words) -> str:
    """Return what was found; of a single finding its message, which is more exact."""
    kind = words(f"audit.codes.{code}") if words.has(f"audit.codes.{code}") else code
    if len(alike) > 1:
        return kind
    only, chinese = alike[0], Words("zh")
    detail = write_detail(str(only.get("template", only["message"])), only.get("values", {}), chinese)
    return words.choose({"en": str(only["message"]), "zh": detail or chinese(f"audit.codes.{code}")})
