"""Write the settings of a starting point as a commented YAML file."""

import shlex
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from rich.cells import cell_len

from kronos.config.yaml_text import write_yaml_text
from kronos.names import make_printable
from kronos.planning.starting_point import StartingPoint, name_base
from kronos.report.words.catalogue import Words

MAX_COLUMN = 64  # of the comments in a section
WIDTH = 120
PROSE = ("needs", "cost")
MY_DATA = {False: "my.csv", True: "my_symbols/"}  # of many symbols


def write_config(start: StartingPoint, values: Mapping[str, Any], file: str, made_for: str, words: Words) -> str:
    """Return the text of a YAML file.

    Args:
        values: the sections to write, those of the starting point with what was set besides.
        file: where it will be, for the commands in it.
        made_for: a description of the candles; empty for the example of a case.
        words: the texts, which decide the language of the comments.
    """
    lines = [*_write_header(start, file, make_printable(made_for), words), ""]
    for name, section in values.items():
        comment = f"init.keys.{name}"
        if not isinstance(section, Mapping):
            lines += [_add_comment(f"{name}: {section}", comment, 0, words), ""]
        elif section:
            rows = {comment: f"{name}:"} | {f"{comment}.{key}": _write_pair(key, each) for key, each in section.items()}
            width = max((len(row) for row in rows.values() if len(row) <= MAX_COLUMN), default=0)
            lines += [*(_add_comment(row, key, width, words) for key, row in rows.items()), ""]
    return "\n".join(lines)


def _write_header(start: StartingPoint, file: str, made_for: str, words: Words) -> Iterator[str]:
    model, quoted = name_base(start.model), shlex.quote(make_printable(file))
    yield f"# {words(f'init.title.{start.case}', model=model)}"
    if made_for:
        yield f"# {words('init.made_for', candles=made_for)}"
    yield "#"
    data = "" if made_for else f" data.data_path={MY_DATA[start.case == 'many']}"
    rows = {"needs": words(f"init.needs.{start.case}") if not made_for else ""}
    rows["needs"] += words("init.needs.hub" if start.costs else "init.needs.nothing")
    rows |= {"cost": write_costs(start, words)}
    rows |= {"check": f"kronos check --config {quoted}{data}", "launch": f"kronos train --config {quoted}{data}"}
    rows |= {"override": words("init.override")}
    width = max(cell_len(words(f"init.labels.{key}")) for key in rows) + 1
    for key, text in rows.items():
        label = words(f"init.labels.{key}")
        lines = textwrap.wrap(text, WIDTH - width - 2, break_long_words=False) if key in PROSE else [text]
        yield f"# {label}{' ' * (width - cell_len(label))}{lines[0]}"
        yield from (f"# {' ' * width}{line}" for line in lines[1:])


def write_costs(start: StartingPoint, words: Words) -> str:
    """Return the memory and the time of a starting point, and where these figures come from."""
    if start.costs is None or start.minutes is None:
        return words("init.cost_unknown")
    if start.on_gpu:
        return words("init.cost_gpu", gigabytes=start.costs.gigabytes)
    values: dict[str, object] = {"n": start.n_candles, "n_symbols": start.n_symbols, "gigabytes": start.costs.gigabytes}
    values |= {"minutes": _round(start.minutes), "tokens": start.costs.cpu_tokens, "model": name_base(start.model)}
    return words("init.cost_many" if start.n_symbols > 1 else "init.cost", **values)


def _round(minutes: float) -> str:
    """Return minutes as an estimate is told: with two digits at most."""
    return f"{float(f'{max(minutes, 1):.2g}'):,.0f}"


def _write_pair(key: str, value: Any) -> str:
    return "\n".join(f"  {line}" for line in write_yaml_text({key: value}).splitlines())


def _add_comment(row: str, key: str, width: int, words: Words) -> str:
    return f"{row.ljust(width)}  # {words(key)}" if words.has(key) and "\n" not in row else row
