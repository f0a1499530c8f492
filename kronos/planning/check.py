"""Check candles before a long run uses them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from kronos.config import Config
from kronos.data import load_candles, split_candles
from kronos.data.as_read import CandleAsRead, read_ends
from kronos.data.elsewhere.gather import gather_files
from kronos.data.elsewhere.options import FetchOptions
from kronos.data.leakage import Leaks, find_leaks
from kronos.data.windows.load import Audited
from kronos.data.windows.splits import Split, SplitName
from kronos.errors import DataError
from kronos.planning.enough import Kind, Sufficiency, measure_sufficiency, propose_sizes


@dataclass(frozen=True)
class Check:
    """The results of an audit.

    error: why the candles cannot be split. leaks: None if the self-test was not run. as_read: the first and last candles of
    each symbol. enough: None if there are errors. next: the command that may follow.
    """

    audited: Audited
    splits: Mapping[SplitName, Split] = field(default_factory=dict)
    error: DataError | None = None
    leaks: Leaks | None = None
    as_read: Mapping[str, Sequence[CandleAsRead]] = field(default_factory=dict)
    enough: Sufficiency | None = None
    next: str = ""

    @property
    def broken(self) -> bool:
        return any(finding.severity == "error" for finding in self.audited.findings)


def check_candles(config: Config, with_splits: bool, leakage: bool = False, kind: Kind | None = None) -> Check:
    """Audit candles, and count their windows.

    Args:
        with_splits: whether the configuration has splits and the length of windows; otherwise these are proposed.
        kind: of candles, whose usual lengths are proposed; None: as they are.
        leakage: also change everything after a cut, and look whether anything before it changes.

    Raises:
        DataError: there is no such file. Errors within files are among the findings.
    """
    candles, findings = load_candles(config.data, config.repairs)
    if not with_splits:  # then nobody chose the length of a window
        findings = tuple(finding for finding in findings if finding.kind != "short" or finding.severity == "error")
    files = gather_files(config.data.data_path, FetchOptions.of(config.data)).files
    check = Check(Audited(candles, findings), as_read=read_ends(candles, candles.symbols, files))
    if check.broken or not len(candles):
        return check
    if not with_splits:
        return replace(check, enough=propose_sizes(candles, config.data, kind))
    try:
        splits = split_candles(candles, config.data)
    except DataError as error:
        return replace(check, error=error)
    leaks = find_leaks(config.data, config.repairs) if leakage else None
    return replace(check, splits=splits, leaks=leaks, enough=measure_sufficiency(candles, config.data, splits))
