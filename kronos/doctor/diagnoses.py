"""What `kronos doctor` finds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["ok", "note", "warning", "broken"]


@dataclass(frozen=True)
class Diagnosis:
    """One line: what was looked at, and what is the case.

    Attributes:
        topic: labels the line, as doctor.topics of the catalogue.
        code: of its text, as doctor of the catalogue. values: what stands in the text.
        level: "broken" if kronos cannot do its work; a "warning" has a fix, a "note" needs none.
    """

    topic: str
    code: str
    level: Level = "ok"
    values: Mapping[str, Any] = field(default_factory=dict)
