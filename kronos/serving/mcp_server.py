"""The core as tools for language models, by the Model Context Protocol."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field, ValidationError

from kronos.errors import DataError, KronosError
from kronos.serving.candles import hide_places
from kronos.serving.schemas import (
    MAX_PATHS,
    MAX_SEED,
    CheckRequest,
    CheckResponse,
    File,
    ForecastRequest,
    ForecastResponse,
    Input,
    ModelInfo,
    Parameters,
)
from kronos.serving.service import Service
from kronos.version import __version__

INSTRUCTIONS = (
    "Forecasts candles (K-lines) with fine-tuned Kronos models. Call check before forecast with new candles, and tell the user what it "
    "finds. Always tell the user the verdict of the model: whether it has shown skill. A forecast is no promise of profit."
)

Csv = Annotated[
    str,
    Field(
        description="The text of a CSV file, not its path: a line of column names (timestamps, open, high, low, close; volume and "
        "amount if known), then a line for each candle, oldest first."
    ),
]
Model = Annotated[str | None, Field(description="A run; by default the first. health lists them.")]


class _Server(MCPServer[Any]):
    """Refuses unknown arguments, which would be ignored, and lists wrong ones in plain words."""

    async def call_tool(self, name: str, arguments: dict[str, Any], context: Any = None) -> Any:
        """Call a tool by its name.

        Raises:
            ToolError: the arguments are wrong, or the tool refuses.
        """
        known = {tool.name: tool.input_schema["properties"] for tool in await self.list_tools()}.get(name, arguments)
        if unknown := ", ".join(sorted(arguments.keys() - known.keys())):
            raise ToolError(f"{name} has no argument {unknown}. It has: {', '.join(known) or 'none'}.")
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                raise ToolError(_list_faults(error.__cause__)) from None
            raise


def build_mcp(service: Service, measure_health: Callable[[], list[dict[str, Any]]] | None = None) -> MCPServer[Any]:
    """Return a server with the tools check, forecast, verdict and health. The service must be running.

    Args:
        measure_health: returns the health of the forecasts in a ledger, see `kronos.ledger.health`.
    """
    server = _Server("kronos", version=__version__, instructions=INSTRUCTIONS, log_level="WARNING")

    @server.tool()
    async def check(csv: Csv) -> CheckResponse:
        """Audit candles: what was understood, what is wrong with them, and whether they are enough."""
        with _translated():
            return await service.check(CheckRequest(input=_to_input(csv, None)))

    @server.tool()
    async def forecast(
        csv: Csv,
        model: Model = None,
        symbol: Annotated[str | None, Field(description="Which series, if the file holds several.")] = None,
        prediction_length: Annotated[
            int | None, Field(ge=1, description="Candles to forecast; by default the model's.")
        ] = None,
        n_paths: Annotated[int, Field(ge=1, le=MAX_PATHS, description="Futures to sample.")] = 30,
        seed: Annotated[int, Field(ge=0, le=MAX_SEED, description="The same seed gives the same forecast.")] = 0,
        exchange: Annotated[
            str | None, Field(description="Whose calendar gives the future times: XSHG, XNYS, 24/7.")
        ] = None,
    ) -> ForecastResponse:
        """Forecast the candles after the last one: mean, quantiles of the close, probability of a rise, and the model's verdict."""
        with _translated():
            parameters = Parameters(prediction_length=prediction_length, n_paths=n_paths, seed=seed, exchange=exchange)
            return await service.forecast(
                ForecastRequest(model=model, inputs=[_to_input(csv, symbol)], parameters=parameters)
            )

    @server.tool()
    async def verdict(model: Model = None) -> ModelInfo:
        """Tell what was measured of a model on held-out candles: whether it has skill, and how often its bands held."""
        with _translated():
            return service.describe_model(service.find_run(model))

    @server.tool()
    async def health() -> dict[str, Any]:
        """Tell which models can be asked, and how logged forecasts have done since: coverage, error against a baseline, alarms."""
        with _translated():
            graded = {} if measure_health is None else {"ledger": measure_health()}
            return service.health().model_dump(mode="json") | graded

    return server


def _to_input(csv: str, symbol: str | None) -> Input:
    if "\n" not in csv.strip():
        raise DataError(
            "csv: this is one line, perhaps a path. Give the text of the file: column names, then the candles."
        )
    content = base64.b64encode(csv.encode()).decode()
    return Input(file=File(name="candles.csv", content_base64=content), symbol=symbol)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what is wrong with a request into an error that the model reads."""
    try:
        yield
    except ValidationError as error:
        raise ToolError(_list_faults(error)) from None
    except KronosError as error:
        raise ToolError(hide_places(str(error))) from None


def _list_faults(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
