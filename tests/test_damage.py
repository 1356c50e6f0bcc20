"""No damage of any file of a run goes unnoticed, and none of a state file ends in a traceback.

``FUZZ=1000 pytest tests/test_damage.py`` tries that many changes of each kind.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.archives.contents import ContentSums
from pipeline.errors import UserError
from pipeline.formats.ledger import read_ledger
from pipeline.formats.shard_index import read_index
from pipeline.manifest import read_rejects, shapes_from_tsv
from pipeline.pictures.bank import open_bank
from pipeline.progress import Log
from pipeline.seeds import generator
from pipeline.shards.index import require_audited
from pipeline.sources.base import Archives
from pipeline.stages.fetch import recorded
from pipeline.state.files import read_state
from pipeline.upkeep import verify
from pipeline.upkeep.verify import verify_run
from pipeline.workflow import records
from pipeline.workflow.heads import HeadStore
from report import gather
from tests.pipeline.meshes.mutations import mutated, rounds
from tests.small_run import RUN, write_run
from training.evaluation.compare import read_results
from training.networks import checkpoint
from training.run.files import Metrics, read_config, read_metrics

# A state file, and what the product reads from it; a cache that is not believed gives what `NOTHING` says.
STATES: dict[str, Callable[[Path], Any]] = {
    "archives/demo.json": lambda root: (
        recorded(root / "archives/demo.json"),
        Archives.load(root / "archives/demo.json").names,
    ),
    "archives/demo.contents": lambda root: ContentSums(root / "archives/demo.contents")._known,
    "index/demo/000.tsv": lambda root: shapes_from_tsv((root / "index/demo/000.tsv").read_text(encoding="utf-8")),
    "index/demo/rejects.jsonl": lambda root: read_rejects(root / "index/demo"),
    "index/demo/categories.json": lambda root: gather.read_json(root / "index/demo/categories.json"),
    "ledger/demo.tsv": lambda root: read_ledger(root / "ledger/demo.tsv"),
    "shards/demo/index.json": lambda root: read_index(root / "shards/demo/index.json"),
    "audits/demo.json": lambda root: require_audited([root / "shards/demo/index.json"], [root / "audits/demo.json"]),
    f"{RUN}/config.json": lambda root: read_config(root / RUN),
    f"{RUN}/train.json": lambda root: gather.read_json(root / RUN / "train.json"),
    f"{RUN}/results.json": lambda root: read_results(root / RUN),
    f"{RUN}/metrics.jsonl": lambda root: (read_metrics(root / RUN), gather.read_lines(root / RUN / "metrics.jsonl")),
    f"{RUN}/checkpoints/000000016.safetensors": lambda root: checkpoint.load(
        root / RUN / "checkpoints/000000016.safetensors", torch.device("cpu")
    )[0],
    "backgrounds/bank.npz": lambda root: open_bank(root / "backgrounds/bank.npz").crops.tobytes(),
    "made/pack/demo/000.json": lambda root: records.read(root / "made/pack/demo/000.json"),
    "made/plan.json": lambda root: read_state(root / "made/plan.json", sealed=True),
    "made/heads": lambda root: HeadStore(root / "made/heads").known,
}
NOTHING: tuple[Any, ...] = ({}, None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run; each test puts back what it has damaged."""
    return write_run(tmp_path_factory.mktemp("damage") / "results")


@pytest.fixture
def whole(run: Path) -> Iterator[Path]:
    """The run, whole before and after."""
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    yield run
    for path, content in before.items():
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)


def noticed(root: Path, path: Path) -> bool:
    """Whether `verify` names a file."""
    known = [one for one in verify.known_files(root) if one.path == path]
    return bool(known) and any(True for one in known for _ in verify._problems(one, root))


