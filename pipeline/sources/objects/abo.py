"""Amazon Berkeley Objects: models of products, in metres, whose licence lets what is made of them be passed on.

    3dmodels/metadata/3dmodels.csv.gz            3dmodel_id, path, meshes, ..., vertices, faces, extent_x, ...
    3dmodels/original/<path>                     the model, as GLB
    listings/metadata/listings_0.json.gz ... f   a JSON line a product: item_id, 3dmodel_id, product_type, item_name

Collins et al., CVPR 2022, arXiv:2110.06199; the layout is that of the public bucket, and of
abo-3dmodels.tar and abo-listings.tar unpacked side by side.  The category is the product type
(``CHAIR`` -> chair).  Files are in glTF's frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.archives.remote import RemoteFile
from pipeline.errors import UserError
from pipeline.manifest import Shape
from pipeline.meshes.files import Files
from pipeline.settings.categories import chosen_categories, folded
from pipeline.settings.datasets import Dataset
from pipeline.sources.base import Archives, Found, Licence
from pipeline.sources.objects import listed
from pipeline.sources.objects.listed import GlbTree, Listed
from pipeline.state.files import parse_json
from pipeline.state.tables import read_foreign

_BUCKET = "https://amazon-berkeley-objects.s3.amazonaws.com"
_MODELS, _ORIGINAL = "3dmodels/metadata/3dmodels.csv.gz", "3dmodels/original"
_LISTINGS = tuple(f"listings/metadata/listings_{digit}.json.gz" for digit in "0123456789abcdef")
_TITLE = "Amazon Berkeley Objects"
_LICENCE = Licence(
    "by", "Amazon Berkeley Objects (c) Amazon.com, CC BY 4.0, https://amazon-berkeley-objects.s3.amazonaws.com"
)


class Abo(GlbTree):
    """Every product that has a model."""

    title = _TITLE
    tree = "abo"
    packed = ("abo-3dmodels.tar", "abo-listings.tar")
    page = f"{_BUCKET}/index.html"
    terms = (
        "CC BY 4.0: free to use and to pass on where Amazon.com is named for the data, and for building the set "
        "M. Guillaumin, T. Dideriksen, K. Deng, H. Arora, A. Dhua, X. Zhang, T. Yago-Vicente (Amazon.com), J. Collins, "
        "S. Goel and J. Malik (UC Berkeley). Copies from before this licence say CC BY-NC 4.0: look at yours. "
        "Cite Collins et al., CVPR 2022."
    )

    def files(self, dataset: Dataset, offered: list[str] | None) -> list[RemoteFile]:
        """The tables that everything else follows from."""
        return [RemoteFile(name, (f"{_BUCKET}/{name}",)) for name in (_MODELS, *_LISTINGS)]

    def chosen(self, files: Files, dataset: Dataset, seed: int) -> Iterator[list[RemoteFile]]:
        """The tables, and the meshes of the chosen categories."""
        yield self.files(dataset, None)
        yield from listed.in_order(_listed(files, dataset), files, dataset, seed, _BUCKET)

    def shapes(self, archives: Archives, dataset: Dataset) -> Iterator[Found]:
        """Every model of the chosen categories."""
        yield from listed.found(_listed(archives.tree(self.tree), dataset), archives, self.tree)

    def licence(self, archives: Archives, shape: Shape) -> Licence:
        """One for all, which wants its owner named wherever something made of the models goes."""
        return _LICENCE


def _listed(files: Files, dataset: Dataset) -> Iterator[Listed]:
    """Every model of the wanted categories; one that no listing sells has none."""
    paths, types = _paths(files), _product_types(files)
    wanted = None
    if dataset.categories is not None:
        do = "take product types, such as chair, sofa, table, bed, cabinet"
        known = set(types.values())
        wanted = chosen_categories(dataset.categories, known, where="datasets.<name>.categories", do=do)
    for model, path in paths:
        category, member = types.get(model, ""), f"{_ORIGINAL}/{path}"
        if not path or ".." in path.split("/"):
            yield Listed(category or "none", model, member, _LICENCE, "no_path", f"{_MODELS} has no path of {model}")
        elif not category and wanted is None:
            yield Listed("none", model, member, _LICENCE, "no_category", f"no listing has the model {model}")
        elif category and (wanted is None or category in wanted):
            yield Listed(category, model, member, _LICENCE)


def _paths(files: Files) -> list[tuple[str, str]]:
    """(3dmodel_id, path) of every model."""
    text = listed.table(files, _MODELS, _TITLE).decode("utf-8", errors="replace")
    try:
        columns, *lines = read_foreign(text, ",") or [[]]
        if not {"3dmodel_id", "path"} <= set(columns):
            raise ValueError(f"the columns {', '.join(columns)[:200]}")
    except ValueError as error:
        raise UserError(
            f"cannot read a table of {_TITLE}",
            where=_MODELS,
            got=str(error),
            wanted="3dmodel_id and path among them",
            do="fetch the file again",
        ) from error
    rows = [dict(zip(columns, line)) for line in lines]
    return [(row["3dmodel_id"], row.get("path", "")) for row in rows if row.get("3dmodel_id")]


def _product_types(files: Files) -> dict[str, str]:
    """Category of each model: of the product with its own number, else of the first one that sells it."""
    found: dict[str, tuple[bool, str, str]] = {}
    for name in _LISTINGS:
        for number, line in enumerate(listed.table(files, name, _TITLE).splitlines(), start=1):
            if b'"3dmodel_id"' not in line:
                continue  # nine of ten products have no model
            product = _product(line, f"{name}: line {number}")
            model, item = str(product.get("3dmodel_id")), str(product.get("item_id", ""))
            category = _category(product)
            if category:
                candidate = (item != model, item, category)
                found[model] = min(found.get(model, candidate), candidate)
    return {model: category for model, (_, _, category) in found.items()}


def _product(line: bytes, where: str) -> dict[str, Any]:
    try:
        product = parse_json(line, ours=False)
    except ValueError as error:
        raise UserError(f"cannot read a table of {_TITLE}", where=where, got=str(error), do="fetch it again") from error
    return product if isinstance(product, dict) else {}


def _category(product: dict[str, Any]) -> str:
    """``[{"value": "CHAIR"}]`` -> ``chair``; nothing where it is not so."""
    types = product.get("product_type")
    first = types[0] if isinstance(types, list) and types else None
    value = first.get("value") if isinstance(first, dict) else None
    return folded(value) if isinstance(value, str) else ""


ABO = Abo()
