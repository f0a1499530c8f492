"""The service over HTTP: FastAPI, its errors and its pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from kronos.config.schema import Language
from kronos.errors import ConfigError, DataError, KronosError
from kronos.names import Message
from kronos.report.words.messages import translate_into
from kronos.serving.candles import hide_places
from kronos.serving.errors import BusyError, ServingError
from kronos.serving.limits import Gate
from kronos.serving.pages import read_page
from kronos.serving.schemas import (
    BatchRequest,
    BatchResponse,
    BatchResult,
    CheckRequest,
    CheckResponse,
    ForecastRequest,
    ForecastResponse,
    Health,
    ModelList,
    Problem,
)
from kronos.serving.service import Service
from kronos.version import __version__

OPEN_PATHS = ("/", "/docs", "/healthz", "/readyz")  # hold nothing of the runs
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text}
    for status, text in {
        400: "The request cannot be read.",
        401: "The token is missing or wrong.",
        404: "There is no such run.",
        408: "The request did not arrive in time.",
        413: "The request is too large.",
        422: "The request or its candles are malformed.",
        429: "Too many series are waiting; Retry-After tells when to ask again.",
        503: "The server is not ready, or a forecast could not be recorded.",
        504: "The forecast was not ready in time.",
    }.items()
}
CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large", 422: "invalid"}
MAX_LISTED = 5  # errors of a request
CLIENT_LEFT = 499  # as nginx has it; only the metrics show it

Answer = TypeVar("Answer")


def build_app(
    service: Service, token: str | None = None, max_body_bytes: int = 16 << 20, only_local: bool = True
) -> FastAPI:
    """Return the application.

    Args:
        token: that requests must carry; None: none. max_body_bytes: of a request. only_local: whether requests must name this
            machine as their host.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="Kronos",
        version=__version__,
        description="Forecasts of candles by fine-tuned Kronos models, with the verdict on the models in each answer.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses=PROBLEMS,
    )
    _add_forecasts(app, service)
    _add_state(app, service)
    _add_pages(app)
    app.add_exception_handler(RequestValidationError, _explain_invalid)
    app.add_exception_handler(HTTPException, _explain_http)
    app.add_exception_handler(KronosError, _explain)
    app.add_exception_handler(Exception, _explain_bug)
    app.add_middleware(
        Gate,
        refuse=_refuse,
        token=token,
        open_paths=OPEN_PATHS,
        only_local=only_local,
        max_body_bytes=max_body_bytes,
        seconds=service.limits.timeout,
        count=service.metrics.count_request,
    )
    return app


def _add_forecasts(app: FastAPI, service: Service) -> None:
    @app.post("/v1/forecast", summary="Forecast series with one run")
    async def forecast(body: ForecastRequest, request: Request) -> ForecastResponse:
        return await _unless_left(request, service.forecast(body, find_language(request.headers)))

    @app.post("/v1/forecast/batch", summary="Several requests in one; one that fails leaves the others as they are")
    async def forecast_batch(body: BatchRequest, request: Request) -> BatchResponse:
        language = find_language(request.headers)
        return await _unless_left(request, _answer_all(service, body, language))

    @app.post("/v1/check", summary="Audit candles as kronos check does")
    async def check(body: CheckRequest, request: Request) -> CheckResponse:
        return await _unless_left(request, service.check(body, find_language(request.headers)))


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get("/v1/models", summary="The runs that are served, with their verdicts")
    async def models(request: Request) -> ModelList:
        return service.list_models(find_language(request.headers))

    @app.get("/healthz", summary="Whether the process answers")
    async def healthz() -> Health:
        return service.health()

    @app.get("/readyz", summary="Whether forecasts are computed")
    async def readyz(response: Response) -> Health:
        response.status_code = 200 if service.is_ready else 503
        return service.health()

    @app.get("/metrics", summary="Figures for Prometheus", response_class=Response)
    async def metrics() -> Response:
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _add_pages(app: FastAPI) -> None:
    for path, name in (("/", "index.html"), ("/docs", "docs.html")):
        page = read_page(name)
        headers = {"Content-Security-Policy": page.policy, "X-Content-Type-Options": "nosniff"}
        app.add_route(path, _send(HTMLResponse(page.text, headers=headers)), ["GET"], include_in_schema=False)


