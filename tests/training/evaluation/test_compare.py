"""Experiments side by side."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from training.command.train import main
from training.evaluation import compare


def run(folder: Path, name: str, iou: float, *, seed: int = 1, **changes: Any) -> Path:
    """An evaluated run with nothing but what is compared."""
    path = folder / name
    path.mkdir()
    settings = {"preset": "demo", "seed": seed, **changes}
    (path / "config.json").write_text(json.dumps({"identity": name, "settings": settings, "data": []}))
    data = [{"dataset": "d", "digest": "1"}]
    (path / "results.json").write_text(json.dumps({"iou": {"mean": iou}, "data": data}))
    return path


def test_seeds_of_one_experiment_are_one_row(tmp_path: Path) -> None:
    runs = [run(tmp_path, "a", 0.4, seed=1), run(tmp_path, "b", 0.9, kl_weight=2), run(tmp_path, "c", 0.5, seed=2)]
    rows = compare.compare(runs)
    assert [(row.name, row.runs) for row in rows] == [("a and 1 more seeds", ["a", "c"]), ("b", ["b"])]
    assert rows[0].mean["IoU"] == pytest.approx(0.45) and rows[0].spread["IoU"] == pytest.approx(0.05 * 2**0.5)
    assert rows[1].spread == {}, "one run has no spread"


def test_a_run_that_is_older_than_a_key_did_what_its_default_does(tmp_path: Path) -> None:
    runs = [
        run(tmp_path, "old", 0.4),
        run(tmp_path, "new", 0.5, seed=2, recolour=0.0),
        run(tmp_path, "painted", 0.6, seed=3, recolour=0.5),
    ]
    assert [row.runs for row in compare.compare(runs)] == [["old", "new"], ["painted"]]


def test_other_data_is_another_experiment(tmp_path: Path) -> None:
    one, other = run(tmp_path, "a", 0.4), run(tmp_path, "b", 0.5, seed=2)
    results = json.loads((other / "results.json").read_text())
    results["data"][0]["digest"] = "2"
    (other / "results.json").write_text(json.dumps(results))
    assert len(compare.compare([one, other])) == 2


def test_three_formats_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [str(run(tmp_path, "a", 0.4)), str(run(tmp_path, "b", 0.5, seed=2))]
    assert main(["compare", *runs]) == 0
    shown = capsys.readouterr().out
    assert "| IoU | 0.4500 ± 0.0707 |" in shown and "| runs | 2 |" in shown
    for suffix in compare.FORMATS:
        assert main(["compare", *runs, "-o", str(tmp_path / f"t{suffix}")]) == 0
    assert (tmp_path / "t.md").read_text() == shown
    table = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text())))
    assert float(table[0]["IoU"]) == pytest.approx(0.45) and float(table[0]["IoU (spread)"]) > 0
    assert json.loads((tmp_path / "t.json").read_text())[0]["mean"]["IoU"] == pytest.approx(0.45)


def test_photograph_sets_get_columns(tmp_path: Path) -> None:
    path = run(tmp_path, "a", 0.4)
    results = json.loads((path / "results.json").read_text())
    score = {"class_mean": {"mean": 0.25}}
    results["photographs"] = {"ikea": {"scores": {"network": {"ap": score}}}, "none": {"skipped": "no encoder"}}
    (path / "results.json").write_text(json.dumps(results))
    rows = compare.compare([path])
    assert rows[0].mean == {"IoU": 0.4, "ikea AP": 0.25} and compare.titles(rows) == ["IoU", "ikea AP"]


def test_figures_are_means_other_statistics_or_bare_numbers_of_older_results(tmp_path: Path) -> None:
    new, old = run(tmp_path, "a", 0.4), run(tmp_path, "b", 0.5, seed=2)
    for path, gap, divergence in ((new, {"mean": 0.1, "low": 0.0, "high": 0.2}, 0.25), (old, 0.3, 0.75)):
        results = json.loads((path / "results.json").read_text())
        results |= {"overfit": {"gap": gap}, "generation": {"network": {"jsd": {"shapes": 9, "value": divergence}}}}
        (path / "results.json").write_text(json.dumps(results))
    row = compare.compare([new, old])[0]
    assert row.mean == pytest.approx({"IoU": 0.45, "overfit gap": 0.2, "JSD": 0.5})


def test_what_cannot_be_compared_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="has not been evaluated"):
        compare.compare([tmp_path / "empty"])
    rows = compare.compare([run(tmp_path, "a", 0.4)])
    with pytest.raises(UserError, match="cannot write such a table"):
        compare.write(rows, tmp_path / "table.xls")


def test_chosen_columns_are_a_line_for_each_experiment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [run(tmp_path, "a", 0.4), run(tmp_path, "b", 0.9, kl_weight=2), run(tmp_path, "c", 0.5, seed=2)]
    results = json.loads((runs[0] / "results.json").read_text())
    score = {"class_mean": {"mean": 0.25}, "classes": {"chair": {"mean": 0.5}, "bed": {"mean": 0.0}}}
    results |= {"photographs": {"ikea": {"scores": {"network": {"ap_aligned": score}}}}, "categories": {"chair": {}}}
    (runs[0] / "results.json").write_text(json.dumps(results))
    (runs[1] / "timing.jsonl").write_text('{"samples_per_s": 20}\n{"memory": 1}\n{"samples_per_s": 40}\n')
    columns = ["IoU", "ikea chair AP aligned", "samples/s"]
    assert main(["compare", *map(str, runs), "--columns", *columns]) == 0
    _, _, first, second = capsys.readouterr().out.splitlines()
    assert first == "| a | 0.5 | 2 | 0.450 ± 0.071 | 0.500 |  |" and second == "| b | 2 | 1 | 0.900 |  | 30 |"
    assert compare.titles(compare.compare(runs)) == ["IoU", "ikea AP aligned"], "more only where it is asked for"
    assert main(["compare", str(runs[0]), "--columns", "ikea bed AP aligned"]) == 1
    assert "no run has this column" in capsys.readouterr().err


def test_what_is_varied_stands_beside_the_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two values with two seeds each, as `vary` and `seeds` make them."""
    names = [(f"e-{value}{end}", value, seed) for value in (0.2, 0.5) for end, seed in (("", 1), ("-2", 2))]
    runs = [run(tmp_path, name, value, seed=seed, kl_weight=value) for name, value, seed in names]
    rows = compare.compare(runs)
    assert [row.varied for row in rows] == [{"kl_weight": 0.2}, {"kl_weight": 0.5}]
    assert "| kl_weight | 0.2 | 0.5 |" in compare.as_markdown(rows)
    assert list(csv.reader(io.StringIO(compare.as_csv(rows))))[0][:3] == ["experiment", "kl_weight", "runs"]
    assert "| e-0.5 | 0.5 | 2 | 0.500 ± 0.000 |" in compare.chosen(rows, ["IoU"])
    assert compare.compare(runs[:2])[0].varied == {}, "one experiment is like itself"
    many = {"batch_size": 3, "width": 1, "samples": 9, "threads": 3, "clip_norm": 3, "latent": 7, "log_every": 5}
    other = run(tmp_path, "other", 0.1, **many)
    assert compare.compare([*runs, other])[0].varied == {}, "too many to be read"
