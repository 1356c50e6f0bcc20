"""``python -m benchmarks.voxelizer``: the voxelizer beside its peers, in one run; writes docs/voxelizer.md's tables.

The contenders take turns in every round, so that a busy moment of the machine hits all of them
alike, and the fastest round counts.  Processor time on one core, arrays in, grid out, no files;
a peer whose next size would take longer than --limit seconds is left out there.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.voxelizer.memory import peak_bytes
from benchmarks.voxelizer.meshes import Mesh, furniture, meshes, placed, real_meshes, sphere
from benchmarks.voxelizer.peers import PEERS, Peer
from pipeline.conventions import Grid
from pipeline.errors import Reject
from pipeline.formats.binvox import read_binvox, write_binvox
from pipeline.furniture import CATEGORIES
from pipeline.meshes.glb import write_glb
from pipeline.meshes.mesh import Mesh as TexturedMesh
from pipeline.meshes.readers.off import read_off
from pipeline.progress import say
from voxelize.engines import builtin
from voxelize.engines.binvox_program import plain_off
from voxelize.options import UNIT_BOX_BOUNDS, Options
from voxelize.quality import quality

ROOT = Path(__file__).resolve().parents[2]
DOC = ROOT / "docs" / "voxelizer.md"
DATA = ROOT.parent / "shared" / "data"
SIZES = (32, 64, 128)
Times = dict[tuple[str, str, int], float]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, check, and write the tables between their markers."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.voxelizer", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=4.0, help="seconds; peers slower than this are left out")
    parser.add_argument(
        "--data", type=Path, default=DATA, help="real meshes and files made by the original; their tables stay without"
    )
    parser.add_argument("-o", "--output", type=Path, default=DOC)
    given = parser.parse_args(argv)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    peers = [peer for peer in PEERS if not peer.missing]
    for peer in PEERS:
        if peer.missing:
            say(f"left out: {peer.name}: {peer.missing}")

    tables = {"correctness": correctness(peers), "demo": demo_table(), "files": files_table()}
    if given.data.is_dir():
        tables["parity"] = parity_table(given.data / "binvox/golden")
        tables["real"] = real_table(given.data)
    times = measure(peers, meshes(), given.rounds, given.limit)
    tables["speed"] = speed_table(peers, times)
    tables["memory"] = memory_table()
    write_tables(given.output, tables)
    say(f"wrote {given.output}")
    return 0


# --- Speed ------------------------------------------------------------------------------------


def measure(peers: list[Peer], cases: dict[str, list[Mesh]], rounds: int, limit: float) -> Times:
    """Seconds of every (peer, mesh, size): the mean over the mesh's variants of the fastest run of each.

    The variants are taken in turn, because a processor that sees a single mesh repeatedly predicts its
    branches unusually well, and code with many branches would look too fast.  Peers that take long get fewer.
    """
    times: Times = {}
    for size in SIZES:
        for name, variants in cases.items():
            best: dict[str, dict[int, float]] = {peer.name: {} for peer in peers}
            # The time grows at least with the number of lines; the first size is always tried, and ours are at all,
            # since the ratios of the others are to them.
            running = [p for p in peers if p.ours or 4 * times.get((p.name, name, size // 2), limit / 8) < limit]
            for round_number in range(rounds):
                for peer in running:
                    spent = min(best[peer.name].values(), default=0.0)
                    if round_number and spent > limit / 2:
                        continue
                    several = round_number and spent < limit / 80
                    for number, mesh in enumerate(variants[: len(variants) if several else 1]):
                        seconds = _seconds(peer.run, *mesh, size)
                        best[peer.name][number] = min(seconds, best[peer.name].get(number, seconds))
            times |= {(peer.name, name, size): float(np.mean(list(best[peer.name].values()))) for peer in running}
            say(f"measured {name} at {size}^3")
    return times


def _seconds(run: Callable[..., Any], *arguments: Any) -> float:
    """Processor time of all threads: a busy machine must not count against whoever takes long."""
    start = time.process_time()
    run(*arguments)
    return time.process_time() - start


def speed_table(peers: list[Peer], times: Times) -> str:
    """Milliseconds, and how many times longer than the same kind of ours."""
    lines = []
    solids = [peer.name for peer in peers if peer.kind == "solid" and not peer.ours]
    for size in SIZES:
        names = [name for peer, name, at in times if at == size and peer == peers[0].name]
        lines += [
            f"\n**{size}^3**, ms a mesh (times ours)\n",
            "| | " + " | ".join(names) + " |",
            "|---" * (len(names) + 1) + "|",
        ]
        for peer in peers:
            cells = []
            for name in names:
                spent = times.get((peer.name, name, size))
                base = times["-e" if peer.kind == "surface" else "binvox default", name, size]
                cells.append(
                    "–"
                    if spent is None
                    else f"{spent * 1e3:.3g}" + ("" if peer.ours and peer.kind != "thin" else f" ({spent / base:.1f}x)")
                )
            label = f"**{peer.name}**" if peer.ours else peer.name
            lines.append(f"| {label}{' (surface)' if peer.kind == 'surface' else ''} | " + " | ".join(cells) + " |")
    robust = max(times["robust", name, size] / times["binvox default", name, size] for _, name, size in times)
    name = next(name for _, name, _ in times if name.startswith("sphere, 5"))
    lead = min(times[peer, name, 32] for peer in solids) / times["binvox default", name, 32]
    lines.append(
        f"\n`robust` takes at most {robust:.1f} times as long as the default. At 32^3 and 5,000 faces the default is "
        f"{lead:.1f} times as fast as the fastest peer that makes solids."
    )
    where = f"One core of {_processor()}, Python {platform.python_version()}"
    lines.append(f"\n{where}, processor time, fastest of interleaved rounds, mean over variants of the mesh.")
    return "\n".join(lines).strip()


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.*)", path.read_text()) if path.is_file() else None
    return named[1] if named else platform.machine()


# --- Correctness ------------------------------------------------------------------------------


def iou(a: Grid, b: Grid) -> float:
    """Intersection over union."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def nasty() -> dict[str, tuple[Mesh, Grid]]:
    """Input as real data sets have it, and the analytic solid at 32^3."""
    rng = np.random.default_rng(5)
    axis = (np.arange(32) + 0.5) / 32 - 0.5
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    ball = x**2 + y**2 + z**2 <= 0.45**2
    vertices, faces = sphere(20_000)
    flip = rng.random(len(faces)) < 0.5
    inner = sphere(5_000, 0.25)
    left, right = sphere(10_000, 0.3), sphere(10_000, 0.3)
    shift = np.array([0.15, 0.0, 0.0])
    two = ((x - 0.15) ** 2 + y**2 + z**2 <= 0.09) | ((x + 0.15) ** 2 + y**2 + z**2 <= 0.09)
    return {
        "closed and clean": ((vertices, faces), ball),
        "every face doubled": ((vertices, np.concatenate([faces, faces])), ball),
        "half the faces flipped": ((vertices, np.where(flip[:, None], faces[:, ::-1], faces)), ball),
        "a sphere inside": (_joined((vertices, faces), inner), ball),
        "overlapping solids": (_joined((left[0] - shift, left[1]), (right[0] + shift, right[1])), two),
        "10 % of faces missing": ((vertices, faces[rng.random(len(faces)) > 0.1]), ball),
    }


