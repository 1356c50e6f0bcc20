"""Batches by step number: gathered by one thread ahead of the trainer, or on the device itself.

    loader = Loader(data, Sampler(len(data), 128, seed=1), views_per_shape=1, device="cuda")
    for step, batch in loader:
        inputs = to_device(batch, "cuda", augment=Augment(mirror=True))

Worker processes would make this three times slower: a batch is one pass of memory copies
without the interpreter's lock, and sending it between processes copies it again.  Think of a
colleague who works ahead: while there are batches in store, the trainer takes one and goes on;
where it would have to stand and wait, it makes the next one itself, so both cores copy.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from pipeline.conventions import Array
from training.data.batches import Batch, move
from training.data.memory import fits_on_device
from training.data.pictures import DRAWS
from training.data.sampler import Sampler
from training.data.shapes import CAMERAS, ShapeData

_BLOCK = 64  # steps whose choices are computed together, to spread the cost of small array calls

Choices = tuple[Int64[Array, "n b"], Int64[Array, "n b k"], Float32[Array, "n b k draws"]]  # of n steps


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
        self._block = functools.lru_cache(2)(  # two threads may stand in neighbouring blocks
            functools.partial(_choices, sampler, data.views, views_per_shape)
        )
        self._on_device: dict[str, Tensor] = {}
        if self.resident:
            if pictures is None:
                raise ValueError("resident pictures need data in RAM: open it with tier='ram'")
            self._on_device = {
                "pictures": torch.from_numpy(pictures).to(self.device),
                "voxel_bits": torch.from_numpy(data.voxels_bits).to(self.device),
            }
            if (alpha := data.alpha()) is not None:
                self._on_device["alpha"] = torch.from_numpy(alpha).to(self.device)

    def batch(self, step: int, buffers: Batch | None = None) -> Batch:
        """The batch of one step where it is gathered: in host memory (in `buffers()`), or on the device."""
        objects, views, draws = self._choices(step)
        batch = self._labelled(objects, views, draws)
        if self.resident:
            return self._gathered_on_device(move(batch, self.device))
        large = self.buffers() if buffers is None else buffers
        self.data.gather(objects, views, large["images"].numpy())
        np.take(self.data.voxels_bits, objects, axis=0, out=large["voxel_bits"].numpy(), mode="clip")
        if (alpha := self.data.alpha()) is not None:
            flat = large["alpha"].flatten(0, 1).flatten(1).numpy()
            np.take(alpha, self.data.rows(objects, views), axis=0, out=flat, mode="clip")
        return {**batch, **large}

    def buffers(self) -> Batch:
        """Memory for what is large in a batch, pinned where batches go to an accelerator."""
        data, share, k = self.data, self.sampler.share, self.views_per_shape
        shapes = {
            "images": (share, k, data.size_px, data.size_px, data.channels),
            "voxel_bits": (share, data.voxels_bits.shape[1]),
        }
        if data.alpha() is not None:
            shapes["alpha"] = (share, k, data.size_px, data.size_px)
        if self.device.type == "cuda":
            made = {name: torch.empty(shape, dtype=torch.uint8, pin_memory=True) for name, shape in shapes.items()}
        else:  # NumPy asks the kernel for huge pages, which PyTorch does not: 10 to 20 % of the time of a copy
            made = {name: torch.from_numpy(np.empty(shape, np.uint8)) for name, shape in shapes.items()}
        return cast(Batch, made)

    def _gathered_on_device(self, batch: Batch) -> Batch:
        """Only indices and draws have travelled."""
        size, channels = self.data.size_px, self.data.channels
        rows = (batch["objects"][:, None] * self.data.views + batch["views"]).flatten()
        images = self._on_device["pictures"].index_select(0, rows)
        batch["images"] = images.view(*batch["views"].shape, size, size, channels)
        batch["voxel_bits"] = self._on_device["voxel_bits"].index_select(0, batch["objects"])
        if "alpha" in self._on_device:
            batch["alpha"] = self._on_device["alpha"].index_select(0, rows).view(*batch["views"].shape, size, size)
        return batch

    def _choices(self, step: int) -> tuple[Int64[Array, " b"], Int64[Array, "b k"], Float32[Array, "b k draws"]]:
        """Objects (b,), views (b, k) and draws (b, k, DRAWS) of a step; computed for `_BLOCK` steps at once."""
        block, within = divmod(step, _BLOCK)
        objects, views, draws = self._block(block)
        return objects[within], views[within], draws[within]

    def _labelled(
        self, objects: Int64[Array, " b"], views: Int64[Array, "b k"], draws: Float32[Array, "b k draws"]
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
        """A ring of buffers, filled ahead in the order of the steps; errors of the thread are raised here."""
        steps = iter(self.steps)
        slots = [_Slot(self) for _ in range(self.prefetch + 1)]
        ahead: deque[_Job] = deque()
        with ThreadPoolExecutor(1, thread_name_prefix="loader") as thread:
            try:
                for slot, step in zip(slots, itertools.islice(steps, len(slots))):
                    ahead.append(_Job(slot, step, thread))
                while ahead:
                    job = ahead.popleft()
                    yield job.step, self._finished(job, ahead)
                    ahead.extend(_Job(job.slot, step, thread) for step in itertools.islice(steps, 1))
            finally:
                thread.shutdown(cancel_futures=True)

    def _finished(self, job: _Job, ahead: deque[_Job]) -> Batch:
        """The batch of `job`; while the thread is still at it, the trainer makes one of those `ahead`."""
        start = time.perf_counter()
        if not job.done() and not job.make_here():
            any(later.make_here() for later in ahead)
        batch = job.result()
        self.waited_s += time.perf_counter() - start
        job.slot.wait(batch)
        return batch


class _Slot:
    """The memory of one batch, and on an accelerator the stream of its own over which it travels."""

    def __init__(self, loader: Loader):
        self._loader, cuda = loader, loader.device.type == "cuda"
        self._buffers = None if loader.resident else loader.buffers()
        self._stream = torch.cuda.Stream(loader.device) if cuda else None  # type: ignore[no-untyped-call]
        self._done = torch.cuda.Event() if cuda else None  # type: ignore[no-untyped-call]

    def fill(self, step: int) -> Batch:
        """Make the batch of `step`, or on an accelerator start making it."""
        if self._stream is None or self._done is None:
            return self._loader.batch(step, self._buffers)
        self._done.synchronize()  # the buffers' last batch has left them
        with torch.cuda.stream(self._stream):
            batch = move(self._loader.batch(step, self._buffers), self._loader.device)
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


class _Job:
    """One batch to be made: by the thread when its turn comes, or by the trainer if it is there first."""

    def __init__(self, slot: _Slot, step: int, thread: ThreadPoolExecutor):
        self.slot, self.step = slot, step
        self._future: Future[Batch] = thread.submit(slot.fill, step)
        self._batch: Batch | None = None

    def done(self) -> bool:
        return self._batch is not None or self._future.done()

    def make_here(self) -> bool:
        """Make it in the calling thread; False if the other one has begun or ended it."""
        if self._batch is None and self._future.cancel():
            self._batch = self.slot.fill(self.step)
            return True
        return False

    def result(self) -> Batch:
        return self._future.result() if self._batch is None else self._batch


def _choices(sampler: Sampler, available: int, k: int, block: int) -> Choices:
    """Objects (_BLOCK, b), views (_BLOCK, b, k) and draws (_BLOCK, b, k, DRAWS) of a block of steps."""
    first, shape = block * _BLOCK, (_BLOCK, sampler.share)
    return (
        sampler.objects(first, _BLOCK).reshape(shape),
        sampler.views(first, available, k, _BLOCK).reshape(*shape, k),
        sampler.uniform(first, "augment", k * DRAWS, _BLOCK).reshape(*shape, k, DRAWS),
    )
