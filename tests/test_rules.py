"""What every rule says about itself, what it is made with, and what `snakemake --report` gets from it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from envs import generate
from pipeline import provenance
from pipeline.workflow.plan import Plan
from pipeline.workflow.seen import CODE
from tests.measures import imports, reached
from tests.test_architecture import libraries
from tests.world import ROOT, World

RULES = sorted((ROOT / "pipeline" / "rules").glob("*.smk"))
# The directives of a rule that makes something, in the order that snakefmt keeps.
WANTED = ("output", "log", "benchmark", "conda", "threads", "resources", "shell")
# What a library is called where its import has another name.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "yaml": "pyyaml",
    "OpenGL": "pyopengl",
    "sklearn": "scikit-learn",
    "pydantic_core": "pydantic",
    "skimage": "scikit-image",
}
# Imported in a function, where a user's choice needs them; the pipeline says what to install.
OPTIONAL = {"open3d", "wandb", "onnxruntime", "umap", "DracoPy", "pyarrow"}
FOR_PEOPLE = {"argcomplete"}  # a shell's completion, never a job's


def made() -> dict[str, str]:
    """Text of every rule with a command."""
    found = {}
    for path in RULES:
        for block in re.split(r"(?m)^ *(?=rule\b)", path.read_text(encoding="utf-8")):
            if name := re.match(r"rule (\w+):|rule:", block):
                found[name[1] or "index"] = block
    return found


@pytest.mark.parametrize("name", sorted(made()))
def test_every_rule_has_threads_resources_log_and_benchmark(name: str) -> None:
    block = made()[name]
    missing = [word for word in WANTED if not re.search(rf"(?m)^\s+{word}:", block)]
    assert missing == []
    assert "mem_mb=" in block and "runtime=" in block
    assert "retries:" not in block, "retries belong to the profile, where memory grows with the attempt"
    assert "script:" not in block and "checkpoint " not in block


def test_every_target_without_a_command_runs_where_snakemake_is() -> None:
    text = (ROOT / "Snakefile").read_text(encoding="utf-8")
    local = set(re.findall(r"^    (\w+),$", text.split("localrules:")[1].split("rule all")[0], re.MULTILINE))
    assert set(re.findall(r"^rule (\w+):", text, re.MULTILINE)) <= local
    assert local - set(re.findall(r"^rule (\w+):", text, re.MULTILINE)) == {"fetch", "fetch_backgrounds"}


def test_snakemake_finds_nothing_to_criticise() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONWARNINGS"}
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0 and "in a good condition" in done.stderr + done.stdout, done.stdout + done.stderr


def test_the_profiles_name_rules_there_are_and_snakemake_understands_them(tmp_path: Path) -> None:
    cluster = ROOT / "profiles" / "slurm"
    values = yaml.safe_load((cluster / "config.yaml").read_text(encoding="utf-8"))
    assert set(values["set-resources"]) <= set(made())
    ours = yaml.safe_load((ROOT / "profiles" / "default" / "config.yaml").read_text(encoding="utf-8"))
    needed = ("rerun-incomplete", "nolock", "scheduler", "keep-going")
    assert {key: values[key] for key in needed} == {key: ours[key] for key in needed}
    world = World(tmp_path / "world")
    command = world.command("-n", "train_all")
    command[command.index("--workflow-profile") + 1] = str(cluster)
    command = [word for word in command if word not in ("--cores", "2")]
    done = subprocess.run(command, cwd=world.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "dry-run" in done.stdout + done.stderr, done.stdout + done.stderr


# ---- environments --------------------------------------------------------------------------


# Modules whose digests are no part of a stage (what lists and fetches does not), and those loaded by a name.
LOADED = {
    "fetch": {"pipeline.stages.fetch"},
    "fetch_backgrounds": {"pipeline.stages.fetch"},
    "index": {"pipeline.stages.index"},
}
BY_ADAPTER = {"fetch", "index", "prepare", "import_voxels", "import_views"}


def loaded(rule: str) -> set[str]:
    """Every module of the project that a job of a rule may load: more than those that decide what is made again."""
    graph = imports()
    found = set(LOADED.get(rule, ()))
    for root in CODE[rule]:
        module, _, function = root.partition(":")
        found |= set(provenance._function(module, function)[1]) if function else {module}
    if rule in BY_ADAPTER:
        found |= {module for module in graph if module.startswith("pipeline.sources.")}
    return found.union(*(reached(graph, module) for module in found))


def needed(rule: str) -> set[str]:
    """Distributions that these modules import."""
    found = {library for name in loaded(rule) for library in libraries(provenance._path(name))}
    own = {*provenance.PACKAGES, *sys.stdlib_module_names}
    names = {DISTRIBUTIONS.get(name, name.lower().replace("_", "-")) for name in found - own - OPTIONAL - FOR_PEOPLE}
    # What run.in has just got and run.lock does not know yet comes with the next `make lock`.
    return names & set(generate.pins()) | names & {"torch"}


def packages(environment: str) -> set[str]:
    """Names in an environment file."""
    values = yaml.safe_load((ROOT / "envs" / f"{environment}.yaml").read_text(encoding="utf-8"))
    return {pin.split("==")[0] for pin in values["dependencies"][-1]["pip"]}


@pytest.mark.parametrize("name", sorted(made()))
def test_an_environment_has_what_its_rules_import(name: str) -> None:
    """So that --software-deployment-method conda works for those who have conda."""
    block = made()[name]
    environment = re.findall(r'"\.\./\.\./envs/(\w+)\.yaml"', block)
    assert len(environment) == 1
    assert needed(name) - packages(environment[0]) == set(), "add it to STAGES in envs/generate.py"


def test_conda_would_make_one_environment_a_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in answers what Snakemake asks conda before it plans; building environments is conda's business."""
    conda = tmp_path / "bin" / "conda"
    conda.parent.mkdir()
    conda.write_text("""#!/bin/sh
case "$1" in
info) echo '{"conda_version": "24.9.2", "conda_prefix": "/opt/conda", "platform": "linux-64", "envs_dirs": []}';;
config) echo '{"get": {"channel_priority": "strict"}}';;
*) echo "conda 24.9.2";;
esac
""")
    conda.chmod(0o755)
    monkeypatch.setenv("PATH", f"{conda.parent}{os.pathsep}{os.environ['PATH']}")
    done = World(tmp_path / "world").run("-n", "all", "--software-deployment-method", "conda")
    made = re.findall(r"Conda environment \S*envs/(\w+)\.yaml will be created", done.stdout + done.stderr)
    assert sorted(made) == sorted(generate.STAGES)


