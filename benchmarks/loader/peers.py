"""The loaders that `benchmarks.loader` measures: ours, and what people commonly use instead.

Every peer gets the same shapes, the same batch and the same number of views, in the form in
which it is at its best: JPEG peers decode with simplejpeg (libjpeg-turbo), read from a warm
cache and keep voxels packed.  Only `naive` does what tutorials do.
"""

from __future__ import annotations

import functools
import io
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import h5py
import lmdb
import numpy as np
import simplejpeg
import torch
import webdataset
from torch.utils.data import DataLoader, Dataset

from training.data.loader import Loader
from training.data.sampler import Sampler
from training.data.shapes import ShapeData

QUALITY = 90


@dataclass(frozen=True)
class Case:
    """One batch shape."""

    batch: int
    views: int

    @property
    def images(self) -> int:
        return self.batch * self.views


@dataclass(frozen=True)
class World:
    """The same shapes in every peer's own format."""

    folder: Path
    shapes: int
    views: int
    size_px: int

    @property
    def index(self) -> Path:
        return self.folder / "shards" / "index.json"

    @property
    def shard(self) -> Path:
        return self.folder / "all.h5"


Batches = Iterator[Any]


def ours(world: World, case: Case, tier: str) -> Batches:
    """The loader of training/."""
    data = ShapeData.open([world.index], "train", tier=tier)
    return (batch for _, batch in Loader(data, Sampler(len(data), case.batch, 1), views_per_shape=case.views))


def plain_tensor(world: World, case: Case, threads: int) -> Batches:
    """The bound: what a batch carries, by `index_select` from tensors in RAM, for the same shapes and views.

    It has it easier than a loader: choices were made before, memory is one set of buffers that stays in
    the cache, nothing is made ahead, and PyTorch may use `threads` of its own.
    """
    data = ShapeData.open([world.index], "train", tier="ram")
    loader = Loader(data, Sampler(len(data), case.batch, 1), views_per_shape=case.views)
    chosen = [cast(dict[str, torch.Tensor], loader.batch(step)) for step in range(8)]
    for batch in chosen:
        del batch["images"]
    pictures = data.pictures()
    assert pictures is not None
    tables = {"images": pictures, "voxel_bits": data.voxels_bits, "labels": data.labels}
    tensors = {name: torch.from_numpy(table) for name, table in tables.items()}
    rows = [(batch["objects"][:, None] * data.views + batch["views"]).flatten() for batch in chosen]
    places = [
        {"images": row, "voxel_bits": batch["objects"], "labels": batch["objects"]}
        for row, batch in zip(rows, chosen, strict=True)
    ]
    buffers = {name: table[places[0][name]] for name, table in tensors.items()}
    step = 0
    while True:
        torch.set_num_threads(threads)
        for name, table in tensors.items():
            torch.index_select(table, 0, places[step % 8][name], out=buffers[name])
        torch.set_num_threads(1)
        yield buffers, chosen[step % 8]
        step += 1


class _Items(Dataset[Any]):
    """Items of `case.views` views of one shape; one pass is long enough for a measurement."""

    def __init__(self, world: World, case: Case):
        self.world, self.case = world, case
        self.rng = np.random.default_rng(0)

    def __len__(self) -> int:
        return 10_000_000

    def choice(self, index: int) -> tuple[int, Any]:
        row = (index * 7919) % self.world.shapes
        return row, self.rng.permutation(self.world.views)[: self.case.views]


class _Naive(_Items):
    """As in tutorials: an open file, one item at a time, floats made by the loader."""

    file: h5py.File | None = None

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.file = self.file or h5py.File(self.world.shard)
        row, views = self.choice(index)
        images = np.stack([self.file["images"][row, view] for view in views])
        grid = np.unpackbits(self.file["voxels"][row]).reshape((32,) * 3)
        return {"images": images.transpose(0, 3, 1, 2).astype(np.float32) / 255, "voxels": grid.astype(np.float32)}


class _Bytes(_Items):
    """The same with uint8 and packed bits."""

    file: h5py.File | None = None

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.file = self.file or h5py.File(self.world.shard)
        row, views = self.choice(index)
        return {"images": np.stack([self.file["images"][row, v] for v in views]), "voxels": self.file["voxels"][row]}


class _Lmdb(_Items):
    """JPEG in lmdb."""

    store: Any = None

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.store = self.store or lmdb.open(str(self.world.folder / "lmdb"), readonly=True, lock=False).begin()
        row, views = self.choice(index)
        images = np.stack([simplejpeg.decode_jpeg(self.store.get(f"{row}/{view}".encode())) for view in views])
        return {"images": images, "voxels": np.frombuffer(self.store.get(f"{row}/voxels".encode()), np.uint8).copy()}


class _Mds(_Items):
    """JPEG in MosaicML's shards; opened once, before the workers are forked, as its shared memory wants it."""

    def __init__(self, world: World, case: Case):
        super().__init__(world, case)
        self.store = _mds_store(str(world.folder / "mds"))

    def __getitem__(self, index: int) -> dict[str, Any]:
        row, views = self.choice(index)
        item = self.store[row]
        images = np.stack([simplejpeg.decode_jpeg(item[f"{view:02d}"]) for view in views])
        return {"images": images, "voxels": np.frombuffer(item["voxels"], np.uint8).copy()}


@functools.cache
def _mds_store(folder: str) -> Any:
    from streaming.base import StreamingDataset

    return StreamingDataset(local=folder, shuffle=False, batch_size=1)


