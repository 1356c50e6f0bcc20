"""What a change makes again, exactly: over a hundred changes, planned by the real Snakefile.

The world (tests/plans.py) has a generated set (2 shards), a zip of ModelNet's (2), two of ShapeNet's (1) and a folder
(2); an experiment learns from the first two, another from the folder.  Its products are there in name, with the
records that real ones have, so that a row takes a moment; tests/test_runs.py makes real ones.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import itertools
import json
import os
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pipeline.formats.ledger import Row, to_tsv
from pipeline.manifest import shapes_from_tsv
from pipeline.seeds import generator
from pipeline.state.files import read_state, write_state
from pipeline.upkeep.why import accept
from pipeline.workflow.graph import Job
from pipeline.workflow.heads import Head, HeadStore, digest_of
from pipeline.workflow.why import why
from tests.plans import PlannedWorld, edited_code, list_generated, pretend, words, write_zip
from tests.world import ROOT

pytestmark = pytest.mark.workflow
CAMPAIGN = (pytest.mark.slow, pytest.mark.campaign)
Change = Callable[[PlannedWorld], object]
Jobs = dict[str, int]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> PlannedWorld:
    return PlannedWorld.made(tmp_path_factory.mktemp("plans") / "world")


@pytest.fixture
def world(built: PlannedWorld, tmp_path: Path) -> PlannedWorld:
    """The world at another place and with other times: neither says anything."""
    return built.copy(tmp_path / "world")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code, to be edited."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("pipeline", "voxelize", "render", "training", "report", "docs"):
        ignored = shutil.ignore_patterns("__pycache__", "*.so", "node_modules")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    return folder


def total(*parts: Jobs) -> Jobs:
    return dict(sum((Counter(part) for part in parts), Counter()))


def data(shards: int = 1, *, sets: int = 1, render: bool = True, voxels: bool = True, prepare: bool = True) -> Jobs:
    """The jobs of some shards, of what lists their data sets, and of what shows them."""
    jobs = {"pack": shards, "ledger": sets, "shard_index": sets, "audit": sets, "sheet": sets, "gallery": sets}
    jobs |= {"report": 1}
    return jobs | {rule: shards for rule, on in (("render", render), ("voxelize", voxels), ("prepare", prepare)) if on}


LEARNED, BOTH = {"train": 1, "evaluate": 1, "page": 1}, {"train": 2, "evaluate": 2, "page": 2}
SHOWN = {"evaluate": 2, "page": 2, "report": 1}
PACKED = total(data(7, sets=4, render=False, voxels=False, prepare=False), BOTH) | {"ledger": 0}
EVERY_VIEW = total(data(7, sets=4, voxels=False, prepare=False), BOTH)
EVERY_VOXEL = total(data(7, sets=4, render=False, prepare=False), BOTH)
EVERYTHING = total(data(7, sets=4), BOTH)
MESH = total(data(), LEARNED)
LISTED = {"ledger": 1, "gallery": 1, "report": 1}


def edit(**sections: object) -> Change:
    return lambda world: world.edit(**sections)


def dataset(name: str, **values: object) -> Change:
    return edit(datasets={name: values})


def first(**values: object) -> Change:
    return edit(experiments={"first": values})


def remove(*patterns: str) -> Change:
    def change(world: PlannedWorld) -> None:
        for path in [path for pattern in patterns for path in sorted(world.folder.glob(pattern))]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def write(place: str, text: str) -> Change:
    return lambda world: (world.folder / place).write_text(text, encoding="utf-8")


def write_more(place: str, text: str) -> Change:
    return lambda world: write(place, (world.folder / place).read_text(encoding="utf-8") + text)(world)


def move(old: str, new: str, *changes: Change) -> Change:
    def change(world: PlannedWorld) -> None:
        (world.folder / old).rename(world.folder / new)
        for more in changes:
            more(world)

    return change


def both(*changes: Change) -> Change:
    return lambda world: [change(world) for change in changes]


def touch_everything(world: PlannedWorld) -> None:
    for path in world.folder.rglob("*"):
        os.utime(path, (1, 1) if len(path.name) % 2 else None)


def marked_unfinished(world: PlannedWorld) -> None:
    """Snakemake was killed, what it had started ended a moment later: its marks of begun jobs stay on whole products.

    The name of a mark is that of snakemake.persistence.file (version 9).
    """
    marks = world.folder / ".snakemake" / "incomplete"
    marks.mkdir(parents=True, exist_ok=True)
    for path in sorted(path for path in world.results.rglob("*") if path.is_file()):
        name = path.relative_to(world.folder).as_posix().encode()
        (marks / base64.urlsafe_b64encode(name).decode()).write_text('{"external_jobid": null}', encoding="utf-8")


def shard_of_mesh(world: PlannedWorld) -> None:
    world.mesh("box", 1, x=99)


def late(stage: str) -> Change:
    """One mesh of the folder was refused since it took too long."""

    def change(world: PlannedWorld) -> None:
        shape = shapes_from_tsv((world.results / "index/mine/001.tsv").read_text(encoding="utf-8"))[0]
        row = Row(shape.shape_id, shape.category, shape.split, stage, "rejected", "timeout", "took longer than 60 s")
        world.made_anew("ledger/mine", "ledger/mine.tsv", to_tsv([row]))

    return change


def turned_round(world: PlannedWorld) -> None:
    path = world.folder / "config.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(dict(reversed(values.items())), sort_keys=False), encoding="utf-8")


def rewritten(world: PlannedWorld, place: str, old: bytes, new: bytes) -> None:
    (world.folder / place).write_bytes((world.folder / place).read_bytes().replace(old, new))


def packed_again(
    world: PlannedWorld, *, compression: int = 0, step: int = 1, more: dict[str, bytes] | None = None
) -> None:
    """The same members in another zip."""
    path = world.folder / "mirrors/one/ModelNet10.zip"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()[::step]}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in (members | (more or {})).items():
            archive.writestr(name, content)


def for_its_owner_alone(world: PlannedWorld) -> None:
    for path in world.folder.rglob("*"):
        path.chmod(0o700)


def behind_a_link(world: PlannedWorld, place: str) -> None:
    path = world.folder / place
    path.rename(world.folder / f"real-{path.name}")
    path.symlink_to(world.folder / f"real-{path.name}")


# Change, what it is called, and the whole set of jobs of `snakemake all`.
SETTINGS: list[tuple[str, Change, Jobs]] = [
    ("nothing", lambda world: None, {}),
    ("other times", touch_everything, {}),
    ("no .snakemake", remove(".snakemake"), {}),
    ("a comment", write_more("config.yaml", "# words\n"), {}),
    ("views", edit(render={"views": 24}), EVERY_VIEW),
    ("views without .snakemake", both(remove(".snakemake"), edit(render={"views": 24})), EVERY_VIEW),
    ("views as they are by default", edit(render={"views": 12}), {}),
    ("cameras", edit(render={"cameras": "ring"}), EVERY_VIEW),
    ("supersampling", edit(render={"supersampling": 3}), EVERY_VIEW),
    ("highlights", edit(render={"specular": {"strength": 0.4}}), EVERY_VIEW),
    ("shininess", edit(render={"specular": {"shininess": 8}}), EVERY_VIEW),
    ("backend", edit(render={"backend": "pyrender"}), EVERY_VIEW),
    ("size of views", edit(render={"size_px": 128}), total(EVERY_VIEW, {"backgrounds": 1, "photographs": 1})),
    (
        "size of views, bank of its own",
        edit(render={"size_px": 128}, backgrounds={"bank_px": 80}),
        total(EVERY_VIEW, {"backgrounds": 1, "photographs": 1}),
    ),
    ("texture size", edit(render={"texture_px": 256}), EVERYTHING),
    ("faces allowed", edit(render={"max_faces": 1000}), EVERYTHING),
    ("what becomes of larger meshes", edit(render={"above_max_faces": "decimate"}), EVERYTHING),
    ("time a view may take", edit(render={"seconds_per_shape": 3}), {}),
    ("time a voxelization may take", edit(voxels={"seconds_per_shape": 3}), {}),
    ("voxel mode", edit(voxels={"mode": "binvox"}), EVERY_VOXEL),
    ("resolution", edit(voxels={"resolution": 64}), EVERY_VOXEL),
    ("voxel engine", edit(voxels={"engine": "open3d"}), EVERY_VOXEL),
    ("storage", edit(shards={"storage": "layers"}), PACKED),
    ("compositing", edit(shards={"compositing": "linear"}), PACKED),
    ("backgrounds counted", edit(backgrounds={"count": 9}), total(PACKED, {"backgrounds": 1})),
    ("backgrounds blurred", edit(backgrounds={"blur_px": 1}), total(PACKED, {"backgrounds": 1})),
    (
        "generated rooms",
        edit(backgrounds={"source": "procedural", "path": None}),
        total(PACKED, {"backgrounds": 1, "rooms": 1}),
    ),
    ("plain backgrounds", edit(backgrounds={"source": "none", "path": None, "colour": "white"}), PACKED),
    ("mirror of backgrounds", edit(backgrounds={"mirrors": ["https://example.org"]}), {}),
    (
        "seed",
        edit(seed=8),
        total(EVERY_VIEW, {"prepare": 2, "voxelize": 2, "backgrounds": 1, "generate": 1, "fetch": 1, "index": 1}),
    ),
    ("which axis is up in one set", dataset("net", up_axis="z"), data()),
    ("which axis is up in another", dataset("mine", up_axis="z"), total(data(2), LEARNED)),
    ("yaw", dataset("zip", yaw_deg=90), total(data(2), LEARNED)),
    ("share of losses allowed", dataset("mine", max_rejected_percent=50), {"ledger": 1}),
    (
        "near-duplicates together",
        dataset("mine", split="clusters"),
        total(data(2, render=False, voxels=False, prepare=False), LEARNED, {"clusters": 1}),
    ),
    (
        "share of losses of two sets",
        both(dataset("mine", max_rejected_percent=50), dataset("gen", max_rejected_percent=5)),
        {"ledger": 2},
    ),
    ("categories spelled out", dataset("net", categories=["chair", "sofa"]), {}),
    ("a category of two", dataset("net", categories=["chair"]), data()),
    ("fewer shapes", dataset("zip", shapes_per_category=3), total(data(2), LEARNED)),
    ("more shapes than there are", dataset("zip", shapes_per_category=1000), {}),
    ("shards of a set", dataset("net", shards=2), total(data(2))),
    ("another mirror", dataset("zip", mirrors=["mirrors/one", "mirrors/two"]), {}),
    ("an address as well", dataset("zip", mirrors=["mirrors/one", "https://example.org/m"]), {}),
    (
        "generated shapes",
        dataset("gen", procedural={"layout": "modelnet", "shapes_per_category": 3}),
        total(data(2), LEARNED, {"generate": 1, "fetch": 1, "index": 1}),
    ),
    (
        "a generated layout",
        dataset("gen", procedural={"layout": "shapenet", "shapes_per_category": 2}),
        total(data(2), LEARNED, {"generate": 1, "fetch": 1, "index": 1}),
    ),
    ("a data set", dataset("more", source="folder", path="meshes", shards=1), data()),
    ("a data set less", edit(datasets={"net": None}), {"report": 1}),
    (
        "a data set that an experiment names",
        both(
            dataset("more", source="folder", path="meshes", shards=1),
            edit(experiments={"second": {"datasets": ["mine", "more"]}}),
        ),
        total(data(), LEARNED),
    ),
    (
        "sets a-b and a.b",
        both(
            dataset("a-b", source="modelnet10", mirrors=["mirrors/one"], shards=1),
            dataset("a.b", source="modelnet10", mirrors=["mirrors/one"], shards=1),
        ),
        total(data(2, sets=2), {"fetch": 2}),
    ),
    ("weight of KL", first(kl_weight=0.7), total(LEARNED, {"report": 1})),
    ("a preset's own value spelled out", edit(experiments={"second": {"networks": "small"}}), {}),
    ("another preset", first(preset="small"), total(LEARNED, {"report": 1})),
    ("length of a training", first(samples=100), total(LEARNED, {"report": 1})),
    ("seed of a training", first(seed=3), total(LEARNED, {"report": 1})),
    ("another data set to learn from", first(datasets=["gen"]), total(LEARNED, {"report": 1})),
    ("the same data sets the other way round", first(datasets=["zip", "gen"]), total(LEARNED, {"report": 1})),
    ("checkpoints kept", first(keep_checkpoints=5), {}),
    ("device", first(device="cpu"), {}),
    ("TensorBoard", first(tensorboard=True), {}),
    ("an experiment", edit(experiments={"third": {"datasets": ["net"]}}), total(LEARNED, {"report": 1})),
    ("samples measured", edit(evaluation={"samples": 9}), SHOWN),
    ("data to classify", edit(evaluation={"classify_on": ["net"]}), SHOWN),
    ("title", edit(report={"title": "Words"}), {"report": 1}),
    ("shapes on a sheet", edit(report={"shapes": 6}), {"sheet": 4, "report": 1}),
    ("shapes in a gallery", edit(report={"gallery_shapes": 60}), {"gallery": 4}),
    ("photographs' folder moved", move("shots", "elsewhere", edit(photographs={"shots": {"path": "elsewhere"}})), {}),
    ("a set of photographs less", edit(photographs=None), SHOWN),
]
SPLITS: list[tuple[str, Change, Jobs]] = [
    (
        "validation part of a folder",
        dataset("mine", val_percent=70),
        total(data(2, render=False, voxels=False, prepare=False), LEARNED),
    ),
    (
        "validation part of an archive",
        dataset("zip", val_percent=70),
        total(data(2, render=False, voxels=False, prepare=False), LEARNED),
    ),
    ("test part where there is an official one", dataset("zip", test_percent=70), {}),
    (
        "split by hash",
        dataset("zip", split="hash", test_percent=60),
        total(data(2, render=False, voxels=False, prepare=False), LEARNED),
    ),
]
FILES: list[tuple[str, Change, Jobs]] = [
    ("a mesh edited", shard_of_mesh, MESH),
    ("a mesh removed", remove("meshes/box/shape1.off"), MESH),
    ("a mesh added", lambda world: world.mesh("box", 77), MESH),
    ("a mesh moved to another category", move("meshes/box/shape1.off", "meshes/slab/shape1.off"), None),  # type: ignore[list-item]
    ("a folder renamed", move("meshes", "mine2", dataset("mine", path="mine2")), {}),
    ("marks of jobs that outlived their workflow", marked_unfinished, {}),
    ("and a mesh edited", both(marked_unfinished, shard_of_mesh), MESH),
    ("a hidden file", write("meshes/box/.hidden.off", "OFF"), {}),
    ("a note beside the meshes", write("meshes/box/readme.txt", "words"), {}),
    ("a split file", write("meshes/splits.csv", "shape,split\nbox/shape1,test\nbox/shape3,val\n"), None),  # type: ignore[list-item]
    ("a mesh edited in a zip", lambda world: world.modelnet(edited=0), total(MESH, {"fetch": 1})),
    ("a mesh added to a zip", lambda world: world.modelnet(extra=1), total(MESH, {"fetch": 1})),
    ("a zip written again", lambda world: world.modelnet(), {}),
    ("a mirror renamed", move("mirrors/one", "mirrors/uno", dataset("zip", mirrors=["mirrors/uno"])), {}),
    (
        "a zip of one category changed",
        lambda world: write_zip(
            world.folder / "mirrors/net/03001627.zip", {f"03001627/m{n}/model.obj": f"# {n * 2}\n" for n in range(4)}
        ),
        total(data(), {"fetch": 1}),
    ),
    (
        "a category more in a mirror",
        lambda world: write_zip(world.folder / "mirrors/net/02818832.zip", {"02818832/m/model.obj": "# bed\n"}),
        total(data(), {"fetch": 1}),
    ),
    ("a file that is no archive in a mirror", write("mirrors/one/README", "words"), {}),
    ("archives removed", remove("mirrors/one", "results/mirror/gen"), {}),
    (
        "an archive removed that is needed",
        both(remove("results/mirror/gen"), dataset("gen", yaw_deg=90)),
        total(data(2), LEARNED, {"generate": 1, "fetch": 1}),
    ),
    ("a picture of equal size", write("pictures/a.jpg", "pictures/b.jpg"), total(PACKED, {"backgrounds": 1})),
    ("a picture more", write("pictures/c.jpg", "c"), total(PACKED, {"backgrounds": 1})),
    (
        "a photograph changed",
        write("shots/Lists/Images.txt", "shots/lists/images.txt"),
        total(SHOWN, {"photographs": 1}),
    ),
    ("intermediates removed", remove("results/prepared", "results/voxels", "results/renders"), {}),
    (
        "intermediates removed, then the gallery",
        both(remove("results/prepared", "results/voxels", "results/renders"), edit(report={"gallery_shapes": 60})),
        {"prepare": 7, "gallery": 4},
    ),
    (
        "intermediates removed, then one mesh",
        both(remove("results/voxels", "results/renders"), shard_of_mesh),
        total(MESH, {"render": 1, "voxelize": 1}),
    ),
    (
        "meshes removed, then views",
        both(remove("results/prepared"), edit(render={"views": 24})),
        total(EVERY_VIEW, {"prepare": 7}),
    ),
    ("more time where none was short", edit(voxels={"seconds_per_shape": 600}, render={"seconds_per_shape": 600}), {}),
    ("shapes that took too long", late("voxelize"), {}),
    (
        "more time for them",
        both(late("voxelize"), edit(voxels={"seconds_per_shape": 600})),
        total(data(render=False, prepare=False), LEARNED),
    ),
    ("less time for them", both(late("voxelize"), edit(voxels={"seconds_per_shape": 6})), {}),
    ("more time for another stage", both(late("voxelize"), edit(render={"seconds_per_shape": 600})), {}),
    (
        "more time for views that took too long",
        both(late("render"), edit(render={"seconds_per_shape": 600})),
        total(data(voxels=False, prepare=False), LEARNED),
    ),
    ("a shard deleted", remove("results/shards/zip/001.h5"), {"pack": 1}),
    ("two shards deleted", remove("results/shards/*/000.h5"), {"pack": 4}),
    (
        "a shard deleted whose views are gone",
        remove("results/shards/zip/001.h5", "results/renders"),
        {"pack": 1, "render": 1},
    ),
    ("an index deleted", remove("results/shards/mine/index.json"), {"shard_index": 1}),
    ("a ledger deleted", remove("results/ledger/gen.tsv"), {"ledger": 1}),
    ("an audit deleted", remove("results/audits/zip.json"), {"audit": 1}),
    ("a sheet deleted", remove("results/samples/net/sheet.png"), {"sheet": 1}),
    ("a gallery deleted", remove("results/samples/net/gallery.html"), {"gallery": 1}),
    ("the results of a run deleted", remove("results/runs/first/results.json"), total({"evaluate": 1})),
    ("a table of results deleted", remove("results/runs/second/results.md"), total({"evaluate": 1})),
    ("a run deleted", remove("results/runs/first"), LEARNED),
    ("the report deleted", remove("results/report.html"), {"report": 1}),
    ("the bank deleted", remove("results/backgrounds"), {}),
    (
        "the bank deleted, then a shard",
        remove("results/backgrounds", "results/shards/zip/001.h5"),
        {"backgrounds": 1, "pack": 1},
    ),
    ("logs deleted", remove("results/logs", "results/benchmarks"), {}),
    ("lists deleted", remove("results/index"), {}),
    (
        "what is remembered of lists deleted",
        remove("results/made/index", "results/made/contents", "results/archives/*.contents"),
        {},
    ),
    ("a list torn", write("results/index/mine/000.tsv", "torn"), {}),
    ("a record torn", write("results/made/pack/zip/001.json", "torn"), total({"pack": 1})),
    ("a record of views deleted that nothing needs", remove("results/made/render/net/000.json"), {}),
    ("output named with its whole path", lambda world: world.edit(output=str(world.results)), {}),
    ("an audit changed in one place", write_more("results/audits/zip.json", " "), {"audit": 1}),
    ("a report cut short", write("results/report.html", "<"), {"report": 1}),
    ("a record changed in one place", write_more("results/made/audit/zip.json", ","), {"audit": 1}),
    ("results moved", move("results", "elsewhere", edit(output="elsewhere")), {}),
]
# What people do to files without thinking of it; planned by the plan alone, as pairs are.
HANDLED: list[tuple[str, Change, Jobs]] = [
    ("keys in another order", lambda world: turned_round(world), {}),
    ("line ends of Windows", lambda world: rewritten(world, "config.yaml", b"\n", b"\r\n"), {}),
    ("output with a slash", edit(output="results/"), {}),
    ("output from here", edit(output="./results"), {}),
    ("automatic shards where there are some", both(*(dataset(name, shards="auto") for name in ("mine", "zip"))), {}),
    ("a shard more", dataset("mine", shards=3), total(data(3), LEARNED)),
    ("a size of the bank", edit(backgrounds={"bank_px": 80}), total(PACKED, {"backgrounds": 1})),
    ("a category of a folder", dataset("mine", categories=["box"]), total(data(2), LEARNED)),
    ("seeds", first(seeds=3), total(BOTH, {"report": 1})),
    ("an experiment less", edit(experiments={"second": None}), {"report": 1}),
    ("a zip compressed", lambda world: packed_again(world, compression=zipfile.ZIP_DEFLATED), {}),
    ("a zip the other way round", lambda world: packed_again(world, step=-1), {}),
    ("a note in a zip", lambda world: packed_again(world, more={"ModelNet10/README.txt": b"words"}), {}),
    ("meshes behind a link", lambda world: behind_a_link(world, "meshes"), {}),
    ("results behind a link", lambda world: behind_a_link(world, "results"), {}),
    ("an archive behind a link", lambda world: behind_a_link(world, "mirrors/one/ModelNet10.zip"), {}),
    ("a shard behind a link", lambda world: behind_a_link(world, "results/shards/zip/001.h5"), {}),
    ("a picture behind a link", lambda world: behind_a_link(world, "pictures/a.jpg"), {}),
    ("a category behind a link", lambda world: behind_a_link(world, "meshes/box"), total(data(2), LEARNED)),
    ("a link that leads nowhere", lambda world: (world.folder / "meshes/box/x.off").symlink_to("nowhere"), LISTED),
    ("other rights", for_its_owner_alone, {}),
    ("an empty category", lambda world: (world.folder / "meshes/empty").mkdir(), {}),
    ("a category renamed", move("meshes/box", "meshes/crate"), total(data(2), LEARNED)),
    ("a mesh with another ending", move("meshes/box/shape1.off", "meshes/box/shape1.obj"), MESH),
    ("records of archives removed", remove("results/archives"), {}),
    ("settings of earlier runs removed", remove("results/made/heads", "results/made/plan.json"), {}),
    ("samples removed", remove("results/samples"), {"sheet": 4, "gallery": 4}),
    ("the stamp of a training removed", remove("results/runs/first/train.json"), {"train": 1}),
    ("the network of a training removed", remove("results/runs/first/checkpoints/best.safetensors"), {"train": 1}),
    ("older checkpoints removed", remove("results/runs/first/checkpoints/000000064.safetensors"), {}),
    ("a shard cut short", write("results/shards/zip/001.h5", ""), {"pack": 1}),
    ("views cut short that nothing needs", write("results/renders/zip/001.h5", ""), {}),
    (
        "views cut short that a shard needs",
        both(write("results/renders/zip/001.h5", ""), remove("results/shards/zip/001.h5")),
        {"render": 1, "pack": 1},
    ),
    ("an index changed in one place", write_more("results/shards/zip/index.json", " "), {"shard_index": 1}),
]
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


def positive(jobs: Jobs) -> Jobs:
    return {rule: count for rule, count in jobs.items() if count}


def planned_without_a_trace(world: PlannedWorld) -> Counter[str]:
    """What is planned; a look changes nothing, whatever it is that has changed."""
    before = world.files()
    found = world.planned()
    assert world.files() == before
    return found


@pytest.mark.parametrize(
    ("change", "jobs"), [row[1:] for row in SETTINGS + SPLITS], ids=[row[0] for row in SETTINGS + SPLITS]
)
def test_settings(world: PlannedWorld, change: Change, jobs: Jobs) -> None:
    change(world)
    assert planned_without_a_trace(world) == positive(jobs)


@pytest.mark.parametrize(("change", "jobs"), [row[1:] for row in FILES], ids=[row[0] for row in FILES])
def test_files(world: PlannedWorld, change: Change, jobs: Jobs | None) -> None:
    change(world)
    found = planned_without_a_trace(world)
    if jobs is None:  # how many shards two shapes fall into is a matter of hashes
        assert set(found) - {"prepare", "voxelize", "render"} == set(
            positive(total(data(prepare=False, render=False, voxels=False), LEARNED))
        )
        assert found["pack"] in (1, 2) and found["train"] == 1
    else:
        assert found == positive(jobs)


@pytest.mark.parametrize(("change", "jobs"), [row[1:] for row in HANDLED], ids=[row[0] for row in HANDLED])
def test_handled(world: PlannedWorld, change: Change, jobs: Jobs) -> None:
    change(world)
    assert Counter(job.rule for job in jobs_of(world)) == positive(jobs)


@pytest.mark.parametrize(("file", "change", "jobs"), [row[1:] for row in CODE], ids=[row[0] for row in CODE])
def test_code(world: PlannedWorld, clone: Path, file: str, change: tuple[str, str], jobs: Jobs) -> None:
    with edited_code(clone, file, change):
        assert world.planned() == positive(jobs)


# ---- pairs of changes ----------------------------------------------------------------------

# Two of these never change the same thing, so each must still have what it has alone.
ALONE: list[tuple[str, Change]] = [
    ("views", edit(render={"views": 24})),
    ("voxels", edit(voxels={"mode": "binvox"})),
    ("storage", edit(shards={"compositing": "linear"})),
    ("bank", edit(backgrounds={"count": 9})),
    ("one set", dataset("net", up_axis="z")),
    ("another set", dataset("zip", yaw_deg=90)),
    ("splits", dataset("mine", val_percent=70)),
    ("ledger", dataset("gen", max_rejected_percent=5)),
    ("training", first(kl_weight=0.7)),
    ("measuring", edit(evaluation={"samples": 9})),
    ("sheet", edit(report={"shapes": 6})),
    ("mesh", lambda world: world.mesh("slab", 2, x=55)),
    ("archive", lambda world: world.modelnet(edited=3)),
    ("picture", write("pictures/a.jpg", "pictures/b.jpg")),
    ("index", remove("results/shards/gen/index.json")),
    ("audit", remove("results/audits/zip.json")),
    ("shard", remove("results/shards/net/000.h5")),
    ("generated", dataset("gen", procedural={"layout": "shapenet", "shapes_per_category": 2})),
]


def jobs_of(world: PlannedWorld) -> set[Job]:
    with contextlib.chdir(world.folder):
        return set(world.plan().planned(["all"]))


@pytest.mark.parametrize("count", [40, pytest.param(153, marks=CAMPAIGN, id="all")])
def test_two_changes_make_again_what_each_does_alone(built: PlannedWorld, tmp_path: Path, count: int) -> None:
    """Planned by the plan alone, which every row above has shown to be what Snakemake does; some by Snakemake too."""
    alone = {}
    for number, (name, change) in enumerate(ALONE):
        world = built.copy(tmp_path / str(number))
        change(world)
        alone[name] = jobs_of(world)
        assert alone[name], name
    pairs = list(itertools.combinations(ALONE, 2))
    assert len(pairs) == 153
    drawn = generator(1, "pairs").choice(len(pairs), count, replace=False).tolist()
    for place, number in enumerate(drawn):
        (name, change), (other, another) = pairs[number]
        world = built.copy(tmp_path / f"pair{number}")
        change(world)
        another(world)
        assert jobs_of(world) >= alone[name] | alone[other], f"{name} and {other}"
        if place < 4:
            world.planned()
        shutil.rmtree(world.folder)


def test_an_edit_of_the_audit_does_not_hide_one_of_the_trainer(world: PlannedWorld, clone: Path) -> None:
    with edited_code(clone, "render/audit.py", ("", "CHANGED = 1\n")):
        with edited_code(clone, "training/networks/losses.py", ("", "CHANGED = 1\n")):
            assert world.planned("train_all") == {"audit": 3, "train": 2}
        assert world.planned("train_all") == {"audit": 3}


# ---- looks -----------------------------------------------------------------------------------


def test_a_look_at_everything_changes_nothing(world: PlannedWorld) -> None:
    world.edit(seed=8)
    before = world.files()
    world.planned("all", forceall=True)
    assert world.files() == before


def test_a_look_with_another_seed_beside_a_run(world: PlannedWorld) -> None:
    """The lists of the run that works stay what they are, and nobody is refused."""
    before = world.files()
    with open(world.results / ".run.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        world.edit(seed=8)
        assert world.planned()
    world.edit(seed=7)
    (world.results / ".run.lock").unlink()
    after = world.files()
    assert {name for name in before if before[name][0] != after[name][0]} <= {"config.yaml"}


def test_forced_jobs_take_what_follows_with_them(world: PlannedWorld) -> None:
    assert world.planned("train_all", forcerun=frozenset({"render"})) == positive(
        total({"render": 7, "pack": 7, "ledger": 4, "shard_index": 4, "audit": 3, "train": 2}, {"shard_index": -1})
    ) | {"ledger": 3, "shard_index": 3, "render": 6, "pack": 6}


# ---- what goes on ---------------------------------------------------------------------------------


def test_a_change_and_back_again_makes_nothing(world: PlannedWorld) -> None:
    world.edit(render={"views": 24})
    world.edit(render={"views": 12})
    assert world.planned() == {}


def test_after_a_run_nothing_is_left_to_do(world: PlannedWorld) -> None:
    for change in (edit(render={"views": 24}), shard_of_mesh, dataset("zip", val_percent=60), edit(seed=8)):
        change(world)
        world.make()
        world.make()  # what was listed only in the course of the first
        assert world.planned() == {}


def test_time_that_was_raised_once_stays_raised(world: PlannedWorld) -> None:
    late("voxelize")(world)
    world.edit(voxels={"seconds_per_shape": 600})
    world.make()
    world.made_anew("ledger/mine", "ledger/mine.tsv", to_tsv([]))
    assert world.planned() == {}
    world.edit(voxels={"seconds_per_shape": 60})
    assert world.planned() == {}, "what had time enough is not made with less"


def test_growing_a_set_with_automatic_shards_moves_no_shape(world: PlannedWorld) -> None:
    world.edit(datasets={"mine": {"shards": "auto"}})
    world.make()
    assert world.planned() == {}
    assert len(list((world.results / "index/mine").glob("*.tsv"))) == 2, "the shards that there were stay"
    shutil.rmtree(world.results)
    world.make()
    before = {path.name: path.read_text(encoding="utf-8") for path in (world.results / "index/mine").glob("*.tsv")}
    assert list(before) == ["000.tsv"], "eight meshes are one shard"
    for number in range(100, 400):
        world.mesh("box", number)
    found = world.planned()
    assert (found["prepare"], found["train"]) == (2, 1), "new shapes go to new shards"
    world.make()
    after = {path.name: path.read_text(encoding="utf-8") for path in (world.results / "index/mine").glob("*.tsv")}
    assert len(after) == 3 and world.planned() == {}
    assert set(before["000.tsv"].splitlines()) == set(after["000.tsv"].splitlines())


# ---- why, and accept -----------------------------------------------------------------------------


def said(world: PlannedWorld, *targets: str) -> list[str]:
    with contextlib.chdir(world.folder):
        plan = world.plan()
        return why(plan, plan.planned(targets or ["all"]))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (edit(render={"views": 24}), "views of gen, mine, net and zip: render.views 12 -> 24 (7 jobs)"),
        (first(kl_weight=0.7), "training of first: experiments.first.kl_weight 0.5 -> 0.7"),
        (shard_of_mesh, "meshes of mine: 1 changed (box/shape1)"),
        (dataset("mine", shards=1), "meshes of mine: datasets.mine.shards 2 -> 1: 2 moved to another shard "),
        (
            dataset("mine", val_percent=70),
            "shards of mine: datasets.mine.val_percent 10.0 -> 70.0: 3 in another split ",
        ),
        (lambda world: world.modelnet(edited=0), "archives of zip: ModelNet10.zip: another file than was fetched"),
        (
            edit(evaluation={"classify_on": ["net"]}),
            "evaluation of first and second: other data sets to classify (2 jobs)",
        ),
        (edit(photographs=None), "evaluation of first and second: other sets of photographs (2 jobs)"),
        (lambda world: world.mesh("box", 77), "meshes of mine: 1 added (box/shape77)"),
        (remove("results/audits/zip.json"), "audit of zip: removed, and needed again"),
        (write("pictures/c.jpg", "c"), "backgrounds: other pictures"),
        (dataset("mine", max_rejected_percent=50), "ledger of mine: datasets.mine.max_rejected_percent 10.0 -> 50.0"),
        (dataset("more", source="folder", path="meshes", shards=1), "meshes of more: not made yet"),
        (
            both(late("voxelize"), edit(voxels={"seconds_per_shape": 600})),
            "voxels of mine: voxels.seconds_per_shape 600: shapes had taken longer",
        ),
        (write("results/made/pack/zip/001.json", "torn"), "shards of zip: no record says what it was made from"),
    ],
)
def test_every_cause_is_said(world: PlannedWorld, change: Change, line: str) -> None:
    change(world)
    assert any(words.startswith(line) for words in said(world)), said(world)


def test_what_a_head_stands_for_is_looked_for_among_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand experiments have a thousand heads, of which none is another's."""
    looked: list[str] = []

    def same(head: Head, stored: dict[str, str]) -> bool:
        looked.append(stored["name"])
        return False

    monkeypatch.setattr("pipeline.workflow.heads._same", same)
    store = HeadStore(tmp_path)
    for number in range(20):
        for value in (1, 2):
            store.keep(Head("train", f"e{number}", {"key": value}, {}))
    assert looked == [f"e{number}" for number in range(20)]
    assert len(HeadStore(tmp_path).known) == 40


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


