"""``python -m pipeline verify results/``: is every file of a run still there and what was written?

    made/                 the record of each job (pipeline/state/record.py) has the SHA-256 of every file that it made
    index                 each list by the digest that the plan has kept
    archives/*.json       each file by the SHA-256 that `fetch` recorded

Where a job has no record, or one of an earlier version, its product is known by what is inside it:

    backgrounds           the bank by its own checksums
    prepared, voxels      each pack by its own checksums, each mesh by the SHA-256 in its record
    renders, shards       each shard as ``python -m pipeline shards verify`` does
    shards                also by the SHA-256 in the index of their data set
    *.json                by its seal (pipeline/state/digests.py)

A whole file passes, a changed byte anywhere is named with its file and, in packs and shards, with its shape.
No time of a file is asked for.  Missing is what other files of the same job or the same finished data set are
there without: a stage that is gone altogether was removed to save space, and is made again when something needs it.

``--repair`` makes just the damaged and missing files again.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.archives.remote import FETCHED
from pipeline.errors import UserError
from pipeline.formats.pack import RECORDS, REJECTS, PackReader, write_again
from pipeline.formats.shard_index import read_index
from pipeline.formats.zipped import BROKEN_ZIP
from pipeline.progress import Log, progress, say
from pipeline.state.digests import sha256_of
from pipeline.state.files import OBJECT, read_cache, read_state
from pipeline.state.record import changed
from pipeline.upkeep.repair import repair
from pipeline.workflow import records
from pipeline.workflow.heads import digest_of

_BLOCK = 1 << 20
_WHOLE = 1 << 62  # bytes up to which a file is read: all

PATTERNS = (
    "archives/*.json",
    "index/*/categories.json",
    "backgrounds/bank.npz",
    "prepared/*/*.zip",
    "voxels/*/*.zip",
    "renders/*/*.h5",
    "shards/*/*.h5",
    "shards/*/index.json",
    "audits/*.json",
    "runs/*/*.json",
    "made/plan.json",
    "made/heads/*.json",
)


class Known(NamedTuple):
    """One file of a run, and what is known of it."""

    path: Path
    record: Path | None = None  # of the job that made it
    made: dict[str, Any] | None = None  # what that says
    sha256: str = ""  # in the index of its data set
    digest: str = ""  # of a list, as the plan has kept it
    listed: bool = False  # whether it has to be there


def verify_run(
    root: Path, *, log: Log, mend: bool = False, snakemake: Sequence[str] = (), as_json: bool = False
) -> int:
    """Check every file below a run's output folder; 1 when something is wrong (or stays so), all of it named.

    mend : make what is damaged or missing again; snakemake : options passed on for that.
    as_json : print what is wrong before it is mended as one JSON object, too.
    """
    if not root.is_dir():
        raise UserError("there is no such folder", where=str(root), do="give the `output` folder of a run")
    files = known_files(root)
    if not files:
        raise UserError(
            "nothing to verify",
            where=str(root),
            wanted="archives, packs or shards of a run",
            do="give the `output` folder of a run",
        )
    wrong = _wrong(files, root, log)
    if as_json:
        problems = [{"file": str(one.path), "problem": problem} for one, problem in wrong]
        print(json.dumps({"files": len(files), "problems": problems}, indent=1))
    if not wrong or not mend:
        if wrong:
            say("`python -m pipeline verify --repair` makes just the files named above again")
        say(f"verify: {len(files)} files, {len(wrong) or 'no'} problems")
        return 1 if wrong else 0
    bad = {one.path: one.record for one, _ in wrong}
    mended, left = repair(bad, root, snakemake)
    now = {one.path: one for one in known_files(root)}
    if mended and not _wrong([now.get(path, Known(path, listed=True)) for path in mended], root, log):
        say(f"verify: {len(mended)} of {len(mended)} files are whole again")
        return 1 if left else 0
    return 1


def known_files(root: Path) -> list[Known]:
    """Every file that a run has left, with what is known of it."""
    found: dict[Path, Known] = {}
    for pattern in PATTERNS:
        found |= {path: Known(path) for path in sorted(root.glob(pattern)) if not path.name.startswith(".")}
    found |= _listed(root, found)
    for path, made in records.all_of(root):
        found[path] = Known(path, path, made)
        names = made["outputs"] if made is not None else ()
        some = any((root / name).exists() for name in names)
        for name in names:
            had = found.get(root / name, Known(root / name))
            found[root / name] = had._replace(record=path, made=made, listed=had.listed or some)
    for path, digest in _lists(root):
        found[path] = Known(path, digest=digest)
    return [one for one in found.values() if one.listed or one.path.exists()]


def _listed(root: Path, found: dict[Path, Known]) -> dict[Path, Known]:
    """What finished data sets consist of, by their indexes."""
    out: dict[Path, Known] = {}
    for index in sorted(root.glob("shards/*/index.json")):
        try:
            entries = read_index(index)["shards"]
        except UserError:
            continue  # named as damaged
        for stage, suffix in (("prepared", ".zip"), ("voxels", ".zip"), ("renders", ".h5")):
            folder = root / stage / index.parent.name
            if any(folder.glob(f"*{suffix}")):
                paths = [folder / (Path(entry["file"]).stem + suffix) for entry in entries]
                out |= {path: Known(path, listed=True) for path in paths}
        paths = [index.parent / entry["file"] for entry in entries]
        out |= {path: Known(path, sha256=entry["sha256"], listed=True) for path, entry in zip(paths, entries)}
    return out


def _lists(root: Path) -> Iterator[tuple[Path, str]]:
    """The lists of shapes and the digest of each."""
    for path in sorted(root.glob("made/index/*.json")):
        kept = read_cache(path, OBJECT, {})
        folder = root / "index" / path.stem
        lists = kept["lists"] if isinstance(kept.get("lists"), list) else []
        yield from ((folder / f"{number:03d}.tsv", str(pair[0])) for number, pair in enumerate(lists))
        if lists:
            yield folder / "rejects.jsonl", str(kept.get("rejects"))


def _wrong(files: Sequence[Known], root: Path, log: Log) -> list[tuple[Known, str]]:
    """Every file with something wrong about it, each problem said and logged."""
    found = []
    for one in progress(files, "verify", unit="file", log=log):
        for problem in _problems(one, root) if one.path.exists() else ["missing"]:
            found.append((one, problem))
            log.write("damaged", file=str(one.path), problem=problem)
            say(f"missing: {one.path}" if problem == "missing" else f"damaged: {one.path}: {problem}", needed=True)
    return found


def _problems(one: Known, root: Path) -> Iterator[str]:
    if one.record == one.path:
        if one.made is None:
            yield "the record of a job cannot be read"
    elif one.digest:
        if digest_of(one.path.read_bytes().decode("utf-8", "surrogateescape")) != one.digest:
            yield "it is not the list that was written"
    elif one.made is not None and (name := one.path.relative_to(root).as_posix()) in one.made["outputs"]:
        for _, problem in changed(one.made, root, [name], read=_WHOLE):
            yield "; ".join([problem, *_inside(one)])
    else:
        yield from _inside(one)


def _inside(one: Known) -> Iterator[str]:
    """What is wrong with a file by what it holds itself."""
    path = one.path
    stage = path.parent.parent.name
    if path.parent.name == "archives" and path.suffix == ".json":
        yield from _archive_problems(path)
    elif path.suffix == ".npz" and path.parent.name == "backgrounds":
        yield from _bank_problems(path)
    elif path.suffix == ".h5":
        yield from _shard_problems(path, one.sha256)
    elif stage in ("prepared", "voxels"):
        yield from _pack_problems(path)
    elif path.suffix == ".json":
        yield from _state_problems(path, stage)


def _state_problems(path: Path, stage: str) -> Iterator[str]:
    try:
        read_index(path) if stage == "shards" else read_state(path, sealed=path.name == "plan.json")
    except UserError as error:
        yield error.got


def _archive_problems(path: Path) -> Iterator[str]:
    try:
        entries = read_state(path, FETCHED)["files"]
    except UserError as error:
        yield f"not a list of archives: {error.got}"
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
    except (UserError, OSError, *BROKEN_ZIP) as error:
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
    except (OSError, *BROKEN_ZIP) as error:
        damaged = str(error)
    if damaged:
        yield f"not a whole bank of pictures: {damaged}"


def _shard_problems(path: Path, sha256: str) -> Iterator[str]:
    from pipeline.shards import verify  # HDF5 takes a moment to load

    try:
        verify(path, "full")
    except UserError as error:
        yield " ".join(part for part in (error.what, error.where, error.got) if part)
        return
    if sha256 and sha256_of(path) != sha256:
        yield "its bytes are not those that its index lists"
