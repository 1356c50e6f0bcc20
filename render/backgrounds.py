"""``python -m render backgrounds``: a folder or archive of photographs becomes one bank of square crops.

Which pictures are taken, and where each is cropped, depends on (seed, name of the picture)
alone, so a picture added to the folder moves none of the others' crops.  Crops are scaled
evenly, never stretched.  What cannot be used is counted and named in the bank's own record:

    unreadable    no picture, or a broken one
    too_small     a side shorter than half the bank's (scaling up more shows)
    too_large     more pixels than any photograph has (a decompression bomb)

Greyscale pictures are used (as grey) and counted.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import heapq
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from jaxtyping import Float32
from PIL import Image as Pillow
from PIL import ImageFilter

from pipeline.archives import tar
from pipeline.archives.remote import FETCHED
from pipeline.conventions import Array, Image
from pipeline.errors import NO_ROOM, Reject, UserError, cannot_write, is_refusal
from pipeline.formats.zipped import damage_as
from pipeline.pictures.bank import resize, write_bank
from pipeline.pictures.decode import PROFILE_IGNORED, decode_picture
from pipeline.progress import Log, progress, say
from pipeline.seeds import generator, stable_hash
from pipeline.settings.backgrounds import Backgrounds
from pipeline.state.files import read_state
from pipeline.worker import IsolatedWorker

# What people call pictures; a format that cannot be read (an iPhone's .heic) is counted and named.
SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".heic", ".heif")
MOST_BYTES = 256 << 20  # of one encoded picture
SECONDS_PER_PICTURE = 60.0  # the largest take two
MEMORY_BYTES = 1 << 30  # address space that one picture may take
BANK_PER_RENDER = 1.25  # side of the stored crops over that of the views: room to crop differently each time
NAMES_KEPT = 20  # of unusable pictures, a kind
_STAYS = (errno.EACCES, errno.EPERM, errno.ELOOP)  # refusals that another try does not change
_Crop: TypeAlias = tuple[Image, bool, bool]  # the square crop, whether it is grey, whether a profile was ignored
Picture: TypeAlias = tuple[str, Callable[[], bytes | None]]  # name, and its encoded bytes (None: far too many)


@dataclass
class Tally:
    """What became of the pictures that were looked at."""

    found: int = 0
    used: int = 0
    greyscale: int = 0
    profiles: int = 0  # pictures with a colour profile that was not applied
    refused: dict[str, list[str]] = field(default_factory=dict)

    def refuse(self, reason: str, name: str, detail: str) -> None:
        """Count a picture; one that is not merely too small or too large is named with what is wrong."""
        if reason in ("too_large", "too_small"):
            self.refused.setdefault(reason, []).append(name)
        else:
            self.refused.setdefault("unreadable", []).append(f"{name} ({detail})")

    def summary(self) -> str:
        """``3 unreadable, 1 too_small``."""
        return ", ".join(f"{len(names)} {reason}" for reason, names in sorted(self.refused.items()))

    def as_json(self) -> dict[str, object]:
        counts = {reason: len(names) for reason, names in sorted(self.refused.items())}
        return {
            "found": self.found,
            "used": self.used,
            "greyscale": self.greyscale,
            "refused": counts,
            **({"colour_profiles_ignored": self.profiles} if self.profiles else {}),
            "examples": {reason: sorted(names)[:NAMES_KEPT] for reason, names in sorted(self.refused.items())},
        }


def build_bank(source: Path, out: Path, *, seed: int, settings: Backgrounds, render_px: int, log: Log) -> None:
    """Fill a bank from `source` and publish it."""
    size_px = settings.bank_px or -(-round(render_px * BANK_PER_RENDER) // 8) * 8
    tally = Tally()
    pictures = open_pictures(source, seed)
    # A file that crashes a decoder or fills the memory costs its own picture and nothing else.
    worker: IsolatedWorker[_Crop] = IsolatedWorker(
        functools.partial(_make_job, size_px, seed, settings), seconds=SECONDS_PER_PICTURE, memory_bytes=MEMORY_BYTES
    )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with worker, tempfile.TemporaryFile(dir=out.parent) as file:
            spool = _Spool(file, size_px)
            crops = _best_crops(pictures, spool, worker, seed=seed, count=settings.count, tally=tally, log=log)
            if not crops.names:
                raise UserError(
                    "no usable background pictures",
                    where=str(source),
                    got=f"{tally.found} pictures; left out: {tally.summary() or 'none'}",
                    wanted=f"JPEG or PNG files of at least {size_px // 2} pixels a side",
                    do="give another folder in backgrounds.path",
                )
            tally.used = len(crops)
            looks = np.stack([draw_alteration(settings, seed, name) for name in crops.names])
            write_bank(
                out,
                crops,
                {
                    "names": crops.names,
                    "counts": tally.as_json(),
                    "seed": seed,
                    "settings": settings.model_dump(mode="json"),
                },
                looks,
            )
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise cannot_write(error, out) from error
    log.write("bank", **tally.as_json())
    say(
        f"backgrounds: {tally.used} of {tally.found} pictures, {size_px} px"
        + (f"; left out: {tally.summary()}" if tally.refused else "")
    )


def _make_job(size_px: int, seed: int, settings: Backgrounds) -> Callable[[bytes, str], _Crop]:
    return functools.partial(_crop_of, size_px, seed, settings)


class _Spool(Sequence[Image]):
    """Crops in an unnamed file while it is not yet known which will stay; then a sequence by name."""

    def __init__(self, file: IO[bytes], size_px: int):
        self._file, self.size_px = file, size_px
        self._bytes = size_px * size_px * 3
        self._places: dict[str, int] = {}
        self._free: list[int] = []

    @property
    def names(self) -> list[str]:
        return sorted(self._places)

    def add(self, name: str, crop: Image) -> None:
        place = self._free.pop() if self._free else len(self._places)
        self._file.seek(place * self._bytes)
        self._file.write(crop.tobytes())
        self._places[name] = place

    def remove(self, name: str) -> None:
        self._free.append(self._places.pop(name))

    def freeze(self) -> _Spool:
        """Fix the order of the names, by which the crops are numbered."""
        self._order = self.names
        return self

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, row: Any) -> Any:
        self._file.seek(self._places[self._order[row]] * self._bytes)
        return np.frombuffer(self._file.read(self._bytes), np.uint8).reshape(self.size_px, self.size_px, 3)


def _best_crops(
    pictures: Iterable[Picture],
    crops: _Spool,
    worker: IsolatedWorker[_Crop],
    *,
    seed: int,
    count: int,
    tally: Tally,
    log: Log,
) -> _Spool:
    """The usable pictures with the smallest hashes, `count` at most, in one pass over any order.

    Only what beats the worst one kept so far is decoded: from a folder, which comes in the
    order of the hashes, little more than `count`; from a stream of N, about
    count * (1 + log(N / count)).
    """
    kept: list[tuple[int, str]] = []  # a heap with the largest hash on top
    for name, read in progress(pictures, "backgrounds", total=None, unit="picture", log=log):
        tally.found += 1
        rank = -rank_of(seed, name)
        if name in crops or (len(kept) == count and rank <= kept[0][0]):
            continue
        data = read()
        try:
            if data is None:
                raise Reject("too_large", f"more than {MOST_BYTES >> 20} MB")
            crop, grey, profile = worker.call(data, name)
        except Reject as reject:
            tally.refuse(reject.reason, name, reject.detail)
            continue
        tally.greyscale += grey
        tally.profiles += profile
        if len(kept) == count:
            crops.remove(heapq.heappop(kept)[1])
        crops.add(name, crop)
        heapq.heappush(kept, (rank, name))
    return crops.freeze()


def rank_of(seed: int, name: str) -> int:
    """The picture's place in the order in which pictures are preferred."""
    return stable_hash(seed, "background", name)


