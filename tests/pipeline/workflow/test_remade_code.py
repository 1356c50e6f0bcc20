"""What an edit of the code makes again, exactly; and what of it a user may declare to be harmless."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from pipeline.upkeep.why import accept
from tests.pipeline.workflow.changes import (
    BOTH,
    EVERY_VIEW,
    EVERY_VOXEL,
    LEARNED,
    PACKED,
    SHOWN,
    Jobs,
    data,
    planned_without_a_trace,
    positive,
    rows,
    said,
    total,
)
from tests.plans import PlannedWorld, edited_code

pytestmark = pytest.mark.workflow


# A record that is lost makes its own product again and, within one run, what Snakemake hangs on it: nothing.
CODE: list[tuple[str, str, tuple[str, str], Jobs]] = [
    ("a comment", "render/shard.py", ("", "# words\n"), {}),
    ("a docstring", "render/audit.py", ("do voxels and views show", "do views and voxels show"), {}),
    ("a progress bar's text", "render/audit.py", ('"audit", unit="shard"', '"auditing", unit="shard"'), {}),
    ("a message", "pipeline/stages/prepare.py", ('say(f"prepare: ', 'say(f"prepared: '), {}),
    ("what is shown of a training", "training/show/display.py", ("", "CHANGED = 1\n"), {}),
    ("the rasterizer", "render/backends/raster.py", ("", "CHANGED = 1\n"), EVERY_VIEW),
    (
        "the command of render",
        "render/__main__.py",
        ("render_shard(arguments.prepared", "render_shard(1 and arguments.prepared"),
        EVERY_VIEW,
    ),
    ("the voxelizer", "voxelize/shard.py", ("", "CHANGED = 1\n"), EVERY_VOXEL),
    ("packing", "render/pack.py", ("", "CHANGED = 1\n"), PACKED),
    ("losses", "training/networks/losses.py", ("", "CHANGED = 1\n"), total(BOTH, {"report": 1})),
    ("the audit", "render/audit.py", ("", "CHANGED = 1\n"), {"audit": 4, "report": 1}),
    ("the ledger", "pipeline/stages/ledger.py", ("", "CHANGED = 1\n"), {"ledger": 4, "gallery": 4, "report": 1}),
    ("the sheet", "render/sheet.py", ("", "CHANGED = 1\n"), {"sheet": 4, "report": 1}),
    ("the page", "report/page.py", ("", "CHANGED = 1\n"), {"report": 1}),
    ("the page's template", "report/templates/page.html", ("", "<!-- x -->\n"), {"report": 1}),
    ("the gallery", "report/gallery/build.py", ("", "CHANGED = 1\n"), {"gallery": 4, "report": 1}),
    ("the page to try", "report/try/start.js", ("", "// x\n"), {"page": 2}),
    ("an adapter", "pipeline/sources/modelnet.py", ("", "CHANGED = 1\n"), total(data(4, sets=2), LEARNED)),
    ("the folder's adapter", "pipeline/sources/folder.py", ("", "CHANGED = 1\n"), total(data(2), LEARNED)),
    ("the way of listing", "pipeline/stages/index.py", ("", "CHANGED = 1\n"), {}),
    ("the downloader", "pipeline/archives/download.py", ("", "CHANGED = 1\n"), {}),
    (
        "a piece of furniture",
        "pipeline/furniture/chair.py",
        ("", "CHANGED = 1\n"),
        total(data(2), LEARNED, {"generate": 1, "fetch": 1, "index": 1}),
    ),
    ("a shader, unused", "render/backends/shaders/mesh.frag", ("", "// x\n"), {}),
    ("a new key of a training", "pipeline/settings/training.py", ("", "CHANGED = 1\n"), {}),
    ("the console", "pipeline/workflow/console.py", ("", "CHANGED = 1\n"), {}),
    ("measuring", "training/evaluate.py", ("", "CHANGED = 1\n"), SHOWN),
    ("photographs", "pipeline/stages/photographs.py", ("", "CHANGED = 1\n"), total(SHOWN, {"photographs": 1})),
    ("the bank", "render/backgrounds.py", ("", "CHANGED = 1\n"), total(PACKED, {"backgrounds": 1})),
]


@pytest.mark.parametrize(("file", "change", "jobs", "snakemake"), rows(CODE))
def test_code(
    world: PlannedWorld, clone: Path, file: str, change: tuple[str, str], jobs: Jobs, snakemake: bool
) -> None:
    with edited_code(clone, file, change):
        assert planned_without_a_trace(world, snakemake) == positive(jobs)


def test_an_edit_of_the_audit_does_not_hide_one_of_the_trainer(world: PlannedWorld, clone: Path) -> None:
    with edited_code(clone, "render/audit.py", ("", "CHANGED = 1\n")):
        with edited_code(clone, "training/networks/losses.py", ("", "CHANGED = 1\n")):
            assert world.planned("train_all") == {"audit": 3, "train": 2}
        assert world.planned("train_all") == {"audit": 3}


def test_an_edited_module_is_named(world: PlannedWorld, clone: Path) -> None:
    with edited_code(clone, "render/backends/raster.py", ("", "CHANGED = 1\n")):
        assert "views of gen, mine, net and zip: code of render.backends.raster (7 jobs)" in said(world)


def test_a_harmless_edit_is_accepted_and_a_later_one_is_not(
    world: PlannedWorld, clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = world.folder / "config.yaml"
    with contextlib.chdir(world.folder), edited_code(clone, "render/backends/raster.py", ("", "CHANGED = 1\n")):
        before = {name: content for name, content in world.files().items() if "/made/" not in name}
        assert accept(config, []) == 0
        assert "none of" in capsys.readouterr().err
        after = {name: content for name, content in world.files().items() if "/made/" not in name}
        assert {**after, "results/.run.lock": 0} == {**before, "results/.run.lock": 0}
        assert world.planned() == {}
        notes = [path.read_text(encoding="utf-8") for path in (world.results / "made/heads").glob("*.json")]
        assert any('"accepted"' in note and '"rule": "render"' in note for note in notes)
        world.edit(render={"views": 24})
        assert world.planned() == EVERY_VIEW
    with edited_code(clone, "render/backends/raster.py", ("", "CHANGED = 2\n")):
        assert world.planned()["render"] == 7
