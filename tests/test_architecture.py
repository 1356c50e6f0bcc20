"""The dependency direction of the house, held by reading the code."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.provenance import imports_of
from tests.measures import circles, dotted, functions, imports, modules, reached, room_of, rooms

ROOT = Path(__file__).resolve().parent.parent
STAGES = ("voxelize", "render", "training", "report")
TOP_LEVEL = {"Snakefile", "pipeline", "render", "voxelize", "training", "config.yaml", "envs", "tests", "README.md"}
# A library and the only places that may import it.
RESERVED = {
    "torch": ("training/",),
    "pyrender": ("render/backends/opengl.py",),
    "h5py": ("pipeline/shards/",),
    "open3d": ("voxelize/", "benchmarks/", "pipeline/meshes/decimate.py"),
    "snakemake": (),
}


def libraries(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    plain = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    taken_from = {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and not n.level}
    return {name.split(".")[0] for name in plain | taken_from}


def test_the_top_level_is_what_the_user_fixed() -> None:
    assert {name for name in TOP_LEVEL if not (ROOT / name).exists()} == set()


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_stages_share_files_never_code(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0]
    forbidden = set(STAGES) - {own}  # for pipeline/ that is every stage
    wrong = {name for name in imports_of(path, dotted(path)) if name.split(".")[0] in forbidden}
    assert wrong == set(), f"{path.name} imports another stage: pass a file instead, or move the code to pipeline/"


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_heavy_libraries_have_one_room(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    used = libraries(path)
    wrong = {lib for lib, rooms in RESERVED.items() if lib in used and not place.startswith(rooms or "-")}
    assert wrong == set()


def test_files_stay_readable() -> None:
    long = {p.name: n for p in modules() if (n := len(p.read_text(encoding="utf-8").splitlines())) > 450}
    assert long == {}, "split these files by what they are about"


_UPPER = ("pipeline.sources", "pipeline.stages", "pipeline.workflow", "pipeline.upkeep")


# ---- rooms ---------------------------------------------------------------------------------

# A room, and what nothing in it may reach, directly or through others.
NEVER = {
    **{f"pipeline.{room}": _UPPER for room in ("meshes", "formats", "pictures", "shards", "furniture")},
    "pipeline.sources": ("pipeline.stages", "pipeline.workflow", "pipeline.upkeep"),
    "pipeline.stages": ("pipeline.workflow", "pipeline.upkeep"),
    "training.inference": ("training.run", "training.evaluation"),
}
# Rooms that are the last on their way: who may import them.
IMPORTED_BY = {
    "training.show": {"training.run", "training.loop", "training.show"},
    "training.command": {"training.command", "training.__main__"},
}
# What is not so yet, and why.  A line goes with the change that mends it; a line that is mended must go.
NOT_YET: dict[str, str] = {}
# Compiled kernels are one long function by their nature; a parser of text is one long decision.
KERNELS_AND_PARSERS = (
    "render/backends/shading.py",
    "render/backends/visibility.py",
    "voxelize/kernels/",
    "pipeline/meshes/readers/",
)
MOST_FILES, MOST_LINES, MOST_COMPLEXITY = 15, 80, 25


def test_no_two_files_and_no_two_rooms_need_each_other() -> None:
    graph = imports()
    known = [set(line.split()[1:]) for line in NOT_YET if line.startswith("circle: ")]
    found = circles(graph) + circles(rooms(graph))
    assert [group for group in found if not any(group <= circle for circle in known)] == []


def test_rooms_that_must_not_reach_others() -> None:
    graph = imports()
    wrong = {
        f"{room_of(module)} reaches {forbidden}"
        for module in graph
        for forbidden in NEVER.get(room_of(module), ())
        if any(room_of(other) == forbidden for other in reached(graph, module))
    }
    assert wrong - set(NOT_YET) == set()


def test_rooms_that_only_their_owners_import() -> None:
    graph = imports()
    wrong = {
        f"{room_of(module)} imports {room}"
        for module, others in graph.items()
        for room, owners in IMPORTED_BY.items()
        if room_of(module) not in owners and any(room_of(other) == room for other in others)
    }
    assert wrong - set(NOT_YET) == set()


def test_metrics_are_numbers_on_arrays() -> None:
    assert [path.name for path in modules() if "/metrics/" in path.as_posix() and "torch" in libraries(path)] == []


def test_a_room_is_small_enough_to_look_through() -> None:
    """15 files, its door not counted; the kinds of furniture are one file each."""
    files: dict[Path, int] = {}
    for path in modules():
        files[path.parent] = files.get(path.parent, 0) + (path.name != "__init__.py")
    large = {folder.relative_to(ROOT).as_posix(): count for folder, count in files.items() if count > MOST_FILES}
    assert {name for name in large if name != "pipeline/furniture"} == set()
    assert large.get("pipeline/furniture", 0) <= 17


MAINS = [path for path in [*modules(), *sorted((ROOT / "benchmarks").rglob("*.py"))] if path.name == "__main__.py"]


@pytest.mark.parametrize("path", MAINS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_packages_main_starts_no_fresh_process_by_itself(path: Path) -> None:
    """multiprocessing leaves a package's ``__main__`` unloaded there, so none of its functions can be called."""
    assert not {"spawn", "forkserver"} & {
        node.value for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Constant)
    }, "move what is called to another file"


def test_functions_stay_readable() -> None:
    found = functions(modules())
    ours = [function for function in found if not function.place.startswith(KERNELS_AND_PARSERS)]
    wrong = {f"lines: {function.place}" for function in ours if function.lines > MOST_LINES}
    wrong |= {f"complexity: {function.place}" for function in ours if function.complexity > MOST_COMPLEXITY}
    assert wrong - set(NOT_YET) == set()
    lines = sorted(function.lines for function in found)
    assert statistics.median(lines) <= 7 and lines[int(0.9 * len(lines))] <= 21


def test_pipeline_starts_without_heavy_libraries() -> None:
    """Snakemake parses the plan in every cluster job, so it must load in a moment."""
    code = "import pipeline.workflow.plan, sys; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"torch", "h5py", "trimesh", "numba", "scipy", "PIL"} & set(done.stdout.split()) == set()


# ---- state files -----------------------------------------------------------------------------

# What reads JSON or writes tables by itself, and why.
OWN_READERS = {
    "pipeline/state/files.py": "the reader",
    "pipeline/state/tables.py": "the writer of tables",
    "pipeline/state/record.py": "reads what its own command line says; runs after every job, without any package",
    "pipeline/sources/splits.py": "a table of others, whose errors name lines",
    "training/inference/portable.py": "goes with an exported network to places where this project is not",
}
READS_OR_WRITES = {"json.load", "json.loads", "csv.reader", "csv.writer", "csv.DictReader", "csv.DictWriter"}


def test_state_is_read_and_tables_are_written_in_one_place() -> None:
    """One reader checks sizes, text, schemas and seals; one writer escapes cells."""
    wrong = {
        f"{path.relative_to(ROOT).as_posix()}:{node.lineno} {ast.unparse(node.func)}"
        for path in modules()
        if path.relative_to(ROOT).as_posix() not in OWN_READERS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in READS_OR_WRITES
    }
    assert wrong == set(), "use pipeline.state.files (parse_json for the JSON of others) and pipeline.state.tables"
