"""Which shapes a data set has, where each belongs, and which are refused from the start.

    python -m pipeline index --dataset D --seed N --settings JSON --archives D.json -o index/D/

Reads directories of archives only, never a mesh: 50,000 members take a second or two.
Writes one shape list a shard, ``rejects.jsonl`` and ``categories.json``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pipeline.atomic import write_text_if_changed
from pipeline.conventions import SPLITS
from pipeline.errors import UserError
from pipeline.manifest import Rejection, Shape, carve_validation, shapes_from_tsv, shapes_to_tsv, shard_of, split_of
from pipeline.progress import Log, say
from pipeline.settings.categories import chosen_categories
from pipeline.settings.datasets import Dataset
from pipeline.settings.parse import parse
from pipeline.sources.base import Archives, Found, Source, place_in_choice, source_of
from pipeline.state.files import write_state_if_changed

# What Windows forbids in a name, what has no glyph in any script, and room for ".binvox" in 255 bytes.
_FORBIDDEN, _NO_GLYPH, _LONGEST_BYTES = frozenset('<>:"/\\|?*'), frozenset({"Cc", "Cs", "Zl", "Zp"}), 240
SHAPES_PER_SHARD = 128  # with automatic shards: minutes of work


def shard_paths(folder: Path, shards: int) -> list[Path]:
    """The shape lists of a data set; the only place that knows their names."""
    return [folder / f"{number:03d}.tsv" for number in range(shards)]


@dataclasses.dataclass(frozen=True)
class Listing:
    """The shape lists of a data set and what goes with them, as the texts of their files."""

    lists: tuple[str, ...]  # one a shard
    rejects: str
    summary: dict[str, Any]
    refused: int

    def publish(self, folder: Path) -> None:
        """Write what has changed; categories.json last."""
        for path, text in zip(shard_paths(folder, len(self.lists)), self.lists):
            write_text_if_changed(path, text)
        write_text_if_changed(folder / "rejects.jsonl", self.rejects)
        write_state_if_changed(folder / "categories.json", self.summary)

    def counts(self) -> dict[str, int]:
        """Shapes of each split."""
        return {split: sum(c[split] for c in self.summary["categories"].values()) for split in SPLITS}


def list_shapes(
    name: str,  # of the data set in the configuration
    dataset: Dataset,
    opened: Archives,
    where: str,  # for messages
    *,
    seed: int,  # of splits and choices
    shards: int | None = None,  # how many lists; None takes `dataset.shards`, or as many as it needs
    before: Sequence[str] = (),  # the lists of an earlier time, with automatic shards
) -> Listing:
    """List, filter, split and shard every shape."""
    source = source_of(dataset.layout)
    found = list(source.shapes(opened, dataset))
    wanted = _wanted(found, dataset, where)
    shapes, rejects = _sort_out(name, wanted, dataset, source, seed)
    if not shapes:
        reasons = Counter(reject.reason for reject in rejects)
        nothing = f"nothing in the layout of {source.title}"
        raise UserError(
            f"data set {name!r} has no usable shape",
            where=where,
            got=f"{len(found)} found, refused: {dict(reasons)}" if found else nothing,
            do="check `source`, `path` and `categories` of the data set",
        )
    if shards is not None or dataset.shards != "auto":
        count = shards or int(dataset.shards)
        by_shard = _shard_by_hash(shapes, range(count))
    else:
        by_shard = _shard_as_before(shapes, before)
        count = max(len(before), max(by_shard) + 1)
    lines = [json.dumps(dataclasses.asdict(reject), sort_keys=True) + "\n" for reject in sorted(rejects)]
    lists = tuple(shapes_to_tsv(by_shard.get(number, [])) for number in range(count))
    return Listing(lists, "".join(lines), _summary(shapes, rejects), len(rejects))


def index_dataset(
    name: str,  # of the data set in the configuration
    dataset: Dataset,
    archives: Path,  # D.json of `fetch`
    output: Path,  # folder to write
    *,
    seed: int,  # of splits and choices
    log: Log,
    shards: int | None = None,  # how many lists; None as `list_shapes`
) -> None:
    """Publish the lists of a data set."""
    with Archives.load(archives) as opened:
        listing = list_shapes(name, dataset, opened, str(archives), seed=seed, shards=shards)
    listing.publish(output)
    log.write("index", dataset=name, **listing.summary)
    splits = ", ".join(f"{split} {count}" for split, count in listing.counts().items())
    say(
        f"index: {name}: {listing.summary['shapes']} shapes in {len(listing.summary['categories'])} categories "
        f"({splits}), {listing.refused} refused"
    )


def _shard_by_hash(shapes: Iterable[Shape], numbers: Sequence[int]) -> dict[int, list[Shape]]:
    by_shard: dict[int, list[Shape]] = defaultdict(list)
    for shape in shapes:
        by_shard[numbers[shard_of(shape.key, len(numbers))]].append(shape)
    return by_shard


def _shard_as_before(shapes: list[Shape], before: Sequence[str]) -> dict[int, list[Shape]]:
    """As many shards as there are shapes for; a shape that was listed before stays where it was.

    A set that has outgrown its shards gets new ones, for the new shapes.
    """
    place = {shape.key: number for number, text in enumerate(before) for shape in shapes_from_tsv(text)}
    needed = -(-len(shapes) // SHAPES_PER_SHARD)
    new = range(len(before), needed) or range(len(before))
    by_shard = _shard_by_hash([shape for shape in shapes if shape.key not in place], new)
    for shape in shapes:
        if shape.key in place:
            by_shard.setdefault(place[shape.key], []).append(shape)
    return by_shard


def _wanted(found: list[Found], dataset: Dataset, where: str) -> list[Found]:
    """The categories the configuration asks for; a name that does not exist is an error."""
    if dataset.categories is None:
        return found
    known = {shape.category for shape in found}
    numbered = {shape.member.split("!")[1].split("/")[0]: shape.category for shape in found}  # ShapeNet synsets
    words = [numbered.get(word, word) if len(word) == 8 and word not in known else word for word in dataset.categories]
    names = chosen_categories(words, known, where=where, do="correct `categories` of the data set")
    return [shape for shape in found if shape.category in names]


def _sort_out(
    dataset_name: str, found: Iterable[Found], dataset: Dataset, source: Source, seed: int
) -> tuple[list[Shape], list[Rejection]]:
    """Give every shape its split, refuse what cannot be used, keep the chosen ones of each category."""
    by_category: dict[str, list[tuple[str, Shape | Rejection]]] = defaultdict(list)
    members: dict[str, str] = {}
    for item in sorted(found, key=lambda item: (item.category, item.name, item.member)):
        key = f"{item.category}/{item.name}"
        reason, detail = item.reason, item.detail or item.member
        if not reason and not (_serves_as_file(item.category) and _serves_as_file(item.name)):
            reason, detail = "unsafe_name", f"{item.member}: the name cannot be a file name everywhere"
        if not reason and members.setdefault(key, item.member) != item.member:
            reason, detail = "duplicate_name", f"{item.member} beside {members[key]}"
            key = f"{key}#{item.member}"  # the shape that came first keeps its line in the ledger
        if reason:
            by_category[item.category].append((key, Rejection(f"{dataset_name}/{key}", "index", reason, detail)))
        else:
            split = _split(item, item.group or key, dataset, source, seed)
            shape = Shape(dataset_name, item.category, item.name, split, item.member, item.size, item.checksum)
            by_category[item.category].append((key, shape))
    kept = [entry for group in by_category.values() for entry in _limited(group, dataset.shapes_per_category, seed)]
    return [e for e in kept if isinstance(e, Shape)], [e for e in kept if isinstance(e, Rejection)]


def _serves_as_file(name: str) -> bool:
    """Whether a name can be that of a file or a folder on every system."""
    if not name or name != name.strip() or name.startswith(".") or name.endswith("."):
        return False
    if any(letter in _FORBIDDEN or unicodedata.category(letter) in _NO_GLYPH for letter in name):
        return False
    return len(name.encode()) <= _LONGEST_BYTES


def _split(item: Found, group: str, dataset: Dataset, source: Source, seed: int) -> str:
    if item.split is None or dataset.split != "official":
        return split_of(group, seed=seed, val_percent=dataset.val_percent, test_percent=dataset.test_percent)
    if item.split == "train" and not source.official_val:
        return carve_validation(group, seed=seed, val_percent=dataset.val_percent)
    return item.split


def _limited(group: list[tuple[str, Shape | Rejection]], limit: int | None, seed: int) -> list[Shape | Rejection]:
    """The first `limit` usable shapes of one category in the order of a hash, so that a larger limit only adds.

    Refused ones count where they stand in that order: a small sample has its own share of them.
    """
    if limit is None:
        return [entry for _, entry in group]
    kept: list[Shape | Rejection] = []
    for _, entry in sorted(group, key=lambda pair: place_in_choice(seed, pair[0])):
        if limit == 0:
            break
        limit -= isinstance(entry, Shape)
        kept.append(entry)
    return kept


def _summary(shapes: list[Shape], rejects: list[Rejection]) -> dict[str, Any]:
    counts: dict[str, dict[str, int]] = {}
    for shape in shapes:
        counts.setdefault(shape.category, dict.fromkeys(SPLITS, 0))[shape.split] += 1
    return {"categories": counts, "shapes": len(shapes), "rejected": dict(Counter(r.reason for r in rejects))}


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command asks for besides settings, output and log."""
    parser.add_argument("--dataset", required=True, help="name of the data set")
    parser.add_argument("--seed", type=int, required=True, help="seed of the whole pipeline")
    parser.add_argument("--archives", type=Path, required=True, help="archives/<data set>.json")
    parser.add_argument("--shards", type=int, help="how many lists; left out: as the settings say")


def run(given: argparse.Namespace, log: Log) -> None:
    """The command."""
    settings = parse(Dataset, given.settings, "--settings")
    index_dataset(given.dataset, settings, given.archives, given.output, seed=given.seed, log=log, shards=given.shards)
