"""Licences of the training shapes go with the weights."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.manifest import Record
from training.inference.export import terms_in
from training.inference.terms import MOST_CREDITS, in_words, terms_of


def shape(number: int, **prepared: str) -> Record:
    return Record(f"d/chair/{number}", "chair", str(number), "train", {"prepare": prepared} if prepared else {})


def test_a_card_names_licences_and_whom_to_name() -> None:
    many = [shape(n, licence="by", credit=f"Author {n % 20:02d}") for n in range(60)]
    terms = terms_of([*many, shape(60, licence="cc0", credit=""), shape(61, mesh_sha256="0"), shape(62)])
    assert list(terms) == ["by", "cc0"]
    assert (terms["by"]["shapes"], len(terms["by"]["credits"]), terms["by"]["more"]) == (60, MOST_CREDITS, 8)
    words = in_words(terms)
    assert "60 training shapes under `by`: Author 00; Author 01" in words
    assert "and 8 more" in words
    assert "1 training shapes under `cc0`: nobody to be named" in words
    assert in_words(terms_of([shape(1)])) == ""


def test_they_are_found_in_a_run_and_in_an_exported_folder(tmp_path: Path) -> None:
    terms = terms_of([shape(1, licence="by", credit="A")])
    for folder, name in (("run", "results.json"), ("exported", "config.json")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(json.dumps({"licences": terms}))
        assert terms_in(tmp_path / folder) == terms
    assert terms_in(tmp_path) == {}
