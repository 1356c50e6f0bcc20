"""``python -m pipeline verify results/``: is every file of a run still there and what was written?

    archives/*.json     each file by the SHA-256 that `fetch` recorded
    backgrounds         the bank by the checksums inside it
    prepared, voxels    each pack by the checksums inside it, each mesh by the SHA-256 in its record
    renders, shards     each shard as ``python -m pipeline shards verify`` does
    shards              also by the SHA-256 in the index of their data set

A whole file passes, a changed byte anywhere is named with its file and its shape.  Missing is
what a finished data set (one with an index) had: a stage that is gone altogether was removed
to save space, and is made again when something needs it.

``--repair`` makes just the damaged and missing files again.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.formats.pack import BROKEN_ZIP, RECORDS, REJECTS, PackReader, write_again
from pipeline.manifest import sha256_of
from pipeline.progress import Log, progress, say
from pipeline.upkeep.repair import repair

_BLOCK = 1 << 20


PATTERNS = (
    "archives/*.json",
    "backgrounds/bank.npz",
    "prepared/*/*.zip",
    "voxels/*/*.zip",
    "renders/*/*.h5",
    "shards/*/*.h5",
)


def verify_run(
    root: Path, *, log: Log, mend: bool = False, snakemake: Sequence[str] = (), as_json: bool = False
) -> int:
    """Check every file below a run's output folder; 1 when something is wrong (or stays so), all of it named.

    mend : make what is damaged or missing again; snakemake : options passed on for that.
    as_json : print what is wrong before it is mended as one JSON object, too.
    """
    if not root.is_dir():
        raise UserError("there is no such folder", where=str(root), do="give the `output` folder of a run")
    files = [path for pattern in PATTERNS for path in sorted(root.glob(pattern)) if not path.name.startswith(".")]
    if not files:
        raise UserError(
            "nothing to verify",
            where=str(root),
            wanted="archives, packs or shards of a run",
            do="give the `output` folder of a run",
        )
    wrong = _wrong(files, root, log)
    if as_json:
        problems = [{"file": str(path), "problem": problem} for path, problem in wrong]
        print(json.dumps({"files": len(files), "problems": problems}, indent=1))
    if not wrong or not mend:
        if wrong:
            say("`python -m pipeline verify --repair` makes just the files named above again")
        say(f"verify: {len(files)} files, {len(wrong) or 'no'} problems")
        return 1 if wrong else 0
    # What `fetch` found in place is not this pipeline's to replace.
    paths = sorted({path for path, _ in wrong if path.suffix != ".json"})
    left = [path for path, _ in wrong if path.suffix == ".json"]
    for path in left:
        say(f"{path}: restore the files it lists, or delete it and them, and run the usual command: they are fetched")
    mended = bool(paths) and repair(paths, root, snakemake) and not _wrong(paths, root, log)
    if mended:
        say(f"verify: {len(paths)} of {len(paths)} files are whole again")
    return 0 if mended and not left else 1


def _wrong(files: Sequence[Path], root: Path, log: Log) -> list[tuple[Path, str]]:
    """Every file with something wrong about it, each problem said and logged."""
    found = []
    listed = _listed(root)
    missing = [path for path in listed if not path.exists()]
    for path in progress([*missing, *files], "verify", unit="file", log=log):
        for problem in _problems(path, listed.get(path, {})) if path.exists() else ["missing"]:
            found.append((path, problem))
            log.write("damaged", file=str(path), problem=problem)
            say(f"missing: {path}" if problem == "missing" else f"damaged: {path}: {problem}", needed=True)
    return found


def _listed(root: Path) -> dict[Path, dict[str, Any]]:
    """What finished data sets consist of: path -> its entry in the index, or nothing known of its content."""
    out: dict[Path, dict[str, Any]] = {}
    for index in sorted(root.glob("shards/*/index.json")):
        try:
            entries = json.loads(index.read_text(encoding="utf-8"))["shards"]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # its rule makes it again
        for stage, suffix in (("prepared", ".zip"), ("voxels", ".zip"), ("renders", ".h5")):
            folder = root / stage / index.parent.name
            if any(folder.glob(f"*{suffix}")):
                out |= {folder / (Path(entry["file"]).stem + suffix): {} for entry in entries}
        out |= {index.parent / entry["file"]: entry | {"written_ns": index.stat().st_mtime_ns} for entry in entries}
    return out


def _problems(path: Path, entry: dict[str, Any]) -> Iterator[str]:
    if path.suffix == ".json":
        return _archive_problems(path)
    if path.suffix == ".npz":
        return _bank_problems(path)
    return _shard_problems(path, entry) if path.suffix == ".h5" else _pack_problems(path)


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


def _bank_problems(path: Path) -> Iterator[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except BROKEN_ZIP as error:
        damaged = str(error)
    if damaged:
        yield f"not a whole bank of pictures: {damaged}"


def _shard_problems(path: Path, entry: dict[str, Any]) -> Iterator[str]:
    from pipeline.shards import verify  # HDF5 takes a moment to load

    try:
        verify(path, "full")
    except UserError as error:
        yield " ".join(part for part in (error.what, error.where, error.got) if part)
        return
    # One that is newer than its index is of an interrupted run, and the next run writes the index again.
    if entry and path.stat().st_mtime_ns <= entry["written_ns"] and sha256_of(path) != entry["sha256"]:
        yield "its bytes are not those that its index lists"
