"""``python -m render MESH... -o sheet.png``: look at meshes at once, without any pipeline.

Meshes are read from OFF, OBJ, PLY, STL or GLB files, moved into the unit box, and drawn with
the same cameras, lights and compositing as the data set's views.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.commandline.inputs import files_among
from pipeline.commandline.parser import Parser
from pipeline.conventions import UP_AXIS_TO_WORLD, Image, Matrix
from pipeline.errors import Reject, UserError
from pipeline.meshes.frames import to_world
from pipeline.meshes.load import SUFFIXES, load_mesh
from pipeline.meshes.normalise import normalise
from pipeline.outputs import output_of
from pipeline.pictures.bank import Bank, background, composite, open_bank
from pipeline.progress import Log, progress, say
from pipeline.settings.backgrounds import Backgrounds
from pipeline.settings.parse import parse
from pipeline.settings.render import Render
from render.backends.choose import Backend, make_backend, settle
from render.backgrounds import build_bank
from render.buffers import HIGHLIGHTS
from render.cameras import PRESETS, make_cameras
from render.lights import make_lights
from render.pack import choose_background
from render.scene import prepare_scene
from render.sheet import Row, draw_sheet, write_png

COMPOSITING = ("srgb", "linear", "none")


def parser(commands: Sequence[str] = ()) -> Parser:
    """The command line for a person who wants to see something now; `commands` are those of render/__main__.py."""
    one = Parser(
        prog="python -m render",
        top=True,
        description="Draw meshes at once.",
        epilog=f"called by the workflow: {', '.join(commands)}" if commands else None,
    )
    one.add_argument("meshes", nargs="+", type=Path, metavar="MESH", help="OFF, OBJ, PLY, STL or GLB files, or folders")
    one.add_argument("-o", "--output", required=True, help="sheet.png, a folder/ for one PNG a view, or - for a sheet")
    one.add_argument("--views", type=int, default=8, help="views of each mesh")
    one.add_argument("--size", type=int, default=256, help="side of the views in pixels")
    one.add_argument("--cameras", choices=sorted(PRESETS), default="ring", help="where they stand")
    one.add_argument("--backgrounds", type=Path, help="folder or archive of photographs, or a bank")
    one.add_argument("--colour", default="white", help="behind the views without photographs: white, random or #rrggbb")
    one.add_argument(
        "--compositing",
        choices=COMPOSITING,
        default="srgb",
        help="where soft edges are mixed; none keeps them transparent (folders of PNGs only)",
    )
    one.add_argument("--backend", choices=("auto", "raster", "pyrender"), default="raster", help="who draws")
    one.add_argument("--specular", type=float, default=HIGHLIGHTS.strength, help="strength of the highlights, 0 to 1")
    one.add_argument("--shininess", type=int, default=HIGHLIGHTS.shininess, help="4, 8, 16, 32, 64 or 128")
    one.add_argument("--supersampling", type=int, choices=(1, 2, 3, 4), default=2, help="samples a pixel side")
    one.add_argument(
        "--up-axis",
        choices=sorted(UP_AXIS_TO_WORLD),
        default=None,
        help="which axis of the files points up, the front at -Z (y) or -Y (z); default: z for OFF and STL, y for OBJ "
        "and PLY; glTF has its front at +Z",
    )
    one.add_argument("--seed", type=int, default=1, help="of cameras, lights and backgrounds")
    return one


def preview(argv: Sequence[str], commands: Sequence[str] = ()) -> None:
    """Draw what the command line asks for."""
    arguments = parser(commands).parse_args(argv)
    settings = _settings(arguments)
    found = files_among(arguments.meshes, SUFFIXES, what="mesh", commands=commands, command="python -m render")
    arguments.meshes = [path for path, _ in found]
    output = output_of(arguments.output, (".png",), streamed=".png")
    if not output.is_folder and arguments.compositing == "none":
        raise UserError("a sheet has no transparency", do="give a folder with -o, or another --compositing")
    with output.place() as arguments.output:
        drawn = _draw(arguments, settings, as_sheet=not output.is_folder)
    say(f"{drawn} mesh{'es' * (drawn > 1)} x {arguments.views} views: {output.shown}")


def _settings(arguments: argparse.Namespace) -> Render:
    values = {
        "size_px": arguments.size,
        "views": arguments.views,
        "cameras": arguments.cameras,
        "backend": arguments.backend,
        "supersampling": arguments.supersampling,
        "specular": {"strength": arguments.specular, "shininess": arguments.shininess},
    }
    try:
        parse(Backgrounds, {"source": "none", "colour": arguments.colour}, "--colour")
        return parse(Render, values, "the command line")
    except UserError as error:
        raise UserError(
            "the views cannot be drawn like this",
            got=error.got,
            wanted="--size 32 to 1024, a multiple of 8; --views 1 to 256; --specular 0 to 1; --shininess 4 to 128, "
            "a power of two; --colour white, random or #rrggbb",
        ) from error


def _draw(arguments: argparse.Namespace, settings: Render, *, as_sheet: bool) -> int:
    """The sheet, or a folder of single views; how many meshes could be drawn."""
    bank = _bank(arguments)
    backend = make_backend(settle(settings))
    rows = []
    names = short_names(arguments.meshes)
    for path in progress(arguments.meshes, "render", unit="mesh"):
        name = names[path]
        try:
            pictures = _pictures(path, name, settings, arguments, backend, bank)
        except Reject as reject:
            say(f"{path}: {reject}", needed=True)
            continue
        if as_sheet:
            rows.append(Row(f"{name}\n{path.parent.name}" if name == path.stem else name, (), pictures))
        else:
            for view, picture in enumerate(pictures):
                write_png(arguments.output / f"{name}-{view:02d}.png", picture)
            rows.append(Row(name, (), []))
    backend.close()
    if not rows:
        raise UserError("none of the meshes can be drawn", do="the lines above say why")
    if as_sheet:
        what = f"{arguments.cameras} cameras, {arguments.size} px, {backend.name}"
        write_png(
            arguments.output,
            draw_sheet(f"{len(rows)} of {len(arguments.meshes)} meshes", what, rows, cell_px=arguments.size),
        )
    return len(rows)


def short_names(paths: Sequence[Path]) -> dict[Path, str]:
    """The name of each file without its suffix; with as many folders before it as tell it from the others.

    Every ShapeNet model is called model.obj or model_normalized.obj.
    """
    parts = {path: path.resolve().with_suffix("").parts[1:] for path in paths}
    names = {}
    for path, own in parts.items():
        others = [other for other in set(parts.values()) if other != own]
        length = next(n for n in range(1, len(own) + 1) if n == len(own) or all(o[-n:] != own[-n:] for o in others))
        # Folders that all of them share in this place ("models") tell nothing.
        shown = [own[-1 - k] for k in range(length) if k in (0, length - 1)]
        names[path] = "-".join(reversed(shown))
    return names


def _pictures(
    path: Path, name: str, settings: Render, arguments: argparse.Namespace, backend: Backend, bank: Bank | None
) -> list[Image]:
    """The views of one file."""
    # ShapeNet v2 keeps its pictures beside the folder of the OBJ.
    root = path.parent.parent if path.parent.name == "models" else path.parent
    mesh = load_mesh(path, root=root, texture_px=settings.texture_px)
    mesh, _, _ = normalise(mesh, _rotation(path.suffix.lower(), arguments.up_axis), max_faces=settings.max_faces)
    scene = prepare_scene(mesh)
    backend.load(scene)
    used = scene.vertices[np.unique(scene.faces)]
    cameras = make_cameras(
        settings.cameras,
        seed=arguments.seed,
        shape_id=name,
        views=settings.views,
        size_px=settings.size_px,
        vertices=used,
    )
    pictures = []
    for view, camera in enumerate(cameras):
        rgba = backend.render(camera, make_lights(arguments.seed, name, view, camera)).rgba
        if arguments.compositing != "none":
            kind = arguments.colour if bank is None else "photo"
            number, crop = choose_background(arguments.seed, name, view, bank, kind, settings.size_px)
            rgba = composite(rgba, background(bank, number, crop, settings.size_px), arguments.compositing)
        pictures.append(rgba)
    return pictures


def _rotation(suffix: str, up_axis: str | None) -> Matrix:
    """(3, 3) from the axes of a file to the world's; an OFF file is most likely one of ModelNet's, where +Z is up."""
    if up_axis is None and suffix != ".off":
        return to_world(suffix)
    return UP_AXIS_TO_WORLD[up_axis or "z"]


def _bank(arguments: argparse.Namespace) -> Bank | None:
    """The bank behind ``--backgrounds``; one made from pictures is kept beside the output."""
    source: Path | None = arguments.backgrounds
    if source is None:
        return None
    if source.suffix == ".npz":
        return open_bank(source)
    folder = arguments.output.parent if arguments.output.suffix == ".png" else arguments.output
    made = folder / "backgrounds.npz"
    build_bank(source, made, seed=arguments.seed, settings=Backgrounds(), render_px=arguments.size, log=Log(None))
    return open_bank(made)
