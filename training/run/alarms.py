"""Alarms: what goes wrong with networks of this family, and the sentence that says so.

An alarm is raised at the first validation that shows it and cleared at the first that does not;
both go to the terminal, to metrics.jsonl and to train.json.
"""

from __future__ import annotations

from training.inference.validation import Validation

COLLAPSE = 0.85  # pairwise IoU between predictions of different shapes; a mean shape for all has 1
EMPTY = 0.1  # share of the data's occupancy
CUBE_FILL, CUBE_OCCUPANCY = 0.9, 2.0  # share of the own bounding box; times the data's occupancy
D_ACCURACY, D_SKIPPED = 0.98, 0.95
D_PAIRWISE, D_OCCUPANCY = 0.3, 2.0  # samples are far from the data: in pairwise IoU, in occupancy either way

PLATEAU_SAMPLES = 8_000  # the first 2,000 to 6,000 answer the mean shape whatever the picture
PLATEAU_ABOVE = 0.02  # IoU above the mean training shape's from which on a picture counts


def symptoms(found: Validation, d_accuracy: float | None, d_skipped: float | None, seen: int = 0) -> set[str]:
    """The alarms that one validation and the discriminator's record since the last one call for.

    seen : samples from which E has learned to answer pictures.
    """
    out = set()
    if found.iou is not None and found.mean_shape_iou is not None:
        nothing_seen = found.iou <= found.mean_shape_iou + PLATEAU_ABOVE
        if nothing_seen and seen >= PLATEAU_SAMPLES:
            out.add("plateau")
    if found.pairwise is not None and found.occupancy is not None and found.box_fill is not None:
        if found.pairwise > max(COLLAPSE, found.data_pairwise + 0.1):
            out.add("collapse")
        if found.occupancy < EMPTY * found.data_occupancy:
            out.add("empty")
        if found.box_fill > CUBE_FILL and found.occupancy > CUBE_OCCUPANCY * found.data_occupancy:
            out.add("cube")
    if found.sample_occupancy < EMPTY * found.data_occupancy:
        out.add("samples-empty")
    elif found.sample_pairwise > max(COLLAPSE, found.data_pairwise + 0.1):
        out.add("samples-collapse")
    if d_accuracy is not None and (d_accuracy > D_ACCURACY or (d_skipped or 0.0) > D_SKIPPED):
        # A discriminator that is always right still pulls; it is a fault only while the samples give it reason.
        ratio = found.sample_occupancy / max(found.data_occupancy, 1e-9)
        if found.sample_pairwise > found.data_pairwise + D_PAIRWISE or not 1 / D_OCCUPANCY < ratio < D_OCCUPANCY:
            out.add("discriminator-wins")
    return out
