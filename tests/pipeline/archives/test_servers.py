"""Whatever a server does: the download ends, nothing wrong is published, nothing secret is said, no traceback."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

from pipeline.archives.addresses import address_of, shown, token_for
from pipeline.archives.download import Patience, download
from pipeline.archives.remote import RemoteFile
from pipeline.errors import UserError
from pipeline.progress import Log
from tests.pipeline.archives.faulty_server import BEHAVIOURS, SECRET, cut, only, raw, then, whole
from tests.pipeline.archives.test_download import CONTENT

FILES = {
    "published": RemoteFile("file.zip", bytes=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest()),
    "unknown": RemoteFile("file.zip"),
}
MOST = 4 << 20  # bytes of a file whose size nobody says
HIDDEN = re.compile(f"{SECRET}|{re.escape(base64.b64encode(f'user:{SECRET}'.encode()).decode())}")


# What never says enough: a short patience with it proves the same.  With others patience is never used up.
TOO_SLOW = {
    *("silent", "silent in the middle", "endless trailers"),
    *("head by single bytes", "body by single bytes", "chunk head by single bytes"),
}


def patience(pauses: list[float], *, short: bool = False) -> Patience:
    """Pauses are noted, not waited for."""
    return Patience(
        attempts=4,
        most_attempts=6 if short else 12,
        timeout_s=0.1 if short else 5.0,
        slow_after_s=0.15 if short else 10.0,
        slowest=10_000,
        most_bytes=MOST,
        sleep=pauses.append,
    )


def test_there_are_enough_behaviours() -> None:
    assert len(BEHAVIOURS) >= 60


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("name", BEHAVIOURS)
def test_a_download_ends_in_the_file_or_in_words(
    name: str, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reply, *outcomes = BEHAVIOURS[name]
    outcome, target, pauses, said = outcomes[file == "unknown"], tmp_path / "d" / "file.zip", [], ""
    with raw(CONTENT, reply) as (port, requests, sent), Log(tmp_path / "log.jsonl") as log:
        url = f"http://user:{SECRET}@127.0.0.1:{port}/file.zip?signature={SECRET}"
        try:
            download(FILES[file], [url], target, log=log, patience=patience(pauses, short=name in TOO_SLOW))
        except UserError as error:
            said = str(error)
    # No wrong bytes, and the words that the table has.
    if outcome == "whole":
        assert said == "" and target.read_bytes() == CONTENT
    else:
        assert outcome in said and not target.exists()
    # It ends, with pauses, and costs no more than it may.
    assert len(requests) <= 2 * (11 if "redirect" in name else 4) + 9
    assert all(1.0 <= pause <= 300.0 for pause in pauses) and len(pauses) >= len(requests) - 22
    assert sum(sent) <= 2 * MOST + 5 * len(CONTENT) + (1 << 24)
    # Nothing secret in messages, logs, or files beside the target; the server did see it.
    kept = [path.read_bytes().decode("latin-1") for path in (tmp_path / "d").iterdir() if path.suffix != ".part"]
    for text in (said, (tmp_path / "log.jsonl").read_text(), "".join(capsys.readouterr()), *kept):
        assert not HIDDEN.search(text) and "Traceback" not in text
    assert requests[0].headers["authorization"].startswith("Basic ") and SECRET in requests[0].path


def test_what_a_redirect_leads_to_sees_no_password(tmp_path: Path) -> None:
    with raw(CONTENT, whole) as (other, theirs, _):
        away = only("302 Found", f"Location: http://127.0.0.1:{other}/away.zip")
        with raw(CONTENT, away) as (port, ours, _):
            url = f"http://user:{SECRET}@127.0.0.1:{port}/file.zip"
            download(FILES["unknown"], [url], tmp_path / "file.zip", log=Log(None), patience=patience([]))
    assert "authorization" in ours[0].headers and "authorization" not in theirs[0].headers


def test_the_budget_of_attempts_and_of_time_holds_where_every_attempt_brings_something(tmp_path: Path) -> None:
    """Ten bytes each time, for ever: there is progress, and an end."""
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    few = Patience(most_attempts=20, sleep=sleep, now=lambda: clock[0])
    short = Patience(most_s=20.0, sleep=sleep, now=lambda: clock[0])
    for number, limits in enumerate((few, short)):
        with (
            raw(CONTENT, cut(10)) as (port, requests, _),
            pytest.raises(UserError, match="given up after|not done after"),
        ):
            url = f"http://127.0.0.1:{port}/file.zip"
            download(FILES["unknown"], [url], tmp_path / str(number) / "file.zip", log=Log(None), patience=limits)
        assert 15 <= len(requests) <= 25


def test_what_arrived_is_kept_when_time_is_over_and_the_next_command_goes_on(tmp_path: Path) -> None:
    with raw(CONTENT, then(cut(150_000), only("404 No"), whole)) as (port, requests, _):
        url = f"http://127.0.0.1:{port}/file.zip"
        with pytest.raises(UserError, match="404"):
            download(FILES["unknown"], [url], tmp_path / "file.zip", log=Log(None), patience=patience([]))
        download(FILES["unknown"], [url], tmp_path / "file.zip", log=Log(None), patience=patience([]))
    assert requests[-1].start == 150_000 and (tmp_path / "file.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("text", ["", "{", "[]", "[1, 2]", '{"address": 5}', "null", '{"validator": "\\r\\nX: y"}'])
def test_a_torn_state_file_is_no_state(text: str, tmp_path: Path) -> None:
    (tmp_path / ".file.zip.part").write_bytes(b"junk")
    (tmp_path / ".file.zip.part.json").write_text(text)
    with raw(CONTENT, whole) as (port, _, _):
        url = f"http://127.0.0.1:{port}/file.zip"
        download(FILES["unknown"], [url], tmp_path / "file.zip", log=Log(None), patience=patience([]))
    assert (tmp_path / "file.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("text", ["", "\n", "nonsense  file.zip\n"])
def test_a_torn_record_is_said(text: str, tmp_path: Path) -> None:
    (tmp_path / "file.zip.sha256").write_text(text)
    with pytest.raises(UserError, match="a recorded checksum is none"):
        download(FILES["unknown"], ["http://127.0.0.1:9/x"], tmp_path / "file.zip", log=Log(None))


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1/x",
        "http://host:port/",
        "ftp://host/x",
        "file:///etc/passwd",
        "http:///x",
        "x",
        "",
        "http://a b/x",
        "https://host/\r\nX: y",
        "http://\u2603\u0000/",
        f"http://user:{SECRET}@[x/?{SECRET}",
        "http://host:99999/",
    ],
)
def test_what_is_no_address_is_said(url: str) -> None:
    with pytest.raises(UserError, match="this is no address") as caught:
        address_of(url)
    assert SECRET not in str(caught.value)


def test_an_address_is_shown_without_what_is_secret() -> None:
    address = address_of(f"https://user:{SECRET}@host:8443/a b/c.zip?X-Signature={SECRET}#{SECRET}")
    assert address.shown == "https://host:8443/a%20b/c.zip" and SECRET in address.url and "user" not in address.url
    assert shown(f"http://user:p@{SECRET}@host/x?y") == "http://host/x"


@pytest.mark.parametrize("token", [f"hf_{SECRET}\nX-Evil: 1", f"hf {SECRET}", f"hf_{SECRET}\u00e9", f"\x00{SECRET}"])
def test_a_token_that_fits_no_header_is_never_shown(
    token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "token").write_bytes(token.encode())
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "token"))
    with pytest.raises(UserError, match="the access token is none") as caught:
        token_for("https://huggingface.co/x")
    assert SECRET not in str(caught.value)
