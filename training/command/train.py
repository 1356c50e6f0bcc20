"""The command line of the trainer: one sub-command a verb."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.commandline.parser import Parser
from pipeline.errors import UserError, run_command
from pipeline.progress import Log, say
from pipeline.seeds import stable_hash
from pipeline.settings.parse import parse
from pipeline.settings.training import Experiment
from pipeline.shards.index import require_audited
from training.command import launch
from training.command import measure as command_measure
from training.command import use as command_use

ON_THE_HUB = "hf:"  # begins the name of a run that is no path
TERMINATED = 143  # what a shell reports for a process that SIGTERM ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run, and turn a UserError into one message."""
    options = parser().parse_args(arguments)
    options.arguments = list(sys.argv[1:] if arguments is None else arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    return run_command(lambda: command(_with_networks_here(options)))


def _with_networks_here(options: argparse.Namespace) -> argparse.Namespace:
    """The options, where a network of the Hub stands as the folder that it was pulled to."""
    run = getattr(options, "run", None)
    if run is None or not str(run).startswith(ON_THE_HUB):
        return options
    if options.command is _train:
        raise UserError(
            "a training writes to a folder",
            where="--run",
            got=str(run),
            do="push it with `export --push` when it is done",
        )
    from training.inference.hub import pull

    return argparse.Namespace(**{**vars(options), "run": pull(str(run))})


def parser() -> Parser:
    """All sub-commands with their options."""
    top = Parser(prog="python -m training", top=True, description="Train and use 3D-VAE-GANs.")
    commands = top.add_subparsers()

    train = commands.add_parser(
        "train", help="train one experiment; again to go on after an interruption", for_workflow=True
    )
    train.add_argument("--name", default="run", help="name of the experiment, for messages")
    train.add_argument("--settings", required=True, help="JSON of the experiment")
    train.add_argument("--seed", type=int, default=1, help="seed of the whole pipeline")
    train.add_argument("--shards", type=Path, nargs="+", required=True, help="shards/<data set>/index.json, any number")
    train.add_argument("--audits", type=Path, nargs="*", default=[], help="audits/<data set>.json of every index")
    train.add_argument("--run", "-o", type=Path, required=True, help="folder of the run")
    train.add_argument("--dry-run", action="store_true", help="print the whole configuration and stop")
    train.set_defaults(command=_train)

    command_measure.add(commands)
    command_use.add(commands)
    train.add_argument("--log", type=Path, help="JSON lines for machines")
    return top


def experiment(text: str, seed: int) -> Experiment:
    """The settings with the pipeline's seed mixed into their own."""
    settings = parse(Experiment, text, "--settings")
    return settings.model_copy(update={"seed": stable_hash("experiment", seed, settings.seed) >> 33})


def _train(options: argparse.Namespace) -> int:
    settings = experiment(options.settings, options.seed)
    if options.dry_run:
        print(json.dumps(settings.model_dump(mode="json"), indent=1))
        return 0
    if options.audits:
        require_audited(options.shards, options.audits)
    if settings.processes > 1 and "WORLD_SIZE" not in os.environ:
        return launch.start(settings.processes, options.arguments)
    from training.loop import Interrupted, training_loop
    from training.parallel import from_environment

    first = from_environment().first
    with Log(options.log if first else None) as log:
        try:
            result = training_loop(settings, options.run, options.shards, name=options.name, log=log)
        except Interrupted as stopped:
            if first:
                say(str(stopped))
            return TERMINATED
    if not first:
        return 0
    best = result["best"]
    say(
        f"train {options.name}: {result['samples']} samples"
        + (f", best validation IoU {best['iou']:.3f} at {best['samples']}" if best["iou"] is not None else "")
        + (f", ALARMS {', '.join(result['alarms'])}" if result["alarms"] else "")
    )
    return 0
