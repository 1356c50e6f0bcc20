"""``python -m pipeline doctor``: what is there, what is missing, and what to do next.

Reads config.yaml, looks at every configured source, asks the mirrors for headers only, and
changes nothing.  The exit code is 1 when something has to be done before a run.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import importlib.metadata
import json
import os
import re
import shutil
import sys
import tempfile
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path

from pipeline.archives.addresses import address_of, shown
from pipeline.archives.http import Broken, Guard, Refused, asked
from pipeline.archives.places import local_folder
from pipeline.archives.remote import FETCHED, RemoteFile
from pipeline.errors import CALLED, UserError, in_words
from pipeline.gpu import Gpus, gpus
from pipeline.progress import tell
from pipeline.settings.config import Config, load
from pipeline.settings.datasets import Dataset
from pipeline.sources.backgrounds import PHOTOGRAPHS
from pipeline.sources.base import source_of
from pipeline.state.files import OBJECT, read_cache, read_state

_PACKAGES = ("snakemake", "numpy", "numba", "h5py", "trimesh", "Pillow", "pydantic", "torch")
SET_UP = "install the application again" if CALLED in os.environ else "run `make setup`"
_TIMEOUT_S = 6.0
_MOST_PROBES = 3  # of the many files of one data set
# Measured on the generated sets at 512-pixel textures: a mesh, and what HDF5 adds to a view's bytes.
_MESH_BYTES, _PACKED = 120_000, 0.6


@dataclasses.dataclass
class Line:
    """One finding; `do` is the next step where there is one to take."""

    state: str  # "ok", "note" or "MISSING"
    what: str
    found: str
    do: str = ""


def examine(path: Path, *, offline: bool = False, as_json: bool = False) -> int:
    """Print all findings, then the next step; 1 when something is missing."""
    config = load(path)
    lines: list[Line] = []
    if as_json:
        lines += _findings(config, offline)
        lost = [line.what for line in lines if line.state == "MISSING"]
        print(json.dumps({"findings": [dataclasses.asdict(line) for line in lines], "missing": lost}, indent=1))
        return 1 if lost else 0
    tell(f"{path}: {len(config.datasets)} data sets, {len(config.experiments)} experiments, output {config.output}/\n")
    for line in _findings(config, offline):
        lines.append(line)
        tell(f"  {line.state:8s}{line.what:24s}{line.found}")
    missing = [line for line in lines if line.state == "MISSING"]
    tell("\nnext:")
    for line in missing:
        tell(f"  {line.what}: {line.do}")
    if not missing:
        tell(f"  {_next_command(config, path)}")
    return 1 if missing else 0


def _findings(config: Config, offline: bool) -> Iterator[Line]:
    yield from _environment()
    for name, dataset in sorted(config.datasets.items()):
        yield _local(config, name, dataset) or _remote(
            f"data {name}", source_of(dataset.layout).title, _addresses(dataset), offline
        )
    yield _backgrounds(config, offline)
    yield _disk(config)
    yield from _engines(config)


def _environment() -> Iterator[Line]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Line("ok", "python", version)
    absent = [name for name in _PACKAGES if not _installed(name)]
    if absent:
        yield Line("MISSING", "packages", f"not installed: {', '.join(absent)}", SET_UP)
    else:
        yield Line("ok", "packages", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES))


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _local(config: Config, name: str, dataset: Dataset) -> Line | None:
    """A data set that needs no network, or None."""
    what = f"data {name}"
    if dataset.source == "procedural":
        return Line("ok", what, f"generated in the layout of {dataset.layout}; nothing to fetch")
    if dataset.source == "folder":
        folder = Path(dataset.path or ".")
        if not folder.is_dir():
            return Line("MISSING", what, f"no folder {folder}", f"create it, or correct datasets.{name}.path")
        folders = sum(child.is_dir() for child in folder.iterdir())
        held = f"with {folders} sub-folder{'s' * (folders > 1)}" if folders else "of one category"
        return Line("ok", what, f"folder {folder} {held}")
    record = Path(config.output) / "archives" / f"{name}.json"
    if record.is_file():
        try:
            files = read_state(record, FETCHED)["files"]
        except UserError as error:
            return Line("MISSING", what, f"{record} cannot be read: {error.got}", "delete it; the set is fetched again")
        lost = [entry["path"] for entry in files if not Path(entry["path"]).exists()]
        if lost:
            return Line("MISSING", what, f"fetched, but {lost[0]} is gone", f"delete {record}; it is fetched again")
        return Line("ok", what, f"fetched: {len(files)} files, {_size(sum(entry['bytes'] for entry in files))}")
    return _in_mirrors(what, name, dataset)


def _in_mirrors(what: str, name: str, dataset: Dataset) -> Line | None:
    folders = [folder for folder in map(local_folder, dataset.mirrors) if folder is not None]
    if not folders:
        return None
    absent = [folder for folder in folders if not folder.is_dir()]
    if absent:
        return Line("MISSING", what, f"the mirror {absent[0]} is no folder", f"correct datasets.{name}.mirrors")
    offered = {child.name for folder in folders for child in folder.iterdir()}
    packed = source_of(dataset.layout).packed
    if packed and set(packed) <= offered:
        return Line("ok", what, f"{' and '.join(packed)} in {', '.join(map(str, folders))}, to be unpacked")
    wanted = [file for file in source_of(dataset.layout).files(dataset, sorted(offered)) if not file.optional]
    lost = [
        file.name
        for file in wanted
        if not {file.name, file.folder, file.within.name if file.within else file.name} & offered
        and not any((folder / file.name).exists() for folder in folders)
    ]
    if not lost and wanted:
        return Line("ok", what, f"{len(wanted)} files in {', '.join(map(str, folders))}, used in place")
    if len(folders) < len(dataset.mirrors):
        return None  # an address may have the rest
    return Line(
        "MISSING",
        what,
        f"{', '.join(lost[:3]) or 'no archive'} is not in {', '.join(map(str, folders))}",
        f"put the official files there; see {source_of(dataset.layout).page}",
    )


def _addresses(dataset: Dataset) -> list[tuple[RemoteFile, list[str]]]:
    remote = [mirror.rstrip("/") for mirror in dataset.mirrors if local_folder(mirror) is None]
    files = [file for file in source_of(dataset.layout).files(dataset, None) if not file.optional]
    return [(file, [f"{mirror}/{file.name}" for mirror in remote] or list(file.urls)) for file in files]


def _remote(what: str, title: str, files: list[tuple[RemoteFile, list[str]]], offline: bool) -> Line:
    """Which addresses answer for the first few files."""
    total = sum(file.bytes or 0 for file, _ in files)
    size = f"{title}, {len(files)} files{f', at least {_size(total)}' if total else ''}"
    if offline:
        return Line("note", what, f"{size}; not asked for (--offline)")
    urls = [url for _, addresses in files[:_MOST_PROBES] for url in addresses]
    with concurrent.futures.ThreadPoolExecutor(max_workers=8) as pool:
        answers = dict(zip(urls, pool.map(_probe, urls)))
    served = [any(answers[url] == "answers" for url in addresses) for _, addresses in files[:_MOST_PROBES]]
    told = "; ".join(f"{shown(url)}: {answer}" for url, answer in answers.items())
    if all(served):
        return Line("ok", what, f"{size}, will be fetched ({told})")
    gated = any("access" in answer for answer in answers.values())
    todo = "ask for access there, and log in with `hf auth login`" if gated else "check the network"
    return Line("MISSING", what, f"{size}; {told}", f"{todo}; or put the files into a folder and name it in `mirrors`")


def _probe(url: str) -> str:
    try:
        with asked(address_of(url), {}, Guard(time.monotonic, _TIMEOUT_S), method="HEAD"):
            return "answers"
    except urllib.error.HTTPError as error:
        error.close()
        return "access has to be asked for" if error.code in (401, 403) else f"HTTP status {error.code}"
    except (Broken, Refused) as reason:
        return f"no answer ({reason})"
    except UserError as error:
        return f"no answer ({error.what})"


def _backgrounds(config: Config, offline: bool) -> Line:
    settings = config.backgrounds
    if settings.source == "procedural":
        return Line("ok", "backgrounds", "generated rooms; nothing to fetch")
    if settings.source == "none":
        return Line("ok", "backgrounds", f"no pictures: {settings.colour}")
    if settings.source == "folder":
        folder = Path(settings.path or ".")
        if folder.is_dir():
            return Line("ok", "backgrounds", f"pictures of {folder}")
        return Line("MISSING", "backgrounds", f"no folder {folder}", "create it, or correct backgrounds.path")
    file = PHOTOGRAPHS[settings.source].file
    for folder in filter(None, map(local_folder, settings.mirrors)):
        if (folder / file.name).exists():
            return Line("ok", "backgrounds", f"{folder / file.name}, used in place")
    remote = [f"{mirror.rstrip('/')}/{file.name}" for mirror in settings.mirrors if local_folder(mirror) is None]
    return _remote("backgrounds", PHOTOGRAPHS[settings.source].title, [(file, remote or list(file.urls))], offline)


def _disk(config: Config) -> Line:
    """Free space against what the known shapes will take."""
    place = Path(config.output)
    while not place.exists():
        place = place.absolute().parent
    try:
        with tempfile.TemporaryFile(dir=place) as probe:  # it has no name, so nothing is left of it
            probe.write(b"probe")
    except OSError as error:
        said = in_words(error)
        return Line("MISSING", "output", f"nothing can be written in {place}: {error.strerror}", said.do)
    free, shapes = shutil.disk_usage(place).free, sum(_shapes(config, name) for name in config.datasets)
    a_view = config.render.size_px**2 * (4 + 4) * _PACKED  # foreground, then the composited copy
    needed = shapes * (_MESH_BYTES + config.render.views * a_view + config.voxels.resolution**3 / 4)
    if config.backgrounds.source in PHOTOGRAPHS and not any(map(local_folder, config.backgrounds.mirrors)):
        needed += PHOTOGRAPHS[config.backgrounds.source].file.bytes or 0
    needed += sum(file.bytes or 0 for d in config.datasets.values() if _to_fetch(d) for file, _ in _addresses(d))
    found = f"{_size(free)} free, about {_size(needed)} needed for {shapes or 'an unknown number of'} shapes"
    if needed > free:
        return Line("MISSING", "disk", found, "free some space, or choose another `output`")
    return Line("ok", "disk", found)


def _to_fetch(dataset: Dataset) -> bool:
    return dataset.source not in ("procedural", "folder") and not any(map(local_folder, dataset.mirrors))


def _shapes(config: Config, name: str) -> int:
    """How many shapes a data set has, as far as that is known yet."""
    summary = Path(config.output) / "index" / name / "categories.json"
    if known := read_cache(summary, OBJECT, {}).get("shapes"):
        return int(known)
    dataset = config.datasets[name]
    if dataset.source == "procedural":
        return 6 * (dataset.procedural.shapes_per_category if dataset.procedural else 64)
    return len(dataset.categories or ()) * (dataset.shapes_per_category or 0)


def _engines(config: Config) -> Iterator[Line]:
    gpu = gpus()
    yield Line("ok", "cores", f"{os.cpu_count()} CPU cores")
    if config.voxels.engine == "binvox" and not shutil.which("binvox"):
        yield Line("MISSING", "voxelizer", "binvox is not installed", "install it, or set voxels.engine: builtin")
    else:
        yield Line(
            "ok", "voxelizer", f"{config.voxels.engine}, mode {config.voxels.mode}, {config.voxels.resolution}^3"
        )
    wants_gl = config.render.backend != "raster"
    if wants_gl and not _installed("pyrender"):
        state = "MISSING" if config.render.backend == "pyrender" else "note"
        yield Line(state, "renderer", "pyrender is not installed; raster is used", "install it, or set backend: raster")
    else:
        yield Line(
            "ok", "renderer", f"{config.render.backend}{', with the GPU' if wants_gl and gpu else ', on CPU cores'}"
        )
    yield _gpu(gpu, config)


def _gpu(found: Gpus | None, config: Config) -> Line:
    """The GPUs, and whether torch can use them; MISSING only where an experiment insists on one."""
    wanted = any(experiment.device == "cuda" for experiment in config.experiments.values())
    state = "MISSING" if wanted else "note"
    if found is None:
        return Line(state, "GPU", "none: training runs on the CPU, slowly", "set device to auto or cpu")
    trouble = found.trouble(cuda_of_torch()) if _installed("torch") else "torch is not installed"
    if trouble:
        do = "install a torch for CUDA, or a newer driver; or set device to auto or cpu"
        return Line(state, "GPU", f"{found}, unused: {trouble}", do)
    return Line("ok", "GPU", f"{found}, for torch built for CUDA {cuda_of_torch()}")


def cuda_of_torch() -> str | None:
    """The version of CUDA that the installed torch is built for, or None, without loading it."""
    named = re.search(r"\+(cpu|cu(\d+)(\d))", importlib.metadata.version("torch"))  # 2.9.0+cu128
    if named:
        return None if named[1] == "cpu" else f"{named[2]}.{named[3]}"
    for name in ("nvidia-cuda-runtime", "nvidia-cuda-runtime-cu12", "nvidia-cuda-runtime-cu11"):
        if _installed(name):  # a wheel of the index brings it along
            return ".".join(importlib.metadata.version(name).split(".")[:2])
    return None


def _next_command(config: Config, path: Path) -> str:
    # Targets stand before --configfile, which takes every word that follows it.
    root, other = Path(config.output), "" if path.name == "config.yaml" else f" --configfile {path}"
    target = "" if config.experiments else " shards_all"
    command = f"snakemake --cores {os.cpu_count() or 1}{target}{other}"
    if not shutil.which("snakemake"):
        command = f"PATH={Path(sys.executable).parent}:$PATH {command}"
    if (root / "report.html").is_file():
        return f"look at {root}/report.html; after a change of {path}: {command}"
    return f"{command}    (what it would do: the same with -n)"


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit in ("bytes", "kB") else f"{count:.1f} {unit}"
