"""Why windows of a split are left out, in words."""

from collections.abc import Mapping

from kronos.names import Message, Template

REASONS: dict[str, Template] = {
    "the embargo": "{n:,} to the embargo",
    "gaps": "{n:,} to gaps",
    "jumps": "{n:,} to jumps",
    "the stride": "{n:,} to the stride",
    "the cap": "{n:,} to the cap",
}


def describe_dropped(dropped: Mapping[str, int]) -> Message:
    """Describe how many windows are left out for each reason."""
    return Message.join((Message(REASONS[reason], n=n) for reason, n in dropped.items()), ", ")