def _crop_of(size_px: int, seed: int, settings: Backgrounds, data: bytes, name: str) -> _Crop:
    """A random place along the longer side of one picture, scaled."""
    least_px = -(-size_px // 2)
    picture = decode_picture(data, least_px=least_px, enough_px=2 * least_px)
    pixels = picture.on_white
    height, width = pixels.shape[:2]
    rng = generator(seed, "background", name)
    side = min(height, width)
    row = int(rng.integers(0, height - side + 1))
    column = int(rng.integers(0, width - side + 1))
    crop = resize(pixels[row : row + side, column : column + side], size_px)
    crop = altered(crop, draw_alteration(settings, seed, name), generator(seed, "background noise", name))
    return crop, picture.grey, PROFILE_IGNORED in picture.notes


def draw_alteration(settings: Backgrounds, seed: int, name: str) -> Float32[Array, " 5"]:
    """(5,) blur in pixels, noise in levels, factors of r, g, b: a random part of what the settings allow."""
    rng = generator(seed, "background look", name)
    blur, noise = rng.uniform(0, settings.blur_px), rng.uniform(0, settings.noise)
    gains = rng.uniform(1 - settings.colour_jitter, 1 + settings.colour_jitter, 3)
    return np.array([blur, noise, *gains], np.float32)


def altered(crop: Image, alteration: Float32[Array, " 5"], rng: np.random.Generator) -> Image:
    """The crop out of focus, in another light and with noise."""
    blur, noise, gains = float(alteration[0]), alteration[1], alteration[2:]
    if blur:
        crop = np.asarray(Pillow.fromarray(crop).filter(ImageFilter.GaussianBlur(blur)))
    if noise or (gains != 1).any():
        levels = crop * gains + noise * rng.standard_normal(crop.shape, dtype=np.float32)
        crop = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return crop


# ---- where pictures come from: a name, and a function that reads the encoded bytes ----------


def open_pictures(source: Path, seed: int) -> Iterator[Picture]:
    """The pictures of a folder, a zip, a tar, or what `fetch --backgrounds` recorded; a UserError for anything else."""
    try:
        if source.suffix == ".json" and source.is_file():
            source = Path(read_state(source, FETCHED)["files"][0]["path"])
        if source.is_dir():
            return _from_folder(source, seed)
        if zipfile.is_zipfile(source):
            return _from_zip(source, seed)
        if source.is_file() and tarfile.is_tarfile(source):
            return _from_tar(source)
    except OSError as error:
        raise UserError("cannot open the backgrounds", where=str(source), got=error.strerror or str(error)) from error
    raise UserError(
        "no pictures to make backgrounds from",
        where=str(source),
        got="not a folder, .zip or .tar.gz" if source.exists() else "no such folder or archive",
        wanted="a folder of photographs or a SUN archive",
        do="set backgrounds.path",
    )


def _from_folder(folder: Path, seed: int) -> Iterator[Picture]:
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if _is_picture(p.name) and p.is_file()]
    for name in sorted(names, key=lambda name: rank_of(seed, name)):
        yield name, functools.partial(_read_file, folder / name)


