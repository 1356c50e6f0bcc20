"""Sub-commands that use a trained network: sample, reconstruct, interpolate, arithmetic, export, page, check."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.outputs import Output, one_format, output_of
from pipeline.progress import Log, progress, say

DEMO = Path(__file__).resolve().parents[2] / "models" / "demo"
FORMATS = ("glb", "obj", "stl", "binvox", "npy")
SUFFIXES = tuple(f".{name}" for name in FORMATS)
MANY = "folder/ for grid.png, 000.glb, 001.glb, ..."
ONE = ".glb, .obj, .stl, .binvox, .npy for the levels 0 ... 255; folder/ for shape.glb in it; or - for a GLB"
CODE = "a photograph, or seed:7/3 for shape 003 of `sample --seed 7`"


def add(commands: Any) -> None:
    """Add the seven sub-commands to an argparse sub-parser object."""
    sample = commands.add_parser("sample", help="make shapes from the prior")
    sample.add_argument("--count", type=int, default=16, help="how many")
    sample.add_argument("--category", help="of the shapes, from a network trained with condition: category")
    sample.add_argument("--seed", type=int, default=1, help="another seed gives other shapes")
    sample.add_argument("--format", choices=FORMATS, help="default: glb, or as the file of -o is called")
    sample.add_argument("-o", "--output", required=True, help=f"{MANY}; with --count 1 also a file, or -")
    sample.set_defaults(command=_sample)

    reconstruct = commands.add_parser("reconstruct", help="make a shape from a photograph")
    reconstruct.add_argument(
        "photos",
        type=Path,
        nargs="+",
        metavar="PHOTO",
        help="one photograph; several of one object for multi-view networks",
    )
    reconstruct.add_argument(
        "--crop", type=int, nargs=4, metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"), help="where the object is, in pixels"
    )
    reconstruct.add_argument(
        "--mask", type=Path, nargs="+", default=[], help="a picture for each photograph, bright where the object is"
    )
    reconstruct.add_argument("-o", "--output", required=True, help=ONE)
    reconstruct.set_defaults(command=_reconstruct)

    interpolate = commands.add_parser("interpolate", help="make the shapes between two photographs or samples")
    interpolate.add_argument("ends", nargs=2, metavar="CODE", help=CODE)
    interpolate.add_argument("--steps", type=int, default=8, help="shapes, the two ends included")
    interpolate.add_argument("--format", choices=FORMATS, help="default: glb, or as the file of -o is called")
    interpolate.add_argument("-o", "--output", required=True, help=MANY)
    interpolate.set_defaults(command=_interpolate)

    arithmetic = commands.add_parser("arithmetic", help="add and subtract codes: chair with arms - chair + table")
    arithmetic.add_argument("plus", nargs="+", metavar="CODE", help=f"added: {CODE}")
    arithmetic.add_argument("--minus", nargs="+", default=[], metavar="CODE", help="subtracted")
    arithmetic.add_argument("-o", "--output", required=True, help=ONE)
    arithmetic.set_defaults(command=_arithmetic)

    export = commands.add_parser("export", help="write ONNX graphs, weights and a model card for sharing")
    export.add_argument("-o", "--output", help="folder; needed without --push")
    export.add_argument("--push", metavar="USER/NAME", help="also send it to the Hub, where it is hf:USER/NAME")
    export.add_argument("--license", default="unknown", help="of the weights, as the Hub names it: mit, cc-by-4.0, ...")
    export.add_argument("--no-onnx", action="store_true", help="without the ONNX graphs, which double the size")
    export.set_defaults(command=_export)

    page = commands.add_parser("page", help="write a page that runs the network in a browser: pictures in, shapes out")
    page.add_argument("-o", "--output", required=True, help="try.html; it needs no server and no network")
    page.add_argument("--log", type=Path, help="JSON lines for machines")
    page.set_defaults(command=_page)

    check = commands.add_parser("check", help="whether an exported model still makes what it was measured to make")
    check.add_argument("--json", action="store_true", help="one JSON object on standard output, too")
    check.set_defaults(command=_check)

    for command in (sample, reconstruct, interpolate, arithmetic, page, check):
        command.add_argument(
            "--run",
            type=Path,
            default=DEMO,
            help="folder of a run or of an exported model, one checkpoint file, or hf:user/name[@revision] on the Hub; "
            "default: models/demo",
        )
    export.add_argument("--run", type=Path, required=True, help="folder of the run, or one checkpoint file")
    for command in (sample, reconstruct, interpolate, arithmetic):
        command.add_argument(
            "--threshold",
            type=float,
            help="occupied above this probability; default: what suited the validation shapes",
        )
        command.add_argument("--largest", action="store_true", help="keep the largest connected part only")


def _model(options: argparse.Namespace) -> Any:
    from training.inference.model import load_model
    from training.parallel import choose_device

    return load_model(options.run, choose_device("cpu"))


def _many(options: argparse.Namespace, number: int) -> Output:
    """Where `number` shapes go; asked before they are made."""
    output = output_of(options.output, SUFFIXES, streamed=f".{options.format or FORMATS[0]}")
    output.require_folder(number, "shapes")
    options.format = one_format(options.format, output, "--format", SUFFIXES[0])[1:]
    return output


def _write_all(options: argparse.Namespace, output: Output, model: Any, levels: Any) -> None:
    from training.inference import shapes

    if not output.is_folder:
        _write_one(options, output, model, levels[0])
        return
    cut = shapes.Cut(shapes.threshold_of(model, options.threshold), options.largest)
    empty = 0
    for number, one in enumerate(progress(levels, "write")):
        try:
            shapes.write_shape(output.path / f"{number:03d}.{options.format}", one, model.header.resolution, cut)
        except UserError:
            if cut.bits(one, model.header.resolution).any():
                raise
            empty += 1
    shapes.write_grid(output.path / "grid.png", levels, model.header.resolution, cut)
    say(f"{len(levels) - empty} shapes in {output.path}" + (f", {empty} were empty" if empty else ""))


def _one(options: argparse.Namespace) -> Output:
    """Where one shape goes; asked before it is made."""
    output = output_of(options.output, SUFFIXES, streamed=SUFFIXES[0])
    return Output(output.path / "shape.glb", ".glb", output.shown) if output.is_folder else output


def _write_one(options: argparse.Namespace, output: Output, model: Any, levels: Any) -> None:
    from training.inference import shapes

    cut = shapes.Cut(shapes.threshold_of(model, options.threshold), options.largest)
    with output.place() as path:
        shapes.write_shape(path, levels, model.header.resolution, cut)
    share = cut.bits(levels, model.header.resolution).mean()
    say(f"{output.path}: {share:.1%} of the box occupied at threshold {cut.threshold / 255:.2f}")


def _sample(options: argparse.Namespace) -> int:
    from training.inference import reconstruct

    if options.count < 1:
        raise UserError("--count must be at least 1", got=str(options.count))
    output = _many(options, options.count)
    model = _model(options)
    _write_all(options, output, model, reconstruct.samples(model, options.count, options.seed, options.category))
    return 0


def _reconstruct(options: argparse.Namespace) -> int:
    from training.inference.photograph import isolated_reader

    output = _one(options)
    crop = tuple(options.crop) if options.crop else None
    masks = options.mask or [None] * len(options.photos)
    if len(masks) != len(options.photos):
        raise UserError(
            "every photograph needs its mask",
            got=f"{len(options.photos)} photographs, {len(masks)} masks",
            do="name as many files after --mask, in the same order, or none",
        )
    with isolated_reader() as read:
        model = _model(options)
        from training.inference.reconstruct import photo_of, reconstruct  # with torch, which has threads

        photos = [
            photo_of(model, path, read, crop=crop, mask=mask) for path, mask in zip(options.photos, masks, strict=True)
        ]
    levels = reconstruct(model, photos)
    _write_one(options, output, model, levels)
    _say_how_familiar(options, model, photos)
    return 0


def _say_how_familiar(options: argparse.Namespace, model: Any, photos: Any) -> None:
    """Whether each photograph is like the pictures that the network was measured on; nothing where none were kept."""
    from training.inference.familiar import Familiar, in_words
    from training.inference.held_out import known_pictures

    pictures = known_pictures(options.run)
    if pictures is None:
        return
    familiar = Familiar.of(model, pictures)
    for path, photo in zip(options.photos, photos, strict=True):
        say(f"{path}: {in_words(familiar.percentile(model, photo), len(familiar.known))}")


def _interpolate(options: argparse.Namespace) -> int:
    from training.inference.photograph import isolated_reader

    if options.steps < 2:
        raise UserError("--steps must be at least 2", got=str(options.steps))
    output = _many(options, options.steps)
    first, last = options.ends
    with isolated_reader() as read:
        from training.inference import reconstruct

        model = _model(options)
        levels = reconstruct.interpolate(model, first, last, options.steps, read)
    _write_all(options, output, model, levels)
    return 0


def _arithmetic(options: argparse.Namespace) -> int:
    from training.inference.photograph import isolated_reader

    output = _one(options)
    with isolated_reader() as read:
        from training.inference import reconstruct

        model = _model(options)
        levels = reconstruct.arithmetic(model, options.plus, options.minus, read)
    _write_one(options, output, model, levels)
    return 0


def _export(options: argparse.Namespace) -> int:
    from training.inference.export import export

    if options.output is None and options.push is None:
        raise UserError("the exported model has no place to go", wanted="-o FOLDER, --push USER/NAME, or both")
    with contextlib.ExitStack() as stack:
        output = options.output or stack.enter_context(tempfile.TemporaryDirectory())
        folder, run = output_of(output, ()).path, options.run if options.run.is_dir() else None
        files = export(_model(options), folder, run, onnx=not options.no_onnx, licence=options.license)
        say(f"{options.output or options.push}: {', '.join(path.name for path in files)}")
        if options.push is not None:
            from training.inference.hub import push

            say(f"{options.push}: {push(files, options.push)}")
    return 0


def _page(options: argparse.Namespace) -> int:
    from training.browser.page import write_page

    output = output_of(options.output, (".html",))
    path = output.path / "try.html" if output.is_folder else output.path
    with Log(options.log) as log:
        write_page(_model(options), options.run, path)
        log.write("done", output=str(path), bytes=path.stat().st_size)
    say(f"{path}: {path.stat().st_size / 1e6:.1f} MB; open it in a browser")
    return 0


def _check(options: argparse.Namespace) -> int:
    from training.inference.held_out import TOLERANCE, check

    checked = check(_model(options), options.run)
    if options.json:
        print(json.dumps({**dataclasses.asdict(checked), "same": checked.same}))
    held_out = f"{checked.shapes} held-out shapes"
    say(f"{options.run}: IoU {checked.found:.4f} on {held_out}, {checked.stated:.4f} when exported")
    if not checked.same:
        raise UserError(
            "this copy does not make what it made when it was exported",
            where=str(options.run),
            got=f"IoU {checked.found:.4f}",
            wanted=f"{checked.stated:.4f}, give or take {TOLERANCE} for other processors",
            do="copy the folder again, or export the run again",
        )
    return 0
