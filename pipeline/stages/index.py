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
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.atomic import write_json_if_changed, write_text_if_changed
from pipeline.conventions import SPLITS
from pipeline.errors import UserError
from pipeline.manifest import Rejection, Shape, carve_validation, shapes_to_tsv, shard_of, split_of
from pipeline.progress import Log, say
from pipeline.seeds import uniform
from pipeline.settings.categories import chosen_categories
from pipeline.settings.datasets import Dataset
from pipeline.settings.parse import parse
from pipeline.sources.base import Archives, Found, Source, source_of

# What Windows forbids in a name, what has no glyph in any script, and room for ".binvox" in 255 bytes.
_FORBIDDEN, _NO_GLYPH, _LONGEST_BYTES = frozenset('<>:"/\\|?*'), frozenset({"Cc", "Cs", "Zl", "Zp"}), 240


def shard_paths(folder: Path, shards: int) -> list[Path]:
    """The shape lists of a data set; the only place that knows their names."""
    return [folder / f"{number:03d}.tsv" for number in range(shards)]


def index_dataset(
    name: str,  # of the data set in the configuration
    dataset: Dataset,
    archives: Path,  # D.json of `fetch`
    output: Path,  # folder to write
    *,
    seed: int,  # of splits and choices
    log: Log,
) -> None:
    """List, filter, split and shard every shape; categories.json is written last."""
    source = source_of(dataset.layout)
    with Archives.load(archives) as opened:
        found = list(source.shapes(opened, dataset))
    wanted = _wanted(found, dataset, str(archives))
    shapes, rejects = _sort_out(name, wanted, dataset, source, seed)
    if not shapes:
        reasons = Counter(reject.reason for reject in rejects)
        nothing = f"nothing in the layout of {source.title}"
        raise UserError(
            f"data set {name!r} has no usable shape",
            where=str(archives),
            got=f"{len(found)} found, refused: {dict(reasons)}" if found else nothing,
            do="check `source`, `path` and `categories` of the data set",
        )

    by_shard: dict[int, list[Shape]] = defaultdict(list)
    for shape in shapes:
        by_shard[shard_of(shape.key, dataset.shards)].append(shape)
    for number, path in enumerate(shard_paths(output, dataset.shards)):
        write_text_if_changed(path, shapes_to_tsv(by_shard[number]))
    lines = [json.dumps(dataclasses.asdict(reject), sort_keys=True) + "\n" for reject in sorted(rejects)]
    write_text_if_changed(output / "rejects.jsonl", "".join(lines))
    summary = _summary(shapes, rejects)
    write_json_if_changed(output / "categories.json", summary)
    log.write("index", dataset=name, **summary)
    splits = ", ".join(f"{split} {sum(s.split == split for s in shapes)}" for split in SPLITS)
    say(
        f"index: {name}: {len(shapes)} shapes in {len(summary['categories'])} categories ({splits}), "
        f"{len(rejects)} refused"
    )


def read_rejects(folder: Path) -> list[Rejection]:
    """The shapes that `index_dataset` refused."""
    text = (folder / "rejects.jsonl").read_text(encoding="utf-8")
    return [Rejection(**json.loads(line)) for line in text.splitlines()]


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
            split = _split(item, key, dataset, source, seed)
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


def _split(item: Found, key: str, dataset: Dataset, source: Source, seed: int) -> str:
    if item.split is None or dataset.split == "hash":
        return split_of(key, seed=seed, val_percent=dataset.val_percent, test_percent=dataset.test_percent)
    if item.split == "train" and not source.official_val:
        return carve_validation(key, seed=seed, val_percent=dataset.val_percent)
    return item.split


def _limited(group: list[tuple[str, Shape | Rejection]], limit: int | None, seed: int) -> list[Shape | Rejection]:
    """The first `limit` usable shapes of one category in the order of a hash, so that a larger limit only adds.

    Refused ones count where they stand in that order: a small sample has its own share of them.
    """
    if limit is None:
        return [entry for _, entry in group]
    kept: list[Shape | Rejection] = []
    for _, entry in sorted(group, key=lambda pair: uniform(seed, "choose", pair[0])):
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
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--archives", type=Path, required=True)


def run(given: argparse.Namespace, log: Log) -> None:
    """The command."""
    settings = parse(Dataset, given.settings, "--settings")
    index_dataset(given.dataset, settings, given.archives, given.output, seed=given.seed, log=log)
