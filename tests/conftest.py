"""Fixtures every room uses."""

from __future__ import annotations

import importlib
import multiprocessing
import multiprocessing.context
import os
import signal
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from threadpoolctl import threadpool_limits

from tests import processes, shapes

# Before any module of the product is imported.
shapes.install()

ROOT = Path(__file__).resolve().parent.parent

# One thread a process, as the stages run: xdist has a process on every core already, and sums come out the same
# whatever the number of cores.  The variables hold for what is imported later and for what the tests start.
for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"
processes.ENVIRONMENT.update(os.environ)
threadpool_limits(limits=1)  # what pytest's plugins have imported already

# nohup, and a shell that puts `make test` behind itself, ignore signals, and who is started inherits that.  What a
# process handles, even by doing nothing, its children begin with as usual: the tests of signals need them so.
for _number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, lambda *_: None)

# A busy machine is slow and right.  A property that needs more or fewer examples says so.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
settings.load_profile("tests")


def optional(name: str) -> Any:
    """The module `name`, of which the product or a comparison makes use where it loads; the test skips elsewhere.

    A package that is installed may still not load: Open3D raises OSError or ImportError where libEGL, libGL or
    libgomp is absent, and packages of C extensions do so on a Python newer than they are.  What they warn about on
    loading is not ours either.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except (ImportError, OSError) as error:
            pytest.skip(f"{name} does not load here: {error}", allow_module_level=True)


@pytest.fixture
def quick_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that begin in a fresh interpreter, which takes a second, are forked from one that has begun."""

    def context(way: str) -> multiprocessing.context.BaseContext:
        return processes.server() if way == "spawn" else multiprocessing.get_context(way)

    monkeypatch.setattr("pipeline.worker.multiprocessing", SimpleNamespace(get_context=context))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real samples beside the repository; the test skips where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real samples (../shared/data) are not on this machine")
    return folder


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a case by its argument where its value is data: bytes may hold the time at which they were made.

    Two workers of pytest that import a test file in different seconds would else collect different tests.
    """
    return argname if isinstance(val, bytes) and len(val) > 20 else None


# A file goes to one worker, and what takes longest must not start last.
LONGEST = (
    *("test_runs", "test_parallel", "test_resume", "test_loop", "test_variants", "test_held_out"),
    *("test_remade_settings", "test_remade_files", "test_try_page", "test_gallery_page", "test_report_page"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, then others that run Snakemake, then the rest."""
    place = {name: number for number, name in enumerate(LONGEST)}
    runs_snakemake = {item.path for item in items if item.get_closest_marker("workflow")}
    items.sort(key=lambda item: place.get(item.path.stem, len(place) + (item.path not in runs_snakemake)))
