"""Objaverse 1.0: models of Sketchfab's users with LVIS categories, each under a Creative Commons licence of its own.

    object-paths.json.gz            {uid: "glbs/000-023/<uid>.glb"}, 798,759 of them
    lvis-annotations.json.gz        {category: [uid, ...]}, about 46,000 of them; the others have no category
    metadata/000-023.json.gz        {uid: {"name", "license", "viewerUrl", "user": {"displayName", ...}, ...}}
    glbs/000-023/<uid>.glb

Deitke et al., arXiv:2212.08051; the layout is that of the Hub's allenai/objaverse, and of the cache
that the package objaverse keeps (``~/.objaverse/hf-objaverse-v1``).  Files are GLB in glTF's
frame; their authors turn them as they like.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from pipeline.archives.remote import RemoteFile
from pipeline.errors import UserError
from pipeline.manifest import Shape
from pipeline.meshes.files import Files
from pipeline.settings.categories import chosen_categories
from pipeline.settings.datasets import Dataset
from pipeline.sources.base import Archives, Found, Licence, split_member
from pipeline.sources.objects import listed
from pipeline.sources.objects.licences import code_of
from pipeline.sources.objects.listed import GlbTree, Listed

_HUB = "https://huggingface.co/datasets/allenai/objaverse/resolve/main"
_PATHS, _LVIS = "object-paths.json.gz", "lvis-annotations.json.gz"
_TITLE = "Objaverse 1.0"
_PATH = re.compile(r"glbs/\d{3}-\d{3}/[^/]+\.glb")


class Objaverse(GlbTree):
    """The objects that have an LVIS category."""

    title = _TITLE
    tree = "objaverse"
    page = "https://huggingface.co/datasets/allenai/objaverse"
    terms = (
        "the collection under ODC-By 1.0, and each object under the Creative Commons licence that the ledger names "
        "(some forbid commercial use; `licences` chooses). Cite Deitke et al., arXiv:2212.08051."
    )

    def files(self, dataset: Dataset, offered: list[str] | None) -> list[RemoteFile]:
        """The tables that everything else follows from."""
        return [_remote(_PATHS), _remote(_LVIS)]

    def chosen(self, files: Files, dataset: Dataset, seed: int) -> Iterator[list[RemoteFile]]:
        """The two tables, the metadata of the chosen categories, and the meshes."""
        yield self.files(dataset, None)
        members = _members(files, dataset)
        yield [_remote(name) for name in sorted({_metadata_of(member) for _, _, member in members if member})]
        yield from listed.in_order(_listed(files, members, dataset), files, dataset, seed, _HUB)

    def shapes(self, archives: Archives, dataset: Dataset) -> Iterator[Found]:
        """Every object of the chosen categories; one that stands under two of them is in one split."""
        files = archives.tree(self.tree)
        shapes = _listed(files, _members(files, dataset), dataset)
        yield from listed.found(shapes, archives, self.tree, grouped=True)

    def licence(self, archives: Archives, shape: Shape) -> Licence:
        """As the metadata of the object says."""
        name = _metadata_of(split_member(shape)[1].removeprefix(f"{self.tree}/"))
        if name not in archives.memo:
            known = _metadata(archives.tree(self.tree), name)
            archives.memo[name] = {uid: _licence(known, uid) for uid in known}
        licence: Licence | None = archives.memo[name].get(shape.name)
        return licence or _licence({}, shape.name)


def _remote(name: str) -> RemoteFile:
    return RemoteFile(name, (f"{_HUB}/{name}",))


def _members(files: Files, dataset: Dataset) -> list[tuple[str, str, str]]:
    """(category, uid, path) of every object of the chosen categories; no path where the tables do not agree."""
    categories, paths = listed.json_table(files, _LVIS, _TITLE), listed.json_table(files, _PATHS, _TITLE)
    names = set(categories)
    if dataset.categories is not None:
        do = "take names of LVIS, such as chair, armchair, sofa, table, bed, cabinet"
        names = chosen_categories(dataset.categories, names, where="datasets.<name>.categories", do=do)
    found = []
    for category in sorted(names):
        if not isinstance(categories[category], list):
            raise UserError(f"a category of {_TITLE} is no list", where=_LVIS, got=category, do="fetch the file again")
        for uid in sorted(map(str, categories[category])):
            path = paths.get(uid)
            right = isinstance(path, str) and _PATH.fullmatch(path) and path.endswith(f"/{uid}.glb")
            found.append((category, uid, str(path) if right else ""))
    return found


def _metadata_of(member: str) -> str:
    """``glbs/000-023/<uid>.glb`` -> ``metadata/000-023.json.gz``."""
    return f"metadata/{member.split('/')[1]}.json.gz"


def _listed(files: Files, members: list[tuple[str, str, str]], dataset: Dataset) -> Iterator[Listed]:
    by_table: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for category, uid, member in members:
        by_table[_metadata_of(member) if member else ""].append((category, uid, member))
    for name, group in sorted(by_table.items()):
        known = _metadata(files, name) if name else {}
        for category, uid, member in group:
            if not member:
                lost = f"glbs/unknown/{uid}.glb"
                yield Listed(category, uid, lost, Licence("unknown"), "no_path", f"{_PATHS} has no file of {uid}")
            else:
                yield listed.allowed(Listed(category, uid, member, _licence(known, uid)), dataset)


def _licence(known: dict[str, Any], uid: str) -> Licence:
    about = known.get(uid)
    about = about if isinstance(about, dict) else {}
    user = about.get("user")
    author = user.get("displayName") or user.get("username") if isinstance(user, dict) else ""
    title = f'"{about["name"]}"' if about.get("name") else uid
    address = about.get("viewerUrl") or about.get("uri") or ""
    credit = f"{title} by {author or 'an unknown author'}, {address}".rstrip(", ")
    return Licence(code_of(about.get("license")), " ".join(credit.split()))


def _metadata(files: Files, name: str) -> dict[str, Any]:
    return listed.json_table(files, name, _TITLE)


OBJAVERSE = Objaverse()
