"""A folder of one's own: names, categories and splits as people write them; nothing vanishes without a line."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.manifest import Rejection, Shape, read_rejects, shapes_from_tsv
from pipeline.meshes.load import load_member
from pipeline.progress import Log
from pipeline.settings.categories import chosen_categories, folded
from pipeline.settings.datasets import Dataset
from pipeline.sources.base import Archives, source_of
from pipeline.sources.splits import read_splits
from pipeline.stages.fetch import fetch_dataset
from pipeline.stages.index import index_dataset, shard_paths

OFF = "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
NO_LOG = Log(None)
DECOMPOSED = unicodedata.normalize("NFD", "café")


def mine(folder: Path, *names: str, **texts: str) -> Path:
    """A folder with small meshes of these names, and other files by name."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(OFF)
    for name, text in texts.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def index(tmp_path: Path, path: Path, **settings: object) -> tuple[dict[str, Shape], dict[str, Rejection]]:
    """Shapes by key and refused ones by their id without the data set."""
    dataset = Dataset.model_validate({"source": "folder", "path": str(path), "shards": 1, **settings})
    record, output = tmp_path / "archives/d.json", tmp_path / "index/d"
    fetch_dataset("d", dataset, record, log=NO_LOG)
    index_dataset("d", dataset, record, output, seed=1, log=NO_LOG)
    shapes = shapes_from_tsv(shard_paths(output, 1)[0].read_text(encoding="utf-8"))
    return {s.key: s for s in shapes}, {r.shape_id.removeprefix("d/"): r for r in read_rejects(output)}


@pytest.mark.parametrize("word", ["Chair", "chair", "CHAIR", " Chair "])
def test_a_category_is_chosen_by_any_spelling(tmp_path: Path, word: str) -> None:
    shapes, _ = index(tmp_path, mine(tmp_path / "my", "Chair/a.off", "sofa/b.off"), categories=[word])
    assert set(shapes) == {"Chair/a"}


@pytest.mark.parametrize("word", ["Stühle neu", unicodedata.normalize("NFD", "Stühle neu"), "STÜHLE-NEU", "stühle_neu"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_and_gaps_of_a_category_are_spelled_as_one_likes(tmp_path: Path, word: str, form: str) -> None:
    folder = mine(tmp_path / "my", f"{unicodedata.normalize(form, 'Stühle Neu')}/a.off", "sofa/b.off")
    assert set(index(tmp_path, folder, categories=[word])[0]) == {"Stühle Neu/a"}


def test_the_exact_spelling_goes_first_and_two_that_fit_are_an_error(tmp_path: Path) -> None:
    folder = mine(tmp_path / "my", "Chair/a.off", "chair/b.off")
    assert set(index(tmp_path, folder, categories=["Chair"])[0]) == {"Chair/a"}
    assert set(index(tmp_path, folder, categories=["chair"])[0]) == {"chair/b"}
    with pytest.raises(UserError, match="the category 'CHAIR' may be 'Chair' or 'chair'"):
        index(tmp_path, folder, categories=["CHAIR"])
    with pytest.raises(UserError, match="unknown category 'Chiar'; did you mean 'Chair'"):
        index(tmp_path, folder, categories=["Chiar"])


words = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "M", "Zs")), min_size=1, max_size=8)


@given(st.sets(words.map(folded).filter(lambda name: name.strip("_") == name != ""), min_size=1))
def test_every_category_is_found_by_its_own_name_with_gaps_and_decomposed(known: set[str]) -> None:
    for name in known:
        for spelling in (name, unicodedata.normalize("NFD", name), name.replace("_", " ")):
            assert chosen_categories([spelling], known, do="") == {name}


@pytest.mark.parametrize(
    "name",
    [
        DECOMPOSED,
        "it's",
        "[old] {1}",
        "50% off!",
        "#1",
        "a;b^c`d$e",
        "(copy)",
        "-x",
        "कुर्सी",  # vowel signs are marks, not letters
        "เก้าอี้",
        "椅子",
        "a.b.c",
        "_x",
        "=1+1",
    ],
)
def test_legal_names_are_accepted(tmp_path: Path, name: str) -> None:
    shapes, rejects = index(tmp_path, mine(tmp_path / "my", f"chair/{name}.off", f"{name}/x.off"))
    plain = unicodedata.normalize("NFC", name)
    assert (set(shapes), rejects) == ({f"chair/{plain}", f"{plain}/x"}, {})


@pytest.mark.parametrize(
    "name", ["a:b", "a?b", "a*b", 'a"b', "a<b", "a|b", "a\\b", "a\nb", "a\x85b", "a\u2028b", "end.", " a"]
)
def test_names_that_windows_forbids_are_refused_by_name(tmp_path: Path, name: str) -> None:
    shapes, rejects = index(tmp_path, mine(tmp_path / "my", f"chair/{name}.off", "chair/ok.off"))
    assert set(shapes) == {"chair/ok"}
    assert [r.reason for r in rejects.values()] == ["unsafe_name"]


