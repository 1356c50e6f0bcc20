"""fetch and prepare killed at any moment, or out of disk: the same command again gives the same bytes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.__main__ import main
from tests.pipeline.archives.faulty_server import Plan, serving
from tests.world import below

ROOT = Path(__file__).resolve().parents[3]
MESHES = 40
SEAL = re.compile(rb'"seal": "[^"]*"')


def off(number: int, side: int = 14) -> bytes:
    """A bumpy sheet."""
    rng = np.random.default_rng(number)
    vertices = [f"{x} {y} {rng.random():.6f}" for x in range(side) for y in range(side)]
    corners = [x * side + y for x in range(side - 1) for y in range(side - 1)]
    faces = [f"4 {c} {c + 1} {c + side + 1} {c + side}" for c in corners]
    return "\n".join([f"OFF\n{len(vertices)} {len(faces)} 0", *vertices, *faces]).encode() + b"\n"


@pytest.fixture(scope="module")
def modelnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("modelnet")
    with zipfile.ZipFile(folder / "ModelNet10.zip", "w") as archive:
        for number in range(MESHES):
            archive.writestr(f"ModelNet10/chair/train/chair_{number:04d}.off", off(number))
    return folder


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tars that `fetch` unpacks."""
    folder = tmp_path_factory.mktemp("r2n2")
    for name in ("ShapeNetVox32", "ShapeNetRendering"):
        for number in range(200):
            path = folder / "plain" / name / "02691156" / f"{number:03d}" / "model.binvox"
            path.parent.mkdir(parents=True)
            path.write_bytes(bytes([number]) * 5000)
        with tarfile.open(folder / f"{name}.tgz", "w:gz") as archive:
            archive.add(folder / "plain" / name, name)
    return folder


def command(*words: str | Path, limit: int | None = None) -> subprocess.Popen[str]:
    def set_limit() -> None:
        if limit is not None:  # as full as a disk gets: no file of this process may grow further
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *map(str, words)],
        cwd=ROOT,
        text=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        preexec_fn=set_limit,
    )


def here(*words: str | Path) -> None:
    """The command in this process, where nothing is to be killed: no second is lost on imports."""
    assert main(list(map(str, words))) == 0


def prepare_words(folder: Path, modelnet: Path) -> list[str | Path]:
    """Fetch and index, in this run's own folder; the words of its `prepare`."""
    settings = json.dumps({"source": "modelnet10", "mirrors": [str(modelnet)], "shards": 1})
    data = ["--dataset", "d", "--settings", settings]
    here("fetch", *data, "-o", folder / "d.json")
    here("index", *data, "--seed", "1", "--archives", folder / "d.json", "-o", folder / "index")
    return [
        "prepare",
        "--settings",
        '{"source": "modelnet10"}',
        "--archives",
        folder / "d.json",
        "--shard",
        folder / "index/000.tsv",
        "-o",
        folder / "out" / "000.zip",
    ]


def fetch_words(folder: Path, mirror: str | Path) -> list[str | Path]:
    settings = json.dumps({"source": "r2n2", "mirrors": [str(mirror)]})
    return ["fetch", "--dataset", "d", "--settings", settings, "-o", folder / "archives" / "d.json"]


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder; the list of archives without the folder's own name, and so without its seal."""
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: SEAL.sub(b"", data.replace(str(folder).encode(), b"")) for name, data in found.items()}


def weight(folder: Path) -> int:
    """Bytes below a folder, those of half-written files too."""
    total = 0
    for path in below(folder):
        with contextlib.suppress(FileNotFoundError):  # it has just got its final name
            total += path.stat().st_size if path.is_file() else 0
    return total


def kill_and_repeat(words: list[str | Path], folder: Path, written: float, whole: Callable[[], bool]) -> bool:
    """Kill the command when it has `written` so many bytes, look that nothing half-written has a final name, repeat it.

    Not after a time: a machine may be ten times slower or faster than it was a second ago.
    """
    before = weight(folder)
    process = command(*words)
    while process.poll() is None and weight(folder) - before < written:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    stopped = process.returncode == -signal.SIGKILL
    assert whole(), "a half-written file under its final name"
    here(*words)
    # The worker of a killed command may live a moment longer; it writes no file.
    hidden = list(folder.rglob(".*"))
    assert hidden == [], "the second run removed what the first left"
    return stopped


def moments(count: int, size: int) -> list[float]:
    """Bytes written when a command is killed; the first time it is hardly begun."""
    return sorted([1.0, *np.random.default_rng(count).uniform(0.05, 0.95, count - 1) * size])


def check_prepare(tmp_path: Path, modelnet: Path, count: int) -> int:
    words = prepare_words(tmp_path, modelnet)
    here(*words)
    out = tmp_path / "out" / "000.zip"
    wanted, stopped = out.read_bytes(), 0
    for moment in moments(count, len(wanted)):
        out.unlink()
        stopped += kill_and_repeat(words, out.parent, moment, lambda: not out.exists() or out.read_bytes() == wanted)
        assert content(out.parent) == {"000.zip": wanted}
    return stopped


def check_fetch(tmp_path: Path, release: Path, count: int) -> int:
    """Unpacking: each tar's folder appears whole or not at all."""
    first = tmp_path / "first"
    here(*fetch_words(first, release))
    wanted = content(first / "archives")
    assert len(wanted) == 401
    stopped = 0
    for number, moment in enumerate(moments(count, weight(first / "archives"))):
        folder = tmp_path / str(number)

        def whole(root: Path = folder / "archives") -> bool:
            shown = {name: data for name, data in content(root).items() if not name.startswith("d/.")}
            tops = [name.split("/")[1] for name in shown if "/" in name]
            return all(tops.count(top) == 200 for top in set(tops)) and all(wanted[n] == d for n, d in shown.items())

        stopped += kill_and_repeat(fetch_words(folder, release), folder / "archives", moment, whole)
        assert content(folder / "archives") == wanted
    return stopped


