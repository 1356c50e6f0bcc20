"""Furniture as REAL archives: the layouts of ModelNet and ShapeNetCore v1, so one adapter reads both kinds.

layout modelnet   ``ModelNetDemo.zip`` with ``ModelNetDemo/<category>/{train,test}/<category>_0001.off``:
                  +Z up, -Y front, inches, no colours; one in five in ``test``, drawn by hash.
layout shapenet   ``<synset>.zip`` with ``<synset>/<id>/{model.obj, model.mtl, images/*}``: +Y up, +X front,
                  and beside them ``taxonomy.json`` and ``all.csv`` (the SHREC16 split file's columns).

Planted on purpose, as real sets have them (`settings.nasty`); a number is the index of the shape within
its category, and a plant is there only if the category is that long:

    what                            modelnet             shapenet          fate
    header glued to the counts      every 7th file       -                 readable
    every face twice                table 1              table 1           readable
    every second face turned round  sofa 1               sofa 1            readable
    texture files missing           -                    chair 1           readable, plain
    an empty mesh, no faces         bed 2                bed 2             rejected
    a file cut off in its middle    bookcase 2           bookcase 2        rejected
    a folder with .mtl, no .obj     -                    desk 2            rejected

Data sets of different names, seeds or layouts have different shapes.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from pipeline import seeds
from pipeline.atomic import atomic_path, write_text
from pipeline.conventions import SHAPENET_V1_TO_WORLD, UP_AXIS_TO_WORLD, Faces
from pipeline.furniture import text
from pipeline.furniture.shapes import CATEGORIES, make_shape
from pipeline.meshes.mesh import Mesh
from pipeline.progress import Log, progress, say
from pipeline.settings.datasets import Procedural

SYNSETS = {
    "bed": "02818832",
    "bookcase": "02871439",
    "chair": "03001627",
    "desk": "03179701",
    "sofa": "04256520",
    "table": "04379243",
}
"""WordNet 3.0 noun offsets, as ShapeNet names its folders."""

ARCHIVE_NAMES = {"bookcase": "bookshelf"}
"""Where ModelNet40 and ShapeNet call a class otherwise than the IKEA test does; one name in both layouts."""
SYNONYMS = {"sofa": "sofa,couch,lounge"}

DOUBLED, FLIPPED, NO_TEXTURE = ("table", 1), ("sofa", 1), ("chair", 1)
EMPTY, TRUNCATED, NO_OBJ = ("bed", 2), ("bookcase", 2), ("desk", 2)
GLUED_EVERY = 7
INCHES = 39.3701

Member = tuple[str, bytes]


def generate(dataset: str, settings: Procedural, output: Path, *, seed: int, log: Log | None = None) -> None:
    """Write the archives of one generated data set into the folder `output`; the same bytes every time.

    Raises UserError when the folder cannot be written.
    """
    stream = stream_of(dataset, seed, settings.layout)
    count = settings.shapes_per_category
    todo = {
        category: progress(_order(stream, category, settings), f"{dataset}: {category}", log=log)
        for category in CATEGORIES
    }
    if settings.layout == "modelnet":
        _write_zip(output / "ModelNetDemo.zip", _modelnet(stream, todo, settings.nasty))
    else:
        for category, synset in SYNSETS.items():
            _write_zip(output / f"{synset}.zip", _synset(stream, category, todo[category], settings.nasty))
        write_text(output / "taxonomy.json", _taxonomy(count))
        write_text(output / "all.csv", _split_file(stream, count))
    say(f"generate {dataset}: {count} shapes of each of {len(CATEGORIES)} categories, {settings.layout} layout")


def stream_of(dataset: str, seed: int, layout: str) -> int:
    """The seed of this data set's shapes: sets of other names, seeds or layouts share none."""
    return seeds.stable_hash("furniture set", seed, dataset, layout)


def _order(stream: int, category: str, settings: Procedural) -> list[int]:
    """The order of a category's shapes in its archive: by split and number, or by model id."""
    indices = range(settings.shapes_per_category)
    if settings.layout == "modelnet":
        return sorted(indices, key=lambda index: (not is_test(stream, category, index), index))
    return sorted(indices, key=lambda index: model_id(stream, category, index))


