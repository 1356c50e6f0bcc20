"""3D-FUTURE: furniture as designers model it, with one texture each.

    3D-FUTURE-model/<id>/normalized_model.obj, model.mtl, texture.png      or in four parts, 3D-FUTURE-model-part1 ... 4
    3D-FUTURE-model/model_info.json     [{"model_id", "super-category", "category", "style", "theme", "material"}, ...]
    train_set.json, test_set.json       optional, of 3D-FUTURE-scene/GT: annotations with the model_id of what is shown

Fu et al., arXiv:2009.09633.  The category is the super-category (``Cabinet/Shelf/Desk`` ->
cabinet_shelf_desk).  +Y is up and +Z the front, as 3D-FRONT places them.  A model that pictures of
the training part show is trained on; one that only those of the test part show is tested on.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from pipeline.archives.archive import Entry
from pipeline.archives.remote import RemoteFile
from pipeline.conventions import Matrix
from pipeline.errors import UserError
from pipeline.manifest import Shape
from pipeline.meshes.files import Files
from pipeline.settings.categories import folded
from pipeline.settings.datasets import Dataset
from pipeline.sources.base import Archives, Found, Source, checksum_of, is_clutter, split_member
from pipeline.state.files import parse_json

_MESH, _INFO = "normalized_model.obj", "model_info.json"
_SPLITS = {"test": "test_set.json", "train": "train_set.json"}  # the later one wins
_PARTS = re.compile(r"3D-FUTURE-model(-part\d+)?(\.zip)?", re.IGNORECASE)


class Future3d(Source):
    """Every model folder."""

    title = "3D-FUTURE"
    to_world: Matrix = np.diag([-1.0, 1.0, -1.0])  # half a turn: the front at +Z becomes -Z
    page = "https://tianchi.aliyun.com/specials/promotion/alibaba-3d-future"
    terms = (
        "3D-FUTURE: for academic research, after signing its terms (Alibaba Topping Homestyler); do not redistribute. "
        "Cite Fu et al., arXiv:2009.09633."
    )

    def files(self, dataset: Dataset, offered: list[str] | None) -> list[RemoteFile]:
        """The archive or its parts, and the tables where they lie beside it; there is no open address."""
        loose = [RemoteFile(name, optional=True) for name in (_INFO, *_SPLITS.values())]
        parts = sorted({name.removesuffix(".zip") for name in offered or () if _PARTS.fullmatch(name)})
        return [*(RemoteFile(f"{part}.zip") for part in parts or ["3D-FUTURE-model"]), *loose]

    def shapes(self, archives: Archives, dataset: Dataset) -> Iterator[Found]:
        """Every model folder; one without its mesh, or that the table does not name, is refused."""
        names = [name for name in archives.names if name not in (_INFO, *_SPLITS.values())]
        models: dict[tuple[str, str], list[Entry]] = {}
        tables = [(_INFO, text)] if (text := archives.text(_INFO)) is not None else []
        for archive in names:
            for entry in archives.get(archive).entries():
                folder, _, file = entry.name.rpartition("/")
                if file == _INFO:
                    data = archives.get(archive).files(f"{folder}/" if folder else "").open_bytes(_INFO)
                    tables.append((entry.name, (data or b"").decode("utf-8", errors="replace")))
                elif folder and not is_clutter(entry.name):
                    models.setdefault((archive, folder), []).append(entry)
        if not tables:
            raise UserError(
                "there is no table of 3D-FUTURE's models",
                where=", ".join(names),
                wanted=f"{_INFO} in the archive or beside it",
                do="put the file there; it is part of the set",
            )
        categories = {model: category for where, text in tables for model, category in _categories(where, text)}
        splits = _splits(archives)
        for (archive, folder), entries in models.items():
            if any(posixpath.basename(entry.name).endswith((".obj", ".mtl")) for entry in entries):
                yield _found(archive, folder, entries, categories, splits)

    def model(self, archives: Archives, shape: Shape) -> tuple[str, Files]:
        """The root is the model's own folder, with its materials and its texture."""
        archive, path = split_member(shape)
        return _MESH, archives.get(archive).files(path.removesuffix(_MESH))


def _found(
    archive: str, folder: str, entries: list[Entry], categories: dict[str, str], splits: dict[str, str]
) -> Found:
    name, path = posixpath.basename(folder), f"{folder}/{_MESH}"
    mesh = next((entry for entry in entries if entry.name == path), None)
    category = categories.get(name, "")
    reason, detail = "", path
    if mesh is None:
        reason, detail = "missing_mesh", f"{archive} has no {path}"
    elif not category:
        reason, detail = "no_category", f"{_INFO} does not name {name}"
    else:
        reason = mesh.problem or ("" if mesh.size else "empty")
    return Found(
        category or "none",
        name,
        splits.get(name),
        f"{archive}!{path}",
        mesh.size if mesh else 0,
        checksum_of(entries),
        reason,
        detail,
    )


def _categories(where: str, text: str) -> Iterator[tuple[str, str]]:
    """(model, category) of every line that names both."""
    for item in _json(where, text, list):
        model, said = (item.get("model_id"), item.get("super-category")) if isinstance(item, dict) else (None, None)
        if isinstance(model, str) and isinstance(said, str):
            yield model, folded(said.replace("/", " "))


def _splits(archives: Archives) -> dict[str, str]:
    found: dict[str, str] = {}
    for part, name in _SPLITS.items():
        text = archives.text(name)
        if text is not None:
            shown = _json(name, text, dict).get("annotations")
            for item in shown if isinstance(shown, list) else ():
                if isinstance(item, dict) and isinstance(item.get("model_id"), str):
                    found[item["model_id"]] = part
    return found


def _json(where: str, text: str, kind: type) -> Any:
    try:
        value = parse_json(text, ours=False)
    except ValueError as error:
        raise _unreadable(where, str(error)) from error
    if not isinstance(value, kind):
        raise _unreadable(where, f"JSON of type {type(value).__name__}")
    return value


def _unreadable(where: str, got: str) -> UserError:
    return UserError(
        "cannot read a table of 3D-FUTURE", where=where, got=got, do="replace the file by the published one"
    )


FUTURE3D = Future3d()
