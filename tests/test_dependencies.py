"""Every dependency is locked, explained in one sentence, and what the product imports is among them."""

from __future__ import annotations

import re
import sys

from pipeline import provenance
from tests.measures import ROOT, modules
from tests.test_architecture import libraries
from tests.test_rules import DISTRIBUTIONS, OPTIONAL

# Come with another one by its nature: jinja2 cannot do without.
BROUGHT = {"markupsafe"}


def asked(name: str) -> set[str]:
    """Names in a file of requirements, as the index spells them."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / "envs" / name).read_text(encoding="utf-8").splitlines())
    names = (re.split(r"[ ;<>=\[]", line)[0] for line in lines if line and not line.startswith("-"))
    return {re.sub(r"[-_.]+", "-", found).lower() for found in names}


def test_every_dependency_has_one_sentence() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `([^`]+)` \| \S.*\S \|$", page, re.MULTILINE)
    assert len(told) == len(set(told))
    wanted = asked("run.in") | asked("dev.in") | {"torch"}
    assert (wanted - set(told), set(told) - wanted) == (set(), set())


def test_what_the_product_imports_is_asked_for() -> None:
    """Not only brought along by something else, which may drop it."""
    own = {*provenance.PACKAGES, *sys.stdlib_module_names, *OPTIONAL, *BROUGHT}
    wanted = asked("run.in") | {"torch"}
    lacking = set()
    for path in modules():
        names = {DISTRIBUTIONS.get(name, name.lower().replace("_", "-")) for name in libraries(path) - own}
        lacking |= {f"{path.relative_to(ROOT)}: {name}" for name in names - wanted}
    assert lacking == set()