def test_a_whole_run_passes(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify_run(run, log=Log(None)) == 0
    assert "no problems" in capsys.readouterr().err
    files = {path for path in run.rglob("*") if path.is_file()}
    unknown = files - {one.path for one in verify.known_files(run)}
    # What an archive's list names, and two files of what has been learnt, which are made again where they do not fit.
    names = {path.relative_to(run).as_posix() for path in unknown}
    assert names == {"archives/demo/loose.txt", "archives/demo.contents", "made/index/demo.json"}


def test_no_changed_bit_goes_unnoticed_in_any_kind_of_file(whole: Path) -> None:
    """Each file of a run, one bit at a time; what a cache says may be lost, but never be another."""
    silent = []
    for path in sorted(path for path in whole.rglob("*") if path.is_file()):
        name = path.relative_to(whole).as_posix()
        content = path.read_bytes()
        for number in range(rounds(40) // 20):
            place = int(generator(number, "flip", name).integers(len(content) * 8))
            changed = bytearray(content)
            changed[place // 8] ^= 1 << place % 8
            path.write_bytes(bytes(changed))
            if name == "archives/demo.contents":
                seen = STATES[name](whole) not in NOTHING
            elif name == "made/index/demo.json":  # not believed, so that the lists are made again
                seen = bool(list(verify._lists(whole)))
            else:
                listing = whole / "archives/demo.json"
                seen = not noticed(whole, listing if name == "archives/demo/loose.txt" else path)
            silent += [f"{name}: bit {place}"] if seen else []
        path.write_bytes(content)
    assert silent == []


@pytest.mark.parametrize("name", STATES)
def test_fuzz_of_state_files(whole: Path, name: str) -> None:
    """Read as it was, or refused in words, or named by `verify`; nothing else may happen."""
    read, path = STATES[name], whole / name
    path = next(path.glob("*.json")) if path.is_dir() else path
    content, right = path.read_bytes(), read(whole)
    counts: Counter[str] = Counter()
    for seed in range(rounds(30)):
        path.write_bytes(mutated(content, generator(seed, "state", name)))
        try:
            found = read(whole)
        except UserError:
            counts["refused"] += 1
            continue
        except UnicodeDecodeError:
            assert name.endswith(".tsv"), "only lists are decoded by those who read them"
            counts["refused"] += 1
            continue
        if str(found) == str(right):
            counts["as it was"] += 1
        elif found in NOTHING:
            counts["not believed"] += 1
        else:
            assert noticed(whole, path), f"change {seed} of {name} is read as {found}"
            counts["named by verify"] += 1
    assert sum(counts.values()) > counts["as it was"]


def test_a_resumed_training_leaves_out_damaged_lines_and_says_so(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = whole / RUN / "metrics.jsonl"
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + b'{"event": "loss", "sam\xff\n' + second)
    Metrics(whole / RUN, 32)
    assert path.read_bytes() == first + second
    assert "1 damaged lines are left out" in capsys.readouterr().err


def test_the_checkpoint_before_a_changed_one_is_taken(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = checkpoint.Folder(whole / RUN / "checkpoints", 2)
    older, newer = folder.files()
    changed = bytearray(newer.read_bytes())
    changed[-3] ^= 1  # in a tensor
    newer.write_bytes(bytes(changed))
    assert folder.latest() == older
    said = capsys.readouterr().err
    assert f"{newer} is passed over: this is not a whole checkpoint (the SHA-256 of its tensors is" in said
    with pytest.raises(UserError, match=r"this is not a whole checkpoint\n  where: .*32\.safe.*\n  got: the SHA-256"):
        checkpoint.load(newer, torch.device("cpu"))


def test_a_shard_newer_than_its_index_is_compared_all_the_same(whole: Path) -> None:
    """Another whole shard in the place of one: its time says nothing."""
    from tests.pipeline.shards.helpers import write_shard

    shard, record = whole / "shards/demo/000.h5", whole / "made/pack/demo/000.json"
    write_shard(shard, "composite", range(2, 4), views=1, size_px=8)
    os.utime(shard, ns=(2**62, 2**62))
    assert noticed(whole, shard)
    record.unlink()
    assert noticed(whole, shard), "the index of its data set says the same"


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("shards/demo/000.h5", "shards/demo/000.h5"),
        ("ledger/demo.refused.tsv", "ledger/demo.tsv"),
        (f"{RUN}/results.md", f"{RUN}/results.json"),
        (f"{RUN}/checkpoints/000000032.safetensors", f"{RUN}/train.json"),
        ("report.html", "report.html"),
        ("made/pack/demo/000.json", "shards/demo/000.h5"),
    ],
)
def test_repair_asks_for_the_product_of_the_job(
    whole: Path, name: str, target: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.upkeep import repair

    monkeypatch.setattr(repair, "_snakemake", list)
    (whole / name).write_bytes(b"damaged")
    assert verify_run(whole, log=Log(None), mend=True, snakemake=["--cores", "3"]) == 1
    assert f"snakemake {whole / target} --cores 3" in capsys.readouterr().err
    assert not (whole / name).exists() and not (whole / target).exists()
    for aside in whole.rglob("*.damaged"):
        aside.unlink()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (f"{RUN}/metrics.jsonl", "the usual command trains anew"),
        ("archives/demo/loose.txt", "restore the files it lists"),
        ("index/demo/000.tsv", "the usual command writes it again"),
    ],
)
def test_what_a_person_has_to_decide_is_said(
    whole: Path, name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (whole / name).write_bytes(b"damaged")
    assert verify_run(whole, log=Log(None), mend=True) == 1
    assert said in capsys.readouterr().err
    for aside in whole.rglob("*.damaged"):
        aside.unlink()
