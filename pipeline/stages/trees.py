"""Fetching a source that publishes each shape as a file of its own (`Source.tree`): the part of `fetch` for these.

A folder as the only mirror is used in place, with what it holds.  Else the tree is filled below
``archives/D/``, from folders and addresses in their order; what lies there is not fetched again.
Its entry in D.json says for which choice it was filled, so that more categories fetch more.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from pipeline.archives import tar
from pipeline.archives.contents import ContentSums
from pipeline.archives.places import ABSENT, folder_entry, local_folder, local_folders
from pipeline.atomic import atomic_folder
from pipeline.errors import UserError
from pipeline.manifest import sha256_of
from pipeline.meshes.files import Files
from pipeline.progress import Log, say
from pipeline.settings.datasets import Dataset
from pipeline.sources.base import Source


def fetched(
    source: Source,
    dataset: Dataset,
    where: str,  # key of the configuration, for messages
    output: Path,  # D.json
    *,
    keep: bool,  # put what lies in a mirror below the folder of D.json, for jobs that cannot see the mirror
    seed: int,
    log: Log,
) -> dict[str, Any]:
    """Bring what the settings choose; the entry of the tree."""
    folders, addresses = local_folders(dataset.mirrors, where), _mirrors(dataset)[1]
    if folders and not addresses:
        found = _in_place(source, dataset, folders, output)
        below = Path(found["path"]).absolute().is_relative_to(output.parent.absolute())
        if below or not keep:
            return found
        folders = [Path(found["path"])]
    say(f"fetch: terms of {source.title}: {source.terms} See {source.page}")
    place = output.parent / output.stem / source.tree
    place.mkdir(parents=True, exist_ok=True)
    (place / ABSENT).unlink(missing_ok=True)  # without it a tree is not whole
    from pipeline.archives.tree import Tree  # the HTTP client takes a moment to load

    tree = Tree(place, folders, addresses, official=not folders, log=log)
    for step in source.chosen(Files.of_folder(place), dataset, seed):
        tree.bring(step)
    if addresses or not folders:  # what a folder lacks, its owner has not wanted
        tree.finish()
    return _entry(source, place) | {"chosen": _chosen(dataset, seed)}


def located(
    source: Source, dataset: Dataset, known: dict[str, dict[str, Any]], sums: ContentSums, *, seed: int
) -> tuple[list[dict[str, Any]], bool] | None:
    """The entry of the tree as it lies now, and whether D.json says so; None where something has to be fetched."""
    folders, addresses = _mirrors(dataset)
    before = known.get(source.tree)
    if folders and not addresses and (folder := _holding(source, dataset, folders)) is not None:
        entry = _entry(source, folder, sums)
        return [entry], [entry] == list(known.values())
    if before is None or not Path(before["path"]).is_dir():
        return None
    entry = _entry(source, Path(before["path"]), sums)
    if folders and not addresses:  # unpacked from tar files
        entry |= {"mirror": before["mirror"]}
    else:
        entry |= {"chosen": _chosen(dataset, seed)}
        if before.get("chosen") != entry["chosen"] or entry["bytes"] < before["bytes"]:
            return None
    return [entry], [entry] == list(known.values())


def _mirrors(dataset: Dataset) -> tuple[list[Path], list[str]]:
    """Folders and addresses."""
    folders = [folder for folder in map(local_folder, dataset.mirrors) if folder is not None]
    return folders, [mirror for mirror in dataset.mirrors if local_folder(mirror) is None]


def _in_place(source: Source, dataset: Dataset, folders: list[Path], output: Path) -> dict[str, Any]:
    held = _holding(source, dataset, folders)
    if held is not None:
        return _entry(source, held)
    for folder in folders:
        tars = [folder / name for name in source.packed]
        if tars and all(path.is_file() for path in tars):
            sums = "".join(sha256_of(path)[:6] for path in tars)
            target = output.parent / output.stem / f"{source.tree}-{sums}"
            if not target.is_dir():
                say(f"fetch: unpacking {' and '.join(source.packed)}")
                with atomic_folder(target) as temporary:
                    for path in tars:
                        _unpack_beside(path, temporary)
            return _entry(source, target) | {"mirror": str(folder)}
    first = source.files(dataset, None)[0].name
    raise UserError(
        f"no file of {source.title} was found",
        where=", ".join(map(str, folders)),
        wanted=" or ".join([first, *([" and ".join(source.packed)] if source.packed else [])]),
        do=f"name the folder that holds it; see {source.page}",
    )


def _unpack_beside(path: Path, folder: Path) -> None:
    """Unpack a tar whose top folder joins those of the others; what two of them have at the top is taken once."""
    inside = folder / f".{path.name}"
    inside.mkdir()
    tar.extract(path, inside)
    for child in inside.iterdir():
        if not (folder / child.name).exists():
            child.rename(folder / child.name)
    shutil.rmtree(inside)


def _holding(source: Source, dataset: Dataset, folders: list[Path]) -> Path | None:
    """The first of the folders that holds the first table."""
    first = source.files(dataset, None)[0].name
    return next((folder for folder in folders if (folder / first).is_file()), None)


def _entry(source: Source, folder: Path, sums: ContentSums | None = None) -> dict[str, Any]:
    return folder_entry(folder, sums) | {"name": source.tree, "root": source.tree}


def _chosen(dataset: Dataset, seed: int) -> str:
    """What the choice of files follows from."""
    keys = {"categories", "licences", "shapes_per_category"}
    values = dataset.model_dump(mode="json", include=keys)
    return json.dumps(values | ({"seed": seed} if dataset.shapes_per_category else {}), sort_keys=True)