def _send(response: Response) -> Callable[[Request], Response]:
    return lambda request: response


async def _unless_left(request: Request, work: Coroutine[Any, Any, Answer]) -> Answer:
    """Return the result of work. If the client leaves, cancel it: nobody would read the answer."""
    task, left = asyncio.ensure_future(work), asyncio.ensure_future(_wait_until_left(request))
    try:
        await asyncio.wait((task, left), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise HTTPException(CLIENT_LEFT, "the client has left")
        return task.result()
    finally:
        task.cancel()
        left.cancel()
        await asyncio.gather(task, left, return_exceptions=True)


async def _wait_until_left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _answer_all(service: Service, body: BatchRequest, language: Language) -> BatchResponse:
    results = await asyncio.gather(*(_answer_one(service, each, language) for each in body.requests))
    return BatchResponse(results=list(results))


async def _answer_one(service: Service, request: ForecastRequest, language: Language) -> BatchResult:
    try:
        response = await service.forecast(request, language)
    except KronosError as error:
        _, problem = describe_error(error, language)
        return BatchResult(status="error", error=problem)
    return BatchResult(status="ok", forecast=response)


def find_language(headers: Mapping[str, str]) -> Language:
    """Return the first language that a reader accepts, of those that we write."""
    return "zh" if headers.get("accept-language", "").lower().startswith("zh") else "en"


def describe_error(error: KronosError, language: Language) -> tuple[int, Problem]:
    """Return the status of HTTP and the message of an error."""
    text = hide_places(translate_into(error, language))
    if isinstance(error, ServingError):
        return error.status, Problem(error=text, code=error.code)
    if isinstance(error, ConfigError | DataError):
        return 422, Problem(error=text, code="invalid")
    return 503, Problem(error=text, code="unavailable")


async def _explain(request: Request, error: Exception) -> Response:
    if not isinstance(error, KronosError):
        raise error
    status, problem = describe_error(error, find_language(request.headers))
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, BusyError) else {}
    return JSONResponse(problem.model_dump(), status, headers)


async def _explain_invalid(request: Request, error: Exception) -> Response:
    """List what is wrong with a request, by its place in it; never its values, which may be long."""
    errors = error.errors() if isinstance(error, RequestValidationError) else []
    lines = [_describe_invalid(each) for each in errors[:MAX_LISTED]]
    if len(errors) > MAX_LISTED:
        lines.append(Message("and {n:,} more", n=len(errors) - MAX_LISTED))
    return _answer(request.headers, 422, "invalid", Message.join(lines))


def _describe_invalid(error: Mapping[str, Any]) -> Message:
    if error["type"] == "json_invalid":
        template = "the body is no JSON: {reason} at character {place}. Send JSON."
        return Message(template, reason=error["ctx"]["error"], place=error["loc"][-1])
    if error["loc"] == ("body",):
        return Message("the body is no JSON object, or its Content-Type is not application/json. Send a JSON object.")
    place = ""
    for part in error["loc"][1:]:
        place += f"[{part}]" if isinstance(part, int) else f".{part}"
    reason = str(error["msg"]).removeprefix("Value error, ")
    return Message("{place}: {reason}.", place=place.lstrip("."), reason=reason)


async def _explain_http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else ""
    text = Message("{detail}. GET /docs shows what can be asked.", detail=detail)
    if status == 400:  # of a body only
        text = Message("the body cannot be read: it is compressed, not UTF-8, or nested too deeply. Send plain JSON.")
    return _answer(request.headers, status, CODES.get(status, "error"), text, getattr(error, "headers", None))


async def _explain_bug(request: Request, error: Exception) -> Response:
    """Answer to an error of ours; its traceback is in the server's log."""
    text = Message("an error of the server. Its log has the details.")
    return _answer(request.headers, 500, "internal", text)


def _refuse(scope: MutableMapping[str, Any], status: int, code: str, text: Message) -> Response:
    own = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}}.get(status)
    return _answer(Headers(scope=scope), status, code, text, own)


def _answer(
    headers: Mapping[str, str], status: int, code: str, text: object, own: Mapping[str, str] | None = None
) -> Response:
    problem = Problem(error=hide_places(translate_into(text, find_language(headers))), code=code)
    return JSONResponse(problem.model_dump(), status, own)
