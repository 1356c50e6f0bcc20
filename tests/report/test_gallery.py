"""What goes into the gallery: packed meshes and voxels, checks, flags, and a page that nothing can break out of."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.conventions import pack_grid
from pipeline.errors import UserError
from pipeline.foreign import visible
from pipeline.formats.ledger import Row
from pipeline.meshes.mesh import Material, Mesh
from pipeline.meshes.orient import Orientation
from pipeline.meshes.surface import surface_of
from pipeline.progress import Log
from pipeline.provenance import files_digest
from pipeline.shards.agreement import name
from pipeline.shards.index import write_index
from render.audit import audit_index
from report.__main__ import main
from report.gallery import build, geometry, pictures
from report.gallery.shapes import FLAGS, GENEROUS
from report.packed import pack_voxels
from tests.report.gallery_world import HOSTILE, Made, chairs, furniture, make_gallery, make_run

HOME = Path(build.__file__).parent
SWAPPED: Orientation = ((0, 2, 1), (1, 1, 1))  # y and z exchanged, as a .binvox read in the wrong order
MIRRORED: Orientation = ((0, 1, 2), (-1, 1, 1))


# ---- geometry ------------------------------------------------------------------------------


def unpacked(text: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Vertices, faces and colours by the format's description alone."""
    data = zlib.decompress(base64.b64decode(text))
    vertices, faces, colours = np.frombuffer(data, "<u4", 3)
    palette = np.frombuffer(data, "u1", 3 * colours, 12).reshape(-1, 3)
    at = 12 + -(-3 * int(colours) // 4) * 4
    numbers = np.frombuffer(data, "<u2", 3 * (vertices + faces), at)
    xyz = np.cumsum(numbers[: 3 * vertices].reshape(3, -1), axis=1, dtype=np.uint16).T
    corners = np.cumsum(numbers[3 * vertices :], dtype=np.uint16).reshape(-1, 3)
    return xyz / 4095 - 0.5, corners, palette[np.frombuffer(data, "u1", faces, at + 2 * len(numbers))]


def in_order(triangles: npt.NDArray[Any], colours: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Triangles with their colours as rows, in one order."""
    rows = np.concatenate([np.rint(triangles.reshape(len(triangles), 9) * 4095), colours], axis=1)
    return rows[np.lexsort(rows.T)]


def test_a_small_mesh_travels_whole() -> None:
    mesh = surface_of(furniture(1, 16))
    mesh.materials = [Material((10, 20, 30, 255)), Material((200, 100, 0, 255))]
    mesh.face_material = np.arange(len(mesh.faces)) % 2
    drawn = geometry.drawable(mesh, 100_000)
    vertices, faces, colours = unpacked(geometry.pack_mesh(drawn))
    wanted = np.rint((mesh.triangles + 0.5) * 4095) / 4095 - 0.5
    expected = np.array([[10, 20, 30], [200, 100, 0]])[mesh.face_material]
    assert np.array_equal(in_order(vertices[faces], colours), in_order(wanted, expected))


@pytest.mark.parametrize("most", [100, 700])
def test_a_large_mesh_becomes_small_and_stays_where_it_was(most: int) -> None:
    mesh = surface_of(furniture(2))
    drawn = geometry.drawable(mesh, most)
    assert most / 2 < len(drawn.faces) <= most < len(mesh.faces)
    middles = drawn.vertices[drawn.faces].mean(axis=1)
    nearest = np.linalg.norm(middles[:, None] - mesh.vertices[None], axis=2).min(axis=1)
    assert np.median(nearest) < 2 / 32, "faces lie where the surface is"
    assert np.allclose(drawn.vertices.min(axis=0), mesh.vertices.min(axis=0), atol=0.03)
    assert np.allclose(drawn.vertices.max(axis=0), mesh.vertices.max(axis=0), atol=0.03)


def test_loose_faces_that_cannot_collapse_give_the_largest() -> None:
    rng = np.random.default_rng(0)
    sizes = np.concatenate([np.full(50, 0.2), np.full(4000, 0.001)])
    corners = rng.uniform(-0.3, 0.3, (4050, 1, 3)) + sizes[:, None, None] * np.eye(3)
    drawn = geometry.drawable(Mesh(corners.reshape(-1, 3), np.arange(4050 * 3).reshape(-1, 3)), 60)
    assert 0 < len(drawn.faces) <= 60
    sides = np.ptp(drawn.vertices[drawn.faces], axis=1).max(axis=1)
    assert (sides > 0.05).sum() >= 40


def test_colours_are_those_of_the_materials() -> None:
    half = np.zeros((2, 2, 4), np.uint8)
    half[:, :, 3], half[:, 0, :3], half[:, 1, :3] = 255, 200, 100  # on average 150
    half[0, 0] = (0, 255, 0, 0)  # cannot be seen, so it does not count
    corners = np.tile(np.eye(3), (3, 1)) / 3 + np.repeat(np.arange(3), 3)[:, None] * 0.01
    colours = np.full((9, 4), 255, np.uint8)
    colours[6:, :3] = 128
    materials = [Material(), Material((255, 128, 255, 255), half), Material((0, 200, 0, 255))]
    mesh = Mesh(corners, np.arange(9).reshape(3, 3), np.array([0, 1, 2]), materials, None, colours)
    seen = {tuple(map(int, colour)) for colour in geometry.drawable(mesh, 10).colours}
    assert seen == {(178, 178, 178), (133, 67, 133), (0, 100, 0)}


def test_more_colours_than_a_byte_can_number_become_fewer() -> None:
    rng = np.random.default_rng(1)
    mesh = Mesh(
        rng.uniform(-0.4, 0.4, (900, 3)),
        np.arange(900).reshape(-1, 3),
        None,
        [Material((255,) * 4)],
        None,
        rng.integers(0, 256, (900, 4), np.uint8),
    )
    drawn = geometry.drawable(mesh, 1000)
    assert len(drawn.faces) == 300 and len(np.unique(drawn.colours, axis=0)) <= 255
    assert np.array_equal(unpacked(geometry.pack_mesh(drawn))[2], drawn.colours)


def test_voxels_travel_as_the_shard_has_them() -> None:
    bits = pack_grid(furniture(3))
    assert zlib.decompress(base64.b64decode(pack_voxels(bits))) == bits.tobytes()


def test_views_are_spread_and_the_first_is_among_them() -> None:
    assert pictures.spread(24, 8) == [0, 3, 6, 9, 12, 15, 18, 21] and pictures.spread(3, 8) == [0, 1, 2]
    assert [pictures.columns(count) for count in (1, 3, 6, 8, 12)] == [1, 3, 3, 4, 4]


# ---- the page ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 14 shapes with refused ones, and its gallery."""
    rejected = [
        Row("demo/chair/torn", "chair", "", "prepare", "rejected", "truncated", "7 of 9 faces <b>"),
        Row("demo/chair/lost", "chair", "", "index", "rejected", "missing_mesh", "no file"),
    ]
    root = make_run(tmp_path_factory.mktemp("run"), chairs(14), per_shard=5, rejected=rejected)
    make_gallery(root)
    return root


def text_of(root: Path) -> str:
    return (root / "samples" / "demo" / "gallery.html").read_text(encoding="utf-8")


def block(text: str, name: str) -> Any:
    """A JSON block of the page."""
    found = re.search(f'<script type="application/json" id="{name}">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found.group(1))


def test_every_shape_is_there_with_a_picture_and_an_alternative_text(run: Path) -> None:
    text = text_of(run)
    assert len(re.findall(r'<article class="card', text)) == 14
    alternatives = re.findall(r'<img src="data:image/webp;base64,[^"]+" width="256" height="128" alt="([^"]+)"', text)
    assert len(alternatives) == 14 and "8 views of the chair shape_0000" in alternatives
    assert [shape["iou"] for shape in block(text, "meta")["shapes"]] == sorted(
        shape["iou"] for shape in block(text, "meta")["shapes"]
    )


def test_the_policy_allows_what_the_page_holds_and_nothing_else(run: Path) -> None:
    text = text_of(run)
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]+)"', text).group(1))  # type: ignore[union-attr]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    styles = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)

    def hashes(texts: list[str]) -> list[str]:
        return [f"'sha256-{base64.b64encode(hashlib.sha256(t.encode()).digest()).decode()}'" for t in texts]

    assert rules["script-src"].split() == hashes(scripts) and rules["style-src"].split() == hashes(styles)
    assert rules["img-src"] == "data:"
    assert not re.search(r'<[^>]+ (style|on\w+)="', text), "attributes that the policy would refuse"
    assert not re.search(r'(src|href)="(?!data:|#)', text), "addresses outside the page"


def test_the_funnel_and_the_refused_are_there(run: Path) -> None:
    text = text_of(run)
    cells = "".join(f'<td class="n">{count}</td>' for count in (15, 1, 14))
    assert f'<tr><th scope="row">mesh read and repaired</th>{cells}' in text
    assert (
        '<td class="id">demo/chair/torn</td><td>prepare</td><td>truncated</td><td>7 of 9 faces &lt;b&gt;</td>' in text
    )
    assert '<td class="id">demo/chair/lost</td><td>index</td><td>missing_mesh</td>' in text


def test_the_provenance_names_shards_and_settings(run: Path) -> None:
    text = text_of(run)
    index = json.loads((run / "shards" / "demo" / "index.json").read_text(encoding="utf-8"))
    assert index["digest"] in text and all(entry["sha256"] in text for entry in index["shards"])
    assert '<th scope="row">seed</th><td class="code">1</td>' in text


def test_the_same_run_gives_the_same_bytes(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "INLINE", 4)
    monkeypatch.setattr(build, "CHUNK", 3)

    def files() -> dict[str, bytes]:
        make_gallery(run)
        return {path.name: path.read_bytes() for path in (run / "samples" / "demo").rglob("*.*")}

    first = files()
    assert set(first) == {"gallery.html", "000.js", "001.js", "002.js", "003.js"}
    assert first == files()
    monkeypatch.undo()
    assert set(files()) == {"gallery.html"}, "chunks of an earlier page are gone"


def test_without_the_bundle_the_page_has_no_scene(run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(build, "BUNDLE", tmp_path / "scene.js")
    make_gallery(run)
    assert "WebGLRenderer" not in text_of(run) and "Scene3D" in text_of(run), "the page asks whether it is there"
    (tmp_path / "scene.js").write_text("var Scene3D = {};", encoding="utf-8")
    make_gallery(run)
    assert "<script>var Scene3D = {};</script>" in text_of(run) and "three.js 0." in text_of(run)
    monkeypatch.undo()
    make_gallery(run)


@pytest.mark.parametrize("way,axes", [(SWAPPED, "+x +z +y"), (MIRRORED, "-x +y +z")])
def test_planted_axis_faults_are_seen_and_fail_the_audit(tmp_path: Path, way: Orientation, axes: str) -> None:
    root = make_run(tmp_path, chairs(6), way=way)
    with pytest.raises(UserError, match="the voxels do not have the axes of the views") as refused:
        audit_index(root / "shards" / "demo" / "index.json", root / "audit.json", log=Log(None))
    assert f"read as {axes}" in str(refused.value)
    make_gallery(root)
    text = text_of(root)
    assert "The voxels do not have the axes of the views" in text and "mirrored" in text
    for shape in block(text, "meta")["shapes"]:
        assert "axes" in shape["flags"] and shape["way"] == axes == name(way) and shape["wayIou"] > shape["iou"] + 0.05
    assert f"other axes fit: {axes}" in text
    assert '<option value="axes">other axes fit (6)</option>' in text


def test_one_faulty_shape_comes_first(tmp_path: Path) -> None:
    shapes = chairs(5)
    root = make_run(tmp_path, shapes)
    assert "Voxels and views agree" in make_gallery(root).read_text(encoding="utf-8")
    one = make_run(tmp_path / "fault", [Made("faulty", grid=furniture(9))], way=SWAPPED)
    for kind, suffix in (("shards", ".h5"), ("prepared", ".zip")):
        (one / kind / "demo" / f"000{suffix}").rename(root / kind / "demo" / f"001{suffix}")
    write_index(sorted((root / "shards" / "demo").glob("*.h5")), root / "shards" / "demo" / "index.json")
    make_gallery(root)
    first, *others = block(text_of(root), "meta")["shapes"]
    assert first["name"] == "faulty" and first["problem"] and "axes" in first["flags"]
    assert not any(shape["problem"] for shape in others)


def test_flags_follow_what_the_stages_recorded(tmp_path: Path) -> None:
    facts = {"thin_recall": 0.8, "parts": 3, "watertight": False}
    make_gallery(make_run(tmp_path, [Made("a", facts=facts), Made("b", grid=furniture(1))]))
    flags = {shape["name"]: shape["flags"] for shape in block(text_of(tmp_path), "meta")["shapes"]}
    assert flags == {"a": ["thin", "parts", "open"], "b": []}
    assert {flag.key for flag in FLAGS if flag.problem} >= {"thin", "parts"}


def test_shapes_with_problems_are_shown_before_others(tmp_path: Path) -> None:
    shapes = chairs(9)
    for made in shapes[3:5]:
        made.facts = {"thin_recall": 0.1}
    make_gallery(make_run(tmp_path, shapes), most=3)
    text = text_of(tmp_path)
    names = {shape["name"] for shape in block(text, "meta")["shapes"]}
    assert len(names) == 3 and names > {"shape_0003", "shape_0004"}
    assert "6 more shapes are not on this page" in text


@pytest.mark.parametrize("packs", [True, False])
def test_data_sets_without_meshes_and_in_layers(tmp_path: Path, packs: bool) -> None:
    root = make_run(tmp_path, chairs(2), kind="layers", meshes=False)
    if not packs:
        shutil.rmtree(root / "prepared")
    make_gallery(root)
    details = block(text_of(root), "details")
    assert [(detail["mesh"], detail["drawn"]) for detail in details.values()] == [(None, 0)] * 2
    assert all(len(detail["cameras"]) == 8 and len(detail["voxels"]) > 50 for detail in details.values())


def test_larger_views_bring_one_large_picture(tmp_path: Path) -> None:
    make_gallery(make_run(tmp_path, chairs(1), size_px=128, views=16))
    (detail,) = block(text_of(tmp_path), "details").values()
    assert detail["large"].startswith("data:image/webp;base64,") and len(detail["cameras"]) == GENEROUS.views
    assert [camera["view"] for camera in detail["cameras"]] == pictures.spread(16, 12)


def test_a_damaged_shard_is_named_and_the_old_page_stays(tmp_path: Path) -> None:
    root = make_run(tmp_path, chairs(2))
    page = make_gallery(root)
    before = page.read_bytes()
    shard = root / "shards" / "demo" / "000.h5"
    shard.write_bytes(shard.read_bytes()[:5000])
    with pytest.raises(UserError, match="cannot open a shard\n  where: .*000.h5"):
        make_gallery(root)
    assert page.read_bytes() == before


def test_a_hostile_name_is_only_text(tmp_path: Path) -> None:
    make_gallery(make_run(tmp_path, [Made(HOSTILE.replace("/", "|"), category="a\"b'<i>"), Made("plain")]))
    text = text_of(tmp_path)
    assert "<img src=x" not in text and "<i>" not in text and "\u2028" not in text.split("</main>")[1]
    shown = html.escape(visible(HOSTILE.replace("/", "|"))).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
    assert shown in text
    assert any(shape["name"] == HOSTILE.replace("/", "|") for shape in block(text, "meta")["shapes"])


def test_json_inside_a_script_cannot_end_it() -> None:
    text = build.script_json({"a": HOSTILE, "b": [1.5, None, True]})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"a": HOSTILE, "b": [1.5, None, True]}


def test_the_command_writes_page_and_log(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [
        "--shards-index",
        run / "shards/demo/index.json",
        "--prepared",
        run / "prepared/demo",
        "--ledger",
        run / "ledger/demo.tsv",
    ]
    arguments = [*files, "--shapes", "3", "-o", tmp_path / "g.html", "--log", tmp_path / "g.jsonl"]
    monkeypatch.setattr("sys.argv", ["report", "gallery", *map(str, arguments)])
    assert main() == 0
    events = [json.loads(line) for line in (tmp_path / "g.jsonl").read_text(encoding="utf-8").splitlines()]
    done = events[-1]
    assert (done["event"], done["shapes"], done["shown"], done["problems"]) == ("done", 14, 3, 0)
    assert done["bytes"] == (tmp_path / "g.html").stat().st_size


def test_an_edited_script_is_another_page(tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    for file in ("page.js", "style.css", "dist/scene.js", "notes.txt"):
        (tmp_path / file).write_text("a", encoding="utf-8")
    patterns = ("*.css", "*.js", "dist/*.js")
    digests = {files_digest(tmp_path, patterns)}
    for file in ("page.js", "style.css", "dist/scene.js"):
        (tmp_path / file).write_text("b", encoding="utf-8")
        digests.add(files_digest(tmp_path, patterns))
    (tmp_path / "dist/scene.js").unlink()
    digests.add(files_digest(tmp_path, patterns))
    assert len(digests) == 5 and all(len(digest) == 12 for digest in digests)
    before = files_digest(tmp_path, patterns)
    (tmp_path / "notes.txt").write_text("b", encoding="utf-8")
    assert files_digest(tmp_path, patterns) == before


# ---- what the bundle is made of --------------------------------------------------------------


def test_packages_are_pinned_whole_and_name_no_host() -> None:
    package = json.loads((HOME / "package.json").read_text(encoding="utf-8"))
    lock = json.loads((HOME / "package-lock.json").read_text(encoding="utf-8"))
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in package["devDependencies"].values())
    assert lock["packages"][""]["devDependencies"] == package["devDependencies"]
    others = {name: entry for name, entry in lock["packages"].items() if name}
    assert all(entry["integrity"].startswith("sha512-") for entry in others.values())
    assert "resolved" not in json.dumps(lock) and "://" not in json.dumps(
        {name: {key: value for key, value in entry.items() if key != "funding"} for name, entry in others.items()}
    )
    assert "ignore-scripts=true" in (HOME / ".npmrc").read_text(encoding="utf-8")


def test_a_bundle_keeps_its_licence_and_cannot_end_its_script() -> None:
    text = build.BUNDLE.read_text(encoding="utf-8")
    assert "SPDX-License-Identifier: MIT" in text and "Three.js Authors" in text
    assert "</script" not in text.lower() and "<!--" not in text