def test_a_name_too_long_for_a_file_is_refused(tmp_path: Path) -> None:
    _, rejects = index(tmp_path, mine(tmp_path / "my", f"chair/{'a' * 200}/{'b' * 100}.off", "chair/ok.off"))
    assert [r.reason for r in rejects.values()] == ["unsafe_name"]


def test_composed_and_decomposed_accents_are_one_shape_of_one_split(tmp_path: Path) -> None:
    one, _ = index(tmp_path / "a", mine(tmp_path / "a/my", *(f"chair/café{n}.off" for n in range(20))))
    other, _ = index(tmp_path / "b", mine(tmp_path / "b/my", *(f"chair/{DECOMPOSED}{n}.off" for n in range(20))))
    assert {key: shape.split for key, shape in one.items()} == {key: shape.split for key, shape in other.items()}
    assert {shape.split for shape in one.values()} > {"train"}


def test_both_spellings_in_one_folder_are_two_shapes_of_one_name(tmp_path: Path) -> None:
    shapes, rejects = index(tmp_path, mine(tmp_path / "my", "chair/café.off", f"chair/{DECOMPOSED}.off"))
    assert set(shapes) == {"chair/café"}
    assert [r.reason for r in rejects.values()] == ["duplicate_name"]


def test_names_in_latin_1_are_read(tmp_path: Path) -> None:
    folder = mine(tmp_path / "my", "chair/a.off")
    Path(os.fsdecode(os.fsencode(folder) + b"/chair/St\xfchle.off")).write_text(OFF)
    shapes, rejects = index(tmp_path, folder)
    assert (set(shapes), rejects) == ({"chair/a", "chair/Stühle"}, {})
    with Archives.load(tmp_path / "archives/d.json") as opened:
        member, files = source_of("folder").model(opened, shapes["chair/Stühle"])
        np.testing.assert_array_equal(load_member(member, files).mesh.faces, [[0, 1, 2]])


def test_links_to_folders_and_out_of_the_folder_have_a_line(tmp_path: Path) -> None:
    elsewhere, folder = mine(tmp_path / "elsewhere", "s.off"), mine(tmp_path / "my", "chair/a.off", "chair/old/b.off")
    for place, target in {
        "sofa": elsewhere,
        "Chair2": folder / "chair",
        "chair/more": elsewhere,
        "chair/up": folder,
        "chair/out.off": elsewhere / "s.off",
        "chair/gone.off": elsewhere / "gone.off",
        "chair/loop.off": folder / "chair/loop.off",
        "chair/same.off": folder / "chair/a.off",
    }.items():
        (folder / place).symlink_to(target)
    shapes, rejects = index(tmp_path, folder)
    assert set(shapes) == {"chair/a", "chair/old-b", "chair/same"}
    assert {key: rejection.reason for key, rejection in rejects.items()} == {
        "sofa/sofa": "linked_folder",
        "Chair2/Chair2": "linked_folder",
        "chair/more": "linked_folder",
        "chair/up": "linked_folder",
        "chair/out": "outside",
        "chair/gone": "broken_link",
        "chair/loop": "broken_link",
    }
    assert rejects["sofa/sofa"].detail.endswith(
        "sofa is a link to a folder, which is not followed; copy the folder, or mount it there"
    )


def test_a_folder_of_links_says_why_it_has_no_shape(tmp_path: Path) -> None:
    mine(tmp_path / "elsewhere", "s.off")
    (tmp_path / "my").mkdir()
    (tmp_path / "my/sofa").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"(?s)no usable shape.*linked_folder"):
        index(tmp_path, tmp_path / "my")


def test_a_flat_folder_is_one_category_named_after_it(tmp_path: Path) -> None:
    folder = mine(tmp_path / "Chairs", "a.off", "b.obj")
    (folder / "textures").mkdir()
    (folder / "textures/b.mtl").write_text("newmtl a\n")
    shapes, rejects = index(tmp_path, folder, categories=["chairs"])
    assert (set(shapes), rejects) == ({"Chairs/a", "Chairs/b"}, {})
    (folder / "textures/b.mtl").write_text("newmtl b\n")
    again, _ = index(tmp_path, folder)
    assert [key for key in shapes if shapes[key].checksum != again[key].checksum] == ["Chairs/b"]


def test_a_mesh_beside_category_folders_is_refused(tmp_path: Path) -> None:
    shapes, rejects = index(tmp_path, mine(tmp_path / "my", "chair/a.off", "stray.off"))
    assert set(shapes) == {"chair/a"}
    assert {key: r.reason for key, r in rejects.items()} == {"none/stray": "no_category"}


