"""What a change of files makes again, exactly: of meshes, archives, pictures, products and records."""

from __future__ import annotations

import zipfile

import pytest

from tests.pipeline.workflow.changes import (
    BOTH,
    EVERY_VIEW,
    LEARNED,
    LISTED,
    MESH,
    PACKED,
    SHOWN,
    Change,
    Jobs,
    behind_a_link,
    both,
    data,
    dataset,
    edit,
    first,
    for_its_owner_alone,
    late,
    marked_unfinished,
    move,
    packed_again,
    planned_without_a_trace,
    positive,
    remove,
    rewritten,
    rows,
    shard_of_mesh,
    total,
    turned_round,
    write,
    write_more,
)
from tests.plans import PlannedWorld, write_zip

pytestmark = pytest.mark.workflow


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
    ("lists and archives deleted", remove("results/index", "mirrors", "results/mirror"), {}),
    ("a list torn, and its archive deleted", both(write("results/index/zip/001.tsv", "torn"), remove("mirrors")), {}),
    (
        "lists and archives deleted, then a ledger",
        remove("results/index", "mirrors/net", "results/mirror", "results/ledger/gen.tsv"),
        {"generate": 1, "fetch": 1, "index": 1, "ledger": 1},
    ),
    (
        "lists and archives deleted, then a shard",
        remove("results/index", "results/mirror", "results/shards/gen/001.h5"),
        {"generate": 1, "fetch": 1, "index": 1, "pack": 1},
    ),
    (
        "an archive deleted, and other shapes generated",
        both(remove("results/mirror"), dataset("gen", procedural={"layout": "modelnet", "shapes_per_category": 3})),
        total(data(2), LEARNED, {"generate": 1, "fetch": 1, "index": 1}),
    ),
    ("a record torn", write("results/made/pack/zip/001.json", "torn"), total({"pack": 1})),
    ("a record of views deleted that nothing needs", remove("results/made/render/net/000.json"), {}),
    ("output named with its whole path", lambda world: world.edit(output=str(world.results)), {}),
    ("an audit changed in one place", write_more("results/audits/zip.json", " "), {"audit": 1}),
    ("a report cut short", write("results/report.html", "<"), {"report": 1}),
    ("a record changed in one place", write_more("results/made/audit/zip.json", ","), {"audit": 1}),
    ("results moved", move("results", "elsewhere", edit(output="elsewhere")), {}),
]
# What people do to files without thinking of it.
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


# Snakemake looks at these by itself.
ITS_OWN = (
    *("marks of jobs that outlived their workflow", "and a mesh edited", "intermediates removed", "a shard deleted"),
    *("a run deleted", "logs deleted", "results moved"),
)


@pytest.mark.parametrize(("change", "jobs", "snakemake"), rows(FILES, *ITS_OWN))
def test_files(world: PlannedWorld, change: Change, jobs: Jobs | None, snakemake: bool) -> None:
    change(world)
    found = planned_without_a_trace(world, snakemake)
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
    assert world.planned() == positive(jobs)
