"""Run an application with uvicorn until a signal ends it in good order."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn

from kronos.errors import STOP_SIGNALS, ConfigError

if TYPE_CHECKING:
    from fastapi import FastAPI

logger = logging.getLogger(__name__)

CONNECTIONS = 1024  # at a time; more are answered with status 503
SILENT_SECONDS = 20  # until the first line and the headers of a request have arrived


class Server(uvicorn.Server):
    """Stops at the first signal after the requests that it has begun; at the second at once."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._silent: dict[Any, tuple[object, float]] = {}

    async def on_tick(self, counter: int) -> bool:
        """Close silent connections. Return whether to stop."""
        self._close_silent()
        return await super().on_tick(counter)

    def _close_silent(self) -> None:
        """Close the connections on which a request does not arrive. One client could open all that there may be."""
        now, known, self._silent = time.monotonic(), self._silent, {}
        connections: set[Any] = self.server_state.connections
        for each in connections:
            cycle = each.cycle  # of the latest request; a new one has a new cycle
            if cycle is None or cycle.response_complete:
                same, since = known.get(each, (cycle, now))
                self._silent[each] = cycle, since if same is cycle else now
                if now - self._silent[each][1] > SILENT_SECONDS:
                    each.transport.close()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals during the block, and leave the handlers as they were."""
        before = {signum: signal.getsignal(signum) for signum in STOP_SIGNALS}
        for signum in (each for each, handler in before.items() if handler != signal.SIG_IGN):
            signal.signal(signum, self._stop)
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        if not self.should_exit:
            logger.info("stopping after the requests that have begun (%s)", signal.Signals(signum).name)
        self.should_exit = True


def open_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address. Its clients wait until they are served.

    Raises:
        ConfigError: the address is in use, or is not one of this machine.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        opened = socket.socket(family, socket.SOCK_STREAM)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(CONNECTIONS)
    except OSError as error:
        raise ConfigError(
            "{host}:{port}: cannot listen there: {reason}. Choose another --port, and as the host an address of this machine.",
            host=host,
            port=port,
            reason=error.strerror or error,
        ) from None
    return opened


def serve(app: FastAPI, opened: socket.socket, timeout: float, on_start: Callable[[], object]) -> None:
    """Answer requests until a signal comes.

    Args:
        timeout: seconds that requests which have begun may take then. on_start: called when requests are answered.
    """
    settings = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        ws="none",
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=int(timeout) + 1,
        server_header=False,
    )
    server = Server(settings)

    async def run() -> None:
        task = asyncio.create_task(server.serve([opened]))
        while not server.started and not task.done():
            await asyncio.sleep(0.01)
        if server.started:
            on_start()
        await task

    asyncio.run(run())
