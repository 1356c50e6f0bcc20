"""The plan behind the Snakefile, the run lock, the console, and the generated environments."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import yaml

from pipeline import runlock
from pipeline.archives.contents import ContentSums
from pipeline.errors import UserError
from pipeline.settings import config
from pipeline.settings.parse import parse
from pipeline.settings.render import Render
from pipeline.settings.training import Experiment
from pipeline.workflow.console import Console, clock
from pipeline.workflow.graph import Job
from pipeline.workflow.plan import Plan

ROOT = Path(__file__).resolve().parents[3]


def _with(section: str, **values: object) -> dict[str, object]:
    return {"datasets": {"d": {"source": "modelnet10"}}, section: values}


FILES = [ROOT / "config.yaml", *sorted((ROOT / "presets").glob("*.yaml"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_shipped_configuration_is_valid(path: Path) -> None:
    plan = Plan(yaml.safe_load(path.read_text(encoding="utf-8")), str(path))
    for name in plan.datasets:
        for stage in (plan.fetch, plan.index, plan.prepare, plan.generate, plan.ledger):
            assert isinstance(json.loads(stage(name)), dict)


@pytest.mark.parametrize("change", [{}, {"kl_weight": 0.9}, {"preset": "paper-3dvaegan", "batch": 16, "ema": 0.98}])
def test_an_experiment_travels_without_loss(change: dict[str, object]) -> None:
    """Also where a value equals the class default but not its preset's."""
    values = {"datasets": ["d"], **change}
    plan = Plan({"datasets": {"d": {"source": "modelnet10"}}, "experiments": {"e": values}})
    assert parse(Experiment, plan.experiment("e"), "x") == plan.config.experiments["e"]


def test_stages_see_only_their_own_settings() -> None:
    def plan(**dataset: object) -> Plan:
        return Plan({"datasets": {"d": {"source": "modelnet10", **dataset}}})

    assert plan().prepare("d") == plan(val_percent=20, shards=9, max_rejected_percent=1).prepare("d")
    assert plan().prepare("d") != plan(up_axis="x").prepare("d")
    assert plan().index("d") == plan(up_axis="x", yaw_deg=3).index("d")
    assert plan().index("d") != plan(val_percent=20).index("d")


def test_what_stands_behind_the_views_draws_nothing_again() -> None:
    def plan(**sections: object) -> Plan:
        return Plan({"datasets": {"d": {"source": "modelnet10"}}, **sections})

    photographs, plain = plan(), plan(backgrounds={"source": "none"})
    coloured = plan(backgrounds={"source": "none", "colour": "#ffeedd"})
    assert photographs.bank() and not plain.bank() and not coloured.bank()
    assert len({photographs.pack(), plain.pack(), coloured.pack()}) == 3
    assert photographs.section("render") == plain.section("render") == coloured.section("render") == "{}"
    assert photographs.prepare("d") == coloured.prepare("d")
    folder = plan(backgrounds={"source": "folder", "path": "x", "blur_px": 2})
    assert folder.pack() == photographs.pack(), "the bank's own settings reach the pack as another bank"


def test_highlights_draw_again_and_prepare_nothing() -> None:
    def plan(**render: object) -> Plan:
        return Plan({"datasets": {"d": {"source": "modelnet10"}}, "render": render})

    glossy = plan(specular={"strength": 0.3})
    assert glossy.section("render") == '{"specular": {"strength": 0.3}}'
    assert parse(Render, glossy.section("render"), "x").specular.shininess == 32
    assert (glossy.prepare("d"), glossy.pack()) == (plan().prepare("d"), plan().pack())
    assert plan(above_max_faces="decimate").prepare("d") != plan().prepare("d")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (_with("render", specular={"stength": 1}), "unknown key `render.specular.stength`; did you mean 'strength'?"),
        (_with("render", specular={"shininess": 30}), "`render.specular.shininess`"),
        (_with("backgrounds", source="non"), "`backgrounds.source`"),
        (_with("backgrounds", source="none", colour="blue"), "`backgrounds.colour`"),
        (_with("backgrounds", colour="white"), "`colour` is for source 'none', not for 'procedural'"),
        (_with("backgrounds", source="none", colour="transparent"), "set shards.storage to 'layers' for it"),
        ({"datasets": {"d": {"source": "modelnet10"}}, "voxel": {}}, "unknown key `voxel`; did you mean 'voxels'?"),
        ({"datasets": {"d": {"sauce": "modelnet10"}}}, "unknown key `datasets.d.sauce`; did you mean 'source'?"),
        ({"datasets": {"D x": {"source": "modelnet10"}}}, "data set name 'D x' must be small letters"),
        ({"datasets": {"d\n": {"source": "modelnet10"}}}, "data set name 'd\\n' must be small letters"),
        ({"datasets": {"d": {"source": "folder"}}}, "source 'folder' needs `path`"),
        ({"datasets": {"d": {"source": "modelnet10"}}, "render": {"size_px": 65}}, "`render.size_px`"),
        ({"datasets": {"d": {"source": "modelnet10"}}, "seed": "one"}, "`seed`"),
        ({}, "`datasets` is needed and is not there"),
        ([], "expected a table of keys and values"),
    ],
)
def test_wrong_configurations_are_explained(values: object, message: str) -> None:
    with pytest.raises(UserError) as caught:
        config.check(values)
    assert message in str(caught.value)


