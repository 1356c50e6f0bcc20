"""Batches by step number: gathered by one thread ahead of the trainer, or on the device itself.

    loader = Loader(data, Sampler(len(data), 128, seed=1), views_per_shape=1, device="cuda")
    for step, batch in loader:
        inputs = to_device(batch, "cuda", augment=Augment(mirror=True))

Worker processes would make this three times slower: a batch is one pass of memory copies
without the interpreter's lock, and sending it between processes copies it again.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.data import CAMERAS, ShapeData
from training.data_device import DRAWS, Batch, move
from training.data_memory import fits_on_device
from training.sampler import Sampler

_BLOCK = 64  # steps whose choices are computed together, to spread the cost of small array calls
_WAIT_S = 0.1  # how often a blocked thread looks whether it is still wanted


class Loader:
    """Yields ``(step, batch)`` from `start_step` on; a batch is valid until the next one is asked for."""

    def __init__(
        self,
        data: ShapeData,
        sampler: Sampler,
        *,
        views_per_shape: int = 1,  # k, different views of each shape
        device: torch.device | str = "cpu",  # where batches are put
        start_step: int = 0,  # the first step; to resume, the number of steps done
        stop_step: int | None = None,  # None: endless
        cameras: bool = False,  # also K, camera_to_world, azimuth_deg, ...
        resident: bool | None = None,  # all pictures on the device; None: if they take at most 40 % of what is free
        prefetch: int = 2,  # batches made ahead
    ):
        self.data, self.sampler, self.device = data, sampler, torch.device(device)
        self.views_per_shape, self.cameras, self.prefetch = views_per_shape, cameras, prefetch
        self.steps = range(start_step, stop_step) if stop_step is not None else itertools.count(start_step)
        self.waited_s = 0.0  # how long the trainer has stood still for want of a batch
        pictures = data.pictures()
        fits = pictures is not None and fits_on_device(data.nbytes, self.device)
        self.resident = fits if resident is None else resident
        self._block: tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]] | None = None
        self._on_device: dict[str, Tensor] = {}
        if self.resident:
            if pictures is None:
                raise ValueError("resident pictures need data in RAM: open it with tier='ram'")
            self._on_device = {
                "pictures": torch.from_numpy(pictures).to(self.device),
                "voxel_bits": torch.from_numpy(data.voxels_bits).to(self.device),
            }

    def batch(self, step: int, buffer: Tensor | None = None) -> Batch:
        """The batch of one step where it is gathered: in host memory (pictures in `buffer`), or on the device."""
        objects, views, draws = self._choices(step)
        batch = self._labelled(objects, views, draws)
        if self.resident:
            return self._gathered_on_device(move(batch, self.device))
        images = self.data.gather(objects, views, None if buffer is None else buffer.numpy())
        batch["images"] = torch.from_numpy(images) if buffer is None else buffer
        batch["voxel_bits"] = torch.from_numpy(np.take(self.data.voxels_bits, objects, axis=0))
        return batch

    def _gathered_on_device(self, batch: Batch) -> Batch:
        """Only indices and draws have travelled."""
        size, channels = self.data.size_px, self.data.channels
        rows = (batch["objects"][:, None] * self.data.views + batch["views"]).flatten()
        images = self._on_device["pictures"].index_select(0, rows)
        batch["images"] = images.view(*batch["views"].shape, size, size, channels)
        batch["voxel_bits"] = self._on_device["voxel_bits"].index_select(0, batch["objects"])
        return batch

    def _choices(self, step: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Objects (b,), views (b, k) and draws (b, k, DRAWS) of a step; computed for `_BLOCK` steps at once."""
        block, within = divmod(step, _BLOCK)
        if self._block is None or self._block[0] != block:
            first, share, k = block * _BLOCK, self.sampler.share, self.views_per_shape
            self._block = (
                block,
                self.sampler.objects(first, _BLOCK).reshape(_BLOCK, share),
                self.sampler.views(first, self.data.views, k, _BLOCK).reshape(_BLOCK, share, k),
                self.sampler.uniform(first, "augment", k * DRAWS, _BLOCK).reshape(_BLOCK, share, k, DRAWS),
            )
        _, objects, views, draws = self._block
        return objects[within], views[within], draws[within]

    def _labelled(
        self, objects: npt.NDArray[np.int64], views: npt.NDArray[np.int64], draws: npt.NDArray[np.float32]
    ) -> Batch:
        """Everything small."""
        batch: dict[str, Any] = {
            "labels": torch.from_numpy(self.data.labels[objects]),
            "objects": torch.from_numpy(objects),
            "views": torch.from_numpy(views),
            "draws": torch.from_numpy(draws),
        }
        if self.cameras:
            for name in CAMERAS:
                batch[name] = torch.from_numpy(self.data.cameras[name][objects[:, None], views].astype(np.float32))
        return batch  # type: ignore[return-value]

    def __iter__(self) -> Iterator[tuple[int, Batch]]:
        """One thread fills a ring of buffers; errors there are raised here."""
        ready: queue.SimpleQueue[Any] = queue.SimpleQueue()
        free: queue.SimpleQueue[_Slot] = queue.SimpleQueue()
        for _ in range(self.prefetch + 1):
            free.put(_Slot(self))
        stop = threading.Event()
        thread = threading.Thread(target=self._produce, args=(ready, free, stop), name="loader", daemon=True)
        thread.start()
        try:
            while (item := self._next(ready)) is not None:
                if isinstance(item, BaseException):
                    raise item
                step, slot, batch = item
                slot.wait(batch)
                yield step, batch
                free.put(slot)
        finally:
            stop.set()
            thread.join()

    def _next(self, ready: queue.SimpleQueue[Any]) -> Any:
        start = time.perf_counter()
        item = ready.get()
        self.waited_s += time.perf_counter() - start
        return item

    def _produce(self, ready: queue.SimpleQueue[Any], free: queue.SimpleQueue[_Slot], stop: threading.Event) -> None:
        try:
            for step in self.steps:
                slot = None
                while slot is None and not stop.is_set():
                    with contextlib.suppress(queue.Empty):
                        slot = free.get(timeout=_WAIT_S)
                if slot is None:
                    return
                ready.put((step, slot, slot.fill(step)))
            ready.put(None)
        except BaseException as error:  # noqa: B036 - handed over to the trainer's thread, which raises it
            ready.put(error)