def _write_zip(path: Path, members: Iterator[Member]) -> None:
    """A zip with fixed times, published whole; a folder is a member whose name ends in a slash."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, payload in members:
            info = zipfile.ZipInfo(name, date_time=(2015, 1, 1, 0, 0, 0))
            packed = bool(payload) and not name.endswith((".jpg", ".png"))
            info.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
            info.external_attr = (0o40755 << 16 | 0x10) if name.endswith("/") else 0o100644 << 16
            archive.writestr(info, payload, compresslevel=3)


# ---------------------------------------------------------------- ModelNet


def _modelnet(stream: int, todo: Mapping[str, Iterable[int]], nasty: bool) -> Iterator[Member]:
    yield "ModelNetDemo/", b""
    yield "ModelNetDemo/README.txt", b"Procedural furniture in the layout of ModelNet: OFF files, +Z up, inches.\n"
    for category, indices in todo.items():
        folder = f"ModelNetDemo/{ARCHIVE_NAMES.get(category, category)}"
        yield from ((f"{folder}/{end}", b"") for end in ("", "test/", "train/"))
        for index in indices:
            split = "test" if is_test(stream, category, index) else "train"
            name = f"{ARCHIVE_NAMES.get(category, category)}_{index + 1:04d}.off"
            yield f"{folder}/{split}/{name}", _off(stream, category, index, nasty)


def is_test(stream: int, category: str, index: int) -> bool:
    """Whether this shape is in the official test part: one of every five consecutive ones, drawn by hash."""
    return seeds.stable_hash(stream, "official test", category, index // 5) % 5 == index % 5


def is_val(stream: int, category: str, index: int) -> bool:
    """Whether this shape is in the official validation part: one of every ten, never a test shape."""
    start = index // 10 * 10
    free = [other for other in range(start, start + 10) if not is_test(stream, category, other)]
    return free[seeds.stable_hash(stream, "official val", category, start) % len(free)] == index


def _off(stream: int, category: str, index: int, nasty: bool) -> bytes:
    points, faces = text.weld(make_shape(stream, category, index))
    # World to the files' own axes: the inverse of the rotation that the adapter will apply.
    points = points @ UP_AXIS_TO_WORLD["z"] * INCHES
    where = (category, index)
    if not nasty:
        return text.off_text(points, faces).encode()
    payload = text.off_text(points, _spoil_faces(faces, where), glued=index % GLUED_EVERY == 3).encode()
    return payload[: int(0.6 * len(payload))] if where == TRUNCATED else payload


def _spoil_faces(faces: Faces, where: tuple[str, int]) -> Faces:
    if where == DOUBLED:
        return np.repeat(faces, 2, axis=0)
    if where == FLIPPED:
        faces = faces.copy()
        faces[::2] = faces[::2, ::-1]
    return faces[:0] if where == EMPTY else faces


# ---------------------------------------------------------------- ShapeNetCore v1


def model_id(stream: int, category: str, index: int) -> str:
    """32 hexadecimal digits."""
    return "".join(f"{seeds.stable_hash(stream, category, index, half):016x}" for half in ("high", "low"))


def _synset(stream: int, category: str, indices: Iterable[int], nasty: bool) -> Iterator[Member]:
    synset = SYNSETS[category]
    yield f"{synset}/", b""
    for index in indices:
        folder = f"{synset}/{model_id(stream, category, index)}"
        yield f"{folder}/", b""
        yield from ((f"{folder}/{name}", payload) for name, payload in _model(stream, category, index, nasty))


def _model(stream: int, category: str, index: int, nasty: bool) -> Iterator[Member]:
    """The files of one model."""
    mesh, where = make_shape(stream, category, index), (category, index) if nasty else ("", -1)
    names = text.material_names(mesh.materials)
    kind, suffix = ("PNG", "png") if index % 6 == 5 else ("JPEG", "jpg")
    pictures = [
        f"images/texture{number}.{suffix}" if material.texture is not None or where == NO_TEXTURE else None
        for number, material in enumerate(mesh.materials)
    ]
    if where != NO_TEXTURE:
        for material, path in zip(mesh.materials, pictures):
            if material.texture is not None and path:
                yield path, text.picture_bytes(material.texture, kind)
    yield "model.mtl", text.mtl_text(mesh.materials, names, pictures).encode()
    if where != NO_OBJ:
        payload = text.obj_text(_spoil_mesh(mesh, where), names).encode()
        # Cut inside the vertices: the last line lacks a coordinate and no face follows.
        yield "model.obj", payload[: payload.index(b"vt ") // 2].rpartition(b" ")[0] if where == TRUNCATED else payload


def _spoil_mesh(mesh: Mesh, where: tuple[str, int]) -> Mesh:
    faces = _spoil_faces(mesh.faces, where)
    material = mesh.material_of_face
    if where == DOUBLED:
        material = np.repeat(material, 2)
    # World to the release's own axes: the inverse of the rotation that the adapter will apply.
    return Mesh(mesh.vertices @ SHAPENET_V1_TO_WORLD, faces, material[: len(faces)], mesh.materials, mesh.uv)


def _taxonomy(count: int) -> str:
    """The six classes as ShapeNet's taxonomy.json lists its synsets."""
    entries = [
        {
            "synsetId": synset,
            "name": SYNONYMS.get(category, ARCHIVE_NAMES.get(category, category)),
            "children": [],
            "numInstances": count,
        }
        for category, synset in sorted(SYNSETS.items(), key=lambda item: item[1])
    ]
    return json.dumps(entries, indent=2) + "\n"


def _split_file(stream: int, count: int) -> str:
    """SHREC16's all.csv: running number, synset, sub-synset, model, split (70 / 10 / 20 per cent)."""
    out = io.StringIO()
    out.write("id,synsetId,subSynsetId,modelId,split\n")
    number = 0
    for category, synset in SYNSETS.items():
        for index in range(count):
            split = (
                "test" if is_test(stream, category, index) else "val" if is_val(stream, category, index) else "train"
            )
            number += 1
            out.write(f"{number:06d},{synset},{synset},{model_id(stream, category, index)},{split}\n")
    return out.getvalue()
