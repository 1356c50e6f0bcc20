"""Networks on the Hub: pushed to a loopback one, pulled back by name, and what is said where that is impossible."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.conftest import optional
from tests.training.inference.loopback_hub import TOKEN, LoopbackHub, loopback_hub
from tests.world import ROOT
from training.command.train import main
from training.inference.hub import pull

library = optional("huggingface_hub")
constants = optional("huggingface_hub.constants")
# The library uploads in a way that its HTTP client has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
DEMO = ROOT / "models" / "demo"


@pytest.fixture(scope="module")
def pushed() -> Iterator[LoopbackHub]:
    """A Hub that holds the network of models/demo as someone/chairs, pushed by the command."""
    with loopback_hub() as hub, pytest.MonkeyPatch.context() as patch:
        logged_in(hub, patch)
        assert main(["export", "--run", str(DEMO), "--no-onnx", "--license", "mit", "--push", "someone/chairs"]) == 0
        yield hub


@pytest.fixture
def hub(pushed: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """The same with an empty cache on this side."""
    logged_in(pushed, monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    known = dict(pushed.repositories)
    yield pushed
    pushed.repositories, pushed.broken = known, None


def logged_in(hub: LoopbackHub, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("HF_ENDPOINT", hub.address)
    patch.setenv("HF_TOKEN", TOKEN)
    patch.setenv("NO_PROXY", "127.0.0.1,localhost")
    patch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # another protocol, in compiled code


def test_a_pulled_network_gives_the_same_voxels_bit_for_bit(hub: LoopbackHub, tmp_path: Path) -> None:
    for name, run in (("here", str(DEMO)), ("pulled", "hf:someone/chairs")):
        arguments = ["--count", "1", "--seed", "3", "-o", str(tmp_path / f"{name}.npy")]
        assert main(["sample", "--run", run, *arguments]) == 0
    assert (tmp_path / "here.npy").read_bytes() == (tmp_path / "pulled.npy").read_bytes()
    content = hub.repositories["someone/chairs"].commits[hub.repositories["someone/chairs"].refs["main"]]
    assert content["model.safetensors"] == (DEMO / "model.safetensors").read_bytes()


def test_the_card_has_the_front_matter_of_the_hub(hub: LoopbackHub) -> None:
    content = hub.repositories["someone/chairs"].commits[hub.repositories["someone/chairs"].refs["main"]]
    text = content["README.md"].decode()
    front = yaml.safe_load(text.split("---\n")[1])
    assert (front["license"], front["library_name"], front["pipeline_tag"]) == (
        "mit",
        "shapes-to-vaegan",
        "image-to-3d",
    )
    assert front["datasets"] == ["furniture-off", "furniture-obj"] and front["metrics"] == ["iou"]
    # The library reads the results back as the Hub does, and they are what `check` makes again.
    (result,) = library.ModelCard(text).data.eval_results
    with np.load(DEMO / "held-out.npz") as held_out:
        assert result.metric_value == pytest.approx(held_out["iou"].mean(), abs=1e-4)


def test_a_revision_stays_what_it_was(hub: LoopbackHub) -> None:
    repository = hub.repositories["someone/chairs"]
    first = repository.refs["main"]
    repository.refs["v1"] = first
    repository.commit({"config.json": b"{}"})
    for revision in ("v1", first):
        assert (pull(f"hf:someone/chairs@{revision}") / "config.json").read_bytes() != b"{}"
    assert (pull("hf:someone/chairs") / "config.json").read_bytes() == b"{}"
    repository.refs["main"] = first


def test_what_was_pulled_is_used_without_a_network(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pull("hf:someone/chairs")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert pull("hf:someone/chairs") == folder


def test_a_file_with_another_digest_is_refused(hub: LoopbackHub, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pull("hf:someone/chairs")
    for name in ("model.safetensors", "config.json"):
        path = (folder / name).resolve()
        right = path.read_bytes()
        path.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
        assert_refused("hf:someone/chairs", "a file is not what the Hub says it is", capsys)
        path.unlink()
        assert (pull("hf:someone/chairs") / name).read_bytes() == right


def test_what_the_hub_refuses_is_said_in_words(hub: LoopbackHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused("hf:someone/tables", "the Hub shows no such network", capsys)
    assert_refused("hf:someone/chairs@v9", "the Hub has no such revision", capsys)
    assert_refused("hf:someone", "this names no network of the Hub", capsys)
    hub.repositories["someone/else"] = type(hub.repositories["someone/chairs"])()
    hub.repositories["someone/else"].commit({"config.json": b"{}"})
    assert_refused("hf:someone/else", "this is no network of this project", capsys)


def test_a_hub_that_fails_or_is_not_there_is_said_in_words(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.broken = 403
    assert_refused("hf:someone/chairs", "403: the Hub is broken", capsys)
    assert main(["export", "--run", str(DEMO), "--no-onnx", "--push", "someone/chairs"]) == 1
    assert "403: the Hub is broken" in capsys.readouterr().err
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert_refused("hf:someone/chairs", "the Hub cannot be reached", capsys)


def test_private_networks_ask_for_a_token(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.repositories["someone/chairs"].private = True
    try:
        assert pull("hf:someone/chairs").is_dir()
        monkeypatch.setattr(constants, "HF_HUB_CACHE", f"{constants.HF_HUB_CACHE}-other")
        for token in ("", "hf_wrong"):
            monkeypatch.setenv("HF_TOKEN", token)
            assert "hf auth login" in assert_refused("hf:someone/chairs", "the Hub", capsys)
        assert main(["export", "--run", str(DEMO), "--no-onnx", "--push", "someone/chairs"]) == 1
        assert "hf auth login" in capsys.readouterr().err
    finally:
        hub.repositories["someone/chairs"].private = False


def test_without_the_package_it_is_named(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert_refused("hf:someone/chairs", "pip install huggingface_hub", capsys)


def test_commands_that_write_a_run_take_no_name_of_the_hub(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--settings", "{}", "--shards", "x", "--run", "hf:someone/chairs"]) == 1
    assert "a training writes to a folder" in capsys.readouterr().err
    assert main(["export", "--run", str(DEMO)]) == 1
    assert "the exported model has no place to go" in capsys.readouterr().err
    assert main(["export", "--run", str(DEMO), "--no-onnx", "--push", "someone/chairs@v1"]) == 1
    assert "a push makes a new revision" in capsys.readouterr().err


def assert_refused(name: str, said: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The command ends with this message and no traceback; gives all that was said."""
    assert main(["sample", "--run", name, "--count", "1", "-o", "x.npy"]) == 1
    text = capsys.readouterr().err
    assert said in text and "Traceback" not in text
    return text
