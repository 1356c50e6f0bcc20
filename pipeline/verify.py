"""``python -m pipeline verify results/``: is every file of a run still what was written?

    archives/*.json     each file by the SHA-256 that `fetch` recorded
    prepared, voxels    each pack by the checksums inside it, each mesh by the SHA-256 in its record
    renders, shards     each shard as ``python -m pipeline shards verify`` does

A whole file passes, a changed byte anywhere is named with its file and its shape.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import UserError
from pipeline.intact import sha256_of
from pipeline.pack import BROKEN_ZIP, RECORDS, REJECTS, PackReader, write_again
from pipeline.progress import Log, progress, say

_BLOCK = 1 << 20


def verify_run(root: Path, *, log: Log) -> int:
    """Check every file below a run's output folder; 1 when something is damaged, all of it named."""
    if not root.is_dir():
        raise UserError("there is no such folder", where=str(root), do="give the `output` folder of a run")
    files = [path for pattern in ("archives/*.json", "prepared/*/*.zip", "voxels/*/*.zip", "renders/*/*.h5",
                                  "shards/*/*.h5") for path in sorted(root.glob(pattern))
             if not path.name.startswith(".")]  # fmt: skip
    if not files:
        raise UserError(
            "nothing to verify",
            where=str(root),
            wanted="archives, packs or shards of a run",
            do="give the `output` folder of a run",
        )
    damaged = 0
    for path in progress(files, "verify", unit="file", log=log):
        for problem in _problems(path):
            damaged += 1
            log.write("damaged", file=str(path), problem=problem)
            say(f"damaged: {path}: {problem}")
    if damaged:
        say("delete the files named above and run the same command again; it makes only those")
    say(f"verify: {len(files)} files, {damaged or 'no'} problems")
    return 1 if damaged else 0


def _problems(path: Path) -> Iterator[str]:
    if path.suffix == ".json":
        return _archive_problems(path)
    return _shard_problems(path) if path.suffix == ".h5" else _pack_problems(path)


def _archive_problems(path: Path) -> Iterator[str]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield f"not a list of archives: {error}"
        return
    for entry in entries:
        place = Path(entry["path"])
        if not place.exists():
            yield f"{place} is not there any more"
        elif entry["sha256"] and place.is_file() and sha256_of(place) != entry["sha256"]:
            yield f"{place} is not what was fetched"


def _pack_problems(path: Path) -> Iterator[str]:
    try:
        pack = PackReader(path)
        with zipfile.ZipFile(path) as archive:
            listed = set(archive.namelist()) - {RECORDS, REJECTS}
            same = _same_again(archive, path)
    except (UserError, *BROKEN_ZIP) as error:
        yield f"not a whole pack: {getattr(error, 'got', '') or error}"
        return
    suffix = ".glb" if path.parent.parent.name == "prepared" else ".binvox"
    for odd in sorted(listed ^ {record.key + suffix for record in pack.records}):
        yield f"{odd} is {'without a record' if odd in listed else 'missing'}"
    for record in pack.records:
        wanted = record.facts.get("prepare", {}).get("mesh_sha256")
        if suffix == ".glb" and record.key + suffix in listed:
            found = hashlib.sha256(pack.payload(record)).hexdigest()
            if found != wanted:
                yield f"{record.key} is not the mesh of its record"
    if not same:
        yield "its bytes are not those of a pack with this content"


def _same_again(archive: zipfile.ZipFile, path: Path) -> bool:
    """Whether a pack is, byte for byte, what its content makes; reading it checks every member's sum."""
    with tempfile.TemporaryFile() as again, open(path, "rb") as stored:
        write_again(archive, again)
        again.seek(0)
        while block := again.read(_BLOCK):
            if stored.read(len(block)) != block:
                return False
        return not stored.read(1)


def _shard_problems(path: Path) -> Iterator[str]:
    from pipeline.shards import verify  # HDF5 takes a moment to load

    try:
        verify(path, "full")
    except UserError as error:
        yield " ".join(part for part in (error.what, error.where, error.got) if part)
