"""`kronos mcp`: the models of runs as tools for language models."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from kronos.cli.commands.live.serve import Runs, logging_less, write_to
from kronos.cli.predict_options import Device
from kronos.cli.session import LanguageOption, VerboseOption, loading_libraries, start_session
from kronos.errors import ConfigError

Transport = Annotated[
    Literal["stdio", "http"],
    typer.Option("--transport", help="stdio: the client starts this command; http: at http://127.0.0.1:PORT/mcp."),
]
Port = Annotated[int, typer.Option("--port", min=1, max=65535, help="With --transport http.")]
Ledger = Annotated[
    Path | None,
    typer.Option(
        "--ledger",
        help="Write every forecast to this ledger before it is sent, and tell its health.",
        show_default=False,
    ),
]


def mcp_command(
    run: Runs,
    transport: Transport = "stdio",
    port: Port = 8001,
    ledger: Ledger = None,
    device: Device = "auto",
    language: LanguageOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Offer the tools check, forecast, verdict and health by the Model Context Protocol, on this machine only."""
    with start_session("nothing is lost; run the same command again", language, verbose=verbose):
        missing = [name for name in ("mcp", "prometheus_client") if importlib.util.find_spec(name) is None]
        if missing:
            names = " ".join(missing).replace("_", "-")
            raise ConfigError("kronos mcp needs packages that are not installed: pip install {names}", names=names)
        with loading_libraries():
            from kronos.serving.mcp_server import build_mcp
            from kronos.serving.runs import ServedRuns
            from kronos.serving.server import open_socket
            from kronos.serving.service import Limits, Service

        if transport == "http":
            open_socket("127.0.0.1", port).close()  # tells at once if the port is taken
        service = Service(ServedRuns(run, {"device": device}), Limits(), write_to(ledger) if ledger else None)

        async def serve() -> None:
            async with service.running():
                server = build_mcp(service, (lambda: _measure(ledger)) if ledger else None)
                if transport == "stdio":
                    await server.run_stdio_async()
                else:
                    await server.run_streamable_http_async(port=port)

        with logging_less(verbose):
            asyncio.run(serve())


def _measure(ledger: Path) -> list[dict[str, Any]]:
    from kronos.ledger.health import measure_health
    from kronos.ledger.store import Ledger as LedgerFile

    return [each.to_json() for each in measure_health(LedgerFile(ledger))]
