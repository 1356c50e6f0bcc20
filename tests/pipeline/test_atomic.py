"""A file that exists is whole, and what killed writers leave does not pile up."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.atomic import atomic_folder, atomic_path, write_text
from pipeline.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
WRITER = """
import sys, time
from pathlib import Path
from pipeline.atomic import atomic_folder, atomic_path
with (atomic_folder if sys.argv[2] == "folder" else atomic_path)(Path(sys.argv[1])) as temporary:
    (temporary / "inside" if temporary.is_dir() else temporary).write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(600)
"""


def writer(final: Path, kind: str = "file") -> subprocess.Popen[str]:
    """Another process in the middle of writing `final`."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(final), kind], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    return process


def killed(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_next_writer_removes_what_a_killed_one_left_and_nothing_of_a_living_one(tmp_path: Path, kind: str) -> None:
    final = tmp_path / "d.zip"
    dead, living = writer(final, kind), writer(final, kind)
    killed(dead)
    assert len(list(tmp_path.iterdir())) == 2
    write_text(final, "whole")
    left = [path for path in tmp_path.iterdir() if path != final]
    assert len(left) == 1 and f"-{living.pid}-" in left[0].name
    killed(living)
    write_text(final, "whole again")
    assert [path.name for path in tmp_path.iterdir()] == ["d.zip"]


def test_another_machines_temporary_stays_for_a_week_and_other_targets_for_ever(tmp_path: Path) -> None:
    fresh, old = tmp_path / ".d.zip.0123abcd-77-00000000.tmp.zip", tmp_path / ".d.zip.0123abcd-78-00000000.tmp.zip"
    other = tmp_path / ".other.zip.0123abcd-78-00000000.tmp.zip"
    unlike = tmp_path / ".d.zip.part"
    for path in (fresh, old, other, unlike):
        path.write_bytes(b"half")
    for path in (old, other, unlike):
        os.utime(path, (time.time() - 8 * 86_400,) * 2)
    write_text(tmp_path / "d.zip", "whole")
    assert {path.name for path in tmp_path.iterdir()} == {"d.zip", fresh.name, other.name, unlike.name}


def test_a_failed_writer_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "f") as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "g") as temporary:
        (temporary / "inside").write_bytes(b"half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_appears_with_everything_in_it(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "below" / "g") as temporary:
        (temporary / "inside").write_bytes(b"whole")
        assert not (tmp_path / "below" / "g").exists()
    assert [path.name for path in (tmp_path / "below").iterdir()] == ["g"]
    assert (tmp_path / "below/g/inside").read_bytes() == b"whole"


def test_a_full_disk_names_the_path_and_the_bytes(tmp_path: Path) -> None:
    full = re.escape(str(tmp_path / "f"))
    pattern = rf"cannot write {full}: No space left on device[\s\S]*bytes free[\s\S]*more than 4 bytes[\s\S]*free some"
    with pytest.raises(UserError, match=pattern), atomic_path(tmp_path / "f") as temporary:
        temporary.write_bytes(b"half")
        with open("/dev/full", "wb", buffering=0) as full_disk:
            full_disk.write(b"more")
    assert list(tmp_path.iterdir()) == []
