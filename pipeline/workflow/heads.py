"""What a stage of a data set or an experiment depends on besides its inputs, and when two of these are the same.

A `Head` is the settings that a stage can see, the digests of its code, and of the other files it reads.
Each head that products were made with is kept in ``<output>/made/heads/``, for three questions:

- Are settings the same?  A key that did not exist when a product was made, and has its default now,
  changes nothing; a key whose value differs does, also where only the default has changed.
- What has changed?  `differences` says it in words.
- Has a person accepted a change of code?  ``python -m pipeline accept`` writes the new head as one that
  stands for the old.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic

from pipeline.state.files import Stored, parse_json, read_if_whole, write_state


@dataclasses.dataclass(frozen=True)
class Head:
    """One of them; keys of settings are as in config.yaml, ``render.views``."""

    rule: str
    name: str  # of the data set, experiment or set of photographs; nothing for a stage that all share
    settings: Mapping[str, Any]
    code: Mapping[str, str]  # module -> digest
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)  # what -> digest
    defaults: frozenset[str] = frozenset()  # keys of `settings` that have their default

    def stored(self) -> dict[str, Any]:
        """Plain values that say everything but what is a default."""
        values = {"rule": self.rule, "name": self.name, "settings": self.settings}
        plain: dict[str, Any] = parse_json(json.dumps(values | {"code": self.code, "files": self.files}))
        return plain

    @property
    def digest(self) -> str:
        """12 hex digits over all of it."""
        return digest_of(self.stored())


class _Stored(Stored):
    """A head as it is kept."""

    rule: str
    name: str
    settings: dict[str, Any]
    code: dict[str, str]
    files: dict[str, str]
    same_as: str | None = None  # digest of the head that products are known under
    accepted: str | None = None  # when a person decided that


_STORED: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(_Stored)


def digest_of(value: Any) -> str:
    """12 hex digits of a plain value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


class HeadStore:
    """The heads that products of a run were made with; a `HeadStore` only reads until `keep`."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._known: dict[str, dict[str, Any]] | None = None
        self._of: dict[tuple[str, str], list[str]] = {}  # digests of the heads of a rule and a name

    @property
    def known(self) -> dict[str, dict[str, Any]]:
        """Digest -> what was stored; what cannot be read is not known."""
        if self._known is None:
            self._known = {}
            for path in sorted(self._folder.glob("*.json")) if self._folder.is_dir() else ():
                stored = read_if_whole(path, _STORED, None)
                about = {key: one for key, one in (stored or {}).items() if key not in ("same_as", "accepted")}
                if digest_of(about) == path.stem:
                    self._learn(path.stem, stored)
        return self._known

    def _learn(self, digest: str, stored: dict[str, Any]) -> None:
        self.known[digest] = stored
        self._of.setdefault((stored["rule"], stored["name"]), []).append(digest)

    def stands_for(self, head: Head) -> str:
        """The digest under which products of `head` are known: its own, or that of the same one of an earlier time."""
        digest = head.digest
        if digest in self.known:
            return self._first(digest)
        others = self._of.get((head.rule, head.name), [])
        older = {self.known[other].get("same_as") for other in others}
        for other in sorted(set(others) - older):
            if _same(head, self.known[other]):
                return self._first(other)
        return digest

    def _first(self, digest: str) -> str:
        seen = set()
        while digest not in seen and (before := self.known.get(digest, {}).get("same_as")):
            seen.add(digest)
            digest = before
        return digest

    def keep(self, head: Head) -> None:
        """Publish `head`, if it is not known yet."""
        if head.digest not in self.known:
            first = self.stands_for(head)
            self._publish(head, {} if first == head.digest else {"same_as": first})

    def accept(self, head: Head, old: str, when: str) -> None:
        """From now on `head` stands for the head `old`; the file says since when, by a person's decision."""
        if self.stands_for(head) != old:
            self._publish(head, {"same_as": old, "accepted": when})

    def _publish(self, head: Head, more: dict[str, str]) -> None:
        value = head.stored() | more
        write_state(self._folder / f"{head.digest}.json", value)
        self._learn(head.digest, value)


def _same(head: Head, stored: dict[str, Any]) -> bool:
    now, before = head.stored(), stored
    if any(now[part] != before.get(part) for part in ("rule", "name", "code", "files")):
        return False
    settings = before.get("settings", {})
    if any(key not in now["settings"] or now["settings"][key] != value for key, value in settings.items()):
        return False
    return set(now["settings"]) - set(settings) <= head.defaults


def differences(head: Head, stored: dict[str, Any] | None) -> list[str]:
    """What has changed since `stored`, one line each: ``render.views 12 -> 24``, ``code of pipeline.seeds``."""
    if stored is None:
        return ["other settings or other code; made/heads no longer says which"]
    now = head.stored()
    old, new = stored.get("settings", {}), now["settings"]
    changed = [key for key in sorted(new) if old.get(key) != new[key] and not (key not in old and key in head.defaults)]
    # A key that the stage no longer looks at goes by another one, which says enough.
    changed = changed or sorted(set(old) - set(new))
    lines = [f"{key} {_shown(old.get(key))} -> {_shown(new.get(key))}" for key in changed]
    for part, text in (("code", "code of"), ("files", "content of")):
        was = stored.get(part, {})
        lines += [
            f"{text} {name}" for name in sorted(set(was) | set(now[part])) if was.get(name) != now[part].get(name)
        ]
    return lines


def _shown(value: Any) -> str:
    return "(not set)" if value is None else json.dumps(value)
