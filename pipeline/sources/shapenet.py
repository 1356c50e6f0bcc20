"""ShapeNetCore: OBJ with materials and pictures, one zip a category named by its WordNet synset.

    v1   <synset>/<id>/model.obj                      pictures in <id>/images/
    v2   <synset>/<id>/models/model_normalized.obj    pictures in <id>/images/, beside models/

+Y is up in both; the front is +X in v1 and -Z in v2 (Chang et al., arXiv:1512.03012, for v2).  ``taxonomy.json`` names
the synsets where it is given; the table below holds the 55 of ShapeNetCore.  The split of
the SHREC16 challenge (``all.csv``) is used where it is given; models it does not list, and
sets without it, are split by hash.  ShapeNet's own site answers 503 at times; the Hub has v2's zips one by one
(ShapeNet/ShapeNetCore), and v1's in one zip of all (ShapeNet/ShapeNetCore-archive), behind an account that was let in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pipeline.archives.archive import Entry
from pipeline.archives.remote import RemoteFile
from pipeline.conventions import SHAPENET_V1_TO_WORLD, SPLITS, UP_AXIS_TO_WORLD, Matrix
from pipeline.errors import UserError
from pipeline.manifest import Shape
from pipeline.meshes.files import Files
from pipeline.settings.categories import folded
from pipeline.settings.datasets import Dataset
from pipeline.settings.parse import did_you_mean
from pipeline.sources.base import Archives, Found, Source, checksum_of, is_clutter, split_member
from pipeline.state.files import parse_json
from pipeline.state.tables import read_foreign

TAXONOMY, SPLITS_CSV = "taxonomy.json", "all.csv"
_SHREC = "http://shapenet.cs.stanford.edu/shapenet/obj-zip/SHREC16/all.csv"


NAMES = {
    "02691156": "airplane",
    "02747177": "trash_bin",
    "02773838": "bag",
    "02801938": "basket",
    "02808440": "bathtub",
    "02818832": "bed",
    "02828884": "bench",
    "02843684": "birdhouse",
    "02871439": "bookshelf",
    "02876657": "bottle",
    "02880940": "bowl",
    "02924116": "bus",
    "02933112": "cabinet",
    "02942699": "camera",
    "02946921": "can",
    "02954340": "cap",
    "02958343": "car",
    "02992529": "cellphone",
    "03001627": "chair",
    "03046257": "clock",
    "03085013": "keyboard",
    "03207941": "dishwasher",
    "03211117": "display",
    "03261776": "earphone",
    "03325088": "faucet",
    "03337140": "file_cabinet",
    "03467517": "guitar",
    "03513137": "helmet",
    "03593526": "jar",
    "03624134": "knife",
    "03636649": "lamp",
    "03642806": "laptop",
    "03691459": "loudspeaker",
    "03710193": "mailbox",
    "03759954": "microphone",
    "03761084": "microwave",
    "03790512": "motorbike",
    "03797390": "mug",
    "03928116": "piano",
    "03938244": "pillow",
    "03948459": "pistol",
    "03991062": "flowerpot",
    "04004475": "printer",
    "04074963": "remote",
    "04090263": "rifle",
    "04099429": "rocket",
    "04225987": "skateboard",
    "04256520": "sofa",
    "04330267": "stove",
    "04379243": "table",
    "04401088": "telephone",
    "04460130": "tower",
    "04468005": "train",
    "04530566": "watercraft",
    "04554684": "washer",
}
# Categories that papers use and ShapeNetCore keeps inside another: sub-synset -> (name, synset of the zip).
# Which models they are is said by all.csv.
_INSIDE = {"03179701": ("desk", "04379243")}
# Size and SHA-256 of the v1 zips that public loaders have recorded (shape-tfds, url_checksums/shapenet_core.txt).
_V1_KNOWN = {
    "02691156": (2335836661, "66695db2439a34ccd2a27c721bb19749b55d6a5ab01f7923bf69fc8053a1c37a"),
    "02818832": (74696261, "9f5caa76cff784680b983474da555c64b1b712b3420f0229048522903ff5ce21"),
    "02871439": (73396850, "5d48d02b99dafa78659525897d0a34f33a5d6a59758ba98492927363ab459e99"),
    "02958343": (16914422360, "dd7f3dda1c211f93ba5073b18f4f888f5fd0a4d0c025c04f42d6cf7596c563b7"),
    "03001627": (1523185061, "c0f34f84210b0cd6a831d005afa84fd047f029c1cdac983228af4edbda445243"),
    "04090263": (785242953, "b5af10dc50882fdad80bc7044f5812264222b36f6a221e7890a872c77d6e7718"),
    "04256520": (1146891032, "b77c8b92752a2b3a94eeb97f9d7b9263b3373b9cc9ef6bfe0bec77b868f2e98c"),
    "04379243": (1557776344, "cbf6a543a6d5cc75b992352759889ae603ba6a40d5ad07cf8b7b105d323c822c"),
}


class ShapeNet(Source):
    """Either version; they differ in where a model's OBJ lies and in the address."""

    page = "https://shapenet.org (or https://huggingface.co/datasets/ShapeNet/ShapeNetCore)"
    terms = (
        "ShapeNetCore: for non-commercial research and education only, after registration "
        "(https://shapenet.org/terms); do not redistribute. Cite Chang et al., arXiv:1512.03012."
    )
    official_val = True

    def __init__(
        self,
        title: str,
        mesh: str,
        to_world: Matrix,
        address: str,  # of the zips
        known: dict[str, tuple[int, str]],  # size and SHA-256 of zips
        whole: str = "",  # name of a zip that holds all of them, in the Hub's archive
    ):
        self.title, self._mesh, self.to_world, self._address, self._known = title, mesh, to_world, address, known
        self._whole = whole

    def files(self, dataset: Dataset, offered: list[str] | None) -> list[RemoteFile]:
        """One zip (or unpacked folder) for each wanted category, the taxonomy and the split where they exist."""
        loose = [RemoteFile(TAXONOMY, optional=True), RemoteFile(SPLITS_CSV, (_SHREC,), optional=True)]
        if dataset.categories is not None:
            named = [synset_of(name) for name in dataset.categories]
            own_zip = {name.removesuffix(".zip") for name in offered or ()}
            synsets = sorted({s if s not in _INSIDE or s in own_zip else _INSIDE[s][1] for s in named})
        elif offered is not None and self._whole not in offered:
            synsets = sorted({name.removesuffix(".zip") for name in offered if name.removesuffix(".zip").isdigit()})
        else:
            synsets = sorted(NAMES)
        whole = RemoteFile(self._whole, (f"{_ARCHIVE}/{self._whole}",)) if self._whole else None
        zips = []
        for synset in synsets:
            size, sha256 = self._known.get(synset, (None, ""))
            address = f"{self._address}/{synset}.zip"
            zips.append(RemoteFile(f"{synset}.zip", (address,), bytes=size, sha256=sha256, within=whole))
        return zips + loose

    def shapes(self, archives: Archives, dataset: Dataset) -> Iterator[Found]:
        """Every model folder; one without its OBJ, as the real sets have some, is refused by name."""
        names = _names(archives.text(TAXONOMY))
        official = _official(archives.text(SPLITS_CSV))
        wanted = {synset_of(name) for name in dataset.categories or ()}
        for archive in archives.names:
            if archive not in (TAXONOMY, SPLITS_CSV):
                for found, synset, model in self._models(archive, archives):
                    split, below = official.get((synset, model), (None, ""))
                    category = _INSIDE[below][0] if below in wanted & set(_INSIDE) else names.get(synset, synset)
                    yield dataclasses.replace(found, category=category, split=split)

    def _models(self, archive: str, archives: Archives) -> Iterator[tuple[Found, str, str]]:
        """What one zip holds, with the synset and the name of each model; category and split come later."""
        models: dict[tuple[str, str], list[Entry]] = {}
        for entry in archives.get(archive).entries():
            parts = entry.name.split("/")
            if len(parts) >= 3 and not is_clutter(entry.name):
                models.setdefault((parts[0], parts[1]), []).append(entry)
        for (synset, name), entries in models.items():
            path = f"{synset}/{name}/{self._mesh}"
            mesh = next((entry for entry in entries if entry.name == path), None)
            if mesh is None:
                lost = Found(
                    synset, name, None, f"{archive}!{path}", reason="missing_mesh", detail=f"{archive} has no {path}"
                )
                yield lost, synset, name
            else:
                reason = mesh.problem or ("" if mesh.size else "empty")
                member, checksum = f"{archive}!{path}", checksum_of(entries)
                yield Found(synset, name, None, member, mesh.size, checksum, reason, path), synset, name

    def model(self, archives: Archives, shape: Shape) -> tuple[str, Files]:
        """The root is the model's own folder, so v2's ``../images`` is inside it."""
        archive, path = split_member(shape)
        root = path.removesuffix(self._mesh)
        return self._mesh, archives.get(archive).files(root)


