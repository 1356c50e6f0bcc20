"""``python -m benchmarks.sources``: how fast data sets are indexed and prepared; writes the table of docs/sources.md.

The rate of `prepare` counts processor seconds of the command and its isolated worker together,
so that a busy machine does not change it much; the peer takes turns with it in every round.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import trimesh

from pipeline.conventions import Faces, Image, Vertices
from pipeline.meshes.glb import write_glb
from pipeline.meshes.gltf.read import read_gltf
from pipeline.meshes.mesh import Material, Mesh
from pipeline.pictures.decode import decode_picture
from pipeline.progress import Log, say
from pipeline.settings.datasets import Dataset, PrepareSettings
from pipeline.stages.fetch import fetch_dataset
from pipeline.stages.index import index_dataset
from pipeline.stages.prepare import prepare_shard

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "sources.md"
SETTINGS = PrepareSettings(source="modelnet10")
NO_LOG = Log(None)
FACES = 5000
MEMBERS = 50_000


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sources", description=__doc__)
    parser.add_argument("--meshes", type=int, default=400, help="of the archive that is prepared")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path, default=OUT)
    arguments = parser.parse_args(argv)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        lines = [
            *_rates(Path(name), arguments.meshes, arguments.rounds),
            *_gltf(arguments.rounds),
            _index(Path(name)),
            *_memory(Path(name)),
        ]
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f} at the start"
    note = f"{machine}, Python {platform.python_version()}"
    table = "\n".join(["| what | measured | wanted |", "|---|---|---|", *lines, "", f"*{note}.*"])
    text = arguments.output.read_text(encoding="utf-8")
    marked = re.sub(r"(<!-- bench -->\n).*?(<!-- /bench -->)", lambda m: f"{m[1]}{table}\n{m[2]}", text, flags=re.S)
    arguments.output.write_text(marked, encoding="utf-8")
    say(f"wrote {arguments.output}")
    return 0


def _rates(folder: Path, meshes: int, rounds: int) -> list[str]:
    """Meshes a processor second, start of the command's worker and unpacking included."""
    place = _archive(folder / "rate", {f"chair_{n:04d}": FACES for n in range(meshes)})
    ways: dict[str, Callable[[], None]] = {
        "`prepare`: read strictly, repair, place, .glb, in a worker of its own": lambda: _prepare(place),
        "trimesh alone: `load(process=True)`, scale, `export('glb')`": lambda: _by_trimesh(place),
    }
    rates: dict[str, list[float]] = {way: [] for way in ways}
    _prepare(place)  # compiled code is cached
    for number in range(rounds):
        for way, run in ways.items():
            before = _processor_s()
            run()
            rates[way].append(meshes / (_processor_s() - before))
            say(f"round {number + 1}: {way}: {rates[way][-1]:.0f} meshes/s")
    wanted = ["at least 100", ""]
    return [
        f"| {way}; OFF meshes of {FACES:,} faces | {statistics.median(found):.0f} /s a core | {goal} |"
        for (way, found), goal in zip(rates.items(), wanted, strict=True)
    ]


def _gltf(rounds: int) -> list[str]:
    """Milliseconds of a processor for one .glb, its pictures decoded, beside trimesh in the same process."""
    vertices, faces = bumpy_sphere(100_000, 0)
    rng = np.random.default_rng(0)
    few = bumpy_sphere(FACES, 0)
    picture = np.dstack([rng.integers(0, 256, (512, 512, 3)), np.full((512, 512), 255)]).astype(np.uint8)
    textured = Mesh(*few, None, [Material((255,) * 4, picture)], rng.random((len(few[0]), 2)))
    colours = rng.integers(0, 256, (len(vertices), 4)).astype(np.uint8)
    cases = {
        f"{FACES:,} faces": Mesh(*few),
        f"{FACES:,} faces and a picture of 512 px": textured,
        "100,000 faces": Mesh(vertices, faces),
        "100,000 faces with vertex colours": Mesh(vertices, faces, vertex_colours=colours),
    }
    lines = []
    for name, mesh in cases.items():
        data = write_glb(mesh)
        ours, theirs = [], []
        for _ in range(10 * rounds):
            ours.append(_spent_s(lambda: read_gltf(data, lambda _: None, _decoded)))  # noqa: B023 - called at once
            theirs.append(_spent_s(lambda: _gltf_by_trimesh(data)))  # noqa: B023
        found = statistics.median(ours), statistics.median(theirs)
        say(f"glTF: {name}: {1000 * found[0]:.2f} ms, trimesh {1000 * found[1]:.2f} ms")
        lines.append(
            f"| read a .glb of {name} | {1000 * found[0]:.1f} ms | trimesh {1000 * found[1]:.1f} ms, "
            f"{found[1] / found[0]:.1f} times as long |"
        )
    return lines


def _decoded(_: str, data: bytes) -> Image:
    return decode_picture(data, upright=False).rgba


def _gltf_by_trimesh(data: bytes) -> None:
    """As much as our reader answers: all parts in the world, their colours and decoded pictures."""
    for part in trimesh.load(io.BytesIO(data), file_type="glb", process=False).dump():
        np.array(part.vertices, np.float64), np.array(part.faces, np.int64)
        if part.visual.kind == "texture" and part.visual.material.baseColorTexture is not None:
            np.asarray(part.visual.material.baseColorTexture.convert("RGBA"))
        elif part.visual.kind == "vertex":
            np.asarray(part.visual.vertex_colors)


