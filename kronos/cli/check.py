"""`kronos check`: find what is wrong with candles before a long run uses them."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kronos.cli.session import LanguageOption, start_session
from kronos.config import Config, load_config
from kronos.config.load import build_reading_config
from kronos.errors import ConfigError, DataError
from kronos.report.words.catalogue import Words
from kronos.urls import mask_secrets, name_source

if TYPE_CHECKING:
    from kronos.data.as_read import CandleAsRead
    from kronos.data.leakage import Leaks
    from kronos.data.quality.findings import Finding
    from kronos.data.windows.load import Audited
    from kronos.data.windows.splits import Split, SplitName
    from kronos.planning.enough import Sufficiency

MAX_ROWS = 200  # lines of the table; --json lists all
MAX_SYMBOLS = 4  # whose candles are printed; --json has those of all
OVERRIDE = r"\w+(\.\w+)+="
STARTING_CONFIG = "configs/demo.yaml"
STYLES = {"error": "bold red", "repair": "yellow", "note": "cyan"}

Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PATH | URL | SECTION.KEY=VALUE]...",
        help="Files, folders, globs or URLs of candles, instead of the configuration's; and overrides of keys.",
    ),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="A YAML file: its candles, splits and windows.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]
Leakage = Annotated[
    bool,
    typer.Option("--leakage", help="Also change everything after a cut, and check that nothing before it changes."),
]


@dataclass(frozen=True)
class _Check:
    """The results of an audit.

    error: why the candles cannot be split. leaks: None if the self-test was not run. as_read: the first and last candles of
    each symbol. enough: None if there are errors. next: the command that may follow.
    """

    audited: Audited
    splits: dict[SplitName, Split]
    error: DataError | None = None
    leaks: Leaks | None = None
    as_read: Mapping[str, Sequence[CandleAsRead]] = field(default_factory=dict)
    enough: Sufficiency | None = None
    next: str = ""

    @property
    def broken(self) -> bool:
        return any(finding.severity == "error" for finding in self.audited.findings)


def check_command(
    arguments: Arguments = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
    leakage: Leakage = False,
    language: LanguageOption = None,
) -> None:
    """Audit candles: list errors, repairs and notes. The exit status is 1 if there are errors."""
    with start_session("nothing was changed"):
        settings = _configure(arguments or [], config)
        check = _check_candles(settings, config is not None, leakage)
        check = replace(check, next=_propose_command(check, settings, arguments or [], config))
        if as_json:
            typer.echo(json.dumps(_to_json(check), ensure_ascii=False, allow_nan=False))
        else:
            _print_check(check, settings, leakage, Words(language or settings.report.language))
        if check.error:
            raise check.error
        if check.broken or (check.leaks and check.leaks.leaks):
            raise typer.Exit(1)


def _configure(arguments: Sequence[str], config: Path | None) -> Config:
    """Split arguments into paths and overrides, and build the configuration."""
    overrides = [each for each in arguments if re.match(OVERRIDE, each) and not Path(each).exists()]
    paths = [each for each in arguments if each not in overrides]
    if not paths and config is None:
        raise ConfigError("there are no candles to check. Give --config, or files of candles; see --help.")
    if config is None:
        return build_reading_config(paths, overrides)
    return load_config(config, [*([f"data.data_path={json.dumps(paths)}"] if paths else []), *overrides])


def _check_candles(settings: Config, with_splits: bool, leakage: bool) -> _Check:
    # These import PyTorch. Imported here, they do not delay --help.
    from kronos.data import load_candles, split_candles
    from kronos.data.as_read import read_ends
    from kronos.data.elsewhere.gather import gather_files
    from kronos.data.elsewhere.options import FetchOptions
    from kronos.data.leakage import find_leaks
    from kronos.data.windows.load import Audited
    from kronos.planning.enough import measure_sufficiency, propose_sizes

    candles, findings = load_candles(settings.data, settings.repairs)
    if not with_splits:  # then nobody chose the length of a window
        findings = tuple(finding for finding in findings if finding.kind != "short" or finding.severity == "error")
    files = gather_files(settings.data.data_path, FetchOptions.of(settings.data)).files
    ends = read_ends(candles, candles.symbols, files)
    check = _Check(Audited(candles, findings), {}, as_read=ends)
    if check.broken or not len(candles):
        return check
    if not with_splits:
        return replace(check, enough=propose_sizes(candles, settings.data))
    try:
        splits = split_candles(candles, settings.data)
    except DataError as error:
        return replace(check, error=error)
    leaks = find_leaks(settings.data, settings.repairs) if leakage else None
    return replace(check, splits=splits, leaks=leaks, enough=measure_sufficiency(candles, settings.data, splits))


def _propose_command(check: _Check, settings: Config, arguments: Sequence[str], config: Path | None) -> str:
    """Return the command that trains on these candles; empty if they are not usable yet."""
    if check.enough is None or check.enough.level == "none":
        return ""
    overrides = [each for each in arguments if re.match(OVERRIDE, each) and not Path(each).exists()]
    if config is None:
        paths = [str(path) for path in settings.data.data_path]
        name = name_source(settings.data.data_path[0]).strip("_")
        overrides += [f"data.data_path={paths[0] if len(paths) == 1 else json.dumps(paths, ensure_ascii=False)}"]
        sizes = {"lookback_window": check.enough.lookback, "predict_window": check.enough.horizon}
        overrides += [f"data.{key}={n}" for key, n in sizes.items() if f"data.{key}=" not in " ".join(overrides)]
        overrides += [f"model_paths.exp_name={name or 'my_run'}"]
    elif paths := [each for each in arguments if each not in overrides]:
        overrides += [f"data.data_path={json.dumps(paths, ensure_ascii=False)}"]
    overrides = [mask_secrets(each) for each in overrides]
    return shlex.join(["python", "-m", "kronos", "train", "--config", str(config or STARTING_CONFIG), *overrides])


def _to_json(check: _Check) -> dict[str, Any]:
    from kronos.data.audit import audit_to_json, splits_to_json

    report = audit_to_json(check.audited)
    for symbol in report["symbols"]:
        symbol["as_read"] = [candle.to_json() for candle in check.as_read.get(symbol["symbol"], ())]
    report |= {"enough": check.enough.to_json()} if check.enough else {}
    report |= {"next": check.next} if check.next else {}
    report |= {"leaks": [leak._asdict() for leak in check.leaks.leaks]} if check.leaks is not None else {}
    report |= {"windows": splits_to_json(check.splits)} if check.splits else {}
    return report | ({"error": str(check.error)} if check.error else {})


def _print_check(check: _Check, settings: Config, leakage: bool, words: Words) -> None:
    from kronos.data.audit import describe_candles, describe_splits

    texts = words.section("check.audit")
    typer.echo(describe_candles(check.audited.candles, texts))
    _print_as_read(check.as_read, words)
    for line in describe_splits(check.splits, settings.data, texts) if check.splits else ():
        typer.echo(line)
    if check.audited.findings:
        _print_findings(check.audited.findings, words)
    else:
        typer.echo(words("check.nothing_found"))
    if check.leaks is not None:
        _print_leaks(check.leaks, words)
    elif leakage:
        typer.echo(words("check.self_test_not_run"))
    _print_enough(check, words)


def _print_as_read(as_read: Mapping[str, Sequence[CandleAsRead]], words: Words) -> None:
    """Print the first and last candles of the first few symbols, each above its line in the file."""
    if as_read:
        typer.echo(words("check.as_read"))
    for symbol, candles in list(as_read.items())[:MAX_SYMBOLS]:
        for candle in candles:
            numbers = "  ".join(f"{words(f'check.columns.{name}')} {value}" for name, value in candle.values.items())
            typer.echo(f"  {symbol}  {candle.time} {candle.zone}".rstrip() + f"  {numbers}")
            place = words(f"check.{candle.place.unit}", n=candle.place.line)
            typer.echo(f"    {candle.place.file}, {place}: {candle.raw}")
    if len(as_read) > MAX_SYMBOLS:
        typer.echo(words("check.more_symbols", n=len(as_read) - MAX_SYMBOLS))


def _print_enough(check: _Check, words: Words) -> None:
    """Print whether the candles are enough, and the next command."""
    if check.enough is None:
        if check.broken:
            typer.echo(words("check.correct_first"))
        return
    enough = check.enough
    values = {"lookback": enough.lookback, "horizon": enough.horizon, "train": enough.train, "test": enough.test}
    values |= {"n": sum(len(split) for split in enough.splits.values())}
    sizes = words("check.proposed" if enough.proposed else "check.given", **values)
    typer.echo(f"\n{sizes} {words(f'check.enough.{enough.level}', **values)}")
    if check.next:
        typer.echo(words("check.next", command=check.next))


def _print_findings(findings: Sequence[Finding], words: Words) -> None:
    from kronos.data.quality.findings import SEVERITIES

    ordered = _group_notes(sorted(findings, key=lambda each: SEVERITIES.index(each.severity)))
    shown = ordered[:MAX_ROWS]
    Console().print(_build_table(shown, words))
    if remedies := list(dict.fromkeys(first.remedy for first, *_ in shown if first.remedy)):
        typer.echo(f"\n{words('check.remedies')}")
    for remedy in remedies:
        typer.echo(f"  {remedy}")
    if len(ordered) > MAX_ROWS:
        typer.echo(words("check.more", n=len(ordered) - MAX_ROWS))
    counts = Counter(each.severity for each in findings)
    typer.echo("\n" + words("check.counts", errors=counts["error"], repairs=counts["repair"], notes=counts["note"]))


def _build_table(groups: Sequence[Sequence[Finding]], words: Words) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(words("check.finding"), no_wrap=True)
    table.add_column(words("check.where"), overflow="fold")
    table.add_column(words("check.count"), justify="right", no_wrap=True)
    table.add_column(words("check.what"), overflow="fold", ratio=1)
    for severity, same_severity in itertools.groupby(groups, key=lambda group: group[0].severity):
        table.add_row(f"\n[{STYLES[severity]}]{words(f'check.headings.{severity}')}[/]")
        for first, *others in same_severity:
            names = [each.symbol or Path(each.source).name for each in (first, *others)]
            where = "\n".join([names[0], *_list_places(first)])
            if others:
                where = words("check.and_more", name=names[0], n=len(others))
            count = sum(each.count for each in (first, *others))
            # The details have no Chinese text; the kind of finding has.
            what = first.text if words.language == "en" else f"{words(f'audit.codes.{first.kind}')}：{first.text}"
            table.add_row(first.kind, escape(where), f"{count:,}" if count else "", escape(what))
    return table


def _group_notes(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Group notes with the same text about many symbols; errors and repairs stay apart for each symbol."""
    groups: dict[object, list[Finding]] = {}
    for each in findings:
        own = each.symbol or each.source if each.severity != "note" else ""
        groups.setdefault((each.kind, each.text, own), []).append(each)
    return list(groups.values())


def _list_places(finding: Finding) -> list[str]:
    """Return a line for each of the first few places; two lines for a single one."""
    if len(finding.places) == 1:
        return [finding.places[0].replace(" (", "\n(")]
    more = ["…"] if finding.places and finding.count > len(finding.places) else []
    return [*finding.places, *more]


def _print_leaks(leaks: Leaks, words: Words) -> None:
    if not leaks.leaks:
        typer.echo(words("check.no_leak", n_cuts=leaks.n_cuts, n_windows=leaks.n_windows))
    for leak in leaks.leaks:
        typer.echo(words("check.leak", what=leak.what, cut=leak.cut, message=leak.message))
