"""report.html as it is written: its numbers, its policy, and what it does without some files."""

from __future__ import annotations

import base64
import hashlib
import html
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pipeline.formats.results import centre
from report import gather
from report.experiment import section
from report.glance import glance
from report.page import comparison
from tests.figures import figures
from tests.report.report_world import make_data, make_experiment, make_page, two_experiments, write_json

Table = dict[tuple[str, str], str]  # (row, column) -> text


class Tables(HTMLParser):
    """Every table of a page by the label of its region, rows by their first line."""

    def __init__(self, text: str):
        super().__init__()
        self.found: dict[str, list[list[str]]] = {}
        self._label, self._inside, self._small = "", False, False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "div" and dict(attrs).get("role") == "region":
            self._label = dict(attrs)["aria-label"] or ""
        elif tag == "table":
            self.found[self._label] = []
        elif tag == "tr":
            self.found[self._label].append([])
        elif tag in ("td", "th"):
            self.found[self._label][-1].append("")
            self._inside = True
        elif tag == "small" and self._inside:
            self.found[self._label][-1][-1] += "|"

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found[self._label][-1][-1] += data.replace("\u00a0", " ")

    def table(self, label: str) -> Table:
        head, *rows = self.found[label]
        return {(row[0].split("|")[0], column): cell for row in rows for column, cell in zip(head[1:], row[1:])}


