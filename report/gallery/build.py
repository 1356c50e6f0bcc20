"""``python -m report gallery``: one page on which every shape of a data set can be looked at.

    gallery.html            style, scripts, the first INLINE shapes: works from a file, asks for nothing
    gallery-data/000.js     the pictures, meshes and voxels of CHUNK more shapes each, loaded when looked at

Shapes come worst first, by the IoU of their voxels' silhouettes with their views.  The same run
gives the same bytes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import markupsafe

from pipeline.atomic import write_text
from pipeline.formats.html import policy, script_json, template
from pipeline.pictures.bank import Bank, open_bank
from pipeline.progress import Log, progress, say
from pipeline.seeds import stable_hash
from pipeline.shards.index import open_indexed, read_index
from pipeline.state.files import parse_json
from report.gallery import facts, shapes
from report.gallery.pictures import TILE_PX, columns
from report.gallery.shapes import Budget, Checked

HOME = Path(__file__).parent
SCRIPTS = ("camera.js", "unpack.js", "overlay.js", "dialog.js", "page.js")
BUNDLE = HOME / "dist" / "scene.js"  # made by `make bundle` and committed
INLINE, CHUNK = 300, 100  # shapes in the page, shapes in each further file


def write_gallery(
    index_path: Path,  # shards/D/index.json
    prepared: Path,  # folder of the packs of prepared meshes; may be absent
    ledger: Path,  # ledger/D.tsv
    page: Path,  # gallery.html
    *,
    bank_path: Path | None,  # backgrounds, for shards that are stored in layers
    most: int,  # shapes shown at most
    log: Log,
) -> None:
    """Check every shape, choose those to show, write the chunks and then the page."""
    index = read_index(index_path)
    bank = open_bank(bank_path) if bank_path is not None and index["kind"] == "layers" else None

    # Every shape is compared with its views, also those that will not be shown.
    checked = list(_check_all(index_path, index, bank, log))
    chosen = _choose(checked, most)

    # Only what is shown is read again and made small, shard by shard; then it goes in the order of the page.
    size = shapes.budget(len(chosen))
    made = dict(_make_all(index_path, index, prepared, bank, chosen, size, log))
    entries = [made[one.record.shape_id] for one in chosen]

    # The page comes last: while it is there, so are its chunks.
    folder = page.parent / f"{page.stem}-data"
    page.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    later = [entries[at : at + CHUNK] for at in range(INLINE, len(entries), CHUNK)]
    for number, chunk in enumerate(later):
        _spread_over_chunk(chunk, number)
        write_text(folder / f"{number:03d}.js", f"gallery.chunk({number}, {script_json(_by_key(chunk))});\n")
    text = _page(index, ledger, checked, entries, size, folder.name)
    write_text(page, text)

    problems = sum(bool(shapes.PROBLEMS & set(one.flags)) for one in checked)
    log.write(
        "done",
        shapes=len(checked),
        shown=len(chosen),
        problems=problems,
        bytes=page.stat().st_size,
        chunks=len(later),
        scene=BUNDLE.exists(),
    )
    say(
        f"gallery {index['dataset']}: {len(chosen)} of {len(checked)} shapes, {problems} with problems, "
        f"{page.stat().st_size / 1e6:.1f} MB and {len(later)} files beside it"
    )


def _check_all(index_path: Path, index: dict[str, Any], bank: Bank | None, log: Log) -> Iterator[Checked]:
    for number, entry in enumerate(progress(index["shards"], "gallery: check", unit="shard", log=log)):
        with open_indexed(index_path, entry) as shard:
            for row in range(len(shard)):
                yield shapes.check(shard, number, row, bank)


def _choose(checked: Sequence[Checked], most: int) -> list[Checked]:
    """All shapes, or those with problems and a draw of the others; worst silhouette first."""
    ranked = sorted(
        checked, key=lambda one: (not shapes.PROBLEMS & set(one.flags), stable_hash("gallery", one.record.shape_id))
    )
    return sorted(ranked[:most], key=lambda one: (one.iou, one.record.shape_id))


def _make_all(
    index_path: Path,
    index: dict[str, Any],
    prepared: Path,
    bank: Bank | None,
    chosen: Sequence[Checked],
    size: Budget,
    log: Log,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(shape id, what the page holds of it), in the order of the shards."""
    wanted = {(one.shard, one.row): one for one in chosen}
    for number in progress(sorted({shard for shard, _ in wanted}), "gallery: draw", unit="shard", log=log):
        entry = index["shards"][number]
        meshes = shapes.open_meshes(prepared / Path(entry["file"]).with_suffix(".zip").name)
        with open_indexed(index_path, entry) as shard:
            for row in range(len(shard)):
                if (number, row) in wanted:
                    one = wanted[number, row]
                    occupancy = shapes.occupancy(shard, row)
                    yield (
                        one.record.shape_id,
                        {
                            "summary": shapes.summary(one, occupancy),
                            "picture": shapes.picture_of(shard, row, bank, size),
                            "detail": shapes.detail(shard, row, bank, meshes, size),
                        },
                    )


