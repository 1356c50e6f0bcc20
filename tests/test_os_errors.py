"""Whatever the system refuses a command, it ends with exit code 1 and words that name the path: never a traceback.

The tests may run as root, whom no permission stops.  So what cannot be written is a folder of the kernel (/proc),
a file where a folder is wanted, a name of 300 characters, or a file that may not grow (RLIMIT_FSIZE).
"""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import in_words, run_command
from pipeline.meshes.glb import write_glb
from pipeline.meshes.mesh import Mesh
from tests.processes import run_module
from tests.voxelize.solids import box
from tests.world import ROOT, World

INPUT, OUTPUT = "INPUT", "OUTPUT"
LONG = "n" * 300
KINDS = ("absent", "folder", "long name", "file as a folder")
# Every command that reads a file and writes one: words with the places of both.
COMMANDS: dict[str, list[str]] = {
    "pipeline generate": ["pipeline", "generate", "--dataset", "d", "--seed", "1", "--settings", "{}", "-o", OUTPUT],
    "pipeline rooms": ["pipeline", "rooms", "--seed", "1", "--count", "1", "-o", OUTPUT],
    "pipeline fetch": [
        "pipeline",
        "fetch",
        "--dataset",
        "d",
        "--settings",
        '{"source": "folder", "path": "INPUT"}',
        "-o",
        OUTPUT,
    ],
    "pipeline index": [
        "pipeline",
        "index",
        "--dataset",
        "d",
        "--seed",
        "1",
        "--settings",
        '{"source": "folder", "path": "x"}',
        "--archives",
        INPUT,
        "-o",
        OUTPUT,
    ],
    "pipeline prepare": [
        "pipeline",
        "prepare",
        "--settings",
        '{"source": "folder"}',
        "--archives",
        INPUT,
        "--shard",
        INPUT,
        "-o",
        OUTPUT,
    ],
    "pipeline ledger": [
        "pipeline",
        "ledger",
        "--dataset",
        "d",
        "--settings",
        "{}",
        "--index",
        INPUT,
        "--packs",
        INPUT,
        "-o",
        OUTPUT,
    ],
    "pipeline clusters": [
        "pipeline",
        "clusters",
        "--settings",
        "{}",
        "--index",
        INPUT,
        "--voxels",
        INPUT,
        "-o",
        OUTPUT,
    ],
    "pipeline photographs": [
        "pipeline",
        "photographs",
        "--settings",
        '{"source": "ikea", "path": "INPUT", "size_px": 64}',
        "-o",
        OUTPUT,
    ],
    "pipeline config": ["pipeline", "config", INPUT],
    "pipeline verify": ["pipeline", "verify", INPUT],
    "pipeline costs": ["pipeline", "costs", INPUT],
    "pipeline doctor": ["pipeline", "doctor", "--offline", INPUT],
    "pipeline shards index": ["pipeline", "shards", "index", INPUT, "-o", OUTPUT],
    "pipeline shards info": ["pipeline", "shards", "info", INPUT],
    "pipeline shards export": ["pipeline", "shards", "export", INPUT, "-o", OUTPUT],
    "voxelize": ["voxelize", INPUT, "-d", "16", "-o", OUTPUT],
    "voxelize info": ["voxelize", "info", INPUT],
    "voxelize shard": ["voxelize", "shard", "--settings", "{}", "--prepared", INPUT, "-o", OUTPUT],
    "render": ["render", INPUT, "--views", "1", "--size", "32", "-o", OUTPUT],
    "render shard": ["render", "shard", "--seed", "1", "--prepared", INPUT, "-o", OUTPUT],
    "render backgrounds": ["render", "backgrounds", "--seed", "1", "--source", INPUT, "-o", OUTPUT],
    "render pack": ["render", "pack", "--seed", "1", "--renders", INPUT, "--voxels", INPUT, "-o", OUTPUT],
    "render sheet": ["render", "sheet", "--shards-index", INPUT, "-o", OUTPUT],
    "render audit": ["render", "audit", "--shards-index", INPUT, "-o", OUTPUT],
    "report page": ["report", "page", "--output-dir", INPUT, "-o", OUTPUT],
    "report gallery": [
        "report",
        "gallery",
        "--shards-index",
        INPUT,
        "--prepared",
        INPUT,
        "--ledger",
        INPUT,
        "-o",
        OUTPUT,
    ],
    "training train": ["training", "train", "--settings", '{"datasets": ["d"]}', "--shards", INPUT, "--run", OUTPUT],
    "training sample": ["training", "sample", "--count", "1", "-o", OUTPUT],
    "training reconstruct": ["training", "reconstruct", INPUT, "-o", OUTPUT],
    "training evaluate": ["training", "evaluate", "--run", INPUT, "--shards", INPUT, "-o", OUTPUT],
    "training compare": ["training", "compare", INPUT, "-o", OUTPUT],
}