def shown(one: dict[str, float], digits: int = 3, sign: str = "") -> str:
    """An interval as a cell shows it."""
    value, low, high = (f"{number:{sign}.{digits}f}" for number in (centre(one), one["low"], one["high"]))
    return f"{value}|{low} – {high}" if one["low"] < one["high"] else value


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two experiments, one of them without an encoder."""
    return two_experiments(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "report.html").read_text(encoding="utf-8")


def results_of(root: Path, name: str) -> dict[str, Any]:
    return gather.read_json(root / "runs" / name / "results.json")


# ---- numbers -------------------------------------------------------------------------------


def test_every_interval_of_the_results_is_on_the_page(root: Path, page: str) -> None:
    text = page.replace("<small>", "|")
    formats = ((3, ""), (4, ""), (3, "+"))
    for name in ("full", "prior"):
        results = results_of(root, name)
        # A set of photographs that is not aligned has no aligned numbers to show.
        for scores in results.get("photographs", {}).get("pix3d", {}).get("scores", {}).values():
            del scores["ap_aligned"], scores["iou_aligned"]
        # One figure stands inside a sentence.
        for photographs in results.get("photographs", {}).values():
            if share := photographs.pop("occupancy", None):
                value, low, high = (f"{100 * share[key]:.1f}" for key in ("mean", "low", "high"))
                assert f"voxels, {value} % ({low} – {high}) of them filled" in text
        found = list(figures(results))
        missing = [one for one in found if not any(shown(one, *form) in text for form in formats)]
        assert len(found) > 20 and missing == []


def test_numbers_stand_where_they_belong(root: Path, page: str) -> None:
    results, section = results_of(root, "full"), page[page.index('id="e-full"') : page.index('id="e-prior"')]
    tables = Tables(section)
    main = tables.table("One picture in, one shape out, on shapes it has never seen")
    assert main["this network", "IoU ↑"] == shown(results["iou"])
    assert main["mean training shape", "ahead by"] == shown(results["margin"]["mean_shape"], sign="+")
    surface = tables.table("Surfaces, and precision without a threshold")
    assert surface["nearest neighbour in pixels", "Chamfer ↓"] == shown(
        results["surface"]["scores"]["nearest_pixels"]["chamfer"], 4
    )
    assert ("mean shape of the true class", "AP ↑") not in surface, "was not measured"
    assert main["this network on training shapes", "IoU ↑"] == shown(results["overfit"]["train_iou"])
    assert main["the gap to training shapes", "IoU ↑"] == shown(results["overfit"]["gap"])
    assert main["this network, the median shape", "IoU ↑"] == shown(results["median_iou"])
    category = tables.table("By category")
    assert category["stool", "IoU ↑"] == shown(results["categories"]["stool"]["iou"])
    assert category["stool", "IoU: a random training shape"] == shown(results["categories"]["stool"]["random_shape"])
    assert category["chair", "F-score ↑"] == shown(results["surface"]["categories"]["chair"]["f_score"])
    made = tables.table("How close the samples come to held-out shapes")
    assert made["this network", "1-NNA, Chamfer → 0.5"] == shown(results["generation"]["network"]["chamfer"]["one_nna"])
    assert made["training shapes", "COV, IoU ↑"] == shown(results["generation"]["training_shapes"]["iou"]["cov"])
    assert made["this network", "JSD ↓"] == shown(results["generation"]["network"]["jsd"])
    prior = tables.table("Shapes drawn from the prior")
    assert prior["largest part", "data"] == shown(results["samples"]["data_largest_component"])
    assert prior["empty", "samples"] == shown(results["samples"]["empty_rate"])
    rows = [row[0].split("|")[0] for row in tables.found["How close the samples come to held-out shapes"][1:]]
    assert rows == ["this network", "mean training shape", "training shapes"], "ours first, not by the alphabet"
    svm = tables.table("What the discriminator has learned: classification by a linear SVM")
    assert svm["SVM on random features", "accuracy ↑"] == shown(results["classification"]["accuracy"]["random_weights"])
    ikea = tables.table("Photographs: ikea")
    scores = results["photographs"]["ikea"]["scores"]
    assert ikea["chance", "AP, aligned ↑"] == shown(scores["chance"]["ap_aligned"]["class_mean"])
    classes = tables.table("Photographs: ikea, IoU, aligned over photographs and of each class")
    assert classes["this network", "mean over photographs"] == shown(
        scores["network"]["iou_aligned"]["photograph_mean"]
    )
    assert classes["chance", "stool"] == shown(scores["chance"]["iou_aligned"]["classes"]["stool"])
    assert ("chance", "AP, aligned ↑") not in tables.table("Photographs: pix3d")
    pix3d = results["photographs"]["pix3d"]["pix3d"]
    assert tables.table("Pix3D’s own scores")["EMD ↓", "chair"] == shown(pix3d["emd"]["classes"]["chair"], 4)
    assert "Not measured: the network reads no pictures." in section


def test_experiments_stand_side_by_side(root: Path, page: str) -> None:
    full, prior = (results_of(root, name) for name in ("full", "prior"))
    table = Tables(page).table("The experiments side by side")
    assert table["held-out IoU ↑", "full"] == shown(full["iou"])
    assert table["held-out IoU ↑", "prior"] == ""
    assert table["samples: JSD ↓", "prior"] == shown(prior["generation"]["network"]["jsd"])
    assert table["alarms at the end", "full"] == "collapse", "the cube was cleared"
    assert table["ikea: AP, aligned ↑", "full"] == shown(
        full["photographs"]["ikea"]["scores"]["network"]["ap_aligned"]["class_mean"]
    )
    assert comparison(gather.experiments(root)[:1]) is None


def test_alarms_timings_versions_and_links_are_there(page: str, root: Path) -> None:
    text = html.unescape(page)
    assert text.count("Alarm: cube: raised after 400 samples, cleared after 800") == 2
    assert "Went back to 400 samples: kl is not finite" in text
    assert 'href="samples/demo/gallery.html"' in page
    # The page to try a network on is named twice, where there is one.
    assert "try.html" not in page
    there = root / "runs" / "full" / "try.html"
    there.touch()
    runs = gather.experiments(root)
    assert [run.page for run in runs] == ["runs/full/try.html", ""]
    assert glance(runs)["page"] == runs[0].page == section(runs[0])["page"]  # type: ignore[index]
    there.unlink()
    cost = Tables(page).table("Time and memory of every stage")
    assert cost["render", "peak memory of a job, MB"] == "120" and cost["sheet", "peak memory of a job, MB"] == "–"
    assert "Trained with torch 9.9.9. 123 samples a second" in text and "samples 12 s" in text
    assert "1 of 1 hang together exactly as their surfaces do" in text
    funnel = Tables(page).table("Shapes that passed each stage")
    assert funnel["mesh read and repaired", "refused"] == "1" and funnel["rendered and packed", "passed"] == "4"


def test_all_of_the_issue_is_on_the_page(page: str) -> None:
    full = page[page.index('id="e-full"') : page.index('id="e-prior"')]
    for text in (
        "the median, what to expect",
        "the best",
        "the worst",
        "each beside the training shape nearest to it",
        "A map of the codes",
        "Between two pictures",
        "Sums of codes",
        "Photographs of ikea: the worst",
        "The same codes and pictures while the network learns",
    ):
        assert text in full, text
    prior = page[page.index('id="e-prior"') :]
    assert "A map of the codes" not in prior and "Fixed picture" not in prior and "Shape of fixed code 2" in prior


# ---- safety --------------------------------------------------------------------------------


def test_the_policy_allows_what_the_page_holds_and_nothing_else(page: str) -> None:
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]+)"', page).group(1))  # type: ignore[union-attr]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"

    def digest(tag: str) -> str:
        texts = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert len(texts) == {"style": 1, "script": 2}[tag], "the page's own, and the 3D part"
        return " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts
        )

    assert (rules["style-src"], rules["script-src"]) == (digest("style"), digest("script"))
    assert not re.search(r'<[^>]+ (style|on\w+)="', page), "attributes that the policy would refuse"
    assert not re.search(r'(src|href)="(?!data:|#|samples/|runs/)', page), "everything is inside"


def test_every_picture_has_a_text_instead(page: str) -> None:
    pictures = re.findall(r"<img [^>]*>", page)
    assert len(pictures) > 60
    assert [one for one in pictures if not re.search(r'alt="[^"]+"', one) and "hidden" not in one] == []


def test_the_same_run_gives_the_same_bytes(root: Path, page: str, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(root, copy)
    assert make_page(copy).read_text(encoding="utf-8") == page


# ---- what is missing -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "predictions.npz",
        "samples.npz",
        "latent.npz",
        "interpolations.npz",
        "photographs.npz",
        "timeline",
        "config.json",
        "train.json",
        "metrics.jsonl",
        "timing.jsonl",
        "timeline/inputs.npz",
    ],
)
def test_a_missing_file_takes_its_part_along_and_nothing_else(root: Path, page: str, tmp_path: Path, name: str) -> None:
    shutil.copytree(root / "runs" / "full", tmp_path / "runs" / "full")
    path = tmp_path / "runs" / "full" / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    text = make_page(tmp_path).read_text(encoding="utf-8")
    headings = re.findall(r"<h[34]>.*?</h[34]>", page[page.index('id="e-full"') : page.index('id="e-prior"')])
    left = re.findall(r"<h[34]>.*?</h[34]>", text[text.index('id="e-full"') :])
    lost = {
        "predictions.npz": 3,
        "samples.npz": 1,
        "latent.npz": 1,
        "interpolations.npz": 2,
        "photographs.npz": 3,
        "timeline": 1,
        "config.json": 1,
    }.get(name, 0)
    assert len(headings) - len(left) == lost and set(left) <= set(headings)


def test_older_results_and_imported_data_are_shown_as_far_as_they_go(tmp_path: Path) -> None:
    root = make_data(tmp_path)
    results = make_experiment(root, "old")
    for key in ("surface", "r2n2", "iou_by_views", "generation", "classification", "photographs"):
        del results[key]
    results["samples"]["nearest_training"] = results["samples"]["nearest_training"]["mean"]
    results["measured_on"] = "train"
    write_json(root / "runs" / "old" / "results.json", results)
    for path in ("voxels", "ledger", "audits", "samples", "benchmarks", "logs"):
        shutil.rmtree(root / path)
    text = make_page(root).read_text(encoding="utf-8")
    assert "Photographs of" not in text, "the pictures of an evaluation whose numbers are gone"
    tables = Tables(text)
    title = "One picture in, one shape out, on training shapes, for want of test shapes"
    assert tables.table(title)["this network", "IoU ↑"] == shown(results["iou"])
    assert "Reconstructions of training shapes: the worst" in text
    assert tables.table("Shapes drawn from the prior")["IoU with the nearest training shape", "samples"] == (
        f"{results['samples']['nearest_training']:.3f}"
    )


def test_an_empty_run_has_a_page(tmp_path: Path) -> None:
    assert "No experiment has been evaluated yet." in make_page(tmp_path).read_text(encoding="utf-8")
