"""What killed processes left of files and folders is removed, and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

from kronos.disk import temporaries
from kronos.disk.temporaries import remove_temporaries


def test_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    dead, live, later = (tmp_path / f".{temporaries.HOST}-{n}.x.csv" for n in (2**22 + 5, child.pid, os.getpid()))
    elsewhere, abandoned = (tmp_path / f".0a0a0a-{n}.x.csv" for n in (1, 2))
    earlier, other = tmp_path / f".{2**22 + 6}.x.csv", tmp_path / ".hidden.csv"
    for path in (dead, live, later, elsewhere, abandoned, earlier, other):
        path.touch()
    os.utime(later, (1e9, 1e9))  # of an earlier process with the number of this one
    os.utime(abandoned, (1e9, 1e9))
    (tmp_path / "report" / dead.name).mkdir(parents=True)
    (tmp_path / "report" / dead.name / "a").touch()
    remove_temporaries(tmp_path)
    child.communicate(b"\n")
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {live, elsewhere, other}
    assert not list((tmp_path / "report").iterdir())
