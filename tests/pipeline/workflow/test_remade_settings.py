"""What a change of the settings makes again, exactly, planned by the real Snakefile.

The products of the world are there in name, with the records that real ones have, so that a row takes a moment;
tests/test_runs.py makes real ones.
"""

from __future__ import annotations

import pytest

from tests.pipeline.workflow.changes import (
    EVERY_VIEW,
    EVERY_VOXEL,
    EVERYTHING,
    LEARNED,
    PACKED,
    SHOWN,
    Change,
    Jobs,
    both,
    data,
    dataset,
    edit,
    first,
    move,
    planned_without_a_trace,
    positive,
    remove,
    rows,
    total,
    touch_everything,
    write_more,
)
from tests.plans import PlannedWorld

pytestmark = pytest.mark.workflow


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


@pytest.mark.parametrize(
    ("change", "jobs", "snakemake"), rows(SETTINGS + SPLITS, "other times", "no .snakemake", "views without .snakemake")
)
def test_settings(world: PlannedWorld, change: Change, jobs: Jobs, snakemake: bool) -> None:
    change(world)
    assert planned_without_a_trace(world, snakemake) == positive(jobs)
