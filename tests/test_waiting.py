import os
import subprocess
import sys

import pytest

from kronos.waiting import SPIN_COUNT, is_number_given, limit_thread_spinning

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"GOMP_SPINCOUNT": SPIN_COUNT}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
    ],
)
def test_what_the_user_has_set_wins(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], expected: dict[str, str]
) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    limit_thread_spinning()
    assert {name: os.environ[name] for name in NAMES if name in os.environ} == expected
    for name in NAMES:  # what the function itself has set
        os.environ.pop(name, None)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, False),
        ({"OMP_NUM_THREADS": ""}, False),
        ({"OMP_NUM_THREADS": "2"}, True),
        ({"MKL_NUM_THREADS": "2"}, True),
        ({"OMP_NUM_THREADS": "", "MKL_NUM_THREADS": "2"}, True),
    ],
)
def test_either_variable_gives_the_number_of_threads(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], expected: bool
) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert is_number_given() is expected


@pytest.mark.process
def test_import_sets_it_before_pytorch_is_loaded() -> None:
    code = "import os, sys, kronos; print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert printed.stdout.split() == [SPIN_COUNT, "False"]