def check_download(tmp_path: Path, modelnet: Path, count: int) -> int:
    """Over HTTP: what has arrived is kept, nothing else is published, and little is fetched twice."""
    wanted, stopped = (modelnet / "ModelNet10.zip").read_bytes(), 0
    for number, moment in enumerate(moments(count, len(wanted))):
        with serving(Plan(wanted, ["slow"])) as url:
            settings = json.dumps({"source": "volumetric", "mirrors": [url.rpartition("/")[0]]})
            folder = tmp_path / f"download{number}"
            words = ["fetch", "--dataset", "d", "--settings", settings, "-o", folder / "d.json"]
            target = folder / "d" / "3DShapeNetsCode.zip"
            stopped += kill_and_repeat(
                words, folder, moment, lambda t=target: not t.exists() or t.read_bytes() == wanted
            )  # type: ignore[misc]
            assert target.read_bytes() == wanted
    return stopped


def check_full(words: list[str | Path], out: Path, wanted: dict[str, bytes], limits: list[int], name: str) -> None:
    """Every limit below what is needed ends in one clear message and no file; then the command works."""
    for limit in limits:
        process = command(*words, limit=limit)
        _, said = process.communicate()
        assert process.returncode == 1, (limit, said)
        pattern = (
            rf"error: cannot write \S*{name}: File too large[\s\S]*got: [\d,]+ bytes free\s+"
            r"wanted: [\s\S]*[\d,]+ bytes for [\s\S]*free some space"
        )
        assert re.search(pattern, said) and "Traceback" not in said, (limit, said)
        left = {path for path in content(out) if not path.endswith(".part") and not path.endswith(".part.json")}
        assert left <= set(wanted) and all(content(out)[path] == wanted[path] for path in left), (limit, left)
    here(*words)
    assert content(out) == wanted


def limits_of(size: int, count: int) -> list[int]:
    return sorted({int(share * (size - 1)) for share in np.random.default_rng(count).random(count)})


def test_prepare_killed_at_some_moments_gives_the_same_bytes(tmp_path: Path, modelnet: Path) -> None:
    assert check_prepare(tmp_path, modelnet, 2) >= 1


def test_unpacking_killed_at_some_moments_gives_the_same_bytes(tmp_path: Path, release: Path) -> None:
    assert check_fetch(tmp_path, release, 2) >= 1


@pytest.mark.slow
def test_prepare_fetch_and_downloads_killed_at_twenty_moments_each(
    tmp_path: Path, modelnet: Path, release: Path
) -> None:
    done = [
        check_prepare(tmp_path / "p", modelnet, 20),
        check_fetch(tmp_path / "f", release, 20),
        check_download(tmp_path / "d", modelnet, 20),
    ]
    assert all(stopped >= 5 for stopped in done), done  # the others had finished


def full_disk_prepare(tmp_path: Path, modelnet: Path, count: int) -> None:
    words = prepare_words(tmp_path, modelnet)
    here(*words)
    wanted = content(tmp_path / "out")
    (tmp_path / "out/000.zip").unlink()
    check_full(words, tmp_path / "out", wanted, limits_of(len(wanted["000.zip"]), count), "000.zip")


def full_disk_unpack(tmp_path: Path, release: Path, count: int) -> None:
    here(*fetch_words(tmp_path / "first", release))
    wanted = content(tmp_path / "first/archives")
    folder = tmp_path / "second"
    check_full(fetch_words(folder, release), folder / "archives", wanted, limits_of(5000, count), r"ShapeNet\S*")


def test_a_disk_that_fills_while_preparing_is_named_and_leaves_nothing(tmp_path: Path, modelnet: Path) -> None:
    full_disk_prepare(tmp_path, modelnet, 2)


def test_a_disk_that_fills_while_unpacking_is_named_and_leaves_nothing(tmp_path: Path, release: Path) -> None:
    full_disk_unpack(tmp_path, release, 1)


@pytest.mark.slow
def test_a_disk_that_fills_at_twenty_points_each(tmp_path: Path, modelnet: Path, release: Path) -> None:
    full_disk_prepare(tmp_path / "p", modelnet, 20)
    full_disk_unpack(tmp_path / "u", release, 20)


def test_a_disk_that_fills_while_downloading_is_named_and_goes_on_later(tmp_path: Path, modelnet: Path) -> None:
    wanted = (modelnet / "ModelNet10.zip").read_bytes()
    with serving(Plan(wanted, ["ok"])) as url:
        settings = json.dumps({"source": "volumetric", "mirrors": [url.rpartition("/")[0]]})
        words = ["fetch", "--dataset", "d", "--settings", settings, "-o", tmp_path / "d.json"]
        process = command(*words, limit=len(wanted) // 2)
        _, said = process.communicate()
        assert process.returncode == 1 and "Traceback" not in said
        assert re.search(
            r"cannot write \S*3DShapeNetsCode.zip[\s\S]*bytes free[\s\S]*wanted: [\d,]+ bytes for this file", said
        )
        assert sorted(os.listdir(tmp_path / "d")) == [".3DShapeNetsCode.zip.part", ".3DShapeNetsCode.zip.part.json"]
        here(*words)
    assert (tmp_path / "d/3DShapeNetsCode.zip").read_bytes() == wanted