class _Slot:
    """The memory of one batch: a buffer, pinned where batches go to an accelerator over a stream of their own."""

    def __init__(self, loader: Loader):
        data, share = loader.data, loader.sampler.share
        shape = (share, loader.views_per_shape, data.size_px, data.size_px, data.channels)
        self._loader, cuda = loader, loader.device.type == "cuda"
        self._buffer = None if loader.resident else torch.empty(shape, dtype=torch.uint8, pin_memory=cuda)
        self._stream = torch.cuda.Stream(loader.device) if cuda else None  # type: ignore[no-untyped-call]
        self._done = torch.cuda.Event() if cuda else None  # type: ignore[no-untyped-call]

    def fill(self, step: int) -> Batch:
        """Make the batch of `step`, or on an accelerator start making it."""
        if self._stream is None or self._done is None:
            return self._loader.batch(step, self._buffer)
        self._done.synchronize()  # the buffer's last batch has left it
        with torch.cuda.stream(self._stream):
            batch = move(self._loader.batch(step, self._buffer), self._loader.device)
            self._done.record(self._stream)
        return batch

    def wait(self, batch: Batch) -> None:
        """Let the trainer's stream, not its thread, wait until the batch is there."""
        if self._done is None:
            return
        current = torch.cuda.current_stream(self._loader.device)
        current.wait_event(self._done)
        for tensor in batch.values():
            tensor.record_stream(current)  # type: ignore[attr-defined]
