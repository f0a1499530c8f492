"""Fuzz tests: every input of a kind ends in a correct result or in an error that explains itself, and none hangs."""

from __future__ import annotations

import copy
import functools
import json
import signal
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from click.testing import Result
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

FUZZING = settings.get_current_profile_name() == "fuzz"  # make fuzz: many inputs, others each time
BASE = settings(
    deadline=None,
    derandomize=not FUZZING,
    suppress_health_check=list(HealthCheck),
    database=None,
    phases=[Phase.generate],  # a failing input is small anyway; looking for a smaller one takes minutes
    report_multiple_bugs=False,
)
HANG_SECONDS = 120  # no input needs a tenth of it


def fuzz(
    n_examples: int, *strategies: st.SearchStrategy[Any], n_fuzz: int | None = None, kind: str = "", slow: bool = False
) -> Callable[[Callable[..., bool]], Callable[..., None]]:
    """Test a property on the same few inputs each time; on ten times as many in the second tier; on n_fuzz in `make fuzz`.

    slow: not in the first tier.
    The function returns whether an input was accepted. How many were is counted by kind, for the summary of `make fuzz`.
    """

    def decorate(check: Callable[..., bool]) -> Callable[..., None]:
        def build(n: int) -> Callable[..., None]:
            tally = Counter[str]()

            @functools.wraps(check)
            def count(*args: Any, **kwargs: Any) -> None:
                with no_hang():
                    accepted = check(*args, **kwargs)
                tally.update(inputs=1, accepted=int(accepted))

            test = settings(BASE, max_examples=n)(given(*strategies)(count))
            test.tally = {kind: tally}
            return test

        if FUZZING:
            return build(n_fuzz or 40 * n_examples)
        if slow:
            return pytest.mark.slow(build(10 * n_examples))
        check.__globals__[f"{check.__name__}_more"] = pytest.mark.slow(build(10 * n_examples))
        return build(n_examples)

    return decorate


@contextmanager
def no_hang() -> Iterator[None]:
    """Fail if the block does not end."""

    def fail(signum: int, frame: FrameType | None) -> None:
        pytest.fail(f"hangs for {HANG_SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(HANG_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


Mutation = tuple[str, int, bytes]
MUTATIONS = st.lists(
    st.tuples(st.sampled_from(["set", "delete", "insert", "cut"]), st.integers(0, 1 << 20), st.binary(max_size=4)),
    min_size=1,
    max_size=4,
)


def mutate_bytes(content: bytes, mutations: Sequence[Mutation]) -> bytes:
    """Set, delete or insert a few bytes of a file, or cut off its end."""
    for how, at, new in mutations:
        at %= max(len(content), 1)
        if how == "cut":
            content = content[: max(at, len(content) // 2)]
        else:
            kept = at + {"set": len(new), "delete": 1 + len(new), "insert": 0}[how]
            content = content[:at] + (b"" if how == "delete" else new) + content[kept:]
    return content


ODD_NUMBERS = [0, -1, 1, 2, 3, 7, 0.5, 1.5, -0.0, 1e-300, 1e21, 1e308, 2**31, 2**63, 10**30, 10**300]
ODD_FLOATS = [float("nan"), float("inf"), float("-inf")]
ODD_TEXTS = [
    "",
    " ",
    ".",
    "..",
    "../x",
    "/",
    "a/b",
    "NaN",
    "1e5",
    "x" * 5000,
    "\x1b[31m",
    "\u202e",
    "\0",
    "{0}",
    "{x}",
    "%s",
]
ODD_DATES = ["2024-01-01", "9999-12-31", "0001-01-01", "2024-02-30", "24:00"]
ODD_CONTAINERS = [[], {}, [[]], [1, 2], ["a"], [None], {"a": 1}, [0] * 2000]
ODD_VALUES = st.one_of(
    st.sampled_from([None, True, False, *ODD_NUMBERS, *ODD_FLOATS]),
    st.sampled_from([*ODD_TEXTS, *ODD_DATES]),
    st.sampled_from(ODD_CONTAINERS),
    st.integers(),
    st.floats(),
    st.text(st.characters(codec="utf-8"), max_size=9),
    st.lists(st.integers() | st.text(st.characters(codec="utf-8"), max_size=4), max_size=4),
)
Change = tuple[int, bool, Any]
CHANGES = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 9).map(bool), ODD_VALUES), min_size=1, max_size=4)


def mutate_values(document: Any, changes: Sequence[Change]) -> Any:
    """Replace (or, one time in ten, remove) a few values of nested dictionaries and lists, in a copy."""
    document = json.loads(json.dumps(document))
    for at, replaces, new in changes:
        places = list(_walk(document))
        if not places:
            break
        container, key = places[at % len(places)]
        if replaces:
            container[key] = copy.deepcopy(new)
        else:
            del container[key]
    return document


def _walk(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the container and the key of every value below this one."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    for key in keys:
        yield value, key
        yield from _walk(value[key])


def assert_explained(message: str) -> None:
    """A message for users: some text without control characters, and nothing of a traceback."""
    assert message.strip() and len(message) < 20_000
    assert all(_is_harmless(character) for character in message), repr(message)
    assert "Traceback" not in message and "object at 0x" not in message, message


def _is_harmless(character: str) -> bool:
    return (
        character.isprintable() or character == "\n" or unicodedata.category(character) == "Zs"
    )  # spaces of any width


def assert_ended_well(result: Result) -> bool:
    """A command ended with a result or with an explanation; return whether with a result."""
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code in (0, 1, 2), result.exit_code
    assert "Traceback" not in result.output, result.output
    if result.exit_code:
        assert result.output.strip()
    return result.exit_code == 0
