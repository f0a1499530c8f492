"""`kronos serve`: forecasts over HTTP, with the models of runs."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kronos.cli.commands.live.score import DEFAULT_LEDGER
from kronos.cli.language import settle_language
from kronos.cli.output.text import print_text
from kronos.cli.predict_options import Device, Dtype
from kronos.cli.session import LanguageOption, VerboseOption, loading_libraries, start_session
from kronos.errors import ConfigError
from kronos.progress.log_levels import raise_log_levels
from kronos.report.words.catalogue import Words

if TYPE_CHECKING:
    from kronos.serving.answers import ServedForecasts

PACKAGES = ("fastapi", "uvicorn", "prometheus_client")
TOKEN = "KRONOS_TOKEN"
SHORTEST_TOKEN = 16  # characters

Runs = Annotated[list[Path], typer.Option("--run", help="A run's folder; several are served side by side.")]
Host = Annotated[str, typer.Option("--host", help="The address to listen on; another than this machine needs a token.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")]
Token = Annotated[
    str | None,
    typer.Option("--token", help="That requests must carry. Other users see a command line: prefer the variable."),
]
BatchSize = Annotated[int, typer.Option("--max-batch-size", min=1, max=4096, help="Series computed together.")]
BatchWait = Annotated[
    float, typer.Option("--batch-wait-timeout", min=0, max=60, help="Seconds that a series waits for company.")
]
QueueSize = Annotated[
    int, typer.Option("--queue-size", min=1, max=100_000, help="Series that may wait; beyond, the answer is 429.")
]
Timeout = Annotated[
    float, typer.Option("--timeout", min=0.1, max=86_400, help="Seconds until an answer; beyond, it is 504.")
]
BodySize = Annotated[float, typer.Option("--max-body-mb", min=0.01, max=1024, help="Of a request; beyond, it is 413.")]
Reload = Annotated[
    float,
    typer.Option("--reload-interval", min=0, max=86_400, help="Seconds between looks for a better model; 0: never."),
]
Log = Annotated[
    bool,
    typer.Option(
        "--log/--no-log", help="Write every forecast to the ledger before it is sent; kronos score grades it."
    ),
]
Ledger = Annotated[Path, typer.Option("--ledger", help="The ledger.")]


def serve_command(
    run: Runs,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    token: Token = None,
    max_batch_size: BatchSize = 32,
    batch_wait_timeout: BatchWait = 0.02,
    queue_size: QueueSize = 256,
    timeout: Timeout = 60.0,
    max_body_mb: BodySize = 16.0,
    reload_interval: Reload = 5.0,
    log: Log = True,
    ledger: Ledger = DEFAULT_LEDGER,
    device: Device = "auto",
    dtype: Dtype = "float32",
    language: LanguageOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Answer forecasts over HTTP: POST /v1/forecast, /docs, /metrics, and a page for a browser at /."""
    with start_session("nothing is lost; run the same command again", language, verbose=verbose):
        words = Words(settle_language(None))
        _check_packages()
        token = _find_token(token)
        with loading_libraries():
            from kronos.serving.app import build_app
            from kronos.serving.limits import is_loopback
            from kronos.serving.runs import ServedRuns
            from kronos.serving.server import open_socket, serve
            from kronos.serving.service import Limits, Service

        if token is None and not is_loopback(host):
            raise ConfigError(
                "--host {host}: other machines reach this address, and there is no token. Set the variable {name}, or give --token.",
                host=host,
                name=TOKEN,
            )
        with logging_less(verbose), open_socket(host, port) as opened:
            runs = ServedRuns(run, {"device": device, "dtype": dtype})
            limits = Limits(
                max_batch_size=max_batch_size,
                batch_wait_timeout=batch_wait_timeout,
                queue_size=queue_size,
                timeout=timeout,
                reload_interval=reload_interval,
            )
            service = Service(runs, limits, write_to(ledger) if log else None)
            app = build_app(service, token, int(max_body_mb * 2**20), only_local=token is None)
            shown = f"[{host}]" if ":" in host else host
            url = f"http://{shown}:{opened.getsockname()[1]}"
            said = words("serve.listening", url=url, models=", ".join(runs))
            noted = words("serve.logging", ledger=ledger) if log else words("serve.not_logging")
            serve(app, opened, timeout, lambda: print_text(f"{said}\n{noted}"))


def logging_less(verbose: bool) -> AbstractContextManager[None]:
    """Leave out of the log what is read and forecast for every request."""
    return raise_log_levels({} if verbose else {"kronos.data": logging.WARNING, "kronos.forecast": logging.ERROR})


def write_to(path: Path) -> Callable[[ServedForecasts], object]:
    """Return what writes forecasts into a ledger, which is created.

    Raises:
        DataError: the file is no ledger. WriteError: it cannot be written.
    """
    from kronos.ledger.entries import build_records
    from kronos.ledger.store import Ledger as LedgerFile

    ledger = LedgerFile(path)
    ledger.append(())
    return lambda served: ledger.append(
        build_records(served.forecasts, served.run, served.conditions, **served.settings)
    )


def _check_packages() -> None:
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        names = " ".join(missing).replace("_", "-")
        raise ConfigError("kronos serve needs packages that are not installed: pip install {names}", names=names)


def _find_token(given: str | None) -> str | None:
    token = os.environ.get(TOKEN) if given is None else given
    if token is not None and (
        len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token
    ):
        raise ConfigError(
            "the token must have at least {n} characters of ASCII, without spaces. Make one with: openssl rand -hex 32",
            n=SHORTEST_TOKEN,
        )
    return token
