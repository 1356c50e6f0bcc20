"""The embedded default data, as archives in the layout of a real data set.

python -m pipeline generate --dataset D --seed N --settings JSON -o mirror/D/
"""

from __future__ import annotations

import argparse

from pipeline.furniture import generate
from pipeline.progress import Log
from pipeline.settings.datasets import Procedural
from pipeline.settings.parse import parse


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command asks for besides settings, output and log."""
    parser.add_argument("--dataset", required=True, help="name of the data set")
    parser.add_argument("--seed", type=int, required=True, help="seed of the whole pipeline")


def run(given: argparse.Namespace, log: Log) -> None:
    """The command."""
    settings = parse(Procedural, given.settings, "--settings")
    generate(given.dataset, settings, given.output, seed=given.seed, log=log)
    log.write("generate", dataset=given.dataset, layout=settings.layout)
