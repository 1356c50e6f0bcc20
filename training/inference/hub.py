"""Networks on the Hub (https://huggingface.co): pulled by their name wherever a run is named, and pushed.

    hf:user/name              the newest revision
    hf:user/name@v1.0         a branch, a tag or a commit: a commit never changes

What is pulled lies in the cache of huggingface_hub, where every file is named by its digest: it is
compared each time, and without a network what was pulled once is used.  Private networks need
`hf auth login` or HF_TOKEN; HF_ENDPOINT names another Hub.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from pipeline.errors import UserError
from pipeline.manifest import sha256_of
from pipeline.progress import say
from training.inference.held_out import HELD_OUT
from training.inference.model import CONFIG, WEIGHTS

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

PREFIX = "hf:"
_PULLED = (WEIGHTS, CONFIG, HELD_OUT, "README.md")  # the ONNX graphs hold the same weights again
_NAME = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"


def pull(name: str) -> Path:
    """Folder of the network ``hf:user/name`` or ``hf:user/name@revision``, as `training export` wrote it."""
    repository, revision = _parsed(name)
    library = _library()
    with _in_words(name):
        pulled = library.snapshot_download(
            repository, revision=revision, allow_patterns=list(_PULLED), endpoint=_endpoint()
        )
    folder = Path(pulled)
    missing = [file for file in (WEIGHTS, CONFIG) if not (folder / file).is_file()]
    if missing:
        raise UserError(
            "this is no network of this project",
            where=name,
            got=f"no {' and no '.join(missing)}",
            wanted="what `python -m training export --push` writes",
            do="correct the name, or the revision",
        )
    for path in sorted(folder.iterdir()):
        _compare(path.resolve())
    say(f"{name}: revision {folder.name}")
    return folder


def push(files: Sequence[Path], name: str) -> str:
    """Send files to the Hub as one commit, making the repository where there is none; returns the commit's address."""
    repository, revision = _parsed(name)
    if revision is not None:
        raise UserError("a push makes a new revision and names none", got=name, wanted="user/name")
    library = _library()
    hub = library.HfApi(endpoint=_endpoint())
    with _in_words(name):
        hub.create_repo(repository, exist_ok=True)
        commit = hub.create_commit(
            repository,
            [library.CommitOperationAdd(path.name, path) for path in files],
            commit_message="A network of python -m training export",
        )
    return str(commit.commit_url)


def _parsed(name: str) -> tuple[str, str | None]:
    """Repository and revision of a name, with or without its prefix."""
    found = _NAME.fullmatch(name.removeprefix(PREFIX))
    if found is None:
        raise UserError("this names no network of the Hub", got=name, wanted="hf:user/name, or hf:user/name@revision")
    return found["repository"], found["revision"]


def _library() -> ModuleType:
    try:
        import huggingface_hub
        from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]
    except ImportError as error:
        raise UserError(
            "the Hub needs a package that is not installed",
            got=str(error),
            do="run `pip install huggingface_hub`; or download the files of the network and name their folder",
        ) from error
    if not sys.stderr.isatty():
        disable_progress_bars()
    return huggingface_hub


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _compare(blob: Path) -> None:
    """The cache names a file by the SHA-256 of its content, or by git's digest of a small one."""
    if len(blob.name) == 64:
        found = sha256_of(blob)
    elif len(blob.name) == 40:
        data = blob.read_bytes()
        found = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
    else:  # a file system without links has no names of digests
        return
    if found != blob.name:
        raise UserError(
            "a file is not what the Hub says it is",
            where=str(blob),
            got=f"digest {found}",
            wanted=blob.name,
            do="delete it and run the same command again, which downloads it again",
        )


@contextlib.contextmanager
def _in_words(name: str) -> Iterator[None]:
    """What the Hub refuses, and what lies between it and here, as a UserError."""
    from huggingface_hub import errors

    hub = _endpoint() or "https://huggingface.co"
    try:
        yield
    except errors.RevisionNotFoundError as error:
        raise UserError(
            "the Hub has no such revision", where=f"{hub}: {name}", do="name a branch, a tag or a commit of it"
        ) from error
    except errors.GatedRepoError as error:
        raise UserError(
            "this network is given to those only who accept its terms",
            where=f"{hub}: {name}",
            do=f"accept them on its page, and {_LOG_IN}",
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            "the Hub shows no such network", where=f"{hub}: {name}", do=f"correct the name; if it is private, {_LOG_IN}"
        ) from error
    except errors.HfHubHTTPError as error:
        raise _refused(hub, name, error) from error
    except errors.LocalEntryNotFoundError as error:  # nothing in the cache, and why the Hub was of no help
        if isinstance(error.__cause__, errors.HfHubHTTPError):
            raise _refused(hub, name, error.__cause__) from error
        raise _unreachable(hub, name, error) from error
    except ValueError as error:
        raise UserError("the Hub does not take this", where=f"{hub}: {name}", got=_short(str(error))) from error
    except _broken() as error:
        raise _unreachable(hub, name, error) from error


def _broken() -> tuple[type[Exception], ...]:
    """A broken line or a size that is not the stated one; RuntimeError is what an upload's threads make of these."""
    from huggingface_hub.errors import HfHubHTTPError

    of_the_client = HfHubHTTPError.__base__  # its HTTP library has changed, the class below the Hub's own has not
    assert of_the_client is not None
    return (of_the_client, OSError, RuntimeError)  # type: ignore[return-value]


def _short(said: str) -> str:
    return " ".join(said.split())[:300]


def _refused(hub: str, name: str, error: HfHubHTTPError) -> UserError:
    status = error.response.status_code
    return UserError(
        "the Hub refuses this",
        where=f"{hub}: {name}",
        got=f"{status}: {error.server_message or error.response.reason_phrase}",
        do=_LOG_IN if status in (401, 403) else "look at https://status.huggingface.co, then try again",
    )


def _unreachable(hub: str, name: str, error: Exception) -> UserError:
    return UserError(
        "the Hub cannot be reached, or its answer broke off",
        where=f"{hub}: {name}",
        got=_short(str(error.__cause__ or error)),
        do="try again with a network; a folder of `python -m training export` can be copied and named without one",
    )