def test_products_without_records_are_accepted(world: PlannedWorld) -> None:
    shutil.rmtree(world.results / "made")
    assert world.planned()["train"] == 2
    with contextlib.chdir(world.folder):
        accept(world.folder / "config.yaml", [])
    assert world.planned() == {}


def test_a_key_that_did_not_exist_changes_nothing_until_it_has_a_value(world: PlannedWorld) -> None:
    """A record of older code lacks a key of today."""
    for path in (world.results / "made/heads").glob("*.json"):
        text = path.read_text(encoding="utf-8")
        if '"rule": "train"' in text:
            values = read_state(path)
            del values["settings"][next(key for key in values["settings"] if key.endswith(".clip_norm"))]
            path.with_name(f"{digest_of(values)}.json").write_text(json.dumps(values), encoding="utf-8")
            for record in (world.results / "made/train").glob("*.json"):
                said_of = read_state(record)
                write_state(record, said_of | {"head": said_of["head"].replace(path.stem, digest_of(values))})
            path.unlink()
    with contextlib.chdir(world.folder):
        plan = world.plan()
        for name in ("first", "second"):
            assert plan.store.stands_for(plan.head("train", name)) != plan.head("train", name).digest
    world.edit(experiments={"first": {"clip_norm": 3.0}})
    assert any("clip_norm" in line for line in said(world))


def test_what_is_listed_in_the_course_of_a_run_is_recorded_as_it_became(world: PlannedWorld) -> None:
    """Snakemake asks for the records while it plans, and again when a job starts: the second answer counts."""
    world.edit(datasets={"gen": {"procedural": {"shapes_per_category": 3}}})
    with contextlib.chdir(world.folder):
        plan = world.plan()
        jobs = plan.planned(["all"])
        for job in jobs:
            plan.made(job.rule)(words(job))
        shutil.rmtree("results/mirror/gen")
        list_generated(plan, "gen")
        for job in jobs:
            pretend(plan, job)
    assert world.planned() == {}
