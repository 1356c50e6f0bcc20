"""GPUs that a test makes up, as the kernel module would tell of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.gpu import Gpus, gpus
from pipeline.settings.config import Config
from pipeline.settings.parse import parse
from pipeline.upkeep import doctor

OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  565.57.01  Release Build  (dvs)\nGCC version: 12\n"
CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Thu Mar  7 12:00:00 UTC 2024\n"


def machine(root: Path, version: str = CLOSED, names: tuple[str, ...] = ("NVIDIA H100 80GB HBM3",)) -> Path:
    (root / "dev").mkdir()
    for number, name in enumerate(names):
        (root / f"dev/nvidia{number}").touch()
        folder = root / f"proc/driver/nvidia/gpus/0000:0{number}:00.0"
        folder.mkdir(parents=True)
        (folder / "information").write_text(f"Model: \t\t {name}\nIRQ:   \t\t 42\n")
    (root / "proc/driver/nvidia/version").write_text(version)
    return root


@pytest.mark.parametrize(("version", "driver"), [(CLOSED, "550.54.15"), (OPEN, "565.57.01"), ("", "")])
def test_names_and_driver_are_read(version: str, driver: str, tmp_path: Path) -> None:
    assert gpus(machine(tmp_path, version)) == Gpus(("NVIDIA H100 80GB HBM3",), driver)


def test_without_a_gpu_there_is_none_and_without_its_module_a_nameless_one(tmp_path: Path) -> None:
    assert gpus(tmp_path) is None
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").touch()
    assert gpus(tmp_path) is None
    (tmp_path / "dev/nvidia0").touch()
    assert gpus(tmp_path) == Gpus(("NVIDIA GPU",), "")


@pytest.mark.parametrize(
    ("driver", "cuda", "said"),
    [
        ("550.54.15", "12.8", ""),
        ("515.1", "12.8", "needs driver 525 or later; there is 515.1"),
        ("550.54.15", "13.0", "needs driver 580 or later"),
        ("550.54.15", None, "torch is built for CPUs"),
        ("", "12.8", ""),
    ],
)
def test_a_wheel_and_a_driver_that_do_not_fit_are_told(driver: str, cuda: str | None, said: str) -> None:
    trouble = Gpus(("A100", "A100"), driver).trouble(cuda)
    assert said in trouble and bool(said) == bool(trouble)


@pytest.mark.parametrize(
    ("version", "packages", "cuda"),
    [
        ("2.13.0+cpu", {}, None),
        ("2.13.0+cu128", {}, "12.8"),
        ("2.13.0", {"nvidia-cuda-runtime": "13.0.48"}, "13.0"),
        ("2.13.0", {"nvidia-cuda-runtime-cu12": "12.8.90"}, "12.8"),
        ("2.13.0", {}, None),
    ],
)
def test_the_doctor_knows_the_cuda_of_torch_without_loading_it(
    version: str, packages: dict[str, str], cuda: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = {"torch": version, **packages}
    monkeypatch.setattr(doctor, "_installed", installed.__contains__)
    monkeypatch.setattr(doctor.importlib.metadata, "version", installed.__getitem__)
    assert doctor.cuda_of_torch() == cuda
    words = {"datasets": {"d": {"source": "procedural"}}, "experiments": {"e": {"datasets": ["d"], "device": "cuda"}}}
    line = doctor._gpu(Gpus(("H100", "H100"), "570.1"), parse(Config, words, "test"))
    assert line.found.startswith("2 x H100, driver 570.1")
    assert (line.state, bool(line.do)) == (("ok", False) if cuda == "12.8" else ("MISSING", True))
