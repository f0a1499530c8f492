"""Why a file could not be fetched from the hub, and what to do."""

from huggingface_hub import constants, is_offline_mode
from huggingface_hub.errors import HfHubHTTPError

from kronos.errors import CheckpointError, first_line
from kronos.model.stored.mirrors import MIRROR, name_at_modelscope
from kronos.names import Message

TOO_MANY = 429  # requests
BUSY = 500  # from this status on, the server is out of order


class HubError(CheckpointError):
    """A file could not be fetched from the hub."""


def is_unreachable(error: Exception) -> bool:
    """Whether the server did not answer, or not as a hub does."""
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else BUSY
    return status >= BUSY or status == TOO_MANY


def explain_failure(repository: str, filename: str, endpoint: str, error: Exception) -> HubError:
    """Return the error for a file that is neither in the cache nor to be had: why, and what to do."""
    reason, fix = _find_reason(repository, filename, error)
    return HubError(
        "{filename} could not be fetched from the Hugging Face Hub ({endpoint}): {reason}. {fix}",
        filename=filename,
        endpoint=endpoint,
        reason=reason,
        fix=fix,
    )


def _find_reason(repository: str, filename: str, error: Exception) -> tuple[Message, Message]:
    by_hand = Message(
        "Or put {config} and {weights} into one folder and give that folder instead{copy}.",
        config=constants.CONFIG_NAME,
        weights=constants.SAFETENSORS_SINGLE_FILE,
        copy=name_at_modelscope(repository),
    )
    stated = error.args[0] if error.args else None
    line = first_line(error).rstrip(".")
    reason = stated if isinstance(stated, Message) else Message("{error}", error=line)
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return reason, Message("Check the name.")
    if is_offline_mode():
        return Message("HF_HUB_OFFLINE is set, and the file is not in the cache"), Message(
            "Unset HF_HUB_OFFLINE, or run once with a connection: kronos download {repository}. {by_hand}",
            repository=repository,
            by_hand=by_hand,
        )
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
    if status in (401, 403):
        return Message(
            "access is denied (status {status}): there is no such model, or it is private", status=status
        ), Message("Check the name; for a private model, set HF_TOKEN or run: hf auth login.")
    if 400 <= status < BUSY and status != TOO_MANY:
        missing = Message("there is no such model, revision or file (status {status})", status=status)
        return missing, Message("Check the name.")
    return reason, Message(
        "Use a mirror: set HF_ENDPOINT={mirror} in the environment, or model_paths.hub_endpoint in the configuration. {by_hand}",
        mirror=MIRROR,
        by_hand=by_hand,
    )
