"""The file of a checkpoint: everything that resuming needs, in safetensors; nothing is ever unpickled.

    checkpoints/000064000.safetensors    named by samples seen; the last k are kept
    checkpoints/best.safetensors         the one with the best validation IoU

Tensors: ``networks.*``, ``average.*``, ``adam.<phase>.<network>.<n>.<moment>``.  The header's one
metadata entry ``state`` is JSON: format, version, the experiment, its identity and sizes,
the step, what the loop remembers, the SHA-256 of all tensors, and a seal (pipeline/state/digests.py);
these two are compared whenever a checkpoint is read.  Equal states give equal bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pydantic
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline.atomic import atomic_path
from pipeline.errors import Refusal, UserError, in_words, remedy
from pipeline.progress import say
from pipeline.settings.parse import parse
from pipeline.settings.training import REMOVED, Experiment
from pipeline.state.digests import sealed
from pipeline.state.files import parse_lines

FORMAT, VERSION = "3d-vae-gan checkpoint", 2
UNSUMMED = 1  # version of those that were written before there was a digest
BEST = "best.safetensors"


@dataclass(frozen=True)
class Header:
    """What a checkpoint says about itself."""

    __pydantic_config__: ClassVar[pydantic.ConfigDict] = pydantic.ConfigDict(extra="forbid")

    identity: str  # digest of settings, seed, data and code
    settings: dict[str, Any]  # the experiment, all keys
    size_px: int
    resolution: int
    categories: list[str]
    samples: int  # samples seen
    loop: dict[str, Any]  # what the loop remembers

    @property
    def experiment(self) -> Experiment:
        """The settings as a checked object; keys that an older version had are passed over."""
        known = {key: value for key, value in self.settings.items() if key not in REMOVED}
        return parse(Experiment, known, "the settings in the checkpoint")


def write(path: Path, header: Header, tensors: dict[str, Tensor]) -> None:
    """Publish one checkpoint atomically; raises UserError when the disk is full."""
    kept = {name: value.detach().contiguous().cpu().clone() for name, value in tensors.items()}
    state = sealed({"format": FORMAT, "version": VERSION, **header.__dict__, "tensors": _digest(kept)})
    with atomic_path(path) as temporary:
        try:
            # One entry: the library writes several in an order of its own.
            save_file(kept, temporary, metadata={"state": json.dumps(state, sort_keys=True, allow_nan=False)})
        except SafetensorError as error:
            raise UserError(
                f"cannot write {path}: {error}",
                where=str(path.parent),
                do="free some space, then run the same command again",
            ) from error


def read_header(path: Path) -> Header:
    """What the checkpoint says about itself; a UserError for anything that is not a whole checkpoint."""
    return _read(path, tensors=False)[0]


def load(path: Path, device: torch.device) -> tuple[Header, dict[str, Tensor]]:
    """Header and all tensors; a UserError for anything that is not a whole checkpoint."""
    return _read(path, tensors=True, device=device)


def _read(path: Path, *, tensors: bool, device: torch.device | None = None) -> tuple[Header, dict[str, Tensor]]:
    if not path.is_file():
        raise UserError(
            "there is no such checkpoint",
            where=str(path),
            do="give a file of runs/<experiment>/checkpoints, or train first",
        )
    try:
        with open(path, "rb"):  # what the system refuses; the library gives no error numbers
            pass
    except OSError as error:
        raise in_words(error) from error
    try:
        with safe_open(path, framework="pt", device=str(device or "cpu")) as file:
            text = (file.metadata() or {}).get("state", "{}")
            values = {name: file.get_tensor(name) for name in file.keys()} if tensors else {}  # noqa: SIM118
        state = _state(text, values if tensors else None)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            "this is not a whole checkpoint",
            where=str(path),
            got=str(error),
            wanted="a safetensors file as `python -m training train` has written it (pickles are never loaded)",
            do=remedy(path, ".safetensors"),
        ) from error
    if state.pop("format", None) != FORMAT or state.pop("version", None) not in (UNSUMMED, VERSION):
        raise UserError(
            "these weights are not a checkpoint of this trainer",
            where=str(path),
            wanted=f"format {FORMAT!r}, version {VERSION}",
            do="give a file that `training train` wrote",
        )
    return _header(state, path), values


def _header(state: dict[str, Any], path: Path) -> Header:
    try:
        pydantic.TypeAdapter(Header).validate_json(json.dumps(state), strict=True)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UserError(
            "this is not a whole checkpoint",
            where=str(path),
            got=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            do=remedy(path, ".safetensors"),
        ) from error
    return Header(**state)


def _state(text: str, values: dict[str, Tensor] | None) -> dict[str, Any]:
    """The state, which has to fit its seal, and the tensors their digest; `values` None passes the tensors over."""
    state: dict[str, Any] = (parse_lines(text) or [{}])[0]
    wanted = state.pop("tensors", "")
    if values is not None and state.get("version") == VERSION and (found := _digest(values)) != wanted:
        raise ValueError(f"the SHA-256 of its tensors is {found[:12]}..., and {str(wanted)[:12]}... was written")
    return state


def _digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load_weights(networks: torch.nn.Module, tensors: dict[str, Tensor], prefix: str, path: Path) -> None:
    """Copy the tensors under `prefix`; a UserError names the first that does not fit."""
    found = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    wanted = networks.state_dict()
    for name in sorted(found.keys() ^ wanted.keys()):
        raise UserError(
            "the checkpoint is of another architecture",
            where=str(path),
            got=f"{name} {'missing' if name in wanted else 'unknown'}",
            do="use the settings it was trained with, or another run folder",
        )
    for name, value in wanted.items():
        if found[name].shape != value.shape:
            raise UserError(
                "the checkpoint is of another architecture",
                where=f"{path}: {name}",
                got=str(tuple(found[name].shape)),
                wanted=str(tuple(value.shape)),
                do="use the settings it was trained with, or another run folder",
            )
    networks.load_state_dict(found)


class Folder:
    """The checkpoints of one run."""

    def __init__(self, folder: Path, count: int):
        self.folder, self.count = folder, count  # of the newest, beside the best

    def files(self) -> list[Path]:
        """Numbered checkpoints, oldest first."""
        return sorted(path for path in self.folder.glob("[0-9]*.safetensors") if path.stem.isdigit())

    def path(self, samples: int) -> Path:
        return self.folder / f"{samples:09d}.safetensors"

    @property
    def best(self) -> Path:
        return self.folder / BEST

    def latest(self) -> Path | None:
        """The newest whole checkpoint."""
        return next(self.whole(), None)

    def whole(self) -> Iterator[Path]:
        """Numbered checkpoints, newest first, every byte read; one that is not whole is named and passed over."""
        for path in reversed(self.files()):
            try:
                load(path, torch.device("cpu"))
            except Refusal:
                raise
            except UserError as error:
                say(f"{path} is passed over: {error.what} ({error.got}); the checkpoint before it is taken")
                continue
            yield path

    def mark_best(self, path: Path) -> None:
        """Publish a copy of `path` as the best (a hard link where the file system has them)."""
        with atomic_path(self.best) as temporary:
            temporary.unlink()
            try:
                os.link(path, temporary)
            except OSError:
                shutil.copyfile(path, temporary)

    def prune(self) -> None:
        """Leave the newest `count` that were written on schedule, and the newest of all."""
        files = self.files()
        scheduled = [path for path in files if not self._is_passing(path)]
        staying = {*scheduled[-self.count :], *files[-1:]}
        for path in files:
            if path not in staying:
                path.unlink()

    @staticmethod
    def _is_passing(path: Path) -> bool:
        try:
            return bool(read_header(path).loop.get("passing"))
        except UserError:  # damaged ones are passed over and grow old like any other
            return False