def synset_of(category: str) -> str:
    """Synset of a category given by name or by number."""
    by_name = {name: synset for synset, name in NAMES.items()} | {name: s for s, (name, _) in _INSIDE.items()}
    wanted = folded(category)
    if wanted in by_name:
        return by_name[wanted]
    if wanted.isdigit() and len(wanted) == 8:
        return wanted
    raise UserError(
        f"unknown ShapeNet category {category!r}{did_you_mean(wanted, list(by_name))}",
        where="datasets.<name>.categories",
        do="correct the name, or give the 8-digit synset",
    )


def _names(taxonomy: str | None) -> dict[str, str]:
    """Category names by synset: the table first, then the first synonym of the taxonomy."""
    if taxonomy is None:
        return NAMES
    try:
        listed = {item["synsetId"]: item["name"] for item in parse_json(taxonomy, ours=False)}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            "cannot read ShapeNet's taxonomy.json",
            got=str(error),
            wanted="a list of synsetId and name",
            do="delete the file from the mirror, or replace it",
        ) from error
    first = {synset: name.split(",")[0].strip().lower().replace(" ", "_") for synset, name in listed.items()}
    return first | NAMES


def _official(text: str | None) -> dict[tuple[str, str], tuple[str | None, str]]:
    """(synset, model) -> split and sub-synset; columns id, synsetId, subSynsetId, modelId, split."""
    if text is None:
        return {}
    try:
        columns, *lines = read_foreign(text, ",") or [[]]
        if not {"synsetId", "modelId", "split"} <= set(columns):
            raise ValueError(f"the columns {', '.join(columns) or 'of an empty file'}")
        rows = [dict(zip(columns, line, strict=True)) for line in lines if line]
    except ValueError as error:
        raise UserError(
            "cannot read ShapeNet's all.csv",
            got=str(error),
            wanted="columns synsetId, modelId and split",
            do="delete the file from the mirror, or replace it",
        ) from error
    return {
        (row["synsetId"].zfill(8), row["modelId"]): (
            row["split"] if row["split"] in SPLITS else None,
            (row.get("subSynsetId") or "").zfill(8),
        )
        for row in rows
    }


_V1 = "http://shapenet.cs.stanford.edu/shapenet/obj-zip/ShapeNetCore.v1"
_V2 = "https://huggingface.co/datasets/ShapeNet/ShapeNetCore/resolve/main"
_ARCHIVE = "https://huggingface.co/datasets/ShapeNet/ShapeNetCore-archive/resolve/main"
SHAPENET_V1 = ShapeNet("ShapeNetCore.v1", "model.obj", SHAPENET_V1_TO_WORLD, _V1, _V1_KNOWN, "ShapeNetCore.v1.zip")
SHAPENET_V2 = ShapeNet("ShapeNetCore.v2", "models/model_normalized.obj", UP_AXIS_TO_WORLD["y"], _V2, {})
