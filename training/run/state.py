"""What the loop remembers between steps, as plain numbers that JSON keeps exactly."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from training.inference.validation import Validation


@dataclass
class LoopState:
    """Everything of the loop that is not a weight; saved in every checkpoint."""

    step: int = 0  # batches done
    d_accuracy: float = 0.0  # of the discriminator on its last batch
    sums: dict[str, float] = field(default_factory=dict)  # of the values since they were last written
    counts: dict[str, int] = field(default_factory=dict)
    d_sums: dict[str, float] = field(default_factory=dict)  # of the discriminator's record since the last validation
    d_count: int = 0
    alarms: list[str] = field(default_factory=list)  # raised now
    alarm_history: list[dict[str, Any]] = field(default_factory=list)  # {"samples", "alarm", "raised"}
    best_iou: float | None = None  # on validation shapes
    best_one_nna: float | None = None  # at that time
    best_samples: int = 0
    best_threshold: int | None = None  # level 1 ... 255 that suited the validation shapes
    skipped: list[int] = field(default_factory=list)  # batches that gave NaN or infinity
    rollbacks: int = 0
    best_is_new: bool = False  # a checkpoint should be written and marked
    passing: bool = False  # saved off schedule, because something stopped the run; goes once it has gone on
    latest: dict[str, float] = field(default_factory=dict)  # the last values that arrived, for the bar

    def as_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "best_is_new": False, "latest": {}}

    def add(self, values: dict[str, float]) -> None:
        """Count the values of one step."""
        self.latest = values
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1
        if "d_accuracy" in values:
            self.d_count += 1
            self.d_accuracy = values["d_accuracy"]
            for name in ("d_accuracy", "d_skipped"):
                self.d_sums[name] = self.d_sums.get(name, 0.0) + values[name]

    def take_means(self) -> dict[str, float]:
        """Mean of each value since the last call."""
        means = {name: total / self.counts[name] for name, total in sorted(self.sums.items())}
        self.sums, self.counts = {}, {}
        return means

    def take_discriminator(self) -> tuple[float | None, float | None]:
        """Mean accuracy and share of skipped updates since the last call; None where it was not trained."""
        if not self.d_count:
            return None, None
        accuracy, skipped = (self.d_sums[name] / self.d_count for name in ("d_accuracy", "d_skipped"))
        self.d_sums, self.d_count = {}, 0
        return accuracy, skipped

    def change_alarms(self, now: set[str], samples: int) -> list[tuple[str, bool]]:
        """Replace the raised alarms by `now`; the changes as (alarm, raised)."""
        changes = [(alarm, alarm in now) for alarm in sorted(now ^ set(self.alarms))]
        self.alarm_history += [{"samples": samples, "alarm": a, "raised": raised} for a, raised in changes]
        self.alarms = sorted(now)
        return changes

    def note_validation(self, found: Validation, samples: int) -> None:
        """Remember the best one: by IoU; without an encoder by how well samples can be told from validation shapes."""
        if found.iou is not None:
            better = self.best_iou is None or found.iou > self.best_iou
        else:
            one_nna, best = found.sample_one_nna, self.best_one_nna
            better = one_nna is None or best is None or one_nna <= best
        if better:
            self.best_iou, self.best_one_nna = found.iou, found.sample_one_nna
            self.best_threshold, self.best_samples, self.best_is_new = found.threshold, samples, True
