"""Sub-commands that measure: evaluate, evaluate-photographs, classify, compare."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pipeline.progress import Log, say, tell


def add(commands: Any) -> None:
    """Add the four sub-commands to an argparse sub-parser object."""
    evaluate = commands.add_parser("evaluate", help="measure a trained run on held-out shapes", for_workflow=True)
    evaluate.add_argument("--run", type=Path, required=True, help="folder of the run")
    evaluate.add_argument("--shards", type=Path, nargs="+", required=True, help="the indexes it was trained on")
    evaluate.add_argument("--settings", default="{}", help="JSON of the section `evaluation`")
    evaluate.add_argument("--photographs", type=Path, nargs="*", default=[], help="files of `pipeline photographs`")
    evaluate.add_argument(
        "--classify-shards", type=Path, nargs="*", default=[], help="indexes to classify; default: --shards"
    )
    evaluate.add_argument("-o", "--output", type=Path, required=True, help="results.json; other files go beside it")
    evaluate.set_defaults(command=_evaluate)

    photographs = commands.add_parser("evaluate-photographs", help="judge any checkpoint on photographs with voxels")
    photographs.add_argument("--run", type=Path, required=True, help="folder of a run, or a checkpoint file")
    photographs.add_argument(
        "--photographs", type=Path, nargs="+", required=True, help="files of `pipeline photographs`"
    )
    photographs.add_argument("--shards", type=Path, nargs="*", default=[], help="training shapes, for the baselines")
    photographs.add_argument("--threshold", type=float, help="for IoU; default: what suited the validation shapes")
    photographs.add_argument("-o", "--output", type=Path, required=True, help="JSON; photographs.npz goes beside it")
    photographs.set_defaults(command=_photographs)

    classify = commands.add_parser("classify", help="linear SVM on the discriminator's features, on any data set")
    classify.add_argument("--run", type=Path, required=True, help="folder of a run, or a checkpoint file")
    classify.add_argument("--shards", type=Path, nargs="+", required=True, help="indexes with train and test shapes")
    classify.add_argument("-o", "--output", type=Path, required=True, help="JSON")
    classify.set_defaults(command=_classify)

    compare = commands.add_parser("compare", help="table experiments side by side, seeds together")
    compare.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of an evaluated run")
    compare.add_argument("-o", "--output", type=Path, help=".md, .csv or .json; default: to the terminal")
    compare.add_argument("--columns", nargs="+", metavar="TITLE", help="only these, a line for each experiment")
    compare.set_defaults(command=_compare)

    for command in (evaluate, photographs, classify):
        command.add_argument("--log", type=Path, help="JSON lines for machines")


def _evaluate(options: argparse.Namespace) -> int:
    from pipeline.settings.evaluation import Evaluation
    from pipeline.settings.parse import parse
    from training.evaluate import evaluate
    from training.evaluation.tables import table

    settings = parse(Evaluation, options.settings, "--settings")
    with Log(options.log) as log:
        results = evaluate(
            options.run,
            options.shards,
            options.output,
            settings,
            photographs=options.photographs,
            classify_shards=options.classify_shards,
            log=log,
        )
        log.write("evaluate", run=str(options.run), verdict=results["verdict"])
    tell(table(results))
    say(f"evaluate {options.run.name}: {results['verdict']['sentence']}")
    return 0


def _photographs(options: argparse.Namespace) -> int:
    from pipeline.atomic import write_json
    from training.data.shapes import ShapeData
    from training.evaluate import photograph_sets
    from training.evaluation import tables
    from training.inference.model import load_model
    from training.inference.reconstruct import require_pictures
    from training.inference.shapes import threshold_of
    from training.parallel import choose_device

    model = load_model(options.run, choose_device("auto"))
    require_pictures(model)
    train = None
    if options.shards:
        chosen = model.settings.categories
        train = ShapeData.open(options.shards, "train", categories=chosen, crop=model.settings.crop)
    threshold = threshold_of(model, options.threshold)
    with Log(options.log) as log:
        found = photograph_sets(model, train, options.photographs, threshold, options.output, log)
    write_json(options.output, found)
    for name, scores in found.items():
        tell("\n".join([f"## {name}", "", *tables.photographs(scores), ""]))
        say(f"photographs: {name}: {scores['photographs']} of {scores['objects']} objects")
    return 0


def _classify(options: argparse.Namespace) -> int:
    from pipeline.atomic import write_json
    from training.evaluation.classify import classify_shards
    from training.inference.model import load_model
    from training.parallel import choose_device

    found = classify_shards(load_model(options.run, choose_device("auto")), options.shards)
    write_json(options.output, found)
    if "skipped" in found:
        say(f"classify: {found['skipped']}")
    else:
        accuracy = {name: f"{one['mean']:.1%}" for name, one in found["accuracy"].items()}
        say("classify: " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in accuracy.items()))
    return 0


def _compare(options: argparse.Namespace) -> int:
    from training.evaluation.compare import chosen, compare, write

    if options.columns:
        tell(chosen(compare(options.runs), options.columns).removesuffix("\n"))
        return 0
    text = write(compare(options.runs), options.output)
    if options.output is None:
        tell(text.removesuffix("\n"))
    else:
        say(f"compare: {len(options.runs)} runs in {options.output}")
    return 0
