"""The real Snakefile on a tiny world: everything is built once, then only what a change asks for."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest
import yaml

from pipeline.seeds import generator
from pipeline.state.files import read_state
from pipeline.workflow.damage import ASIDE
from tests.world import ROOT, TINY, World, lasting_digests, make_folder, seeded_moments

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The user's command, once, on two generated data sets and one folder of meshes."""
    # A folder whose name a shell would take to pieces.
    world = World(tmp_path_factory.mktemp("world") / "a b'\"$()")
    make_folder(world.folder / "meshes")
    world.edit(
        datasets={
            "mn": {"shards": 1},
            "mine": {"source": "folder", "path": "meshes", "shards": 2, "up_axis": "z", "val_percent": 40},
        },
        experiments={"tiny": {"samples": 160, "validate_every": 80}},
        evaluation={"samples": 8},
        voxels={"resolution": 16},
    )
    world.run(cores=4)
    return world


@pytest.fixture(scope="module")
def longer(built: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The built world and one more training, which is long enough for moments to kill it at."""
    folder = tmp_path_factory.mktemp("longer") / "world"
    shutil.copytree(built.folder, folder)
    world = World(folder, folder / "config.yaml")
    tiny = yaml.safe_load(TINY.read_text(encoding="utf-8"))["experiments"]["tiny"]
    world.edit(experiments={"own": {**tiny, "datasets": ["mine"], "samples": 480}})
    world.run(cores=4)
    return world


def twin(built: World, folder: Path) -> World:
    """The same configuration and meshes in another folder, with nothing built."""
    shutil.copytree(built.folder / "meshes", folder / "meshes")
    return World(folder, built.folder / "config.yaml")


@pytest.fixture
def world(built: World, tmp_path: Path) -> Iterator[World]:
    """The built world with its configuration put back afterwards."""
    config = (built.folder / "config.yaml").read_text(encoding="utf-8")
    yield built
    (built.folder / "config.yaml").write_text(config, encoding="utf-8")


def test_everything_is_there(built: World) -> None:
    results = built.results
    for name in ("mn", "sn", "mine"):
        index = json.loads((results / "shards" / name / "index.json").read_text(encoding="utf-8"))
        assert sum(index["counts"].values()) == sum(entry["count"] for entry in index["shards"]) > 0
        assert (results / "samples" / name / "sheet.png").stat().st_size > 10_000
        assert (results / "samples" / name / "gallery.html").stat().st_size > 10_000
    scores = json.loads((results / "runs" / "tiny" / "results.json").read_text(encoding="utf-8"))
    assert scores
    for name in ("mn", "sn"):
        record = read_state(results / "made" / "index" / f"{name}.json")
        assert record["digest"] and record["lists"], "the end of the run adds what was listed to the record of the job"
    page = (results / "report.html").read_text(encoding="utf-8")
    assert "tiny" in page
    loaded = re.findall(r"(?:src|href)=[\"']?https?:|url\([\"']?https?:|@import", page)
    assert loaded == [], "the page must be one file"


def test_snakemakes_own_report_has_sheets_audits_and_metrics_with_captions(built: World) -> None:
    built.run("--report", "snakemake.html", "all", "train_all")
    page = (built.folder / "snakemake.html").read_text(encoding="utf-8")
    found = re.search(r"var categories = (\{.*?\});?\s*\n", page)
    assert found
    categories = {name: files["Other"] for name, files in json.loads(found[1]).items()}
    assert categories["Contact sheets"] == [f"results/samples/{name}/sheet.png" for name in ("mine", "mn", "sn")]
    assert {"results/audits/mn.json", "results/ledger/sn.tsv"} <= set(categories["Audits"])
    runs = {f"results/runs/tiny/{file}.json" for file in ("results", "train")}
    assert set(categories["Metrics"]) == runs and categories["Results"] == ["results/report.html"]
    for caption in (ROOT / "report" / "captions").glob("*.rst"):
        assert f"<p>{caption.read_text(encoding='utf-8').strip()}</p>" in page


def test_nothing_half_written_is_left(built: World) -> None:
    assert list(built.results.rglob(".*tmp*")) == []


def test_planted_damage_is_in_the_ledger(built: World) -> None:
    text = "".join((built.results / "ledger" / f"{name}.tsv").read_text(encoding="utf-8") for name in ("mn", "sn"))
    assert "truncated" in text and "no_faces" in text and "missing_mesh" in text


def test_shards_read_with_plain_h5py(built: World) -> None:
    with h5py.File(next((built.results / "shards" / "sn").glob("*.h5"))) as file:
        shapes, views, side = file["images"].shape[:3]
        assert (views, side) == (3, 64) and file["voxels"].shape == (shapes, 16**3 // 8)


def test_second_run_does_nothing_and_says_so(built: World) -> None:
    done = built.run()
    assert "Nothing to be done" in done.stdout + done.stderr
    assert built.planned() == {}


def flip(path: Path, place: int = -100) -> None:
    """Change one byte, as a bad disk would."""
    data = bytearray(path.read_bytes())
    data[place] ^= 0x55
    path.write_bytes(bytes(data))


def test_deleted_and_damaged_shards_come_back_the_same_and_train_nothing_anew(world: World) -> None:
    """The usual command sees both, although the model is newer than either."""
    shards = world.results / "shards"
    before = lasting_digests(world.results)
    (shards / "mn" / "000.h5").unlink()
    assert world.planned("train_all") == {"pack": 1}
    flip(shards / "sn" / "000.h5")
    (shards / "mine" / "001.h5").touch()
    done = world.run("train_all")
    assert f"damaged: {Path('results/shards/sn/000.h5')}" in done.stderr
    assert re.search(r"^pack +2$", done.stdout + done.stderr, re.MULTILINE)
    (shards / "sn" / f"000.h5{ASIDE}").unlink()
    assert lasting_digests(world.results) == before
    assert not list(world.results.glob("runs/*/previous-*")), "finished runs were recognised, not trained again"
    world.run()
    assert world.planned() == {}


def test_verify_repairs_just_what_is_damaged_or_missing(built: World) -> None:
    results = built.results
    flip(results / "voxels" / "sn" / "000.zip", 60)
    truncated = results / "prepared" / "mine" / "001.zip"
    truncated.write_bytes(truncated.read_bytes()[:-100])
    (results / "shards" / "mine" / "001.h5").unlink()
    broken = {"voxels/sn/000.zip", "prepared/mine/001.zip", "shards/mine/001.h5"}
    others = {path: path.stat().st_mtime_ns for path in products(results) if relative(path, results) not in broken}
    options = built.command("--configfile", "config.yaml")[3:]  # an option that takes all words after it
    done = built.python("-m", "pipeline", "verify", "results", "--repair", "--", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of 3 files are whole again" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in products(results) if relative(path, results) not in broken} == (
        others
    ), "nothing else was made again"
    assert {relative(path, results) for path in products(results)} >= broken
    assert built.planned() == {}, "and nothing that was made of them is"
    assert built.python("-m", "pipeline", "verify", "results").returncode == 0


def products(results: Path) -> list[Path]:
    return [
        path
        for path in results.rglob("*")
        if path.is_file() and path.parts[len(results.parts)] not in ("logs", "benchmarks", "made", ".run.lock")
    ]


def relative(path: Path, results: Path) -> str:
    return path.relative_to(results).as_posix()


def test_a_kill_while_meshes_are_prepared_leaves_no_trace(built: World, tmp_path: Path) -> None:
    """kill -9 of everything at a seeded moment; the same command goes on.  The campaign kills whole runs."""
    other, targets = twin(built, tmp_path), [f"results/prepared/mine/{shard:03d}.zip" for shard in (0, 1)]
    random = generator(6, "kills")
    killed = other.run_and_kill(int(random.integers(1, 5)), random.uniform(0, 1), cores=1, targets=targets)
    assert killed == "data"
    other.run(*targets, cores=1)
    whole, found = lasting_digests(built.results), lasting_digests(other.results)
    assert {path.removeprefix("results/") for path in targets} <= set(found)
    assert found == {name: whole[name] for name in found}
    assert other.planned(*targets) == {}


@pytest.mark.parametrize(
    ("seed", "kills"),
    [
        pytest.param(4, 5, marks=(pytest.mark.slow, pytest.mark.campaign)),
        pytest.param(1, 20, marks=pytest.mark.slow),
    ],
)
def test_kills_on_one_core_end_with_the_bytes_of_four_cores_and_of_repaired_files(
    longer: World, tmp_path: Path, seed: int, kills: int
) -> None:
    """The whole world, killed wherever it is; every second time Snakemake alone."""
    other = twin(longer, tmp_path)
    killed = other.killed_at(seeded_moments(seed, kills, longer.progress()), cores=1)
    assert killed.count("training") >= max(1, kills // 6) and killed.count("data") >= max(1, kills // 4), killed
    assert lasting_digests(other.results) == lasting_digests(longer.results)
    assert other.planned() == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"render": {"size": 64}}, "unknown key `render.size`; did you mean 'size_px'?"),
        ({"voxels": {"resolution": 33}}, "`voxels.resolution`"),
        ({"experiments": {"tiny": {"datasets": ["m"]}}}, "unknown data set 'm'; did you mean 'mn'?"),
        ({"datasets": {"mine": {"source": "folder", "path": "nowhere"}}}, "there is no such folder"),
    ],
)
def test_wrong_configuration_stops_before_any_job(world: World, change: dict[str, object], message: str) -> None:
    world.edit(**change)
    done = world.run(check=False)
    text = done.stdout + done.stderr
    assert done.returncode != 0 and message in text and "Traceback" not in text


def test_a_second_run_names_the_first(built: World) -> None:
    import fcntl

    with open(built.results / ".run.lock", "r+", encoding="utf-8") as lock:
        lock.write(json.dumps({"pid": 4242, "host": "node7", "since": "2016-10-24 12:00:00"}))
        lock.truncate()
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = built.run(check=False)
        assert built.planned() == {}, "a dry run may look at any time"
    assert done.returncode != 0 and "process 4242 on node7, since 2016-10-24 12:00:00" in done.stdout + done.stderr
