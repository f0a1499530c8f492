"""What is asked of a connection before its request is read: a token, a host of this machine, and a body that arrives."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from kronos.names import Message

Event = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Refuse = Callable[[Scope, int, str, Message], App]

MAX_BODIES = 16  # of the largest size, together
LOCAL = ("127.0.0.1", "localhost", "::1")


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass
class _Memory:
    """Bytes of the bodies of all requests that are not answered yet."""

    n_bytes: int = 0


@dataclass(frozen=True)
class Gate:
    """ASGI middleware: refuses requests before they are read as a whole.

    refuse: returns the app that answers with a status, a code and a message. token: None: none is needed. open_paths: need no
    token. only_local: whether the Host header must name this machine; otherwise a web page could reach the server under a name
    of its own (DNS rebinding). max_body_bytes: of a request. seconds: that its body may take. count: called with the
    status of each answer.
    """

    app: App
    refuse: Refuse
    token: str | None
    open_paths: Collection[str]
    only_local: bool
    max_body_bytes: int
    seconds: float
    count: Callable[[int], object]
    memory: _Memory = field(default_factory=_Memory)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_counted(event: Event) -> None:
            if event["type"] == "http.response.start":
                self.count(event["status"])
            await send(event)

        await self._pass(scope, receive, send_counted)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if scope["method"] == "HEAD":  # the server leaves the body of the answer out
            scope = {**scope, "method": "GET"}
        if self.only_local and _read_host(headers.get(b"host", "")) not in LOCAL:
            text = Message("this server answers to the name localhost only. Use it, or start the server with a token.")
            await self.refuse(scope, 400, "unknown_host", text)(scope, receive, send)
        elif not (scope["path"] in self.open_paths or self._has_token(headers)):
            text = Message("the token is missing or wrong. Send the header Authorization: Bearer TOKEN.")
            await self.refuse(scope, 401, "unauthorized", text)(scope, receive, send)
        elif (announced := headers.get(b"content-length", "")).isdecimal() and int(announced) > self.max_body_bytes:
            await self.refuse(scope, *self._too_large())(scope, receive, send)
        else:
            await self._bounded(scope, receive, send)

    def _has_token(self, headers: Mapping[bytes, str]) -> bool:
        kind, _, given = headers.get(b"authorization", "").partition(" ")
        if self.token is None:
            return True
        return kind.lower() == "bearer" and secrets.compare_digest(given.strip().encode(), self.token.encode())

    def _too_large(self) -> tuple[int, str, Message]:
        template = "the request has more than {most:,} bytes. Send fewer candles or series."
        return 413, "too_large", Message(template, most=self.max_body_bytes)

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the body arrive in time and within its size. Otherwise the application sees a client that leaves."""
        problem: tuple[int, str, Message] | None = None
        n_bytes, complete, started = 0, False, False
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.seconds

        async def receive_bounded() -> Event:
            nonlocal problem, n_bytes, complete
            if complete:  # then it waits for the client to leave
                return await receive()
            try:
                event = await asyncio.wait_for(receive(), max(deadline - loop.time(), 0))
            except TimeoutError:
                text = Message("the request did not arrive in time. Send it at once.")
                problem = 408, "slow_request", text
                return {"type": "http.disconnect"}
            complete = not event.get("more_body", False)
            n_bytes += len(event.get("body", b""))
            self.memory.n_bytes += len(event.get("body", b""))
            if self.memory.n_bytes > MAX_BODIES * self.max_body_bytes:
                problem = 429, "busy", Message("the requests of now take all the room. Ask again in a moment.")
                return {"type": "http.disconnect"}
            if n_bytes > self.max_body_bytes:
                problem = self._too_large()
                return {"type": "http.disconnect"}
            return event

        async def send_unless_refused(event: Event) -> None:
            nonlocal started
            if problem is None or started:
                started = True
                await send(event)

        try:
            await self.app(scope, receive_bounded, send_unless_refused)
        finally:
            self.memory.n_bytes -= n_bytes
            if problem is not None and not started:
                await self.refuse(scope, *problem)(scope, receive, send)


def _read_host(header: str) -> str:
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()
