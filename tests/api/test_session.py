"""Errors as Python words them, and signals."""

import signal

import pytest

from kronos.api.session import called_from_python
from kronos.errors import CheckpointError, ConfigError, Terminated


@pytest.mark.parametrize(
    ("message", "worded"),
    [
        ("Run without --skip-existing to train it again.", "Run with resume=False to train it again."),
        ("Train it; --skip-existing resumes it.", "Train it; resume=True resumes it."),
        ("--since needs --data. See --data-path.", "since needs data. See --data-path."),
        ("To resume it: kronos evaluate --run 'a b/c'", "To resume it: kronos.evaluate('a b/c')"),
        ("To resume it: kronos evaluate --run a/b", "To resume it: kronos.evaluate('a/b')"),
    ],
)
def test_errors_name_arguments(message: str, worded: str) -> None:
    with pytest.raises(CheckpointError) as error, called_from_python():
        raise CheckpointError("{message}", message=message)
    assert str(error.value) == worded


def test_errors_keep_their_kind_and_their_parts() -> None:
    with pytest.raises(ConfigError) as error, called_from_python():
        raise ConfigError.join([ConfigError("a"), ConfigError("b: --run")])
    assert str(error.value) == "a\nb: run" and len(error.value.errors) == 2


def test_signals_that_training_has_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    message = r"stopped by SIGINT at step 5\. Call it again \(finetune: with resume=True\)"
    with pytest.raises(KeyboardInterrupt, match=message), called_from_python():
        raise Terminated(signal.SIGINT, " at step 5")
    received: list[object] = []
    monkeypatch.setattr("kronos.api.session.logger.warning", lambda *words: received.append(words[-1]))
    before = signal.signal(signal.SIGTERM, lambda signum, frame: received.append(signum))
    try:
        with pytest.raises(KeyboardInterrupt), called_from_python():
            raise Terminated(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert str(received[0]).startswith("stopped by SIGTERM. Call it again") and received[1:] == [signal.SIGTERM]
