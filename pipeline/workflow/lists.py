"""What is in the shape lists of each data set now: the plan looks where the shapes are, and believes no time.

Folders are listed by their files, archives by their central directories.  Nothing is written before
`publish`, so that a look changes nothing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydantic

from pipeline.archives.contents import ContentSums
from pipeline.errors import UserError
from pipeline.manifest import Shape, shapes_from_tsv, shapes_to_tsv
from pipeline.provenance import code_digest
from pipeline.settings.config import Config
from pipeline.settings.sources import GENERATED
from pipeline.stages.fetch import located, own_folder, record_of, recorded
from pipeline.stages.index import SHAPES_PER_SHARD, Listing, list_shapes
from pipeline.state.files import Stored, read_if_whole, write_state, write_state_if_changed
from pipeline.workflow.heads import Head, HeadStore, differences, digest_of
from pipeline.workflow.memo import remembered
from pipeline.workflow.places import Shared
from pipeline.workflow.seen import head_of

_GENERATED_CATEGORIES = 6
MADE_AGAIN = "its archives are made again"


class _Kept(Stored):
    """What is used of ``made/index/D.json``, which a job writes as its record and a plan writes anew."""

    model_config = pydantic.ConfigDict(extra="allow")

    head: str = ""
    lists: list[tuple[str, str]] = []  # digests of each, with the splits and without; none: not noted yet
    rejects: str = ""


_KEPT: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(_Kept)


@dataclasses.dataclass
class Lists:
    """The lists of one data set."""

    shards: int
    digests: list[tuple[str, str]] | None = None  # of each list: with the splits, and without; None: not known yet
    rejects: str = ""  # digest of rejects.jsonl
    fetched: bool = False  # D.json says where the files are
    why: str = ""  # why they are not known, or the archives are not those that were fetched
    listing: Listing | None = None  # what to publish
    entries: list[dict[str, Any]] | None = None  # what D.json should hold
    key: str = ""
    other: str = ""  # which settings of listing have changed, where that is why the lists are not known
    lost: bool = False  # they are known from their record, and written again where something needs them

    @property
    def fetched_now(self) -> bool:
        """Whether D.json can be written without reading an archive."""
        return all(entry["sha256"] or Path(entry["path"]).is_dir() for entry in self.entries or ())


class ListKeeper:
    """The lists of all data sets of a run below `out`, each looked at once."""

    def __init__(self, config: Config, out: str, store: HeadStore, place: Shared):
        self._config, self._out, self._store, self._place = config, Path(out), store, place
        self._known: dict[str, Lists] = {}
        self._sums: dict[str, ContentSums] = {}
        self._brought: set[str] = set()
        self._disk: dict[str, tuple[int, list[tuple[str, str]]]] = {}

    def of(self, name: str, *, regenerated: bool = False) -> Lists:
        """The lists of a data set; `regenerated` says that its archives are made again before it is listed."""
        if name not in self._known:
            self._known[name] = self._look(name, regenerated)
        return self._known[name]

    def head(self, name: str) -> Head:
        """What listing depends on."""
        return head_of(self._config, "index", name)

    def texts(self, name: str) -> list[str]:
        """The lists as they lie on the disk, as far as there are any without a gap."""
        texts: list[str] = []
        while (path := self._folder(name) / f"{len(texts):03d}.tsv").is_file():
            texts.append(_readable(path))
        return texts

    def on_disk(self, name: str) -> list[tuple[str, str]]:
        """Digests of the lists as they lie on the disk, for what runs after they were written."""
        self.bring(name)
        try:
            written = self._folder(name).stat().st_mtime_ns  # every list that is published changes it
        except OSError:
            return []
        if self._disk.get(name, (0, []))[0] != written:
            self._disk[name] = written, [_digests(text) for text in self.texts(name)]
        return self._disk[name][1]

    def bring(self, name: str) -> None:
        """The lists of a data set from where all jobs leave them, once."""
        if name not in self._brought:
            self._place.pull(str(self._folder(name)))
            self._brought.add(name)

    def remember(self, name: str) -> None:
        """After a run that has listed a data set: its record says what was listed, should the lists get lost."""
        listed, kept = self.on_disk(name), self._remembered(name)
        if listed and kept.get("head") == self._store.stands_for(self.head(name)):
            write_state(self._kept(name), kept | {"lists": listed, "rejects": self.rejects(name)})

    def rejects(self, name: str) -> str:
        """Digest of rejects.jsonl as it lies on the disk."""
        self.bring(name)
        return _rejects(self._folder(name))

    @remembered
    def changed(self, name: str, *, splits: bool = False) -> str:
        """What is different in the lists that will be written anew, in words; nothing where that is not known.

        splits : what is different in the splits, else what is different in all but them.
        """
        known = self.of(name)
        found = "" if known.listing is None else _difference(self.texts(name), known.listing.lists, splits)
        return ": ".join(filter(None, [self._settings_changed(name), found])) if found else ""

    def _settings_changed(self, name: str) -> str:
        """Which settings of listing are others than those of the lists that are there, in words."""
        before = self._store.known.get(str(self._remembered(name).get("head")))
        return "" if before is None else ", ".join(differences(self.head(name), before))

    def publish(self, name: str) -> None:
        """Write what has changed: the lists, D.json, and what is remembered of both."""
        known = self.of(name)
        if known.entries is not None:
            self._publish_record(name, known)
        if known.listing is not None:
            known.listing.publish(self._folder(name))
        if known.key and known.digests is not None:
            self._store.keep(self.head(name))
            write_state(
                self._kept(name),
                {
                    "head": self._store.stands_for(self.head(name)),
                    "key": known.key,
                    "lists": known.digests,
                    "rejects": known.rejects,
                },
            )
        if name in self._sums:
            self._sums[name].save()

    def _publish_record(self, name: str, known: Lists) -> None:
        record, entries = self._record(name), known.entries or []
        if not self._place.apart:
            if list(recorded(record).values()) != entries and known.fetched_now:
                write_state_if_changed(record, record_of(name, entries))
        elif self._config.datasets[name].source == "folder":
            contents = str(record.with_suffix(""))
            if known.listing is not None or not self._place.exists(contents):
                self._place.send(Path(entries[0]["path"]), contents)
            moved = entries[0] | {"path": self._place.local(contents), "mirror": ""}
            write_state_if_changed(record, record_of(name, [moved]))
            self._place.push(str(record))

    # ---- looking ---------------------------------------------------------------------------

    def _folder(self, name: str) -> Path:
        return self._out / "index" / name

    def _record(self, name: str) -> Path:
        return self._out / "archives" / f"{name}.json"

    def _look(self, name: str, regenerated: bool) -> Lists:
        dataset, record = self._config.datasets[name], self._record(name)
        sums = self._sums[name] = ContentSums(record.with_suffix(".contents"))
        if dataset.source == "folder":
            entry = own_folder(name, dataset, sums)
            return self._present(name, [entry], list(recorded(record).values()) == [entry], sums)
        mirror = self._out / "mirror" / name
        generated = dataset.source == GENERATED
        found = None
        if not regenerated:
            at = mirror if generated and mirror.is_dir() else None
            found = located(name, dataset, record, mirror=at, sums=sums, seed=self._config.seed)
        if found is None:
            return self._absent(name, MADE_AGAIN if regenerated else "its archives are not here yet")
        entries, same = found
        fetched = record.exists() and all(e["sha256"] or Path(e["path"]).is_dir() for e in entries)
        lists = self._present(name, entries, fetched, sums)
        lists.why = _other_archives(entries, recorded(record))
        if same:
            lists.entries = None
        return lists

    def _present(self, name: str, entries: list[dict[str, Any]], fetched: bool, sums: ContentSums) -> Lists:
        """List the shapes, or remember how they were listed when nothing has changed since."""
        dataset, remembered = self._config.datasets[name], self._remembered(name)
        adapter = dataset.entry.adapter.partition(":")[0]
        code = code_digest("pipeline.stages.index", f"pipeline.sources.{adapter}")
        key = digest_of([self.head(name).stored(), code, [_identity(entry, sums) for entry in entries]])
        before = self.texts(name)
        digests = [_digests(text) for text in before]
        now = {"key": key, "lists": [list(pair) for pair in digests], "rejects": _rejects(self._folder(name))}
        if before and all(remembered.get(part) == value for part, value in now.items()):
            return Lists(len(before), digests, remembered["rejects"], fetched, "", None, entries, key)
        from pipeline.sources.base import Archives  # brings NumPy

        with Archives(entries, str(self._record(name)), sums) as opened:
            old = before if dataset.shards == "auto" else ()
            listing = list_shapes(name, dataset, opened, str(self._record(name)), seed=self._config.seed, before=old)
        digests = [_digests(text) for text in listing.lists]
        return Lists(len(listing.lists), digests, digest_of(listing.rejects), fetched, "", listing, entries, key)

    def _absent(self, name: str, why: str) -> Lists:
        """Lists of another time are as good as the archives, where they were made with the same settings.

        Where they are lost too, their record says what was in them, and so what follows from them.
        """
        dataset, kept, texts = self._config.datasets[name], self._remembered(name), self.texts(name)
        here = [_digests(text) for text in texts], _rejects(self._folder(name))
        listed = [(one, bare) for one, bare in kept.get("lists") or (here[0] if all(texts) else ())]
        known = listed, kept["rejects"] if kept.get("lists") else here[1]
        shards = dataset.shards if dataset.shards != "auto" else len(listed) or self._expected(name)
        same = kept.get("head") == self._store.stands_for(self.head(name))
        if len(listed) == shards and same and why != MADE_AGAIN:
            return Lists(shards, *known, why="removed, and needed again", lost=here != known)
        return Lists(shards, why=why, other="" if same else self._settings_changed(name))

    def _kept(self, name: str) -> Path:
        return self._out / "made" / "index" / f"{name}.json"

    def _remembered(self, name: str) -> dict[str, Any]:
        return read_if_whole(self._kept(name), _KEPT, {})

    def _expected(self, name: str) -> int:
        """How many shards a data set will want, by the published numbers."""
        dataset = self._config.datasets[name]
        count, categories = dataset.entry.shapes, dataset.entry.categories
        if dataset.source == GENERATED:
            each = dataset.procedural.shapes_per_category if dataset.procedural else 64
            count, categories = _GENERATED_CATEGORIES * each, _GENERATED_CATEGORIES
        if dataset.categories is not None:
            count, categories = math.ceil(count * len(dataset.categories) / categories), len(dataset.categories)
        if dataset.shapes_per_category is not None:
            count = min(count, dataset.shapes_per_category * categories)
        return max(1, math.ceil(count / SHAPES_PER_SHARD))


def _readable(path: Path) -> str:
    """A list, or nothing in place of one that is torn: it is written again."""
    try:
        text = path.read_text(encoding="utf-8")
        shapes_from_tsv(text)
    except (UserError, FileNotFoundError, UnicodeDecodeError):
        return ""
    return text


def _identity(entry: dict[str, Any], sums: ContentSums) -> Any:
    """What an archive holds: a zip's directory; of a folder names, sizes and times, which only spare a look."""
    path = Path(entry["path"])
    if not path.is_dir():
        return [entry["name"], entry["bytes"], entry["directory"]]
    files = sums.files(path.resolve())
    return [entry["name"], digest_of([(f.name, f.info.st_size, f.info.st_mtime_ns, f.link) for f in files])]


