"""What the system refuses for a moment is no damage: nothing is made again, set aside or passed over because of it."""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from pipeline.errors import Refusal, UserError, in_words, is_refusal
from pipeline.progress import Log
from pipeline.state.files import OBJECT, read_cache, read_if_whole, read_state, write_state
from pipeline.workflow import records
from pipeline.workflow.damage import Shards
from pipeline.workflow.heads import HeadStore
from pipeline.workflow.places import Shared
from render.backgrounds import _read_file
from training.networks.checkpoint import Folder
from training.run.files import set_aside_others

PASSING = [errno.EIO, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ENOMEM]


@pytest.fixture(params=PASSING, ids=[errno.errorcode[number] for number in PASSING])
def refused(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """From now on this file cannot be opened."""

    def refuse(path: Path) -> None:
        opened = builtins.open

        def guarded(file: object, *words: object, **named: object) -> object:
            if isinstance(file, str | os.PathLike) and os.fspath(file) == str(path):
                raise OSError(request.param, os.strerror(request.param), str(path))
            return opened(file, *words, **named)  # type: ignore[call-overload]

        for module in (builtins, io):
            monkeypatch.setattr(module, "open", guarded)

    return refuse


def test_a_record_that_cannot_be_read_now_makes_nothing_due(tmp_path: Path, refused: Callable[[Path], None]) -> None:
    """A training of days would begin again for one read that failed."""
    path = tmp_path / "train" / "first.json"
    write_state(path, {"digest": "1", "head": "2", "sources": {}, "checks": {}})
    assert records.read(path) is not None and records.read(tmp_path / "none.json") is None
    refused(path)
    with pytest.raises(Refusal, match=r"(?s)where: .*first\.json.*what to do: (?!delete)"):
        records.read(path)


def test_heads_configs_and_other_state_too(tmp_path: Path, refused: Callable[[Path], None]) -> None:
    for act in (
        lambda path: read_if_whole(path, OBJECT, {}),
        lambda path: set_aside_others(path.parent, "another"),
        lambda path: HeadStore(path.parent).known,
    ):
        path = tmp_path / "config.json"
        write_state(path, {"identity": "mine"})
        (tmp_path / "metrics.jsonl").touch()
        with pytest.MonkeyPatch.context():
            refused(path)
            with pytest.raises(Refusal):
                act(path)
    assert not list(tmp_path.glob("previous-*"))
    assert read_cache(tmp_path / "config.json", OBJECT, {}) == {}, "what only spares work may be missing"


def test_a_checkpoint_that_cannot_be_opened_now_is_not_passed_over(
    tmp_path: Path, refused: Callable[[Path], None]
) -> None:
    for samples in (100, 200):
        (tmp_path / f"{samples:09d}.safetensors").write_bytes(b"x" * 100)
    refused(tmp_path / "000000200.safetensors")
    with pytest.raises(Refusal, match=r"cannot use .*000000200\.safetensors"):
        Folder(tmp_path, 3).latest()


def test_a_shard_that_cannot_be_opened_now_is_not_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import h5py

    from pipeline.workflow.damage import _is_damaged

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Unable to open file (errno = 24)")

    (tmp_path / "000.h5").write_bytes(b"junk")
    assert _is_damaged(tmp_path / "000.h5")
    monkeypatch.setattr(h5py, "File", refuse)
    with pytest.raises(Refusal, match=r"cannot use .*000\.h5"):
        _is_damaged(tmp_path / "000.h5")


def test_a_picture_that_cannot_be_opened_now_is_not_left_out_of_the_bank(
    tmp_path: Path, refused: Callable[[Path], None]
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    refused(path)
    with pytest.raises(OSError, match="a.png"):
        _read_file(path)
    assert _read_file(tmp_path / "none.png") == b""


def test_an_index_that_cannot_be_read_now_is_not_one_that_is_absent(
    tmp_path: Path, refused: Callable[[Path], None]
) -> None:
    index = tmp_path / "shards" / "demo" / "index.json"
    index.parent.mkdir(parents=True)
    index.write_text("{}")
    assert Shards(str(tmp_path))._of("demo") == {} == Shards(str(tmp_path))._of("other")
    refused(index)
    with pytest.raises(Refusal):
        Shards(str(tmp_path))._of("demo")


@pytest.mark.parametrize("number", PASSING)
def test_a_product_of_which_the_system_says_nothing_now_is_not_absent(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """os.path.exists says no to every error."""
    assert Shared().exists(str(tmp_path)) and not Shared().exists(str(tmp_path / "none" / "none"))

    def refuse(path: object, *_: object, **__: object) -> None:
        raise OSError(number, "refused", str(path))

    monkeypatch.setattr(os, "stat", refuse)
    with pytest.raises(OSError, match="refused"):
        Shared().exists(str(tmp_path))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a file that is always full")
def test_a_log_on_a_full_disk_is_named() -> None:
    with (
        pytest.raises(UserError, match=r"(?s)cannot write /dev/full: No space left.*free some space"),
        Log("/dev/full") as log,
    ):
        log.write("progress")


def test_only_what_is_not_there_is_no_refusal(tmp_path: Path) -> None:
    for number in errno.errorcode:
        error = OSError(number, "x", str(tmp_path))
        assert is_refusal(error) != (number in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR))
        assert isinstance(in_words(error), UserError)
    assert not is_refusal(OSError("a library's opinion")) and not is_refusal(ValueError())


def test_damage_is_still_damage(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"seal": "sha256:0"}')
    with pytest.raises(UserError, match="delete the file") as caught:
        read_state(path, TypeAdapter(dict))
    assert not isinstance(caught.value, Refusal) and read_if_whole(path, OBJECT, {"made": "again"}) == {"made": "again"}
