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


def test_in_a_folder_of_others_only_what_was_to_be_an_output_is_removed(tmp_path: Path) -> None:
    long = "x" * 99 + ".html"
    names = [f".{temporaries.HOST}-{2**22 + 5}.{name}" for name in ("c.html", long[-temporaries.LONGEST_PART :])]
    for name in (*names, ".2024.notes", ".1.abc.html", f".{temporaries.HOST}-{2**22 + 5}.other.html", "c.html"):
        (tmp_path / name).touch()
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / names[0]).touch()
    remove_temporaries(tmp_path, of=["c.html", long])
    assert len(list(tmp_path.iterdir())) == 5 and (tmp_path / "deeper" / names[0]).exists()
    assert not any((tmp_path / name).exists() for name in names)
    remove_temporaries(tmp_path / "none", of=["c.html"])
