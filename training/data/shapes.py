"""Shapes of one split over any number of data sets, gathered in batches at memory speed.

    data = ShapeData.open([Path("results/shards/demo/index.json")], "train")
    images = data.gather(np.array([5, 2]), np.array([0, 7]))       # (2, S, S, 3) uint8

Pictures stay where they are fastest (`tier`): "ram" copies them into one array and compares
every checksum at the start; "map" maps the files into memory and compares a picture's
checksum when it is first touched.  Either way no picture is handed out unchecked.
Shapes are in the order of their ids, so nothing depends on how they were cut into shards.
With `crop="alpha"` every picture is cropped at its object: in RAM once, from a map whenever it is gathered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Int64, Shaped, UInt8, UInt32
from torch import Tensor
from zlib_ng import zlib_ng

from pipeline.conventions import Array
from pipeline.errors import UserError
from pipeline.manifest import Record
from pipeline.pictures.at_object import Windows, windows_of
from pipeline.pictures.bank import Bank
from pipeline.settings.categories import chosen_categories
from pipeline.shards import Shard
from pipeline.shards.bulk import load_composites, load_rows, open_bank_of
from pipeline.shards.index import open_indexed, read_index
from pipeline.shards.schema import damaged
from training.data.crop import crop_intrinsics, crop_row, crop_rows
from training.data.memory import allow_open_files, fits_in_ram

Bytes = UInt8[Array, "rows bytes"]
Objects = Int64[Array, " B"]

CAMERAS = ("K", "camera_to_world", "azimuth_deg", "elevation_deg", "distance", "roll_deg")
TIERS = ("auto", "ram", "map")


@dataclass
class _File:
    """One memory-mapped shard: pictures as rows of bytes, and which of them have been compared."""

    path: Path
    pictures: Bytes  # N V rows of S S 3 bytes, a map of the file
    crc: UInt32[Array, " rows"]
    compared: Bool[Array, " rows"]


@dataclass(frozen=True)
class _Loading:
    """How pictures are loaded; see `ShapeData.open`."""

    tier: str
    bank: Bank | None
    random_background: bool
    masks: bool
    crop: str
    threads: int


class ShapeData:
    """Pictures, voxels, labels and cameras of the shapes of one split."""

    def __init__(self, records: list[Record], categories: list[str], views: int, size_px: int, resolution: int):
        count = len(records)
        self.records, self.categories = records, categories
        self.views, self.size_px, self.resolution = views, size_px, resolution
        self.labels: Int64[Array, " N"] = np.array([categories.index(record.category) for record in records], np.int64)
        self.voxels_bits: Bytes = np.zeros((count, resolution**3 // 8), np.uint8)
        self.cameras: dict[str, Shaped[Array, "N V ..."]] = {}
        self.tier = "ram"
        self.channels = 3  # 4 where foregrounds are kept for backgrounds drawn while training
        self.bank: Bank | None = None
        self.compositing = "srgb"
        self._pictures: Bytes | None = None  # N V rows of S S channels bytes in RAM
        self._alpha: Bytes | None = None  # N V rows of S S bytes in RAM, where masks were asked for
        self._files: list[_File] = []
        self._windows: Windows | None = None  # of the N V pictures, where those of a map are cropped
        self._place: Int64[Array, "N 2"] = np.zeros((count, 2), np.int64)  # file and row of each shape

    @classmethod
    def open(
        cls,
        index_paths: Sequence[Path | str],  # shards/<data set>/index.json, any number
        split: str,  # "train", "val" or "test"
        *,
        categories: Sequence[str] | None = None,  # keep these; None keeps all
        tier: str = "auto",  # "ram", "map", or "auto": RAM if half of what is free is enough
        bank: Path | str | None = None,  # the background bank, for `layers`; None: the run's own, where it lies
        random_background: bool = False,  # `layers` only: hand out foregrounds, to be composited on the device
        masks: bool = False,  # also the alpha of every picture, always in RAM
        crop: str = "none",  # "alpha": pictures, alpha and cameras at the object (pipeline/pictures/at_object.py)
        threads: int = 2,  # for reading at the start
    ) -> ShapeData:
        """Open the shapes of `split`; a `UserError` for damage, for shards that do not fit together, or no shapes."""
        indices = [(Path(path), read_index(path)) for path in index_paths]
        head = _common_head(indices)
        names = _kept_categories(indices, categories)
        if bank is None and head["kind"] == "layers":
            bank = _bank_beside(indices[0][0])
        entries = [(path, entry) for path, index in indices for entry in index["shards"] if entry["count"]]
        allow_open_files(2 * len(entries))
        shards = [open_indexed(path, entry) for path, entry in entries]
        try:
            opened = None if bank is None else open_bank_of(Path(bank), shards)
            loading = _Loading(tier, opened, random_background, masks, crop, threads)
            return cls._fill(shards, split, head, names, loading)
        finally:
            for shard in shards:
                shard.close()

    @classmethod
    def _fill(
        cls, shards: list[Shard], split: str, head: dict[str, Any], names: list[str], loading: _Loading
    ) -> ShapeData:
        found = sorted(
            (record.shape_id, number, row)
            for number, shard in enumerate(shards)
            for row, record in enumerate(shard.records)
            if record.split == split and record.category in names
        )
        _require_unique([shape_id for shape_id, _, _ in found])
        records = [shards[number].records[row] for _, number, row in found]
        data = cls(records, names, head["views"], head["size_px"], head["resolution"])
        data._place = np.array([place[1:] for place in found], np.int64).reshape(-1, 2)
        data._load_small(shards, loading.threads)
        data._load_pictures(shards, head["kind"], loading)
        return data

    def _load_small(self, shards: list[Shard], threads: int) -> None:
        """Voxels and cameras are small: always in RAM, compared now."""
        for number, shard in enumerate(shards):
            places, rows = self._of_file(number)
            load_rows(shard.array("voxels"), rows, self.voxels_bits, places, threads=threads)
            for name in CAMERAS:
                array = shard.array(name)
                out = self.cameras.setdefault(name, np.zeros((len(self), *array.shape[1:]), array.dtype))
                load_rows(array, rows, out, places, threads=1)

    def _load_pictures(self, shards: list[Shard], kind: str, loading: _Loading) -> None:
        if loading.random_background and kind != "layers":
            raise UserError(
                "random backgrounds need foregrounds that are stored by themselves",
                got=f"shards of kind {kind}",
                do="set `shards.storage: layers` in config.yaml",
            )
        self.bank = loading.bank
        self.compositing = shards[0].compositing if shards else "srgb"
        self.channels = 4 if loading.random_background else 3
        self.tier = _chosen_tier(loading.tier, kind, self.nbytes)
        count, square = len(self) * self.views, (self.size_px, self.size_px)
        alpha = None
        if loading.masks and not loading.random_background:  # foregrounds carry theirs
            alpha = np.empty((len(self), self.views, *square), np.uint8)
            self._alpha = alpha.reshape(count, self.size_px**2)
            if kind == "composite":
                self._load_rows(shards, "alpha", alpha, loading.threads)
        if self.tier == "map":
            self._files = [_map(shard) for shard in shards]
            self._crop(shards, kind, loading)
            return
        pictures = np.empty((len(self), self.views, *square, self.channels), np.uint8)
        if kind == "composite" or loading.random_background:
            self._load_rows(shards, "images" if kind == "composite" else "rgba", pictures, loading.threads)
        else:
            for number, shard in enumerate(shards):
                places, rows = self._of_file(number)
                load_composites(shard, loading.bank, rows, pictures, places, alpha, threads=loading.threads)
        self._pictures = pictures.reshape(count, self.size_px**2 * self.channels)
        self._crop(shards, kind, loading)

    def _crop(self, shards: list[Shard], kind: str, loading: _Loading) -> None:
        """Crop pictures, alpha and cameras at the objects, shard by shard, where that is asked for."""
        if loading.crop == "none":
            return
        count = len(self) * self.views
        windows = np.zeros((count, 3), np.int32)
        for number, shard in enumerate(shards):
            places, rows = self._of_file(number)
            own = (places[:, None] * self.views + np.arange(self.views)).reshape(-1)
            windows[own] = windows_of(self._stored_alpha(shard, kind, rows, own, loading))
        for rows_of in (self._pictures, self._alpha):
            if rows_of is not None:
                crop_rows(rows_of, windows, self.size_px, threads=loading.threads)
        crop_intrinsics(self.cameras["K"].reshape(count, 3, 3), windows, self.size_px)
        self._windows = windows if self.tier == "map" else None

    def _stored_alpha(
        self, shard: Shard, kind: str, rows: Int64[Array, " n"], own: Int64[Array, " rows"], loading: _Loading
    ) -> UInt8[Array, "rows S S"]:
        """Alpha of the pictures of `rows` of a file, which are `own` here: what is loaded, else read from the file."""
        square = (self.size_px, self.size_px)
        if loading.random_background and self._pictures is not None:
            return self._pictures[own].reshape(-1, *square, 4)[..., 3]
        if self._alpha is not None:
            return self._alpha[own].reshape(-1, *square)
        name, channels = ("alpha", ()) if kind == "composite" else ("rgba", (4,))
        stored = np.empty((len(rows), self.views, *square, *channels), np.uint8)
        load_rows(shard.array(name), rows, stored, np.arange(len(rows)), threads=loading.threads)
        return (stored if kind == "composite" else stored[..., 3]).reshape(-1, *square)

    def _load_rows(self, shards: list[Shard], name: str, out: UInt8[Array, "N V ..."], threads: int) -> None:
        for number, shard in enumerate(shards):
            places, rows = self._of_file(number)
            load_rows(shard.array(name), rows, out, places, threads=threads)

    def _of_file(self, number: int) -> tuple[Int64[Array, " n"], Int64[Array, " n"]]:
        """Places in this object and rows in the file of the shapes of one file."""
        places = np.flatnonzero(self._place[:, 0] == number)
        return places, self._place[places, 1]

    def __len__(self) -> int:
        return len(self.records)

    @property
    def nbytes(self) -> int:
        """Bytes of all pictures."""
        return len(self) * self.views * self.size_px**2 * self.channels

    def pictures(self) -> Bytes | None:
        """(N * V, S * S * channels) all pictures, or None where they stay in the files."""
        return self._pictures

    def alpha(self) -> Bytes | None:
        """(N * V, S * S) alpha of all pictures, where `open` was asked for masks and pictures do not carry it."""
        return self._alpha

    def backgrounds(self, device: torch.device) -> UInt8[Tensor, "M side side 3"] | None:
        """(M, P, P, 3) uint8 the bank on `device`, where `open` was asked for random backgrounds and there is one."""
        if self.bank is None or self.channels == 3:
            return None
        return torch.from_numpy(np.array(self.bank.crops)).to(device)

    def rows(self, objects: Objects, views: Int64[Array, "*Bk"]) -> Int64[Array, " rows"]:
        """Rows of `pictures` and `alpha` of objects (B,) in views (B,) or (B, k), one after the other."""
        first = objects.reshape(-1, *[1] * (views.ndim - 1)) * self.views
        return np.asarray(first + views).reshape(-1)

    def gather(
        self, objects: npt.ArrayLike, views: npt.ArrayLike, out: UInt8[Array, "*shape"] | None = None
    ) -> UInt8[Array, "*shape"]:
        """(B[, k], S, S, channels) uint8 for objects (B,) and views (B,) or (B, k); into `out` where given."""
        objects, views = np.asarray(objects), np.asarray(views)
        shape = (*views.shape, self.size_px, self.size_px, self.channels)
        if out is None:
            out = np.empty(shape, np.uint8)
        flat = out.reshape(views.size, -1)
        if self._pictures is not None:
            np.take(self._pictures, self.rows(objects, views), axis=0, out=flat, mode="clip")
        else:
            self._gather_mapped(*np.divmod(self.rows(objects, views), self.views), flat)
        return out.reshape(shape)

    def _gather_mapped(self, objects: Int64[Array, " rows"], views: Int64[Array, " rows"], out: Bytes) -> None:
        files, rows = self._place[objects].T
        pictures = rows * self.views + views
        for place, (number, picture) in enumerate(zip(files.tolist(), pictures.tolist(), strict=True)):
            file = self._files[number]
            out[place] = file.pictures[picture]
            if not file.compared[picture]:
                if zlib_ng.crc32(out[place].data) != file.crc[picture]:
                    raise damaged(
                        f"{file.path}: images: {self.records[objects[place]].shape_id}: view {views[place]}",
                        "a CRC-32 that does not match",
                    )
                file.compared[picture] = True
            if self._windows is not None:
                crop_row(out[place], self._windows[objects[place] * self.views + views[place]], self.size_px)


def _bank_beside(index_path: Path) -> Path | None:
    """The bank of the run whose shards these are: <output>/backgrounds/bank.npz of <output>/shards/<D>/index.json."""
    beside = index_path.resolve().parent.parent.parent / "backgrounds" / "bank.npz"
    return beside if beside.is_file() else None


def _map(shard: Shard) -> _File:
    rows = shard.array("images")
    mapped = rows.mapped()
    if mapped is None:
        raise damaged(f"{shard.path}: images", "not a contiguous dataset")
    crc = rows.crc.reshape(-1)
    plain = mapped.view(np.ndarray)  # rows of a memmap cost more to make than to copy
    return _File(shard.path, plain.reshape(len(crc), -1), crc, np.zeros(len(crc), bool))


def _chosen_tier(tier: str, kind: str, size: int) -> str:
    if tier not in TIERS:
        raise ValueError(f"unknown tier {tier!r}; known: {', '.join(TIERS)}")
    if kind == "layers":
        if tier == "map" or (tier == "auto" and not fits_in_ram(size)):
            raise UserError(
                "the pictures do not fit in memory, and `layers` cannot be read from the file",
                got=f"{size / 2**30:.1f} GiB of pictures",
                do="set `shards.storage: composite`, or train on fewer categories",
            )
        return "ram"
    if tier == "auto":
        return "ram" if fits_in_ram(size) else "map"
    return tier


def _common_head(indices: list[tuple[Path, dict[str, Any]]]) -> dict[str, Any]:
    if not indices:
        raise UserError("no shards to train on", do="name at least one shards/<data set>/index.json")
    first_path, first = indices[0]
    for path, index in indices[1:]:
        for name in ("kind", "views", "size_px", "resolution"):
            if index[name] != first[name]:
                raise UserError(
                    "data sets that are trained on together must agree",
                    where=str(path),
                    got=f"{name} = {index[name]}",
                    wanted=f"{name} = {first[name]} as in {first_path}",
                    do="make both with the same `render` and `voxels` settings",
                )
    if first["kind"] not in ("composite", "layers"):
        raise UserError(
            "these shards cannot be trained on",
            where=str(first_path),
            got=f"kind {first['kind']}",
            wanted="composite or layers",
            do="give the index of shards/, not of renders/",
        )
    return first


def _kept_categories(indices: list[tuple[Path, dict[str, Any]]], categories: Sequence[str] | None) -> list[str]:
    known = sorted({name for _, index in indices for name in index["categories"]})
    if categories is None:
        return known
    return sorted(chosen_categories(categories, known, do="correct `categories` of the experiment"))


def _require_unique(shape_ids: list[str]) -> None:
    for one, other in zip(shape_ids, shape_ids[1:]):
        if one == other:
            raise UserError("a shape comes twice", got=one, do="name every index of shards once")
