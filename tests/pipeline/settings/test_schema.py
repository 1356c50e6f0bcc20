"""The JSON schema in the repository, by which editors complete and check config.yaml."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from pipeline.settings.config import json_schema
from pipeline.upkeep.config_page import page

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = ROOT / "pipeline" / "settings" / "config.schema.json"
FILES = [ROOT / "config.yaml", *sorted((ROOT / "presets").glob("*.yaml"))]


def test_the_file_is_what_the_settings_say() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == json_schema() + "\n", "run `make schema`"


def test_the_page_is_what_the_settings_say() -> None:
    assert (ROOT / "docs" / "config.md").read_text(encoding="utf-8") == page(), "run `make schema`"
    assert "section |" not in page(), "a type without a name"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_shipped_configurations_name_it_and_satisfy_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    prefix = "# yaml-language-server: $schema="
    named = text.splitlines()[0].removeprefix(prefix)
    assert text.startswith(prefix) and (path.parent / named).resolve() == SCHEMA
    jsonschema.validate(yaml.safe_load(text), json.loads(SCHEMA.read_text(encoding="utf-8")))


def test_it_refuses_a_wrong_key() -> None:
    values = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    with pytest.raises(jsonschema.ValidationError, match="seeed"):
        jsonschema.validate({**values, "seeed": 2}, json.loads(SCHEMA.read_text(encoding="utf-8")))
