"""What was assumed in reading a file."""

from __future__ import annotations

from typing import Any, NamedTuple

from kronos.names import Message, Template


class ReadingNote(NamedTuple):
    """An English template and its values, by name, as in `str.format`. is_doubt: whether it is logged as a warning."""

    template: Template
    values: tuple[tuple[str, Any], ...] = ()
    is_doubt: bool = False

    @classmethod
    def make(cls, template: Template, /, **values: object) -> ReadingNote:
        return cls(template, tuple(values.items()))

    @property
    def message(self) -> Message:
        return Message(self.template, **dict(self.values))
