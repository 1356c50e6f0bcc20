"""Command line of the voxelizer.

python -m voxelize MESH... [-d 32] [binvox's flags] [-o FILE|DIR]   meshes to voxels
python -m voxelize info FILE.binvox...                              what is in a file
python -m voxelize shard --settings JSON --prepared P.zip -o V.zip  one shard of the pipeline
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.atomic import write_json
from pipeline.commandline.inputs import files_among
from pipeline.commandline.parser import Parser
from pipeline.errors import Reject, UserError, as_called
from pipeline.formats.binvox import read_binvox
from pipeline.meshes.load import SUFFIXES
from pipeline.outputs import Output, one_format, output_of
from pipeline.progress import say, tell
from pipeline.settings.parse import did_you_mean, parse
from pipeline.settings.voxels import Voxels
from voxelize import batch, shard
from voxelize.options import MODES, PRESETS, Options

_ENGINES = ("auto", "builtin", "binvox", "open3d")
_COMMANDS = ("info", "shard")
_TYPES = ("binvox", "raw", "npy", "vtk")
# File types and flags of the original that are not offered here.
_OTHER_TYPES = ("hips", "mira", "schematic", "msh", "nrrd")


def main(arguments: Sequence[str] | None = None) -> int:
    """Dispatch to the sub-commands; without one the arguments are binvox's own."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in _COMMANDS:
        return {"shard": _shard, "info": _info}[words[0]](words[1:])
    return _voxelize(words)


def _shard(words: list[str]) -> int:
    parser = Parser(prog="python -m voxelize shard", description="One shard of the pipeline.")
    parser.add_argument("--settings", required=True, metavar="JSON", help="the section `voxels` of config.yaml")
    parser.add_argument("--prepared", required=True, type=Path, metavar="PACK", help="pack of normalised .glb")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="PACK", help="pack of .binvox to make")
    parser.add_argument("--log", type=Path, metavar="FILE", help="JSON lines are added to this file")
    given = parser.parse_args(words)
    settings = parse(Voxels, given.settings, where="--settings")
    shard.run(settings, given.prepared, given.output, given.log)
    return 0


def _info(words: list[str]) -> int:
    parser = Parser(prog="python -m voxelize info", description="What is in .binvox files.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.binvox", help="files to look into")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args(words)
    for path in given.files:
        facts = describe(path)
        if given.json:
            print(json.dumps(facts))
        else:
            tell(f"{path}\n" + "\n".join(f"  {name:<10} {value}" for name, value in facts.items() if name != "file"))
    return 0


def describe(path: Path) -> dict[str, Any]:
    """Plain facts about one .binvox file; UserError where it is none."""
    try:
        content = read_binvox(path.read_bytes(), cubic=False)
    except OSError as error:
        raise UserError("cannot read the file", where=str(path), got=error.strerror or str(error)) from error
    except Reject as reject:
        raise UserError("not a valid .binvox file", where=str(path), got=reject.detail) from reject
    grid = content.grid
    facts: dict[str, Any] = {
        "file": str(path),
        "size": list(grid.shape),
        "translate": list(content.translate),
        "scale": content.scale,
        "pitch": content.pitch,
        "occupied": int(grid.sum()),
        "occupancy": round(float(grid.mean()), 6),
    }
    if grid.any():
        places = np.argwhere(grid)
        facts["filled"] = [[int(a), int(b)] for a, b in zip(places.min(axis=0), places.max(axis=0))]
    if len(set(grid.shape)) == 1:
        # Imported here: the rest of the command needs no compiler.
        from voxelize.kernels import bits
        from voxelize.kernels.components import count_parts

        facts["parts"] = int(count_parts(bits.from_grid(grid)))
    return facts


