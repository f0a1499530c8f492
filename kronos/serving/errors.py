"""Why a request is not answered, each with its status of HTTP."""

from typing import ClassVar

from kronos.errors import KronosError


class ServingError(KronosError):
    """A request cannot be answered. status: of HTTP. code: for programs."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"


class UnknownModelError(ServingError):
    """No run of this name is served."""

    status, code = 404, "unknown_model"


class BusyError(ServingError):
    """More series wait than the queue holds. retry_after: seconds."""

    status, code = 429, "busy"
    retry_after = 1


class DeadlineError(ServingError):
    """The forecast was not ready in time."""

    status, code = 504, "deadline"


class StoppingError(ServingError):
    """The server is stopping, or is not ready."""

    status, code = 503, "not_ready"
