"""Alarms: what goes wrong with networks of this family, and the sentence that says so.

An alarm is raised at the first look that shows it and cleared at the first that does not;
both go to the terminal, to metrics.jsonl and to train.json.
"""

from __future__ import annotations

from training.inference.validation import Look

COLLAPSE = 0.85  # pairwise IoU between predictions of different shapes; a mean shape for all has 1
EMPTY = 0.1  # share of the data's occupancy
CUBE_FILL, CUBE_OCCUPANCY = 0.9, 2.0  # share of the own bounding box; times the data's occupancy
D_ACCURACY, D_SKIPPED = 0.98, 0.95
D_PAIRWISE, D_OCCUPANCY = 0.3, 2.0  # samples are far from the data: in pairwise IoU, in occupancy either way

ADVICE = {
    "collapse": "every picture gives nearly the same shape: the code is ignored; lower kl_weight "
    "(the paper's 5 does this at 32^3) or raise reconstruction_weight",
    "empty": "predictions are nearly empty: train longer, or raise reconstruction_weight",
    "cube": "predictions are boxes, not shapes: train longer, or lower learning_rate_generator",
    "samples-collapse": "samples from the prior are nearly all the same: raise adversarial_weight, or train longer",
    "samples-empty": "samples from the prior are nearly empty: raise kl_weight so that codes cover the prior, "
    "or raise adversarial_weight",
    "discriminator-wins": "the discriminator is nearly always right and the samples are far from the data: "
    "train longer, or lower learning_rate_discriminator",
}


def symptoms(look: Look, d_accuracy: float | None, d_skipped: float | None) -> set[str]:
    """The alarms that one look and the discriminator's record since the last look call for."""
    out = set()
    if look.pairwise is not None and look.occupancy is not None and look.box_fill is not None:
        if look.pairwise > max(COLLAPSE, look.data_pairwise + 0.1):
            out.add("collapse")
        if look.occupancy < EMPTY * look.data_occupancy:
            out.add("empty")
        if look.box_fill > CUBE_FILL and look.occupancy > CUBE_OCCUPANCY * look.data_occupancy:
            out.add("cube")
    if look.sample_occupancy < EMPTY * look.data_occupancy:
        out.add("samples-empty")
    elif look.sample_pairwise > max(COLLAPSE, look.data_pairwise + 0.1):
        out.add("samples-collapse")
    if d_accuracy is not None and (d_accuracy > D_ACCURACY or (d_skipped or 0.0) > D_SKIPPED):
        # A discriminator that is always right still pulls; it is a fault only while the samples give it reason.
        ratio = look.sample_occupancy / max(look.data_occupancy, 1e-9)
        if look.sample_pairwise > look.data_pairwise + D_PAIRWISE or not 1 / D_OCCUPANCY < ratio < D_OCCUPANCY:
            out.add("discriminator-wins")
    return out
