"""What every command does before its own work."""

import subprocess
import sys
import time

import pytest

TICK = 0.02  # seconds; the system counts the start of a process in hundredths


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="only there two processes share time.monotonic()")
def test_the_time_of_a_command_begins_with_its_process() -> None:
    code = "import time; print(time.monotonic()); from kronos.cli.session import find_start; print(find_start())"
    launched = time.monotonic()
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    first_line, started = map(float, printed)
    assert launched - TICK <= started <= first_line + TICK