def _spent_s(run: Callable[[], object]) -> float:
    before = time.process_time()
    run()
    return time.process_time() - before


def _index(folder: Path) -> str:
    place = folder / "members"
    place.mkdir()
    with zipfile.ZipFile(place / "ModelNet10.zip", "w") as archive:
        for n in range(MEMBERS):
            archive.writestr(f"ModelNet10/chair/train/chair_{n:05d}.off", b"OFF\n")
    _fetch(place)
    start, used = time.perf_counter(), time.process_time()
    dataset = Dataset(source="modelnet10", shards=256)
    index_dataset("d", dataset, place / "d.json", place / "index", seed=1, log=NO_LOG)
    took, used = time.perf_counter() - start, time.process_time() - used
    say(f"index: {took:.2f} s, {used:.2f} s of a processor")
    return f"| `index` of a zip of {MEMBERS:,} members | {took:.1f} s, of a processor {used:.1f} s | under 5 s |"


def _memory(folder: Path) -> list[str]:
    """Peak memory of the command for archives of different sizes, and for one large mesh."""
    cases = {
        "20 meshes": {f"chair_{n:04d}": FACES for n in range(20)},
        "400 meshes": {f"chair_{n:04d}": FACES for n in range(400)},
        "20 meshes, one of 500,000 faces": {f"chair_{n:04d}": 500_000 if n == 9 else FACES for n in range(20)},
    }
    lines = []
    for number, (name, sizes) in enumerate(cases.items()):
        peak = _peak_bytes(_archive(folder / f"memory{number}", sizes))
        say(f"memory: {name}: {peak / 1e6:.0f} MB")
        goal = "grows with the largest mesh, not with the archive" if number else ""
        lines.append(f"| peak memory of one process of `prepare`: {name} | {peak / 1e6:.0f} MB | {goal} |")
    return lines


def _prepare(place: Path) -> None:
    prepare_shard(SETTINGS, place / "d.json", place / "index/000.tsv", place / "000.zip", log=NO_LOG)


def _by_trimesh(place: Path) -> None:
    with zipfile.ZipFile(place / "ModelNet10.zip") as archive, zipfile.ZipFile(place / "peer.zip", "w") as out:
        for name in archive.namelist():
            mesh = trimesh.load(io.BytesIO(archive.read(name)), file_type="off", process=True, force="mesh")
            mesh.apply_translation(-mesh.bounds.mean(axis=0))
            mesh.apply_scale(1 / mesh.extents.max())
            out.writestr(f"{name}.glb", mesh.export(file_type="glb"))


_CHILD = """
import resource, sys
from pathlib import Path
from benchmarks.sources import _prepare
_prepare(Path(sys.argv[1]))
own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(1024 * max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
"""


def _peak_bytes(place: Path) -> int:
    done = subprocess.run([sys.executable, "-c", _CHILD, str(place)], cwd=ROOT, check=True, capture_output=True)
    return int(done.stdout)


def _processor_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _archive(place: Path, faces: dict[str, int]) -> Path:
    """A zip in ModelNet's layout, fetched and indexed."""
    place.mkdir()
    with zipfile.ZipFile(place / "ModelNet10.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (name, count) in enumerate(faces.items()):
            archive.writestr(f"ModelNet10/chair/train/{name}.off", _off(*bumpy_sphere(count, number)))
    _fetch(place)
    dataset = Dataset(source="modelnet10", shards=1)
    index_dataset("d", dataset, place / "d.json", place / "index", seed=1, log=NO_LOG)
    return place


def _fetch(place: Path) -> None:
    fetch_dataset("d", Dataset(source="modelnet10", mirrors=(str(place),)), place / "d.json", log=NO_LOG)


def bumpy_sphere(faces: int, number: int) -> tuple[Vertices, Faces]:
    """A closed surface of about `faces` triangles, another one for each number."""
    side = round((faces / 2) ** 0.5)
    around, down = np.meshgrid(np.arange(side) * 2 * np.pi / side, np.linspace(0.01, np.pi - 0.01, side + 1))
    radius = 40 * (1 + 0.2 * np.random.default_rng(number).random(around.shape))
    vertices = np.stack([np.cos(around) * np.sin(down), np.sin(around) * np.sin(down), np.cos(down)], axis=-1)
    row, column = np.arange(side)[:, None] * side, np.arange(side)
    a, b = (row + column).ravel(), (row + (column + 1) % side).ravel()
    triangles = np.concatenate([np.stack([a, b, a + side], axis=1), np.stack([b, b + side, a + side], axis=1)])
    return (vertices * radius[..., None]).reshape(-1, 3), triangles


def _off(vertices: Vertices, faces: Faces) -> bytes:
    out = io.BytesIO(b"OFF\n%d %d 0\n" % (len(vertices), len(faces)))
    out.seek(0, io.SEEK_END)
    np.savetxt(out, vertices, fmt="%.6f")
    np.savetxt(out, np.insert(faces, 0, 3, axis=1), fmt="%d")
    return out.getvalue()


if __name__ == "__main__":
    sys.exit(main())