@pytest.mark.parametrize(
    "place", ["chair/b.mtl", "textures/wood.png", "chair/old/wood.png", "chair/pictures/w.png", "shared.mtl"]
)
def test_what_an_obj_may_use_counts_for_its_identity(tmp_path: Path, place: str) -> None:
    folder = mine(tmp_path / "my", "chair/old/b.obj", "sofa/c.off")
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).write_text("one")
    before, _ = index(tmp_path, folder)
    (folder / place).write_text("another")
    after, _ = index(tmp_path, folder)
    assert [key for key in before if before[key].checksum != after[key].checksum] == ["chair/old-b"]


@pytest.mark.parametrize(
    "line",
    [
        "chair/a,test",
        "chair/a.off,test",
        "./chair/a.off,test",
        "chair\\a.off,test",
        '"chair/a","test"',
        " chair/a , Test ",
    ],
)
def test_a_line_names_a_shape_or_its_file(tmp_path: Path, line: str) -> None:
    folder = mine(tmp_path / "my", "chair/a.off", "chair/b.off", splits_csv=f"shape,split\n{line}\n\n")
    assert index(tmp_path, folder, test_percent=0)[0]["chair/a"].split == "test"


@pytest.mark.parametrize(
    "line", ["chair/old-b,val", "chair/old/b,val", "chair/old/b.off,val", f"chair/{DECOMPOSED},val"]
)
def test_a_line_names_a_shape_in_a_folder_of_its_own_or_with_accents(tmp_path: Path, line: str) -> None:
    folder = mine(tmp_path / "my", "chair/old/b.off", "chair/café.off", splits_csv=f"shape,split\n{line}\n")
    assert "val" in {shape.split for shape in index(tmp_path, folder, val_percent=0)[0].values()}


@pytest.mark.parametrize("line", ["a,test", "a.off,test", "Chairs/a,test"])
def test_a_line_for_a_flat_folder(tmp_path: Path, line: str) -> None:
    folder = mine(tmp_path / "Chairs", "a.off", "b.off", splits_csv=f"shape,split\n{line}\n")
    assert index(tmp_path, folder, test_percent=0)[0]["Chairs/a"].split == "test"


@pytest.mark.parametrize("head", ["shape,split", "\ufeffShape,Split", "split;shape", "n,shape,split,why"])
def test_tables_as_spreadsheets_write_them(head: str) -> None:
    mark = ";" if ";" in head else ","
    values = {"shape": "chair/a", "split": "val"}
    row = mark.join(values.get(name.strip("\ufeff").lower(), "x") for name in head.split(mark))
    assert read_splits(f"{head}\r\n{row}\r\n".encode(), "")[0][1:] == ("chair/a", "val")


@pytest.mark.parametrize("name", ["splits.csv", "Splits.CSV"])
def test_lines_that_match_no_shape_are_an_error_that_lists_them(tmp_path: Path, name: str) -> None:
    folder = mine(tmp_path / "my", "chair/office_1.off", "sofa/b.off")
    (folder / name).write_text("shape,split\nchair/ofice_1,test\nsofa/b,test\nsofa/c,val\n")
    for chosen in (None, ["sofa"]):
        with pytest.raises(UserError, match="the split file names shapes that are not there") as caught:
            index(tmp_path, folder, categories=chosen)
        assert "line 2: chair/ofice_1,test\n        line 4: sofa/c,val" in str(caught.value)
        assert "did you mean 'chair/office_1'?" in str(caught.value)


def test_a_line_for_a_shape_of_another_category_or_a_refused_one_is_no_error(tmp_path: Path) -> None:
    folder = mine(tmp_path / "my", "chair/a.off", "sofa/b.off", splits_csv="shape,split\nsofa/b,test\nchair/e,test\n")
    (folder / "chair/e.off").write_text("")
    assert set(index(tmp_path, folder, categories=["chair"])[0]) == {"chair/a"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("shape,split\nchair/a,testing\n", "(?s)cannot read the split file.*line 2: chair/a,testing"),
        ("shape,split\nchair/a\n", "(?s)cannot read the split file.*line 2: chair/a,"),
        ("name,split\nchair/a,test\n", "(?s)cannot read the split file.*columns name, split"),
        ("", "(?s)cannot read the split file.*empty file"),
        ("shape,split\n" + "x" * 200_000 + ",test\n", "(?s)cannot read the split file.*line 2: field larger"),
        ("shape,split\nchair/a,test\nchair/a.off,val\n", r"(?s)chair/a has two splits.*line 2: .*line 3: "),
    ],
)
def test_a_split_file_that_cannot_be_read(tmp_path: Path, table: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        index(tmp_path, mine(tmp_path / "my", "chair/a.off", splits_csv=table))
