"""One progress bar at a time on a terminal; where there is none, a log line now and then."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

from tqdm import tqdm

from kronos.names import Message, Template, make_printable

Item = TypeVar("Item")

BAR = "{desc}  {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}  "
LEFT: Template = "{remaining} left"
COUNT = "{desc}  {n_fmt} {unit}  {elapsed}"  # of work whose end is not known
MAX_TITLE = 40  # characters
LINE_SHARE = 0.2  # a line for each such part of the work,
LINE_SECONDS = 10.0  # but none sooner than this after the last one,
LONGEST_SECONDS = 600.0  # and none later than this
NOTE_SECONDS = 0.2  # between two changes of a note about work within other work

logger = logging.getLogger(__name__)


class Progress:
    """How far some work is. Work within other work is shown at the end of the other one's bar.

    The time that is left is estimated from all of the work done so far, with its pauses.
    """

    word: ClassVar[Callable[[object], object]] = str  # puts a text into the language of the command
    _running: ClassVar[list["Progress"]] = []

    def __init__(
        self,
        title: str,
        total: int | None = None,
        unit: Template = "",
        initial: int = 0,
        shown: bool = True,
        delay: float = 0.0,
        unit_scale: bool = False,
        level: int = logging.INFO,
    ) -> None:
        """Begin.

        Args:
            title: what is done. unit: what is counted, in the plural.
            total: the number of units; None if it is not known.
            initial: how many of them are done already.
            shown: whether to show anything.
            delay: seconds before which nothing is shown.
            unit_scale: write large numbers as 1.2M.
            level: of the log lines.
        """
        self.title: Message | str = title if isinstance(title, Message) else make_printable(title)[:MAX_TITLE]
        self.total, self.unit, self.note = total, Message(unit), Message("")
        self.done, self._initial = initial, initial
        self._is_shown, self._level = shown, level
        self._outer: Progress | None = next((each for each in reversed(self._running) if each._is_shown), None)
        on_terminal, is_alone = _shows_bars(sys.stderr), shown and self._outer is None
        look: dict[str, Any] = {"leave": False, "delay": delay, "dynamic_ncols": True, "smoothing": 0}
        look |= {"unit": Progress.word(self.unit), "unit_scale": unit_scale}
        look |= {"bar_format": f"{BAR}{Progress.word(Message(LEFT))}{{postfix}}" if total else f"{COUNT}{{postfix}}"}
        disable = not (on_terminal and is_alone)
        self._bar: tqdm[Any] = tqdm(
            desc=str(Progress.word(self.title)), total=total, initial=initial, disable=disable, **look
        )
        self._logs = is_alone and not on_terminal
        self._started = self._last_line = self._last_note = time.monotonic()
        self._last_share: float | None = None
        self._running.append(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def share(self) -> float:
        return min(self.done / self.total, 1.0) if self.total else 0.0

    @property
    def seconds_left(self) -> float:
        """The estimate; 0 before anything is done."""
        new, seconds = self.done - self._initial, time.monotonic() - self._started
        return seconds / new * (self.total - self.done) if self.total and new > 0 else 0.0

    def update(self, n: int = 1) -> None:
        """Count units of work."""
        self.done += n
        self._bar.update(n)
        if self._outer and self._is_shown:
            title = Progress.word(self.title)
            self._outer._show_inner(f"{title} {self.share:.0%}" if self.total else str(title))
        if self._logs and self.total:
            self._log_now_and_then()

    def restart(self) -> None:
        """Leave the time until now out of the estimate."""
        self._started = time.monotonic()
        self._bar.unpause()

    def set_note(self, note: Message) -> None:
        """Set a text that is shown behind the progress: the loss, for example."""
        self.note = note
        self._bar.set_postfix_str(str(Progress.word(note)))

    def close(self) -> None:
        """End; a second time does nothing."""
        if self not in self._running:
            return
        del self._running[self._running.index(self) :]
        self._bar.close()
        if self._outer:
            self._outer._bar.set_postfix_str(str(Progress.word(self._outer.note)))

    def _show_inner(self, text: str) -> None:
        now = time.monotonic()
        if now - self._last_note >= NOTE_SECONDS:
            self._last_note = now
            self._bar.set_postfix_str(text)

    def _log_now_and_then(self) -> None:
        now, share = time.monotonic(), self.share
        waited = now - self._last_line
        is_due = self._last_share is None or share >= self._last_share + LINE_SHARE - 1e-9 or waited >= LONGEST_SECONDS
        if share < 1 and waited >= LINE_SECONDS and is_due:
            self._last_line, self._last_share = now, share
            logger.log(self._level, "%s", self.describe())

    def describe(self) -> Message:
        """Return how far the work is, in one line."""
        left = Message("{time} left", time=timedelta(seconds=round(self.seconds_left)))
        counts = Message("{done:,}/{total:,} {unit}", done=self.done, total=self.total or 0, unit=self.unit)
        if not self.unit:
            counts = Message("{done:,}/{total:,}", done=self.done, total=self.total or 0)
        return Message.join(filter(None, (self.title, f"{self.share:.0%}", counts, self.note, left)), "  ")


def _shows_bars(stream: Any) -> bool:
    """Whether a stream is a terminal, or the output of a notebook."""
    return stream is not None and (stream.isatty() or type(stream).__module__.startswith("ipykernel."))


def track(items: Iterable[Item], title: str, total: int, unit: Template = "", delay: float = 0.0) -> Iterator[Item]:
    """Yield the items, and show how many of them are done."""
    with Progress(title, total, unit, delay=delay) as progress:
        for item in items:
            yield item
            progress.update()
