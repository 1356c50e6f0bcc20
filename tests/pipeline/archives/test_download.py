"""Whatever the network does, what is published is whole, and nothing is fetched twice without need."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import time
import zipfile
from pathlib import Path

import pytest

from pipeline.archives.addresses import address_of, token_for
from pipeline.archives.download import Patience, _digest, download
from pipeline.archives.remote import RemoteFile
from pipeline.errors import UserError
from pipeline.progress import Log
from pipeline.seeds import generator
from pipeline.settings.datasets import Dataset
from pipeline.stages.fetch import fetch_dataset
from tests.pipeline.archives.faulty_server import Plan, serving

QUICK = Patience(attempts=3, pause_s=0.01)
SHORT = dataclasses.replace(QUICK, timeout_s=1.0)  # for a server that falls silent; others may have a busy machine


def _zip_bytes() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.bin", generator(1, "download").bytes(200_000))
    return out.getvalue()


CONTENT = _zip_bytes()
SHA256 = hashlib.sha256(CONTENT).hexdigest()
KNOWN = RemoteFile("file.zip", sha256=SHA256, bytes=len(CONTENT))
UNKNOWN = RemoteFile("file.zip")


def fetch(tmp_path: Path, plan: Plan, file: RemoteFile = KNOWN, *, log: Log | None = None) -> Path:
    target = tmp_path / "d" / "file.zip"
    with serving(plan) as url:
        patience = SHORT if "stall" in plan.faults else QUICK
        download(file, [url], target, log=log or Log(None), patience=patience)
    return target


@pytest.mark.parametrize("file", [KNOWN, UNKNOWN], ids=["published checksum", "first use"])
@pytest.mark.parametrize(
    ("faults", "cost"),
    [
        (["ok"], 1.0),
        (["drop:0", "ok"], 1.0),
        (["drop:5", "ok"], 1.0),
        (["drop:100000", "ok"], 1.0),
        (["drop:100000", "drop:50000", "drop:1", "ok"], 1.0),
        (["drop:199999", "ok"], 1.0),
        (["status:429:0", "ok"], 1.0),
        (["status:500", "status:503", "ok"], 1.0),
        (["drop:100000", "status:502", "ok"], 1.0),
        (["slow"], 1.0),
        (["stall", "ok"], 1.3),
        (["drop:100000", "wrong-range", "ok"], 4.0),
        (["truncate:100000", "ok"], 2.0),
        (["flip:1000", "ok"], 2.0),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, list) else "",
)
def test_faults_that_can_be_cured_are(tmp_path: Path, faults: list[str], cost: float, file: RemoteFile) -> None:
    plan = Plan(CONTENT, faults)
    target = fetch(tmp_path, plan, file)
    assert target.read_bytes() == CONTENT
    assert plan.sent <= 1.05 * cost * len(CONTENT)
    assert (tmp_path / "d/file.zip.sha256").read_text() == f"{SHA256}  file.zip\n"
    assert sorted(p.name for p in (tmp_path / "d").iterdir()) == ["file.zip", "file.zip.sha256"]


@pytest.mark.parametrize("file", [KNOWN, UNKNOWN], ids=["published checksum", "first use"])
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("status:401", "access has to be asked for"),
        ("status:403", "access has to be asked for"),
        ("status:404", "there is no such file"),
        ("status:410", "there is no such file"),
        ("status:500", "3 times in a row"),
        ("html", "a web page instead of the file"),
        ("html-disguised", "damaged"),
        ("redirect-loop", "redirects in a circle"),
        ("flip:1000", "damaged"),
        ("drop:0", "3 times in a row"),
    ],
)
def test_faults_that_cannot_be_cured_publish_nothing(
    tmp_path: Path, fault: str, message: str, file: RemoteFile
) -> None:
    with pytest.raises(UserError, match=message):
        fetch(tmp_path, Plan(CONTENT, [fault]), file)
    assert not (tmp_path / "d/file.zip").exists()


@pytest.mark.parametrize("code", [401, 403, 404])
def test_a_refusal_is_asked_once_only(tmp_path: Path, code: int) -> None:
    plan = Plan(CONTENT, [f"status:{code}"])
    with pytest.raises(UserError, match=str(code)):
        fetch(tmp_path, plan)
    assert len(plan.requests) == 1


def test_without_ranges_a_broken_transfer_starts_over(tmp_path: Path) -> None:
    plan = Plan(CONTENT, ["drop:150000", "ok"], ranges=False)
    assert fetch(tmp_path, plan).read_bytes() == CONTENT


def test_a_file_that_changed_on_the_server_is_not_glued_together(tmp_path: Path) -> None:
    plan = Plan(CONTENT, ["drop:100000", "changed", "ok"])
    with pytest.raises(UserError, match="not a whole archive"):  # the reversed bytes are no zip, and no mixture
        fetch(tmp_path, plan, UNKNOWN)
    assert plan.requests[1]["If-Range"] == '"v1"'


def test_without_a_validator_an_unguarded_part_is_not_continued(tmp_path: Path) -> None:
    plan = Plan(CONTENT, ["drop:100000", "ok"], etag=None)
    assert fetch(tmp_path, plan, UNKNOWN).read_bytes() == CONTENT
    assert "Range" not in plan.requests[1]


def test_a_killed_download_goes_on_in_the_next_process(tmp_path: Path) -> None:
    target = tmp_path / "d/file.zip"
    plan = Plan(CONTENT, ["drop:120000", "status:404"])
    with serving(plan) as url:
        with contextlib.suppress(UserError):
            download(KNOWN, [url], target, log=Log(None), patience=QUICK)
        plan.faults = ["ok"]
        download(KNOWN, [url], target, log=Log(None), patience=QUICK)
    assert target.read_bytes() == CONTENT
    assert plan.requests[-1]["Range"] == "bytes=120000-"
    assert plan.sent == len(CONTENT)


def test_a_complete_part_is_published_without_another_byte(tmp_path: Path) -> None:
    plan = Plan(CONTENT, ["ok"])
    with serving(plan) as url:
        folder = tmp_path / "d"
        folder.mkdir()
        (folder / ".file.zip.part").write_bytes(CONTENT)
        state = {"address": _digest(address_of(url)), "validator": '"v1"', "total": None}
        (folder / ".file.zip.part.json").write_text(json.dumps(state))
        download(KNOWN, [url], folder / "file.zip", log=Log(None), patience=QUICK)
    assert plan.sent == 0
    assert (tmp_path / "d/file.zip").read_bytes() == CONTENT


def test_retry_after_is_honoured(tmp_path: Path) -> None:
    start = time.monotonic()
    fetch(tmp_path, Plan(CONTENT, ["status:429:1", "ok"]))
    assert time.monotonic() - start >= 1.0


def test_mirrors_are_tried_in_order(tmp_path: Path) -> None:
    bad, good = Plan(CONTENT, ["status:404"]), Plan(CONTENT, ["ok"])
    with serving(bad) as first, serving(good) as second:
        found = download(KNOWN, [first, second], tmp_path / "d/file.zip", log=Log(None), patience=QUICK)
        assert found.url == second
    assert (len(bad.requests), len(good.requests)) == (1, 1)


def test_an_optional_file_may_be_absent(tmp_path: Path) -> None:
    with serving(Plan(CONTENT, ["status:404"])) as url:
        file = RemoteFile("file.zip", optional=True)
        assert download(file, [url], tmp_path / "d/file.zip", log=Log(None), patience=QUICK) is None


def test_what_was_recorded_on_first_use_is_held_to(tmp_path: Path) -> None:
    target = fetch(tmp_path, Plan(CONTENT, ["ok"]), UNKNOWN)
    target.unlink()
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("b.bin", b"another release")
    with pytest.raises(UserError, match="another file than published"):
        fetch(tmp_path, Plan(other.getvalue(), ["ok"]), UNKNOWN)
    assert not target.exists()


def test_a_fetched_file_that_was_changed_is_named(tmp_path: Path) -> None:
    target = fetch(tmp_path, Plan(CONTENT, ["ok"]))
    target.write_bytes(b"edited")
    with pytest.raises(UserError, match="not what was fetched"):
        fetch(tmp_path, Plan(CONTENT, ["ok"]))


def test_a_full_disk_is_named_before_the_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.archives.download.shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(UserError, match="not enough space"):
        fetch(tmp_path, Plan(CONTENT, ["ok"]))


def test_the_token_goes_to_its_own_host_over_https_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert token_for("https://huggingface.co/datasets/a/b") == "hf_secret"
    assert token_for("http://huggingface.co/datasets/a/b") is None
    assert token_for("https://example.org/a") is None
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    monkeypatch.delenv("HF_TOKEN_PATH", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert token_for("https://huggingface.co/a") is None
    (tmp_path / "token").write_text("hf_file\n")
    assert token_for("https://huggingface.co/a") == "hf_file"


def test_the_token_is_in_no_log_and_no_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipeline.archives.addresses.token_for", lambda _: "hf_secret")
    plan = Plan(CONTENT, ["status:403"])
    with Log(tmp_path / "log.jsonl") as log, pytest.raises(UserError) as caught:
        fetch(tmp_path, plan, log=log)
    assert plan.requests[0]["Authorization"] == "Bearer hf_secret"
    everything = str(caught.value) + (tmp_path / "log.jsonl").read_text() + "".join(capsys.readouterr())
    assert "hf_secret" not in everything


@pytest.mark.parametrize(("mirrors", "shown"), [(["folder"], False), (["folder", "address"], True), ([], True)])
def test_terms_are_shown_before_the_network_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mirrors: list[str], shown: bool
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "03001627.zip").write_bytes(b"PK\5\6" + bytes(18))
    with serving(Plan(CONTENT, ["status:403"])) as url:
        places = {"folder": str(tmp_path / "folder"), "address": url.rpartition("/")[0]}
        named = tuple(places[kind] for kind in mirrors)
        settings = Dataset(source="shapenet_v1", mirrors=named or (places["address"],), categories=("chair",))
        with contextlib.suppress(UserError):
            fetch_dataset("s", settings, tmp_path / "archives/s.json", log=Log(None))
    assert ("non-commercial research" in capsys.readouterr().err) is shown


def test_a_data_set_is_fetched_from_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("03001627/a/model.obj", b"v 0 0 0\n")
    with serving(Plan(out.getvalue(), ["ok", "status:404"])) as url:
        settings = Dataset(source="shapenet_v2", mirrors=(url.rpartition("/")[0],), categories=("chair",))
        fetch_dataset("s", settings, Path("archives/s.json"), log=Log(None))
    record = json.loads(Path("archives/s.json").read_text())
    assert [entry["path"] for entry in record["files"]] == ["archives/s/03001627.zip"]
    assert record["files"][0]["sha256"] == hashlib.sha256(out.getvalue()).hexdigest()
    assert "non-commercial research" in capsys.readouterr().err