def data_loader(items: type[_Items]) -> Callable[[World, Case, int], Batches]:
    """A peer that is a `Dataset` behind PyTorch's `DataLoader`."""

    def make(world: World, case: Case, workers: int) -> Batches:
        return iter(DataLoader(items(world, case), case.batch, num_workers=workers))

    return make


def jpeg_batched(world: World, case: Case, threads: int) -> Batches:
    """JPEG bytes in RAM, decoded batch by batch: the best that JPEG allows in one process."""
    with tarfile.open(world.folder / "webdataset-all.tar") as tar:
        files = [tar.extractfile(member).read() for member in tar if member.name.endswith("jpg")]  # type: ignore[union-attr]
    rng = np.random.default_rng(0)
    out = np.empty((case.images, world.size_px, world.size_px, 3), np.uint8)

    def decode(place: int, number: int) -> None:
        simplejpeg.decode_jpeg(files[number], buffer=out[place])

    with ThreadPoolExecutor(max(1, threads)) as pool:
        while True:
            numbers = rng.integers(0, len(files), case.images).tolist()
            if threads:
                list(pool.map(decode, range(case.images), numbers, chunksize=16))
            else:
                for place, number in enumerate(numbers):
                    decode(place, number)
            yield torch.from_numpy(out)


def web_dataset(world: World, case: Case, workers: int) -> Batches:
    """Tars read in sequence through a shuffle buffer; one sample a view, or one a shape for many views."""
    tars = sorted(map(str, world.folder.glob(f"webdataset-{'one' if case.views == 1 else 'all'}-*.tar")))

    def decode(sample: dict[str, Any]) -> dict[str, Any]:
        names = sorted(name for name in sample if name.endswith("jpg"))[: case.views]
        images = np.stack([simplejpeg.decode_jpeg(sample[name]) for name in names])
        return {"images": images, "voxels": np.frombuffer(sample["bits"], np.uint8).copy()}

    pipeline = webdataset.WebDataset(tars, shardshuffle=100, resampled=True, empty_check=False)
    samples = pipeline.shuffle(256).map(decode)
    return iter(DataLoader(samples, case.batch, num_workers=workers))


def write_peers(world: World, images: Any, voxels: Any, *, mds: bool) -> None:
    """Write (N, V, S, S, 3) pictures and (N, bytes) voxels in the formats of all peers."""
    with h5py.File(world.shard, "w") as file:
        file["images"], file["voxels"] = images, voxels
    store = lmdb.open(str(world.folder / "lmdb"), map_size=2**32)
    tars = {
        (kind, number): tarfile.open(world.folder / f"webdataset-{kind}-{number}.tar", "w")  # noqa: SIM115
        for kind in ("one", "all")
        for number in range(4)
    }
    with tarfile.open(world.folder / "webdataset-all.tar", "w") as flat, store.begin(write=True) as records:
        for row in range(world.shapes):
            bits = voxels[row].tobytes()
            records.put(f"{row}/voxels".encode(), bits)
            _add(tars["all", row % 4], f"{row:06d}.bits", bits)
            for view in range(world.views):
                data = simplejpeg.encode_jpeg(images[row, view], QUALITY)
                records.put(f"{row}/{view}".encode(), data)
                _add(flat, f"{row:06d}.{view:02d}.jpg", data)
                _add(tars["all", row % 4], f"{row:06d}.{view:02d}.jpg", data)
                _add(tars["one", row % 4], f"{row:06d}_{view:02d}.jpg", data)
                _add(tars["one", row % 4], f"{row:06d}_{view:02d}.bits", bits)
    for tar in tars.values():
        tar.close()
    store.close()
    if mds:
        _write_mds(world, images, voxels)


def _write_mds(world: World, images: Any, voxels: Any) -> None:
    from streaming.base import MDSWriter

    columns = {"voxels": "bytes", **{f"{view:02d}": "bytes" for view in range(world.views)}}
    with MDSWriter(out=str(world.folder / "mds"), columns=columns) as writer:
        for row in range(world.shapes):
            pictures = {f"{v:02d}": simplejpeg.encode_jpeg(images[row, v], QUALITY) for v in range(world.views)}
            writer.write({"voxels": voxels[row].tobytes(), **pictures})


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


BOUND = "plain tensors in RAM (the bound)"
PEERS: dict[str, list[tuple[Callable[[World, Case, Any], Batches], Any]]] = {
    BOUND: [(plain_tensor, 1), (plain_tensor, 2)],
    "this loader, pictures in RAM": [(ours, "ram")],
    "this loader, memory-mapped shards": [(ours, "map")],
    "naive: h5py an item, float32, `DataLoader`": [(data_loader(_Naive), 0), (data_loader(_Naive), 2)],
    "h5py an item, uint8 and packed bits, `DataLoader`": [(data_loader(_Bytes), 0), (data_loader(_Bytes), 2)],
    "JPEG in RAM + simplejpeg, a batch at a time": [(jpeg_batched, 0), (jpeg_batched, 2)],
    "webdataset (JPEG)": [(web_dataset, 0), (web_dataset, 2)],
    "lmdb (JPEG), `DataLoader`": [(data_loader(_Lmdb), 0), (data_loader(_Lmdb), 2)],
}
MDS = "MosaicML MDS (JPEG), `DataLoader`"
MDS_PEER: list[tuple[Callable[[World, Case, Any], Batches], Any]] = [(data_loader(_Mds), 0), (data_loader(_Mds), 2)]
