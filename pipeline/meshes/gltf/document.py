"""The JSON of a glTF file, read so that no value of a wrong type or range gets any further.

An `Item` is one JSON object together with the place where it stands, as in
``accessors[3].sparse``; its readers either answer a value of the type and range that the
specification asks for or raise Reject("malformed") with the place, what was found and what was wanted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NoReturn

from pipeline.errors import Reject
from pipeline.state.files import parse_json

_LARGEST = 2**40  # of a whole number: counts and offsets; sums and products of them stay exact
_SHOWN = 60  # characters of a wrong value in a message


def malformed(where: str, got: Any, wanted: str) -> NoReturn:
    """Refuse the file for one of its values; a `got` that is a text describes it in words."""
    text = got if isinstance(got, str) else repr(got)
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
    raise Reject("malformed", f"glTF: {where} is {shown}; wanted {wanted}")


@dataclass(frozen=True)
class Item:
    """One JSON object and where it stands; an absent key takes the default, or is refused without one."""

    value: dict[str, Any]
    where: str

    def __contains__(self, key: str) -> bool:
        return key in self.value

    def place(self, key: str) -> str:
        """Where the value of a key stands."""
        return f"{self.where}.{key}" if self.where else key

    def whole(self, key: str, default: int | None = None, *, low: int = 0, high: int = _LARGEST) -> int:
        """A whole number from `low` to `high`; 3.0 counts as 3, as JSON does not tell them apart."""
        value = self.value.get(key, default)
        if isinstance(value, float) and value.is_integer() and abs(value) <= _LARGEST:
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            malformed(self.place(key), repr(value), f"a whole number from {low} to {high}")
        return value

    def index(self, key: str) -> int | None:
        """Number of an entry of a table; None where the key is absent."""
        return self.whole(key) if key in self.value else None

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number."""
        return _finite(self.value.get(key, default), self.place(key))

    def numbers(self, key: str, count: int, default: tuple[float, ...] | None = None) -> tuple[float, ...]:
        """`count` finite numbers."""
        value = self.value.get(key, default)
        if not isinstance(value, (list, tuple)) or len(value) != count:
            malformed(self.place(key), repr(value), f"{count} numbers")
        return tuple(_finite(one, f"{self.place(key)}[{place}]") for place, one in enumerate(value))

    def text(self, key: str, default: str | None = None) -> str:
        """A text."""
        value = self.value.get(key, default)
        if not isinstance(value, str):
            malformed(self.place(key), repr(value), "a text")
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """True or false."""
        value = self.value.get(key, default)
        if not isinstance(value, bool):
            malformed(self.place(key), repr(value), "true or false")
        return value

    def item(self, key: str) -> Item | None:
        """An object below this one; None where it is absent."""
        return _item(self.value[key], self.place(key)) if key in self.value else None

    def wanted(self, key: str) -> Item:
        """An object below this one that has to be there."""
        return _item(self.value.get(key), self.place(key))

    def table(self, key: str) -> list[Item]:
        """An array of objects, empty where it is absent."""
        return [_item(one, f"{self.place(key)}[{place}]") for place, one in enumerate(self._array(key))]

    def entry(self, key: str, number: int, by: str) -> Item:
        """One object of an array, which `by` names by its number."""
        array = self._array(key)
        if not 0 <= number < len(array):
            malformed(by, number, f"one of the {len(array)} {key}")
        return _item(array[number], f"{self.place(key)}[{number}]")

    def indices(self, key: str) -> list[int]:
        """An array of whole numbers, empty where it is absent."""
        held = Item({str(place): one for place, one in enumerate(self._array(key))}, self.place(key))
        return [held.whole(place) for place in held.value]

    def texts(self, key: str) -> list[str]:
        """An array of texts, empty where it is absent."""
        held = Item({str(place): one for place, one in enumerate(self._array(key))}, self.place(key))
        return [held.text(place) for place in held.value]

    def extension(self, name: str) -> Item | None:
        """What an extension says here; None where it says nothing."""
        extensions = self.item("extensions")
        return None if extensions is None else extensions.item(name)

    def _array(self, key: str) -> list[Any]:
        value = self.value.get(key, [])
        if not isinstance(value, list):
            malformed(self.place(key), repr(value), "an array")
        return value


def parse(text: bytes) -> Item:
    """The root object of a glTF file's JSON."""
    try:
        value = parse_json(text.decode("utf-8-sig"), ours=False)
    except ValueError as error:
        raise Reject("malformed", f"glTF: its JSON cannot be read: {error}"[:300]) from error
    return _item(value, "")


def _item(value: Any, where: str) -> Item:
    if not isinstance(value, dict):
        malformed(where or "the file", repr(value), "an object")
    return Item(value, where)


def _finite(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        malformed(where, repr(value), "a finite number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        malformed(where, repr(value), "a finite number")
    return number
