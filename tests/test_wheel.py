"""The wheel: the project under one name of its own, one command, and a folder for runs that plans the demo."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from pipeline.version import VERSION
from shapes import PACKAGE
from shapes.folder import NOTEBOOK, PRESETS, for_editors, make_folder
from tests.notebooks import code_cells, read
from tests.world import ROOT, TINY


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what git would take, as `pip install .` builds it."""
    from hatchling.builders.wheel import WheelBuilder

    folder = tmp_path_factory.mktemp("wheel")
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    return Path(built)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of an environment that has the wheel, and the tests' packages by a .pth file."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    (packages / "tests.pth").write_text(sysconfig.get_path("purelib"))
    python = str(folder / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(pip, check=True)
    return folder / "bin"


def run(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    done = subprocess.run([installed / "shapes", *words], cwd=folder, env=clean, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_the_wheel_puts_one_name_among_the_packages_of_a_python(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        metadata = file.read(f"{PACKAGE}-{VERSION}.dist-info/METADATA").decode()
    assert {name.split("/")[0] for name in names} == {PACKAGE, f"{PACKAGE}-{VERSION}.dist-info"}
    command = ["git", "ls-files", "--others", "--cached", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0:
        packaged = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        assert packaged["tool"]["hatch"]["build"]["targets"]["wheel"]["sources"] == {"": PACKAGE}
        ours = re.compile(r"(pipeline|voxelize|render|training|report|shapes)/.*\.(py|smk)$")
        code = {f"{PACKAGE}/{line}" for line in listed.stdout.splitlines() if ours.match(line)}
        assert code - set(names) == set()
    pins = re.findall(r"^Requires-Dist: (\S+?)==(\S+)$", metadata, re.MULTILINE)
    assert {"torch", "snakemake", "numpy"} <= {name for name, _ in pins}
    assert not {"pyrender", "pyopengl"} & {name for name, _ in pins}, "an installer cannot have both"


def test_the_notebook_finds_what_is_installed(installed: Path, tmp_path: Path) -> None:
    assert run(installed, tmp_path, "init", "x").returncode == 0
    first = "".join(next(code_cells(read(tmp_path / "x" / NOTEBOOK)))["source"])
    said = subprocess.run(
        [installed / "python", "-c", f"{first}\nimport pipeline\nprint(pipeline.__path__[0])"],
        cwd=tmp_path / "x",
        capture_output=True,
        text=True,
    )
    assert f"/{PACKAGE}/pipeline" in said.stdout, said.stderr


@pytest.mark.workflow
def test_a_new_folder_plans_the_demo(installed: Path, tmp_path: Path) -> None:
    made = run(installed, tmp_path, "init", "x")
    assert made.returncode == 0 and "next: cd x && shapes run --cores all -n" in made.stderr
    folder = tmp_path / "x"
    (folder / "render").mkdir()  # a folder of the user's with the name of a room
    (folder / "render" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    done = run(installed, folder, "run", "-n")
    assert done.returncode == 0, done.stderr
    jobs = dict(re.findall(r"^(\w+)\s+(\d+)$", done.stdout + done.stderr, re.MULTILINE))
    assert (jobs["render"], jobs["train"], jobs["report"], jobs["generate"]) == ("6", "1", "1", "2")
    (folder / "config.yaml").write_text("datasets:\n  d:\n    sauce: r2n2\n")
    wrong = run(installed, folder, "run", "-n")
    assert wrong.returncode == 1
    assert re.search(r"where: config.yaml(.|\n)*unknown key `datasets.d.sauce`.*\(line 3\)", wrong.stderr), wrong.stderr


def test_the_command_speaks_for_itself(installed: Path, tmp_path: Path) -> None:
    assert run(installed, tmp_path, "--version").stdout == f"shapes {VERSION}\n"
    said = run(installed, tmp_path, "run")
    assert said.returncode == 1 and "make a folder for a run with `shapes init DIR`" in said.stderr
    slip = run(installed, tmp_path, "doctr")
    assert slip.returncode == 2 and "did you mean 'doctor'?" in slip.stderr
    assert run(installed, tmp_path, "sample", "--help").stdout.startswith("usage: shapes sample ")
    nothing = run(installed, tmp_path, "voxelize", "none.obj")
    assert nothing.returncode == 1 and "error: no such file" in nothing.stderr


def test_on_another_system_it_says_so_and_stops(installed: Path, tmp_path: Path) -> None:
    code = f"import sys; sys.platform = 'win32'; from {PACKAGE}.shapes.entry import main; main()"
    done = subprocess.run([installed / "python", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        done.stderr == "error: Linux is needed; this is win32. On Windows use WSL 2, elsewhere a container of Linux\n"
    )


@pytest.mark.slow
@pytest.mark.workflow
def test_what_is_installed_makes_shards(installed: Path, tmp_path: Path) -> None:
    assert run(installed, tmp_path, "init", "x").returncode == 0
    folder = tmp_path / "x"
    shutil.copy(TINY, folder / "config.yaml")
    done = run(installed, folder, "run", "shards_all", "--cores", "2")
    assert done.returncode == 0, done.stderr
    assert list(folder.glob("results/shards/*/index.json"))
    assert run(installed, folder, "verify").returncode == 0
    again = run(installed, folder, "run", "shards_all")
    assert "Nothing to be done" in again.stdout + again.stderr


# ---- the folder, without a wheel ---------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_begins_a_folder_whose_files_name_each_other(preset: str, tmp_path: Path) -> None:
    make_folder(tmp_path / "x", preset)
    config = (tmp_path / "x" / "config.yaml").read_text(encoding="utf-8")
    assert config.startswith("# yaml-language-server: $schema=config.schema.json\n")
    assert (tmp_path / "x" / "config.schema.json").is_file()
    source = ROOT / ("config.yaml" if preset == "demo" else f"presets/{preset}.yaml")
    assert yaml.safe_load(config) == yaml.safe_load(source.read_text(encoding="utf-8"))


def test_what_is_the_user_s_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pipeline.errors import UserError

    (tmp_path / "Snakefile").write_text("# mine\n")
    make_folder(tmp_path, "demo")
    assert (tmp_path / "Snakefile").read_text() == "# mine\n" and "stays as it is" in capsys.readouterr().err
    with pytest.raises(UserError, match="has a configuration already"):
        make_folder(tmp_path, "demo")
    assert for_editors("seed: 1\n") == "# yaml-language-server: $schema=config.schema.json\nseed: 1\n"