def _joined(first: Mesh, second: Mesh) -> Mesh:
    return np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1] + len(first[0])])


def correctness(peers: list[Peer]) -> str:
    """IoU with analytic truth of everything that makes solids."""
    solids = [peer for peer in peers if peer.kind != "surface"]
    lines = ["| | " + " | ".join(peer.name for peer in solids) + " |", "|---" * (len(solids) + 1) + "|"]
    for name, (mesh, truth) in nasty().items():
        lines.append(f"| {name} | " + " | ".join(f"{iou(_or_empty(peer, mesh), truth):.3f}" for peer in solids) + " |")
    return "\n".join(lines)


def _or_empty(peer: Peer, mesh: Mesh) -> Grid:
    try:
        return peer.run(*mesh, 32)
    except Reject:
        return np.zeros((32,) * 3, dtype=bool)


def demo_table() -> str:
    """Thin parts and pieces of generated furniture, robust beside the original's default."""
    lines = [
        "| | default: thin recall, mean (worst) | default: whole | robust: thin recall, mean (worst) | robust: whole |",
        "|---|---|---|---|---|",
    ]
    for category in CATEGORIES:
        cells = []
        for mode in ("binvox", "robust"):
            facts = [_facts(furniture(category, index), mode) for index in range(12)]
            recall = [float(fact["thin_recall"]) for fact in facts]
            whole = sum(fact["parts"] == fact["bounded_parts"] for fact in facts)
            cells += [f"{np.mean(recall):.3f} ({min(recall):.3f})", f"{whole} of {len(facts)}"]
        lines.append(f"| {category} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _facts(mesh: Mesh, mode: str, size: int = 32) -> dict[str, Any]:
    try:
        return quality(builtin.voxelize(*mesh, Options(size, mode, UNIT_BOX_BOUNDS)), *mesh)
    except Reject:
        return {"thin_recall": 0.0, "parts": 0, "surface_parts": 1, "bounded_parts": 1}


def real_table(data: Path) -> str:
    """The same of real meshes, at every size, and where the surface alone has another number of parts."""
    lines = [
        "| | default: thin recall, mean (worst) | default: whole | robust: thin recall, mean (worst) "
        "| robust: whole | surface has other parts |",
        "|---" * 6 + "|",
    ]
    found = [(name, placed(mesh)) for name, mesh in real_meshes(data)]
    for size in SIZES:
        cells = [f"{len(found)} real meshes at {size}^3"]
        for mode in ("binvox", "robust"):
            facts = [_facts(mesh, mode, size) for _, mesh in found]
            recall = [float(fact["thin_recall"]) for fact in facts]
            whole = sum(fact["parts"] == fact["bounded_parts"] for fact in facts)
            cells += [f"{np.mean(recall):.3f} ({min(recall):.3f})", f"{whole} of {len(facts)}"]
        other = [
            Path(name).name for (name, _), fact in zip(found, facts) if fact["surface_parts"] != fact["bounded_parts"]
        ]
        lines.append("| " + " | ".join([*cells, ", ".join(other) or "none"]) + " |")
    return "\n".join(lines)


FLAGS: dict[str, tuple[str, dict[str, Any]]] = {
    "def": ("(none)", {}),
    "c": ("-c", {"mode": "carve"}),
    "v": ("-v", {"mode": "vote"}),
    "e": ("-e", {"mode": "exact"}),
    "cb": ("-cb", {"centred": True}),
    "dc": ("-dc", {"dilated": True}),
    "ri": ("-ri", {"remove_internal": True}),
    "aw": ("-aw", {"wireframe": True}),
    "dcaw": ("-aw -dc", {"wireframe": True, "dilated": True}),
    "sn": ("-aw -dc -down", {"mode": "shapenet"}),
}


def parity_table(golden: Path) -> str:
    """Files that are the same, voxels that are not, and the mean IoU, for every flag and size."""
    rows: dict[tuple[str, int], list[tuple[int, int, float]]] = {}
    for path in sorted((golden / "voxels").glob("*.bv")):
        name, mode, dim, _ = path.name.rsplit(".", 3)
        size = int(dim)
        wanted = read_binvox(path.read_bytes()).grid
        try:
            found = builtin.voxelize(*_golden_mesh(golden / "meshes" / name), Options(size, **FLAGS[mode][1])).grid
        except Reject:
            found = np.zeros_like(wanted)
        rows.setdefault((mode, size), []).append((int((found != wanted).sum()), int(wanted.sum()), iou(found, wanted)))
    lines = ["| flags | size | identical files | voxels that differ | mean IoU |", "|---|---|---|---|---|"]
    for mode, size in sorted(rows, key=lambda key: (list(FLAGS).index(key[0]), key[1])):
        found_rows = rows[mode, size]
        same, wrong = sum(row[0] == 0 for row in found_rows), sum(row[0] for row in found_rows)
        total = sum(row[1] for row in found_rows)
        lines.append(
            f"| `{FLAGS[mode][0]}` | {size} | {same} of {len(found_rows)} | {wrong} of {total:,} "
            f"| {np.mean([row[2] for row in found_rows]):.4f} |"
        )
    return "\n".join(lines)


def _golden_mesh(stem: Path) -> Mesh:
    from pipeline.meshes.load import load_mesh

    off = stem.parent / f"{stem.name}.off"
    mesh = load_mesh(off if off.is_file() else stem.parent / f"{stem.name}.obj")
    return mesh.vertices, mesh.faces


# --- From files, and memory -------------------------------------------------------------------


def files_table() -> str:
    """OFF text in, .binvox bytes out, one core."""
    data = [plain_off(*sphere(5_000)), plain_off(*furniture("chair", 3)), plain_off(*sphere(5_200, 0.3))]
    rates = {}
    for mode in ("binvox", "robust"):

        def run(mode: str = mode) -> None:
            for text in data:
                write_binvox(builtin.voxelize(*read_off(text), Options(mode=mode)).grid)

        run()
        rates[mode] = len(data) / min(_seconds(run) for _ in range(30))
    reading = min(_seconds(read_off, data[0]) for _ in range(30))
    return "\n".join(
        [
            "| | |",
            "|---|---|",
            f"| OFF of 5,000 faces parsed | {reading * 1e3:.2f} ms |",
            f"| parse, `binvox` default at 32^3, encode | {rates['binvox']:.0f} meshes a second |",
            f"| parse, `robust` at 32^3, encode | {rates['robust']:.0f} meshes a second |",
        ]
    )


def memory_table() -> str:
    """Peak resident memory of a fresh process that does for one mesh what a worker of the pipeline does."""
    lines = ["| mesh | size | peak resident memory of a worker |", "|---|---|---|"]
    for faces, size in ((5_000, 32), (330_000, 32), (5_000, 128), (330_000, 128)):
        glb = write_glb(TexturedMesh(*sphere(faces)))
        lines.append(f"| {faces:,} faces | {size} | {peak_bytes(glb, size) / 2**20:.0f} MiB |")
    return "\n".join(lines)


def _between(table: str) -> Callable[[re.Match[str]], str]:
    return lambda markers: f"{markers[1]}{table}\n{markers[2]}"


def write_tables(page: Path, tables: dict[str, str]) -> None:
    """Replace what stands between ``<!-- name -->`` and ``<!-- /name -->``."""
    text = page.read_text(encoding="utf-8")
    for name, table in tables.items():
        text = re.sub(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", _between(table), text, flags=re.S)
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
