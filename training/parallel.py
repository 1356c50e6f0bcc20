"""Several processes that train one network: who this one is, and what they tell each other.

Each process (rank) works on its slice of the global batch.  Three exchanges make W ranks
learn what one learns, up to the order of additions:
  - batch norm takes its statistics from the global batch (`total` inside the layer),
  - gradients are averaged before a network moves (`Ranks.average`),
  - decisions (stop, roll back, leave the discriminator as it is) are taken from shared numbers.

The environment variables are torchrun's: RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT.
"""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from pipeline.errors import UserError
from pipeline.gpu import gpus
from pipeline.state.files import parse_json

PATIENCE = datetime.timedelta(days=30)  # longer than any job
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of GNU's C library


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together; the defaults are a process by itself."""

    rank: int = 0
    world: int = 1
    local: int = 0  # on this machine: the number of its GPU

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def rows(self, values: Tensor) -> Tensor:
        """(B, ...) of the global batch -> this rank's (B / W, ...)."""
        share = len(values) // self.world
        return values[self.rank * share : (self.rank + 1) * share]

    def average(self, values: Iterable[Tensor]) -> None:
        """Replace each tensor by its mean over the ranks, in one exchange."""
        tensors = list(values)
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.world
        for tensor, part in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def average_gradients(self, module: nn.Module) -> None:
        """Average what the ranks' backward passes left in a network; called before it moves."""
        self.average(parameter.grad for parameter in module.parameters() if parameter.grad is not None)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on one rank at least."""
        if self.world == 1:
            return flag
        value = torch.tensor(int(flag))
        dist.all_reduce(value, dist.ReduceOp.MAX)
        return bool(value)

    def shared(self, value: Any) -> Any:
        """The first rank's value, JSON, on every rank."""
        if self.world == 1:
            return value
        data = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        size = torch.tensor(len(data))
        dist.broadcast(size, 0)
        if not self.first:
            data = torch.empty(int(size), dtype=torch.uint8)
        dist.broadcast(data, 0)
        return parse_json(bytes(data.tolist()))

    def wait(self) -> None:
        """Go on when every rank is here."""
        if self.world > 1:
            dist.barrier()


def from_environment() -> Ranks:
    """This process as torchrun names it; a process by itself without torchrun."""
    try:
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        rank, world, local = (int(os.environ.get(name, default)) for name, default in zip(names, (0, 1, 0)))
    except ValueError as error:
        raise UserError(
            "RANK, WORLD_SIZE and LOCAL_RANK must be numbers", got=str(error), do="start it by torchrun, or unset them"
        ) from error
    return Ranks(rank, world, local)


def choose_device(wanted: str, ranks: Ranks = Ranks()) -> torch.device:  # noqa: B008 - frozen
    """The accelerator where `auto` finds one; a UserError where `cuda` does not, or where SLURM gave one for `auto`."""
    found = torch.cuda.is_available()
    if wanted == "cuda" and not found:
        raise UserError("there is no CUDA device", got=f"device: cuda; {no_cuda()}", do="set device to auto or cpu")
    if wanted == "auto" and not found and (given := given_by_slurm()):
        raise UserError(
            "this job was given a GPU, and torch cannot use it; on the CPU it would hold it for nothing",
            got=f"{given}; {no_cuda()}",
            do="mend that, or set `device: cpu` in the experiment, which asks for no GPU",
        )
    if wanted == "cpu" or not found:
        return torch.device("cpu")
    if ranks.local >= torch.cuda.device_count():
        raise UserError(
            "there are more processes than GPUs",
            got=f"{ranks.world} processes, {torch.cuda.device_count()} GPUs",
            do="set `processes` to the number of GPUs",
        )
    return torch.device("cuda", ranks.local) if ranks.world > 1 else torch.device("cuda")


def given_by_slurm() -> str:
    """The variable of a SLURM job that says which GPUs it was given; empty outside of one, or without."""
    names = ("SLURM_GPUS", "SLURM_JOB_GPUS", "SLURM_GPUS_ON_NODE")
    return next((f"{name}={os.environ[name]}" for name in names if os.environ.get(name, "0") not in ("", "0")), "")


def no_cuda() -> str:
    """Why torch finds no CUDA device, as far as the system tells."""
    here = gpus()
    if here is None:
        return "no GPU is seen on this machine"
    return here.trouble(torch.version.cuda) or f"{here} is seen, but torch (CUDA {torch.version.cuda}) cannot open it"


def prepare(device: torch.device, threads: int) -> None:
    """Threads on a CPU; on a GPU a search for the fastest convolutions, since all batches have one shape."""
    torch.set_num_threads(threads)
    keep_memory()
    torch.backends.cudnn.benchmark = device.type == "cuda"


def keep_memory() -> None:
    """Let the C library keep what tensors give back: by default it returns each to the system and asks for it again.

    A tenth of the time of an update of small networks on a CPU is spent on pages that come and go.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is not None and hasattr(library, "mallopt"):  # GNU's
        library.mallopt(M_MMAP_THRESHOLD, 32 << 20)  # the most that it takes
        library.mallopt(M_TRIM_THRESHOLD, 1 << 30)


def described(device: torch.device, threads: int, *, bf16: bool) -> str:
    """On what a training computes and with how many bits, for its first line."""
    here = gpus()
    if device.type == "cpu":
        unused = f"; {here} stays unused" if here else ""
        return f"on the CPU, {threads} threads, {'bf16' if bf16 else 'float32'}, torch {torch.__version__}{unused}"
    tf32 = ", TF32 in convolutions" if torch.backends.cudnn.allow_tf32 else ""
    driver = f"driver {here.driver}, " if here and here.driver else ""
    return (
        f"on {torch.cuda.get_device_name(device)}, {'bf16' if bf16 else 'float32' + tf32}, "
        f"{driver}torch {torch.__version__} for CUDA {torch.version.cuda}"
    )


@contextlib.contextmanager
def connected(ranks: Ranks, device: torch.device) -> Iterator[None]:
    """Join the other ranks: gloo between processors, nccl between GPUs."""
    if ranks.world == 1:
        yield
        return
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # The first rank may stand in line for the run's lock for hours before it joins; once all have met, the
    # backends' own time limits hold.
    store, *_ = next(rendezvous("env://", ranks.rank, ranks.world, timeout=PATIENCE))
    store.set_timeout(dist.default_pg_timeout)
    dist.init_process_group(backend, store=store, rank=ranks.rank, world_size=ranks.world)
    try:
        yield
    finally:
        dist.destroy_process_group()


def world_size() -> int:
    """Processes that are connected now."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _Total(torch.autograd.Function):
    """Sum over the ranks; the gradient of a sum that every rank uses is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        out = value.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(out)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return total(gradients[0])  # by the same function, so that penalties can differentiate it again


def total(value: Tensor) -> Tensor:
    """The sum over all ranks, differentiable; the value itself in a process by itself."""
    if world_size() == 1:
        return value
    return _Total.apply(value)  # type: ignore[no-any-return, no-untyped-call]