def _other_archives(entries: list[dict[str, Any]], known: dict[str, dict[str, Any]]) -> str:
    """Which archives are not those that were fetched, in words."""
    other = [entry["name"] for entry in entries if not entry["sha256"] and entry["name"] in known]
    new = [entry["name"] for entry in entries if not entry["sha256"] and entry["name"] not in known]
    kinds = {"another file than was fetched": other, "not fetched yet": new} if known else {}
    return "; ".join(f"{', '.join(names)}: {kind}" for kind, names in kinds.items() if names)


def _digests(text: str) -> tuple[str, str]:
    """Of a list as it is, and of what meshes, voxels and views follow from: all but the splits."""
    bare = shapes_to_tsv(dataclasses.replace(shape, split="train") for shape in _shapes(text))
    return digest_of(text), digest_of(bare)


def _rejects(folder: Path) -> str:
    try:
        return digest_of((folder / "rejects.jsonl").read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError):
        return ""


def _difference(old: Sequence[str], new: Sequence[str], splits: bool) -> str:
    """``2 added (box/a, box/b), 1 changed (box/c)``: shapes of all lists, the first of each kind by name."""
    before, now = _placed(old), _placed(new)
    both = sorted(set(now) & set(before))
    if splits:
        kinds = {"in another split": [key for key in both if now[key][1].split != before[key][1].split]}
    else:
        same = [key for key in both if now[key][1] == dataclasses.replace(before[key][1], split=now[key][1].split)]
        kinds = {
            "added": sorted(set(now) - set(before)),
            "removed": sorted(set(before) - set(now)),
            "changed": sorted(set(both) - set(same)),
            "moved to another shard": [key for key in same if now[key][0] != before[key][0]],
        }
    return ", ".join(
        f"{len(keys)} {kind} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for kind, keys in kinds.items()
        if keys
    )


def _placed(lists: Sequence[str]) -> dict[str, tuple[int, Shape]]:
    """The number of its list, and the shape, by its key."""
    return {shape.key: (number, shape) for number, text in enumerate(lists) for shape in _shapes(text)}


def _shapes(text: str) -> list[Shape]:
    return shapes_from_tsv(text) if text else []