def run(words: list[str], given: Path | str, output: Path | str, folder: Path) -> subprocess.CompletedProcess[str]:
    filled = [word.replace(INPUT, str(given)).replace(OUTPUT, str(output)) for word in words]
    return run_module(filled, folder)


def require_words(done: subprocess.CompletedProcess[str]) -> None:
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    assert done.returncode in (1, 2) and re.search("error: |MISSING", said), said


@pytest.fixture
def mesh(tmp_path: Path) -> Path:
    path = tmp_path / "mesh.glb"
    path.write_bytes(write_glb(Mesh(*box())))
    return path


@pytest.mark.parametrize("kind", [KINDS[0], *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS[1:])])
@pytest.mark.parametrize("name", [name for name, words in COMMANDS.items() if INPUT in " ".join(words)])
def test_an_input_that_cannot_be_read_is_said(name: str, kind: str, mesh: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    given = {
        "absent": tmp_path / "absent.png",
        "folder": tmp_path / "folder",
        "long name": tmp_path / LONG,
        "file as a folder": mesh / "below",
    }[kind]
    done = run(COMMANDS[name], given, tmp_path / "out", tmp_path)
    if done.returncode == 0 and (name, kind) in NOTHING_WRONG:
        return
    require_words(done)


# A folder is what `fetch` asks for, and a page is also written of a run that has not begun.
NOTHING_WRONG = {("pipeline fetch", "folder"), *(("report page", kind) for kind in KINDS)}
# Those that come as far as their output with so little.
WRITERS = ("pipeline generate", "pipeline rooms", "pipeline fetch", "voxelize", "render", "training sample")


@pytest.mark.parametrize(
    "kind", ["proc", "folder in the way", *(pytest.param(k, marks=pytest.mark.slow) for k in KINDS[2:])]
)
@pytest.mark.parametrize("name", WRITERS)
def test_an_output_that_cannot_be_written_is_said(name: str, kind: str, mesh: Path, tmp_path: Path) -> None:
    words, given = COMMANDS[name], mesh
    if name == "pipeline fetch":
        given = tmp_path / "meshes"
        (given / "box").mkdir(parents=True)
        (given / "box" / "a.glb").write_bytes(mesh.read_bytes())
    suffix = {"voxelize": ".binvox", "render": ".png", "pipeline fetch": ".json", "training sample": ".glb"}.get(
        name, ""
    )
    output = {
        "proc": Path("/proc/1") / f"none{suffix}",
        "file as a folder": mesh / f"out{suffix}",
        "long name": tmp_path / f"{LONG}{suffix}",
        "folder in the way": tmp_path / f"way{suffix}",
    }[kind]
    if kind == "folder in the way":
        if not suffix:
            pytest.skip("this command writes a folder")
        (output / "inside").mkdir(parents=True)
    require_words(run(words, given, output, tmp_path))


def test_a_file_that_may_not_grow_is_said(mesh: Path, tmp_path: Path) -> None:
    """As on a full disk."""
    done = subprocess.run(
        [sys.executable, "-m", "voxelize", str(mesh), "-d", "64", "-o", str(tmp_path / "a.raw")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )
    require_words(done)
    assert "File too large" in done.stderr and not (tmp_path / "a.raw").exists()


@pytest.mark.workflow
@pytest.mark.parametrize("output", ["/proc/1/results", "config.yaml/results"])
def test_a_dry_run_says_it_too(output: str, tmp_path: Path) -> None:
    world = World(tmp_path / "world")
    world.edit(output=output)
    (world.folder / "meshes" / "box").mkdir(parents=True)
    world.edit(datasets={"mine": {"source": "folder", "path": "meshes"}})
    done = world.run("-n", check=False)
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    doctor = world.python("-m", "pipeline", "doctor", "--offline", "config.yaml")
    assert doctor.returncode == 1 and "Traceback" not in doctor.stderr, doctor.stderr
    assert ("MISSING" in doctor.stdout and "nothing can be written" in doctor.stdout) or "error: " in doctor.stderr


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_error_of_the_system_has_words(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> int:
        raise OSError(number, os.strerror(number), "/some/where/file")

    if issubclass(type(OSError(number, "")), BrokenPipeError | InterruptedError | ChildProcessError):
        return  # of pipes and processes, not of files
    assert run_command(fails) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: cannot ") and "/some/where" in said and "what to do: " in said


def test_what_has_no_number_has_words_too() -> None:
    assert "the system refused: odd" in str(in_words(OSError("odd")))
    assert json.dumps(str(in_words(OSError())))
