"""Methods whose answers are kept with their object until it looks again."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any, Concatenate, ParamSpec, TypeVar

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")


def remembered(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Keep each answer in ``self.memo``; `forget` empties it."""

    @functools.wraps(method)
    def answer(self: S, *arguments: P.args, **named: P.kwargs) -> R:
        memo: dict[Any, R] = self.__dict__.setdefault("memo", {})
        key = (method.__name__, arguments, tuple(named.items()))
        if key not in memo:
            memo[key] = method(self, *arguments, **named)
        return memo[key]

    return answer  # type: ignore[return-value]  # the name of `self`


def forget(thing: object, but: Collection[str] = ()) -> None:
    """Let an object look again, for all answers but those of some methods."""
    thing.__dict__["memo"] = {key: answer for key, answer in thing.__dict__.get("memo", {}).items() if key[0] in but}
