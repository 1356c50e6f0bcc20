"""``python -m benchmarks.renderer``: the renderer beside its peers, in one run; fills the tables of docs/renderer.md.

Peers take turns in every round, each in a process of its own on one core, so that a busy moment
of the machine hits all alike.  Times are CPU times, medians over the views and then the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.renderer.exact import margins, meets, rays
from benchmarks.renderer.opengl import opengl
from benchmarks.renderer.peers import FACES, PEERS, bumpy
from pipeline.atomic import write_text
from pipeline.formats.binvox import write_binvox
from pipeline.formats.pack import write_pack
from pipeline.furniture import CATEGORIES, make_shape
from pipeline.manifest import Record
from pipeline.meshes.glb import write_glb
from pipeline.meshes.mesh import Mesh
from pipeline.meshes.normalise import normalise
from pipeline.pictures.bank import write_bank
from pipeline.progress import progress, say
from render.backends.opengl import PLATFORMS, probe
from render.backends.raster import RasterBackend
from render.cameras import make_cameras
from render.lights import make_lights
from render.scene import prepare_scene

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "renderer.md"
OURS, STOCK = "raster (built in)", "pyrender, EGL"
SIZES = ("128", "256")
JOB_SHAPES, JOB_VIEWS, JOB_FACES = 32, 24, 5_000
Table = dict[str, dict[str, dict[str, float]]]  # peer -> size -> mesh -> milliseconds


def main(argv: Sequence[str] | None = None) -> int:
    """Measure everything and write the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.renderer", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--core", type=int, default=0, help="the core that every peer runs on")
    parser.add_argument("-o", "--output", type=Path, default=DOCUMENT)
    arguments = parser.parse_args(argv)
    speed, versions, why_not = _speed(arguments.rounds, arguments.core)
    blocks = {
        "speed": _speed_block(speed, versions, why_not),
        "agreement": _agreement_block(),
        "job": _job_block(),
    }
    text = arguments.output.read_text(encoding="utf-8")
    for name, block in blocks.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        text = re.sub(f"{begin}.*?{end}", lambda _, b=begin, t=block, e=end: f"{b}\n{t}\n{e}", text, flags=re.DOTALL)
    write_text(arguments.output, text)
    say(f"wrote {arguments.output}")
    return 0


# ---- speed ----------------------------------------------------------------------------------