@pytest.mark.slow
@pytest.mark.workflow
def test_jobs_run_in_the_container_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for apptainer notes the image and runs the command."""
    image, seen = tmp_path / "image.sif", tmp_path / "seen"
    image.touch()
    apptainer = tmp_path / "bin" / "apptainer"
    apptainer.parent.mkdir()
    apptainer.write_text(f"""#!/bin/sh
[ "$1" = --version ] && {{ echo "apptainer version 1.3.0"; exit 0; }}
echo "$@" >> {seen}
for word; do last=$word; done
exec bash -c "$last"
""")
    apptainer.chmod(0o755)
    monkeypatch.setenv("PATH", f"{apptainer.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SHAPES_IMAGE", str(image))
    world = World(tmp_path / "world")
    world.run("results/mirror/mn", "--software-deployment-method", "apptainer")
    assert str(image) in seen.read_text() and list(world.results.glob("mirror/*"))


def test_the_container_is_made_from_the_same_locks() -> None:
    text = (ROOT / "envs" / "Containerfile").read_text(encoding="utf-8")
    for source in re.findall(r"^COPY (\S+) ", text, re.MULTILINE):
        assert (ROOT / source).exists()
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    torch = set(re.findall(r"torch==([\d.]+)", text + makefile)) | {generate.TORCH.partition("==")[2]}
    assert len(torch) == 1, f"one version of torch everywhere, not {sorted(torch)}"
    assert "--require-hashes" in text


# ---- the picture of the rules --------------------------------------------------------------


def test_the_picture_shows_the_rules_there_are() -> None:
    """`make dag` draws it again."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    drawn = set(re.findall(r"id\d+\[(\w+)\]", readme.split("```mermaid")[1].split("```")[0]))
    drawn = {"index" if name.startswith("index_") else name for name in drawn} - {"all"}
    # Other sources bring these; the picture shows config.yaml's.
    assert set(made()) - drawn == {"clusters", "fetch_backgrounds", "import_views", "import_voxels", "photographs"}
    assert drawn <= set(made())


def test_gpus_and_cores_follow_from_the_experiment() -> None:
    def plan(**values: object) -> Plan:
        return Plan({"datasets": {"d": {"source": "modelnet10"}}, "experiments": {"e": {"datasets": ["d"], **values}}})

    assert plan().gpus("e") == 1 and plan(processes=4).gpus("e") == 4
    assert plan(processes=4, device="cpu").gpus("e") == 0
    assert plan(processes=4, threads=2).train_threads("e", gpu=True) == 16
    assert plan(processes=4, threads=2).train_threads("e", gpu=False) == 8