def parser() -> Parser:
    """binvox's flags verbatim, then ours."""
    made = Parser(
        prog="python -m voxelize",
        top=True,
        description="Voxelize meshes (OFF, OBJ, PLY, STL, GLB) as binvox does, flag for flag.",
        epilog=as_called("Also: `python -m voxelize info FILE.binvox`, `python -m voxelize shard`."),
    )
    made.add_argument("meshes", nargs="*", type=Path, metavar="MESH", help="mesh files, or folders of them")
    same = made.add_argument_group("binvox's flags")
    same.add_argument("-d", type=int, dest="resolution", metavar="N", help="grid size (default 256, at most 1024)")
    same.add_argument("-t", dest="kind", metavar="TYPE", help=f"file type: {', '.join(_TYPES)} (default binvox)")
    kinds = same.add_mutually_exclusive_group()
    kinds.add_argument("-c", action="store_const", dest="mode", const="carve", help="carving only")
    kinds.add_argument("-v", action="store_const", dest="mode", const="vote", help="parity voting only")
    kinds.add_argument("-e", action="store_const", dest="mode", const="exact", help="every voxel the surface touches")
    kinds.add_argument("--mode", choices=MODES, help="one of binvox's or ours (default binvox)")
    same.add_argument("-dc", action="store_true", dest="dilated", help="stop carving one voxel early")
    same.add_argument("-aw", action="store_true", dest="wireframe", help="draw the triangles' edges too")
    same.add_argument("-bb", type=float, nargs=6, dest="box", metavar="X", help="minimum and maximum of the grid's box")
    same.add_argument("-cb", action="store_true", dest="centred", help="centre the mesh in the grid")
    same.add_argument("-fit", action="store_true", dest="fit", help="write only the voxels' bounding box")
    same.add_argument("-down", action="count", dest="halvings", help="halve the grid; may be repeated")
    same.add_argument("-dmin", type=int, dest="halving_minimum", metavar="N", help="of 8 voxels for -down (default 4)")
    same.add_argument("-ri", action="store_true", dest="remove_internal", help="remove internal voxels")
    same.add_argument("-rotx", action="count", dest="turns_x", help="quarter turn about x; may be repeated")
    same.add_argument("-rotz", action="count", dest="turns_z", help="quarter turn about z; may be repeated")
    same.add_argument("-pb", action="store_true", help="no effect: nothing is drawn on a screen")
    ours = made.add_argument_group("ours")
    ours.add_argument("-o", "--output", metavar="PATH", help="file, folder/, or - (default: beside each mesh)")
    ours.add_argument("--preset", metavar="NAME", help=f"flags of {', '.join(PRESETS)}; others on top")
    ours.add_argument("--engine", choices=_ENGINES, default="auto", help="who voxelizes (default: the built-in)")
    ours.add_argument("--compat-header", action="store_true", help="with -cb: the original's wrong translate")
    ours.add_argument("--report", type=Path, metavar="FILE", help="quality record of each mesh, as JSON")
    ours.add_argument("--jobs", type=int, default=0, metavar="N", help="processes (default: one a core)")
    ours.add_argument("--seconds", type=float, default=600.0, metavar="S", help="time limit a mesh (default 600)")
    ours.add_argument("--force", action="store_true", help="make again what is done already")
    return made


def options_of(given: argparse.Namespace) -> Options:
    """The preset, if any, with the flags on top."""
    if given.preset is not None and given.preset not in PRESETS:
        raise UserError(f"unknown preset {given.preset!r}{did_you_mean(given.preset, list(PRESETS))}", where="--preset")
    base = PRESETS[given.preset] if given.preset else Options(resolution=256)
    names = [field.name for field in dataclasses.fields(Options)]
    changes = {name: getattr(given, name) for name in names}
    changes = {name: value for name, value in changes.items() if value is not None and value is not False}
    if "box" in changes:
        changes["box"] = tuple(changes["box"])
    return dataclasses.replace(base, **changes)


def _voxelize(words: list[str]) -> int:
    made = parser()
    given = made.parse_args(words)
    if not given.meshes:
        made.print_help()
        return 2
    if given.kind not in (None, *_TYPES):
        known = given.kind in _OTHER_TYPES
        raise UserError(
            "this file type is not offered" if known else "unknown file type",
            where="-t",
            got=given.kind,
            wanted=", ".join(_TYPES),
        )
    kind, output = given.kind or "binvox", None
    if given.output is not None:
        output = output_of(given.output, [f".{name}" for name in _TYPES], streamed=f".{kind}")
        kind = one_format(given.kind, output, "-t", ".binvox")[1:]
    with contextlib.nullcontext() if output is None else output.place() as place:
        return _all(given, kind, output, place)


def _all(given: argparse.Namespace, kind: str, output: Output | None, place: Path | None) -> int:
    work = batch.Batch(
        options_of(given),
        given.engine,
        kind,
        given.compat_header,
        given.report is not None,
        given.jobs or os.cpu_count() or 1,
        given.seconds,
        given.force,
    )
    pairs = _pairs(given.meshes, output, place, kind)
    records = batch.run(work, pairs)
    if given.report is not None:
        write_json(given.report, records)
    failed = [record for record in records if "error" in record]
    if failed and len(records) == 1:
        raise UserError(
            "the mesh cannot be voxelized",
            where=failed[0]["mesh"],
            got=failed[0]["error"],
            do="look at the mesh, or try --mode robust, -e or a larger -d",
        )
    if failed:
        raise UserError(
            f"{len(failed)} of {len(records)} meshes could not be voxelized; the others are written",
            do="the lines above name them; --report FILE keeps the list",
        )
    one = output.shown if output is not None and output.shown == "-" else pairs[0][1]
    say(f"{len(records)} voxelized" if len(records) > 1 else f"{one}")
    return 0


def _pairs(meshes: list[Path], output: Output | None, place: Path | None, kind: str) -> list[tuple[Path, Path]]:
    """(input, output) of every mesh; folders are searched, and two inputs never share an output."""
    sources = files_among(meshes, SUFFIXES, what="mesh", commands=_COMMANDS, command="python -m voxelize")
    if output is not None and place is not None and not output.is_folder:
        output.require_folder(len(sources), "meshes")
        return [(sources[0][0], place)]
    pairs = [(source, (source if place is None else place / name).with_suffix(f".{kind}")) for source, name in sources]
    taken: dict[Path, Path] = {}
    for source, target in pairs:
        if target in taken:
            raise UserError(
                "two meshes would be written to one file",
                where=str(target),
                got=f"{taken[target]} and {source}",
                do="voxelize them into different folders",
            )
        taken[target] = source
    return pairs
