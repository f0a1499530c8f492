"""`kronos init`: write a configuration for candles."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from kronos.cli.commands.check import split_arguments
from kronos.cli.language import settle_language
from kronos.cli.output.text import print_text
from kronos.cli.session import LanguageOption, loading_libraries, start_session
from kronos.cli.start import name_commands
from kronos.config import Config, load_config
from kronos.config.load import build_config, build_reading_config
from kronos.errors import ConfigError, DataError
from kronos.files import write_text
from kronos.names import make_printable, name_file
from kronos.report.words.catalogue import Words
from kronos.report.words.messages import translate_into
from kronos.urls import mask_secrets, name_source

if TYPE_CHECKING:
    from kronos.planning.check import Check
    from kronos.planning.starting_point import Case, StartingPoint

EXAMPLE_DATA = {False: "data/my_candles.csv", True: "data/my_symbols/"}  # of many symbols
ENDINGS = (".yaml", ".yml")

Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PATH | URL | SECTION.KEY=VALUE]...",
        help="Files, folders, globs or URLs of candles, and keys to set. Without candles, a template that one option chooses.",
    ),
]
Daily = Annotated[bool, typer.Option("--daily", help="For daily candles.")]
Minute = Annotated[bool, typer.Option("--minute", help="For minute candles of a market that closes, such as A-shares.")]
Crypto = Annotated[bool, typer.Option("--crypto", help="For candles of a market that never closes, such as crypto.")]
Many = Annotated[bool, typer.Option("--many", help="For many symbols.")]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="The base model: a hub name, a folder or nano.",
        show_default="Kronos-small with a GPU, else Kronos-mini",
    ),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="The file to write.", show_default="the name of the candles, with .yaml")
]
Force = Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")]


def init_command(
    arguments: Arguments = None,
    daily: Daily = False,
    minute: Minute = False,
    crypto: Crypto = False,
    many: Many = False,
    model: ModelOption = None,
    out: OutOption = None,
    force: Force = False,
    language: LanguageOption = None,
) -> None:
    """Write a commented configuration for candles: lengths, split, model and recipe, by what check understands."""
    with start_session("nothing was written; run the same command again", language):
        flags: dict[Case, bool] = {"daily": daily, "minute": minute, "crypto": crypto, "many": many}
        asked = [case for case, on in flags.items() if on]
        paths, overrides = split_arguments(arguments or [])
        if len(asked) > 1:
            raise ConfigError("--{first} and --{second}: give one of them.", first=asked[0], second=asked[1])
        if not paths and not asked:
            raise ConfigError(
                "there are no candles to write a configuration for. Give a file, or one of --daily, --minute, --crypto and "
                "--many for a template; see --help."
            )
        target = _choose_target(paths, asked, out, force)
        settings = build_reading_config(paths, overrides)
        words = Words(settle_language(settings))
        _write(paths, overrides, asked[0] if asked else None, model, target, settings, words)


def _choose_target(paths: Sequence[str], asked: Sequence[Case], out: Path | None, force: bool) -> Path:
    target = out or Path(f"{_name(paths, asked)}.yaml")
    if target.suffix.lower() not in ENDINGS:
        raise ConfigError("--out {path}: give a file that ends in .yaml.", path=target)
    if target.exists() and not (force and target.is_file()):
        raise ConfigError(
            "{path}: the file exists. Give another name with --out, or replace it with --force.", path=target
        )
    return target


def _name(paths: Sequence[str], asked: Sequence[str]) -> str:
    if not paths:
        return asked[0]
    source = build_reading_config(paths[:1]).data.data_path[0]
    return name_source(source).strip("_.") or "my_run"


def _write(
    paths: Sequence[str],
    overrides: Sequence[str],
    asked: Case | None,
    model: str | None,
    target: Path,
    settings: Config,
    words: Words,
) -> None:
    with loading_libraries():  # --help and an error in an option do not wait for it
        import torch

        from kronos.planning.starting_point import ON_CPU, ON_GPU, start_from
        from kronos.report.starting_config import write_config

    on_gpu = torch.cuda.is_available()
    chosen = model or (ON_GPU if on_gpu else ON_CPU)
    why = ("nano" if model == "nano" else "given") if model else "gpu" if on_gpu else "cpu"
    check, case = _understand(settings, asked, chosen, words) if paths else (None, asked)
    assert case is not None
    candles, enough = (check.audited.candles, check.enough) if check else (None, None)
    data_path = list(paths) or [EXAMPLE_DATA[case == "many"]]
    start = start_from(case, chosen, data_path, name_file(target.stem), on_gpu, candles, enough)
    own = [] if words.language == "en" else [f"report.language={words.language}"]
    config = build_config(start.values, [*own, *overrides], "kronos init")
    made_for = _describe(check, words) if check else ""
    text = write_config(start, _list_values(config, start), str(target), made_for, words)
    target.parent.mkdir(parents=True, exist_ok=True)
    comments_named = (name_commands(line) if line.startswith("#") else line for line in text.split("\n"))
    write_text(target, "\n".join(comments_named))
    load_config(target)
    if check:
        _explain(start, check, asked, why, words)
    _print_end(target, bool(paths), case == "many", words)


def _understand(settings: Config, asked: Case | None, model: str, words: Words) -> tuple[Check, Case]:
    """Read the candles, and propose lengths for them.

    Raises:
        DataError: they are unusable. The findings are printed.
    """
    from kronos.planning.check import check_candles
    from kronos.planning.starting_point import find_case
    from kronos.report.check import write_check
    from kronos.saved_run import choose_context

    given = settings.data.model_fields_set
    limited = settings if "max_context" in given else settings.override({"data.max_context": choose_context(model)})
    check = check_candles(limited, with_splits=False, kind=None if asked is None or asked == "many" else asked)
    if check.broken or check.enough is None or check.enough.level == "none":
        print_text(write_check(check, settings, words, console=Console()))
        paths = ", ".join(str(path) for path in settings.data.data_path)
        raise DataError(
            "{paths}: no configuration is written, because these candles cannot be trained on.", paths=paths
        )
    return check, asked or find_case(check.audited.candles)


def _list_values(config: Config, start: StartingPoint) -> dict[str, Any]:
    """Return the sections to write: the keys of the starting point and those that were set besides, in this order."""
    given, dumped = config.list_given(), config.model_dump(mode="json")
    listed: dict[str, Any] = {}
    for name in dict.fromkeys([*start.values, *given]):
        first = start.values.get(name, {})
        if isinstance(first, dict):
            keys = dict.fromkeys([*first, *given[name]])
            listed[name] = {key: _prefer(first.get(key), dumped[name][key]) for key in keys}
        else:
            listed[name] = dumped[name]
    return listed


def _prefer(written: Any, resolved: Any) -> Any:
    """Return a value as it was written, 10 and not 10.0, unless another one was set."""
    return written if written == resolved else resolved


def _describe(check: Check, words: Words) -> str:
    from kronos.data.audit import describe_candles

    return translate_into(describe_candles(check.audited.candles), words.language)


def _explain(start: StartingPoint, check: Check, asked: Case | None, why: str, words: Words) -> None:
    """Print what was chosen, and why."""
    from kronos.planning.starting_point import find_case

    assert check.enough is not None
    actual = find_case(check.audited.candles)
    if asked not in (None, "many", actual) and actual != "many":
        unlike = words("init.unlike", kind=words(f"init.cases.{actual}"), case=str(asked))
        print_text(unlike)
    lookback, horizon = start.sizes
    level = check.enough.level if check.enough.proposed else "given"
    print_text(words("init.candles", candles=_describe(check, words)))
    print_text(words("init.case", case=words(f"init.cases.{start.case}"), why=words("init.asked") if asked else ""))
    reason = words(f"init.why.{level}", test=check.enough.test)
    print_text(words("init.lengths", lookback=lookback, horizon=horizon, why=reason))
    print_text(words("init.split"))
    print_text(words("init.model", model=start.model, why=words(f"init.models.{why}")))
    print_text(words("init.recipe") + "\n")


def _print_end(target: Path, is_for_candles: bool, is_many: bool, words: Words) -> None:
    from kronos.report.starting_config import MY_DATA

    print_text(words("init.written", path=make_printable(str(target))))
    more = [] if is_for_candles else [f"data.data_path={MY_DATA[is_many]}"]
    command = shlex.join(["kronos", "train", "--config", mask_secrets(str(target)), *more])
    print_text(words("init.next", command=command))
