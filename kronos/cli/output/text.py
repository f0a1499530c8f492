"""Text of the width of the terminal."""

import re
import sys
from collections.abc import Sequence
from typing import TextIO

import typer
from rich.cells import cell_len
from rich.console import Console

from kronos.cli.start import PROGRAMS, name_commands
from kronos.names import make_printable

WIDE = r"\u2e80-\uffef"  # Chinese: a line may end after each character, but not before punctuation that closes
PARTS = re.compile(rf"[（《“]*(?:[^\s{WIDE}]+|[{WIDE}])[，。、；：？！…）》”]*\s*|\s+")
COMMAND = re.compile(rf"\s+(?:{'|'.join(PROGRAMS)}|python\S*) ")


def wrap(line: str, width: int, indent: str = "") -> str:
    """Break a line between words, where it is longer than width cells. A Chinese character takes two.

    A longer word, such as a path, and an indented command stay whole: the terminal breaks them, and they can be copied.

    Args:
        indent: what the lines after the first begin with, beside the indent of the first.
    """
    if cell_len(line) <= width or COMMAND.match(line):
        return line
    body = line.lstrip()
    first = line[: len(line) - len(body)]
    room = max(width - len(first) - len(indent), 1)
    lines = [""]
    for part in PARTS.findall(body):
        if lines[-1] and cell_len(lines[-1] + part.rstrip()) > room:
            lines.append("")
        lines[-1] += part
    return first + f"\n{first}{indent}".join(each.rstrip() for each in lines)


def print_text(text: str) -> None:
    """Print lines; on a terminal they end between words. Commands begin as this program was started."""
    text = name_commands(text)
    width = find_width(sys.stdout)
    typer.echo("\n".join(wrap(line, width) for line in text.split("\n")) if width else text)


def print_rows(rows: Sequence[tuple[str, str]], label_width: int) -> None:
    """Print labels and texts in two columns; a Chinese character takes two cells."""
    width, margin = find_width(sys.stdout), " " * label_width
    for label, text in rows:
        shown = wrap(make_printable(text), width - label_width) if width else make_printable(text)
        typer.echo(label + margin[cell_len(label) :] + shown.replace("\n", f"\n{margin}"))


def find_width(stream: TextIO) -> int | None:
    """Return the width of a terminal in cells (COLUMNS, if it is set); None if the stream is no terminal."""
    return Console(file=stream).width if stream.isatty() else None