def _spread_over_chunk(chunk: Sequence[dict[str, Any]], number: int) -> None:
    """A shape outside the page says in which file its picture is, and takes the picture along."""
    for entry in chunk:
        entry["summary"]["chunk"] = number
        entry["detail"]["picture"] = entry["picture"]


def _by_key(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {entry["summary"]["key"]: entry["detail"] for entry in entries}


# ---- the page ------------------------------------------------------------------------------


def _page(
    index: dict[str, Any],
    ledger: Path,
    checked: Sequence[Checked],
    entries: Sequence[dict[str, Any]],
    size: Budget,
    data_folder: str,
) -> str:
    style = read_asset("style.css")
    script = "\n".join(read_asset(file) for file in SCRIPTS)
    scene = scene_bundle()
    shown = min(index["views"], size.views)
    across = columns(shown)
    meta = {
        "dataset": index["dataset"],
        "resolution": index["resolution"],
        "tile": TILE_PX,
        "columns": across,
        "lines": -(-shown // across),
        "sizePx": index["size_px"],
        "dataFolder": data_folder,
        "flags": {
            flag.key: {"label": flag.label, "meaning": flag.meaning, "problem": flag.problem} for flag in shapes.FLAGS
        },
        "shapes": [entry["summary"] for entry in entries],
    }
    return template(HOME).render(
        title=f"Gallery: {index['dataset']}",
        policy=policy(style, [text for text in (scene, script) if text], chunks=len(entries) > INLINE),
        style=markupsafe.Markup(style),
        script=markupsafe.Markup(script),
        scene=markupsafe.Markup(scene) if scene else None,
        meta=markupsafe.Markup(script_json(meta)),
        details=markupsafe.Markup(script_json(_by_key(entries[:INLINE]))),
        index=index,
        cards=entries[:INLINE],
        later=len(entries) - len(entries[:INLINE]),
        left_out=len(checked) - len(entries),
        tile=TILE_PX,
        columns=across,
        lines=meta["lines"],
        shown=shown,
        flags=facts.flag_counts(checked),
        labels={flag.key: flag for flag in shapes.FLAGS},
        verdict=facts.verdict(checked),
        funnel=facts.funnel_rows(ledger),
        rejects=facts.rejects(ledger),
        provenance=facts.provenance(index, _three_version() if scene else None),
    )


def scene_bundle() -> str | None:
    """The 3D part of the pages; None where somebody has taken it away, and the pages work without."""
    return BUNDLE.read_text(encoding="utf-8") if BUNDLE.exists() else None


def _three_version() -> str:
    return str(parse_json(read_asset("package.json"))["devDependencies"]["three"])


def read_asset(file: str) -> str:
    """A file of this folder that goes into the page."""
    return (HOME / file).read_text(encoding="utf-8")