def test_not_yaml_and_not_there(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("a: [1", encoding="utf-8")
    with pytest.raises(UserError, match="not valid YAML"):
        config.load(tmp_path / "c.yaml")
    with pytest.raises(UserError, match="cannot read the configuration"):
        config.load(tmp_path / "none.yaml")


def test_lock_names_its_living_holder_and_ignores_the_dead(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys; from pipeline import runlock; runlock.hold(pathlib.Path(sys.argv[1])); "
        "print('held', flush=True); input()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None and holder.stdin is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match=f"another run is working in this folder(.|\n)*process {holder.pid} on "):
        runlock.hold(tmp_path)
    holder.kill()
    holder.wait()
    holder.stdout.close()
    holder.stdin.close()
    assert json.loads(runlock.hold(tmp_path))["pid"] == holder.pid
    runlock._held.pop((tmp_path / ".run.lock").resolve()).close()


def test_who_is_patient_gets_the_lock_of_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a cluster job does whose forerunner has outlived its Snakemake."""
    code = (
        "import os, pathlib, sys, time; from pipeline import runlock; runlock.hold(pathlib.Path(sys.argv[1])); "
        "print('held', flush=True); time.sleep(1)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "SLURM_JOB_ID": "4711"},
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    monkeypatch.setenv("SLURM_JOB_ID", "4712")
    with runlock.held(tmp_path):
        assert json.loads((tmp_path / ".run.lock").read_text(encoding="utf-8"))["job"]["id"] == "4712"
    assert "waiting for process" in (said := capsys.readouterr().err) and "SLURM job 4711: `scancel 4711`" in said
    holder.communicate()


def test_contents_follow_bytes_not_times(tmp_path: Path) -> None:
    file, cache = tmp_path / "a.off", tmp_path / "cache"
    file.write_bytes(b"OFF")
    sums = ContentSums(cache)
    first = sums.of(file)
    sums.save()
    file.touch()
    assert ContentSums(cache).of(file) == first
    file.write_bytes(b"OFG")
    assert ContentSums(cache).of(file) != first


def event(name: str, **values: object) -> logging.LogRecord:
    record = logging.LogRecord("snakemake", logging.INFO, "", 0, "", (), None)
    record.__dict__.update(event=types.SimpleNamespace(value=name), **values)
    return record


def test_console_says_what_failed_and_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(every_s=0.0)
    console.emit(event("job_info", jobid=3, rule_name="render", wildcards={"dataset": "d", "shard": "001"}))
    console.emit(event("job_error", jobid=3, log=["logs/render.jsonl"]))
    console.emit(event("progress", done=1, total=4))
    text = capsys.readouterr().err
    assert "FAILED render d/001; its log: logs/render.jsonl" in text
    assert "-- 1 of 4 jobs (25 %)" in text and "left" in text
    assert (clock(65.2), clock(3725)) == ("1:05", "1:02:05")


def test_conda_files_match_the_lock() -> None:
    done = subprocess.run([sys.executable, "envs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_several_nodes_share_the_processes_of_a_training() -> None:
    def launcher(processes: int, **asked: object) -> str:
        experiment = {"datasets": ["d"], "processes": processes}
        return Plan({"datasets": {"d": {"source": "modelnet10"}}, "experiments": {"e": experiment}}).launcher(
            "e", asked
        )

    assert launcher(8, gpu=8) == "python -m training"
    assert launcher(8, mpi="srun", tasks=2).startswith("srun --ntasks=2 ")
    assert "--nnodes=2 --nproc-per-node=4 " in launcher(8, mpi="srun", nodes=2, tasks=2)
    assert "--nnodes=4 --nproc-per-node=2 " in launcher(8, mpi="srun", nodes=2, tasks_per_node=2)
    with pytest.raises(UserError, match=r"cannot share its processes evenly(.|\n)*8 processes, 3 tasks"):
        launcher(8, mpi="srun", tasks=3)


def test_packs_and_ledger_follow_from_the_near_duplicates_of_all_shards_where_these_stay_together() -> None:
    def needs(split: str, rule: str) -> dict[str, tuple[Job, ...]]:
        plan = Plan({"datasets": {"d": {"source": "modelnet10", "shards": 2, "split": split}}})
        return {need.label: need.jobs for need in plan.graph.needs(Job(rule, "d", "001")) if need.content}

    for rule in ("pack", "ledger"):
        assert needs("clusters", rule)["clusters"] == (Job("clusters", "d"),)
        assert needs("hash", rule)["clusters"] == ()
    assert needs("clusters", "clusters")["voxels"] == (Job("voxelize", "d", "000"), Job("voxelize", "d", "001"))


@pytest.mark.parametrize(("source", "count"), [("sun397", 2), ("procedural", 1), ("none", 1)])
def test_downloads_are_all_that_a_run_fetches(source: str, count: int) -> None:
    plan = Plan({"datasets": {"d": {"source": "modelnet10"}}, "backgrounds": {"source": source}})
    fetched = {job for job in plan.graph.everything() if job.rule.startswith("fetch")}
    assert set(plan.graph.target("download_all")) == fetched and len(fetched) == count


def test_a_training_follows_from_the_content_of_the_weights_that_it_begins_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    weights = tmp_path / "w.pth"

    def outside(content: bytes | None) -> dict[str, str | None]:
        if content is not None:
            weights.write_bytes(content)
        begins = {"encoder": "resnet18", "encoder_width": 1, "encoder_weights": "w.pth"}
        one = {"datasets": ["d"], **begins}
        plan = Plan({"datasets": {"d": {"source": "modelnet10"}}, "experiments": {"e": one, "f": {"datasets": ["d"]}}})
        assert plan._outside(Job("train", "f")) == {}
        return plan._outside(Job("train", "e"))

    assert outside(None) == {"encoder_weights": "no such folder"}  # the training says so in words
    first = outside(b"one")
    weights.touch()
    assert outside(None) == first != outside(b"two")
