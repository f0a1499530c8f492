"""`kronos watch`: grade the forecasts of a ledger as candles come."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kronos.cli.commands.live.score import DEFAULT_LEDGER, LedgerOption, Overrides, grade_files
from kronos.cli.errors import name_path_in_error
from kronos.cli.language import settle_language
from kronos.cli.session import LanguageOption, loading_libraries, start_session
from kronos.errors import ConfigError, KronosError
from kronos.names import Message
from kronos.report.words.catalogue import Words

if TYPE_CHECKING:
    from kronos.config.schema import Language
    from kronos.ledger.health import Health
    from kronos.ledger.store import Ledger

DEFAULT_PAGE = DEFAULT_LEDGER.with_name("health.html")

Data = Annotated[
    list[str], typer.Option("--data", help="Where candles come: a file, a folder or a glob; again for more.")
]
Every = Annotated[float, typer.Option("--every", min=0.1, help="Seconds from one look to the next.")]
Page = Annotated[Path, typer.Option("--page", help="The page to write.")]
Metrics = Annotated[
    Path | None,
    typer.Option("--metrics", help="A file of gauges too, for Prometheus' textfile collector.", show_default=False),
]
Once = Annotated[bool, typer.Option("--once", help="Look once, and end.")]

logger = logging.getLogger(__name__)


def watch_command(
    data: Data,
    overrides: Overrides = None,
    ledger: LedgerOption = DEFAULT_LEDGER,
    every: Every = 60.0,
    page: Page = DEFAULT_PAGE,
    metrics: Metrics = None,
    once: Once = False,
    language: LanguageOption = None,
) -> None:
    """Watch candles as they come: grade logged forecasts, keep a page and gauges up to date, and log alarms."""
    with start_session("the ledger keeps what was graded; run the same command again", language):
        spoken = settle_language(None)
        with loading_libraries():
            from kronos.ledger.store import Ledger

        if metrics is not None:
            _check_prometheus()
        watcher = Watcher(Ledger(ledger), data, overrides or [], page, metrics, spoken)
        may_fill = ledger.is_file() and all(Path(each).is_dir() for each in data)
        if once or not may_fill:  # a mistake in a name is an error
            watcher.look()
        while not once:
            watcher.try_to_look()
            time.sleep(every)


class Watcher:
    """Looks at the ledger and the candles, and does something only if one of them has changed.

    page: the page to write. metrics: the file of gauges to write, if any.
    """

    def __init__(
        self,
        ledger: Ledger,
        data: Sequence[str],
        overrides: Sequence[str],
        page: Path,
        metrics: Path | None,
        language: Language,
    ) -> None:
        self.ledger, self.data, self.overrides = ledger, data, overrides
        self.page, self.metrics, self.language = page, metrics, language
        self._seen: object = None
        self._on: set[tuple[str, str]] = set()
        self._error = ""

    def try_to_look(self) -> None:
        """Look; log why it is not possible, once: a file may be half written, and whole at the next look."""
        error = ""
        try:
            self.look()
        except (KronosError, OSError) as raised:  # OSError: a file that is removed while it is read
            error = str(raised)
            if error != self._error:
                logger.warning("%s", raised if isinstance(raised, KronosError) else name_path_in_error(raised))
        self._error = error

    def look(self) -> None:
        """Grade what has come since the last look, and write the page and the gauges.

        Raises:
            KronosError: the candles or the ledger cannot be read, or a file cannot be written.
        """
        from kronos.ledger.health import measure_health
        from kronos.ledger.page import write_page

        seen = self._fingerprint()
        if seen == self._seen:
            return
        seal = self.ledger.verify()
        grade_files(self.ledger, self.data, self.overrides, is_growing=True)
        health = measure_health(self.ledger)
        write_page(self.page, health, self.ledger.path, seal, self.language)
        if self.metrics is not None:
            from kronos.files import write_text
            from kronos.ledger.gauges import write_gauges

            write_text(self.metrics, write_gauges(health))
        self._log(health)
        self._seen = seen

    def _fingerprint(self) -> object:
        from kronos.config.load import build_reading_config
        from kronos.data.elsewhere.gather import gather_files
        from kronos.data.elsewhere.options import FetchOptions

        config = build_reading_config(list(self.data), self.overrides)
        files = gather_files(config.data.data_path, FetchOptions.of(config.data)).files
        seen = []
        for file in files:
            with suppress(FileNotFoundError):  # removed since
                stat = file.stat()
                seen.append((file, stat.st_ino, stat.st_size, stat.st_mtime_ns))
        return seen, self.ledger.newest()

    def _log(self, health: Sequence[Health]) -> None:
        """Log each alarm once when it comes, and once when it ends."""
        words = Words(self.language)
        on: set[tuple[str, str]] = {(each.run, alarm.kind) for each in health for alarm in each.alarms_on}
        for run, kind in sorted(on - self._on):
            logger.error("%s: ALARM: %s. See %s", run, words(f"score.alarm.{kind}"), self.page)
        for run, kind in sorted(self._on - on):
            logger.info("%s: the alarm has ended: %s", run, words(f"score.alarm.{kind}"))
        n = sum(each.overall.n_steps for each in health)
        logger.info("%s", Message("{n:,} closes are graded; {path}", n=n, path=self.page))
        self._on = on


def _check_prometheus() -> None:
    try:
        import prometheus_client  # noqa: F401
    except ImportError:
        raise ConfigError(
            "--metrics needs prometheus_client, which is not installed. Install it: pip install prometheus-client"
        ) from None
