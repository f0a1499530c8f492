"""Typer's errors of usage, which it knows in English only, in the language of the command."""

import re
import sys
from collections.abc import Sequence
from typing import Any, get_args

from kronos.cli.language import start_language, translate
from kronos.config.schema import Language
from kronos.names import Message, Template

# What Typer says, with the longer ones first.
ERRORS: tuple[Template, ...] = (
    "No such command {name}. Did you mean {close}?",
    "No such command {name}.",
    "No such option: {name} (Possible options: {close})",
    "No such option: {name}",
    "Missing option {name}.",
    "Missing argument {name}.",
    "Missing command.",
    "Option {name} requires an argument.",
    "Got unexpected extra argument ({name})",
    "Got unexpected extra arguments ({name})",
    "Invalid value for {name}: Input should be a valid integer, unable to parse string as an integer",
    "Invalid value for {name}: Input should be a valid number, unable to parse string as a number",
    "Invalid value for {name}: Input should be greater than or equal to {least}",
    "Invalid value for {name}: Input should be less than or equal to {most}",
    "Invalid value for {name}: Value error, {value} is not one of {known}.",
    "Invalid value for {name}: {value} is not one of {known}.",
    "Invalid value for {name}: {value} is not a valid {kind}.",
    "Invalid value for {name}: {value} is not in the range {known}.",
    "Invalid value for {name}: {reason}",
)
TITLE: Template = "Error"
HELP: Template = "Try [blue]'{command_path} {help_option}'[/] for help."


def word_usage_errors() -> None:
    """Let Typer's errors be in the language of --language, or of the locale of a terminal."""
    start_language(find_given_language(sys.argv))
    if translate(Message(TITLE)) == TITLE:
        return
    from typer import rich_utils

    rich_utils.ERRORS_PANEL_TITLE, rich_utils.RICH_HELP = translate(Message(TITLE)), translate(Message(HELP))
    show = rich_utils.rich_format_error

    def show_worded(error: Any) -> None:
        text = word_usage(error.format_message())
        error.format_message = lambda: text
        show(error)

    rich_utils.rich_format_error = show_worded  # type: ignore[assignment]  # takes no error of ours


def word_usage(text: str) -> str:
    """Return an error of usage in the language of the command; as it is if it is of another kind."""
    for template in ERRORS:
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(template))
        if found := re.fullmatch(pattern, text, re.DOTALL):
            return translate(Message(template, **found.groupdict()))
    return text


def find_given_language(arguments: Sequence[str]) -> Language | None:
    """Return the language of --language among the arguments of a program."""
    given = [
        after if each == "--language" else each.partition("=")[2]
        for each, after in zip(arguments, [*arguments[1:], ""])
        if each.partition("=")[0] == "--language"
    ]
    return next((language for language in get_args(Language) if given[-1:] == [language]), None)