def _speed(rounds: int, core: int) -> tuple[Table, dict[str, str], dict[str, str]]:
    """Medians over the rounds; a peer that cannot run here is named with its reason."""
    runs: dict[str, list[Any]] = {}
    why_not: dict[str, str] = {}
    turns = [(peer, textured) for _ in range(rounds) for peer in PEERS for textured in (False, True)]
    for peer, textured in progress(turns, "renderer", unit="run"):
        if (textured and peer != OURS) or peer in why_not:
            continue
        name = f"{peer}, textured" if textured else peer
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.renderer.peers", peer, "--core", str(core)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "LP_NUM_THREADS": "0"}
        done = subprocess.run(
            command + ["--textured"] * textured, capture_output=True, text=True, check=False, env=environment
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if lines:
            runs.setdefault(name, []).append(json.loads(lines[-1]))
        else:
            why_not[peer] = (done.stderr.strip().splitlines() or ["no answer"])[-1]
    table = {
        name: {
            size: {mesh: statistics.median(run["ms"][size][mesh] for run in of_it) for mesh in FACES} for size in SIZES
        }
        for name, of_it in runs.items()
    }
    return table, {name: of_it[0]["version"] for name, of_it in runs.items()}, why_not


def _speed_block(table: Table, versions: dict[str, str], why_not: dict[str, str]) -> str:
    lines = [_machine(), ""]
    for size in SIZES:
        lines += [f"CPU milliseconds a view at {size} px (in brackets: times the built-in renderer's):", ""]
        lines += [
            "| renderer | " + " | ".join(f"{name} faces" for name in FACES) + " |",
            "|---" * (len(FACES) + 1) + "|",
        ]
        for peer, times in table.items():
            ratios = {mesh: times[size][mesh] / table[OURS][size][mesh] for mesh in FACES}
            cells = [f"{times[size][m]:.1f}" + (f" ({ratios[m]:.1f})" if peer != OURS else "") for m in FACES]
            lines.append(f"| {peer} | " + " | ".join(cells) + " |")
        lines.append("")
    lines.append("Versions: " + "; ".join(dict.fromkeys(versions.values())) + ".")
    lines += [f"Not measured here: {peer} ({reason})." for peer, reason in why_not.items()]
    return "\n".join(lines)


def _machine() -> str:
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return f"One core of {model}, {platform.system()}, Python {platform.python_version()}, NumPy {np.__version__}."


# ---- agreement --------------------------------------------------------------------------------


def _meshes() -> dict[str, Mesh]:
    """Generated furniture of every class, textured, and one bumpy ball."""
    shapes = {name: make_shape(1, name, 0) for name in CATEGORIES} | {"bumpy": bumpy(20_000)}
    return {name: normalise(mesh, np.eye(3), max_faces=10**7)[0] for name, mesh in shapes.items()}


def _agreement_block() -> str:
    lines = ["| compared with | views | result |", "|---|---|---|", _embree_line()]
    lines += [_opengl_line(name) for name in PLATFORMS]
    return "\n".join(lines)


def _embree_line() -> str:
    import trimesh
    from trimesh.ray.ray_pyembree import RayMeshIntersector

    equal = total = samples = 0
    right: list[bool] = []  # a differing sample each: does exact arithmetic side with the built-in renderer?
    nearest = 0.0
    backend = RasterBackend(2)
    for name, mesh in _meshes().items():
        backend.load(prepare_scene(mesh))
        caster = RayMeshIntersector(trimesh.Trimesh(mesh.vertices, mesh.faces, process=False))
        for view, camera in enumerate(
            make_cameras("photo", seed=1, shape_id=name, views=12, size_px=128, vertices=mesh.vertices)
        ):
            eyes, directions = rays(camera)
            hit = caster.intersects_any(eyes, directions)
            backend.render(camera, make_lights(1, name, view, camera))
            ours = backend.covered.reshape(-1)
            equal += bool((ours == hit).all())
            total += 1
            samples += int(hit.sum())
            for sample in np.nonzero(ours != hit)[0]:
                ray = eyes[0], directions[sample]
                right.append(meets(mesh.triangles, *ray) == bool(ours[sample]))
                nearest = max(nearest, abs(float(margins(mesh.triangles, *ray).max())))
    odd = (
        (
            f"; the {len(right)} others are rays within {nearest:.0e} radians of an edge, "
            "which Embree rounds to float32: "
            f"exact rational arithmetic finds the built-in renderer right in {sum(right)} of them"
        )
        if right
        else ""
    )
    return (
        f"| Embree (embreex), alpha | {total} | {equal} bit for bit equal; of {samples:,} covered samples all but "
        f"{len(right)} agree{odd} |"
    )


def _opengl_line(name: str) -> str:
    if not probe(name)[0]:
        return f"| pyrender backend, {name} | 0 | not measured: {probe(name)[1]} |"
    ious, colours, depths = [], [], []
    raster = RasterBackend(2)
    with opengl(name) as worker:
        for shape, mesh in _meshes().items():
            raster.load(prepare_scene(mesh))
            for view, camera in enumerate(
                make_cameras("photo", seed=1, shape_id=shape, views=12, size_px=128, vertices=mesh.vertices)
            ):
                lights = make_lights(1, shape, view, camera)
                ours, theirs = raster.render(camera, lights), worker.call(mesh, camera, lights)
                a, b = ours.rgba[..., 3] / 255.0, theirs.rgba[..., 3] / 255.0
                ious.append(np.minimum(a, b).sum() / np.maximum(a, b).sum())
                solid = (a == 1) & (b == 1)
                colours.append(np.abs(ours.rgba[solid][:, :3].astype(int) - theirs.rgba[solid][:, :3]).mean())
                depths.append(np.quantile(np.abs(ours.depth[solid] - theirs.depth[solid]), 0.99))
    result = [
        f"soft IoU of alpha at least {min(ious):.5f}, mean {np.mean(ious):.5f}",
        f"colour {np.mean(colours):.2f} levels of 255 apart on average, {max(colours):.1f} in the worst view",
        f"depth within {max(depths):.0e} unit-box sides (99 % of the pixels)",
    ]
    return f"| pyrender backend, {name}: {probe(name)[0]} | {len(ious)} | {'; '.join(result)} |"


# ---- the whole job ------------------------------------------------------------------------------


def _job_block() -> str:
    """`render shard` and `render pack` as the DAG calls them, process start included."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mesh = bumpy(JOB_FACES)
        rng = np.random.default_rng(0)
        with write_pack(folder / "p.zip", ".glb") as prepared, write_pack(folder / "v.zip", ".binvox") as voxels:
            for number in range(JOB_SHAPES):
                record = Record(f"bench/ball/{number:03d}", "ball", f"{number:03d}", "train")
                prepared.add(record, write_glb(mesh))
                voxels.add(record, write_binvox(rng.random((32, 32, 32)) > 0.9))
        write_bank(folder / "b.npz", rng.integers(0, 256, (16, 160, 160, 3), dtype=np.uint8), {"names": ["x"] * 16})
        render = [
            "render",
            "shard",
            "--seed",
            "1",
            "--settings",
            json.dumps({"size_px": 128, "views": JOB_VIEWS}),
            "--prepared",
            str(folder / "p.zip"),
            "-o",
            str(folder / "r.h5"),
        ]
        pack = [
            "render",
            "pack",
            "--seed",
            "1",
            "--renders",
            str(folder / "r.h5"),
            "--voxels",
            str(folder / "v.zip"),
            "--bank",
            str(folder / "b.npz"),
            "-o",
            str(folder / "c.h5"),
        ]
        seconds = {command[1]: min(_cpu_seconds(command) for _ in range(3)) for command in (render, pack)}
    views = JOB_SHAPES * JOB_VIEWS
    return (
        f"{JOB_SHAPES} shapes of {len(mesh.faces):,} faces, {JOB_VIEWS} views each at 128 px: `render shard` takes "
        f"{seconds['shard']:.1f} s of CPU time and `render pack` {seconds['pack']:.1f} s, process start included: "
        f"{views / sum(seconds.values()):.0f} views/s/core for both."
    )


def _cpu_seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", *command], check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    raise SystemExit(main())
