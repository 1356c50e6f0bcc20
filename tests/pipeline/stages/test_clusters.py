"""Near-duplicates: all pairs and no others are found, and each cluster stays on one side of the split."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.__main__ import main
from pipeline.conventions import SPLITS, Array, pack_grid
from pipeline.formats.binvox import write_binvox
from pipeline.formats.clusters import read_splits, write_clusters
from pipeline.formats.pack import write_pack
from pipeline.manifest import Record, Shape, shapes_to_tsv
from pipeline.stages.clusters import clusters_of, near_duplicates, splits_of
from pipeline.stages.ledger import collect_files
from pipeline.state.files import read_state


def grids(seed: int, count: int, resolution: int) -> Array:
    """(N, R, R, R) bool: balls, some of them with a share of their voxels changed that lies around 5 %; some empty."""
    rng = np.random.default_rng(seed)
    place = np.stack(np.meshgrid(*[np.arange(resolution)] * 3, indexing="ij"))
    found: list[Array] = []
    for _ in range(count):
        kind = rng.random()
        if found and kind < 0.6:
            grid = found[rng.integers(len(found))].copy()
            inside = np.flatnonzero(grid)
            gone = rng.permutation(inside)[: int(len(inside) * rng.choice([0, 0.02, 0.04, 0.05, 0.06]))]
            grid.reshape(-1)[gone] = False
        else:
            centre = rng.integers(4, resolution - 4, 3)[:, None, None, None]
            grid = (np.square(place - centre).sum(0) < rng.integers(4, 40)) & (kind < 0.97)
        found.append(grid)
    return np.stack(found)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 14), st.sampled_from((16, 32)))
def test_exactly_the_pairs_that_are_nearly_the_same_are_found(seed: int, count: int, resolution: int) -> None:
    shapes = grids(seed, count, resolution)
    wanted = {
        (i, j)
        for i, j in itertools.combinations(range(count), 2)
        if shapes[i].any() and 20 * (shapes[i] & shapes[j]).sum() >= 19 * (shapes[i] | shapes[j]).sum()
    }
    found = [tuple(sorted(pair)) for pair in near_duplicates(np.stack([pack_grid(shape) for shape in shapes]))]
    assert len(found) == len(set(found)) and set(found) == wanted


names = st.lists(st.text("abc", min_size=1, max_size=3), min_size=2, max_size=8, unique=True)


@settings(deadline=None)
@given(names, st.data())
def test_a_cluster_has_one_split_and_a_new_shape_moves_its_own_cluster_alone(
    ids: list[str], data: st.DataObject
) -> None:
    everyone = st.sampled_from(range(len(ids)))
    pairs = data.draw(st.lists(st.tuples(everyone, everyone), max_size=6))
    listed = {shape_id: data.draw(st.sampled_from(SPLITS)) for shape_id in ids}
    clusters = clusters_of(ids, pairs)
    splits = splits_of(clusters, listed)
    assert clusters == clusters_of(ids, [(b, a) for a, b in reversed(pairs)])
    for one, other in pairs:
        if one != other:
            assert splits[ids[one]] == splits[ids[other]]
    for cluster in clusters:
        assert {splits[shape_id] for shape_id in cluster} == {listed[cluster[0]]}
    # Without the last shape: whoever is in no cluster with it keeps its split.
    last = len(ids) - 1
    before = splits_of(clusters_of(ids[:last], [pair for pair in pairs if last not in pair]), listed)
    joined = next((set(cluster) for cluster in clusters if ids[last] in cluster), set())
    for shape_id in ids[:last]:
        if shape_id not in joined:
            assert splits.get(shape_id, listed[shape_id]) == before.get(shape_id, listed[shape_id])


def test_the_command_gives_near_duplicates_one_split_in_the_ledger_too(tmp_path: Path) -> None:
    """Four shapes of two shards: two are the same, one is another, and one has no voxels."""
    (tmp_path / "index").mkdir()
    (tmp_path / "index/rejects.jsonl").write_text("", encoding="utf-8")
    shapes = [Shape("d", "chair", name, split, name) for name, split in zip("abcx", ("train", "test", "val", "train"))]
    for number, some in enumerate((shapes[:2], shapes[2:])):
        (tmp_path / f"index/{number:03d}.tsv").write_text(shapes_to_tsv(some), encoding="utf-8")
        with write_pack(tmp_path / f"{number}.zip", ".binvox") as pack:
            for shape in some:
                if shape.name != "x":
                    grid = np.zeros((16, 16, 16), bool)
                    grid[2:9, 3:9, 4 : 12 if shape.name == "b" else 9] = True
                    pack.add(Record(shape.shape_id, "chair", shape.name, ""), write_binvox(grid))
    voxels = [str(tmp_path / f"{number}.zip") for number in (0, 1)]
    output = tmp_path / "clusters" / "d.json"
    asked = ["--settings", "{}", "--index", str(tmp_path / "index"), "--voxels", *voxels, "-o", str(output)]
    assert main(["clusters", *asked]) == 0
    found = read_state(output)
    assert [sorted(cluster) for cluster in found["clusters"]] == [["d/chair/a", "d/chair/c"]]
    split = {shape.shape_id: shape.split for shape in shapes}[found["clusters"][0][0]]
    assert read_splits(output) == {"d/chair/a": split, "d/chair/c": split}
    rows = {row.shape_id: row.split for row in collect_files(tmp_path / "index", [], output)}
    assert rows == {"d/chair/a": split, "d/chair/b": "test", "d/chair/c": split, "d/chair/x": "train"}
    # A list that was made when the set had more shapes says the split of those that are still there.
    write_clusters(output, 0.95, [["d/chair/b", "d/chair/gone"]], {"d/chair/b": "val", "d/chair/gone": "val"})
    rows = {row.shape_id: row.split for row in collect_files(tmp_path / "index", [], output)}
    assert sorted(rows) == [f"d/chair/{name}" for name in "abcx"] and rows["d/chair/b"] == "val"
