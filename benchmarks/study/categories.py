"""Does a network that is told categories make shapes of the category that it is told?

    python -m benchmarks.study.categories --run results/runs/conditional --shards results/shards/*/index.json

Makes as many samples of each category as it has test shapes, and compares them with all test shapes by the IoU of their
voxels. Prints the table of docs/results.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64

from pipeline.conventions import Array
from pipeline.errors import run_command
from training.data.shapes import ShapeData
from training.inference.model import load_model
from training.inference.predict import truth
from training.inference.reconstruct import samples
from training.metrics.distances import iou_matrix
from training.metrics.generation import Pairs, own_neighbours

HEAD = (
    "| category | nearest test shape is of this category | 1-NNA IoU within it "
    "| IoU with the nearest of it, and of others | occupancy (real) |\n|---|---|---|---|---|"
)


def main() -> int:
    """Sample, compare, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study.categories", description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder of an evaluated training")
    parser.add_argument("--shards", type=Path, nargs="+", required=True, help="index.json of its data sets")
    parser.add_argument("--seed", type=int, default=5, help="of the samples")
    arguments = parser.parse_args()
    held_out = ShapeData.open(arguments.shards, "test")
    names = np.array([record.category for record in held_out.records])
    real = truth(held_out, np.arange(len(names)))
    model = load_model(arguments.run, torch.device("cpu"))
    results = json.loads((arguments.run / "results.json").read_text(encoding="utf-8"))
    cut = results["samples"]["threshold"] * 255
    print(HEAD)
    for category in sorted(set(names)):
        own = names == category
        made = samples(model, int(own.sum()), arguments.seed, category) >= cut
        near = iou_matrix(np.packbits(made, axis=1), np.packbits(real, axis=1))
        told = own[near.argmax(1)].mean()
        print(
            f"| {category} | {told:.2f} | {one_nna(made, real[own]):.2f} | {near[:, own].max(1).mean():.2f}, "
            f"{near[:, ~own].max(1).mean():.2f} | {made.mean():.3f} ({real[own].mean():.3f}) |"
        )
    return 0


def one_nna(made: Array, real: Array) -> float:
    """1-NNA by IoU of two sets (N, P) of equal size; one half where nothing tells them apart, 0 for copies."""

    def apart(one: Array, other: Array) -> Float64[Array, "N N"]:
        return 1 - iou_matrix(np.packbits(one, axis=1), np.packbits(other, axis=1))

    return float(own_neighbours(Pairs(apart(made, made), apart(made, real), apart(real, real))).mean())


if __name__ == "__main__":
    sys.exit(run_command(main))