def _read_file(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.stat().st_size <= MOST_BYTES else None
    except OSError as error:
        if is_refusal(error) and error.errno not in _STAYS:
            raise  # a disk that fails for a moment would leave the picture out for good
        return b""  # no permission, a broken link: an unreadable picture


def _from_zip(path: Path, seed: int) -> Iterator[Picture]:
    with contextlib.ExitStack() as open_zip:
        with damage_as(lambda problem: _damaged(path, problem)):
            archive = open_zip.enter_context(zipfile.ZipFile(path))
        names = [name for name in archive.namelist() if _is_picture(name)]
        for name in sorted(names, key=lambda name: rank_of(seed, name)):
            yield name, functools.partial(_read_zipped, archive, name)


class _Unreadable(Exception):
    """A member that is damaged."""


def _read_zipped(archive: zipfile.ZipFile, name: str) -> bytes | None:
    if archive.getinfo(name).file_size > MOST_BYTES:
        return None
    try:
        with damage_as(_Unreadable):
            return archive.read(name)
    except _Unreadable:
        return b""  # a damaged member is an unreadable picture


def _from_tar(path: Path) -> Iterator[Picture]:
    """One pass from front to back: the 39 GB of SUN397 are never unpacked."""
    for member, content in tar.read(path, pass_over_links=True):
        if not member.is_folder and _is_picture(member.name):
            yield member.name, functools.partial(_read_member, member, content)


def _read_member(member: tar.Member, content: Iterator[bytes]) -> bytes | None:
    return b"".join(content) if member.size <= MOST_BYTES else None


def _is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.rpartition("/")[2].startswith(".")


def _damaged(path: Path, problem: object) -> UserError:
    return UserError(
        "an archive of backgrounds is damaged",
        where=str(path),
        got=str(problem) or type(problem).__name__,
        do="delete it and fetch it again",
    )
