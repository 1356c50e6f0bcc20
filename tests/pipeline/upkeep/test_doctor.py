"""The doctor tells the truth about what is there, and what to do next."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pipeline.progress import Log
from pipeline.settings.datasets import Dataset
from pipeline.stages.fetch import fetch_dataset
from pipeline.upkeep.doctor import examine
from pipeline.upkeep.why import explain
from tests.pipeline.archives.faulty_server import Plan, serving


def doctor(folder: Path, text: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    path = folder / "config.yaml"
    path.write_text(f"output: {folder}/results\n{text}")
    code = examine(path)
    return code, capsys.readouterr().out


def test_a_generated_set_needs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.upkeep.doctor.shutil.which", lambda name: name)
    code, out = doctor(tmp_path, "datasets: {demo: {source: procedural}}", capsys)
    assert code == 0
    assert "nothing to fetch" in out
    assert "384 shapes" in out
    assert "next:\n  snakemake --cores" in out
    monkeypatch.setattr("pipeline.upkeep.doctor.shutil.which", lambda name: None)
    _, out = doctor(tmp_path, "datasets: {demo: {source: procedural}}", capsys)
    assert f"next:\n  PATH={Path(sys.executable).parent}:$PATH snakemake --cores" in out


def test_programs_are_told_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"output: {tmp_path}/results\ndatasets: {{mine: {{source: folder, path: /nowhere/at/all}}}}")
    assert examine(path, as_json=True) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["missing"] == ["data mine"]
    assert {line["what"]: line["state"] for line in found["findings"]}["python"] == "ok"


def test_why_is_told_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"output: {tmp_path}/results\ndatasets: {{mine: {{source: procedural, shards: 1}}}}")
    assert explain(path, ["generate"], as_json=True) == 0
    (job,) = json.loads(capsys.readouterr().out)
    assert job == {"rule": "generate", "name": "mine", "shard": "", "why": ["not made yet"]}


def test_a_missing_folder_is_named_with_the_key_to_correct(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = doctor(tmp_path, "datasets: {mine: {source: folder, path: /nowhere/at/all}}", capsys)
    assert code == 1
    assert "MISSING data mine" in out
    assert "correct datasets.mine.path" in out


def test_a_local_mirror_is_looked_into(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    text = f"datasets: {{m: {{source: modelnet10, mirrors: ['{mirror}']}}}}"
    code, out = doctor(tmp_path, text, capsys)
    assert code == 1
    assert "ModelNet10.zip is not in" in out
    with zipfile.ZipFile(mirror / "ModelNet10.zip", "w") as archive:
        archive.writestr("ModelNet10/chair/train/chair_0001.off", b"OFF")
    code, out = doctor(tmp_path, text, capsys)
    assert code == 0
    assert "used in place" in out
    fetch_dataset(
        "m", Dataset(source="modelnet10", mirrors=(str(mirror),)), tmp_path / "results/archives/m.json", log=Log(None)
    )
    assert "fetched: 1 files" in doctor(tmp_path, text, capsys)[1]
    (mirror / "ModelNet10.zip").unlink()
    code, out = doctor(tmp_path, text, capsys)
    assert code == 1
    assert "is gone" in out


@pytest.mark.parametrize(
    ("fault", "told", "code"),
    [("ok", "will be fetched", 0), ("status:403", "ask for access", 1), ("status:404", "HTTP status 404", 1)],
)
def test_mirrors_are_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str, told: str, code: int
) -> None:
    with serving(Plan(b"content", [fault])) as url:
        text = f"datasets: {{m: {{source: modelnet10, mirrors: ['{url.rpartition('/')[0]}']}}}}"
        found, out = doctor(tmp_path, text, capsys)
    assert told in out
    assert found == code


def test_targets_stand_before_the_configuration_that_would_swallow_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(f"output: {tmp_path}/results\ndatasets: {{demo: {{source: procedural}}}}")
    assert examine(path) == 0
    assert f" shards_all --configfile {path} " in capsys.readouterr().out


def test_before_the_set_up_it_says_how_to_set_up() -> None:
    # -S: a Python without the packages, as on a fresh clone.
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-S", "-m", "pipeline", "doctor"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 1
    assert "run `make setup`, then `.venv/bin/python -m pipeline doctor`" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_and_a_missing_program_are_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.upkeep.doctor.shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    monkeypatch.setattr("pipeline.upkeep.doctor.shutil.which", lambda _: None)
    code, out = doctor(tmp_path, "datasets: {demo: {source: procedural}}\nvoxels: {engine: binvox}", capsys)
    assert code == 1
    assert "free some space" in out
    assert "binvox is not installed" in out
