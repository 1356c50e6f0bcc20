"""Saving and going back: the checkpoints of one run, written by its first process and read by all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.settings.training import Experiment
from training.data.shapes import ShapeData
from training.networks import checkpoint
from training.networks.build import Networks
from training.parallel import Ranks
from training.run.average import Average
from training.run.state import LoopState
from training.run.step import Step


@dataclass
class Keeper:
    """Everything that a checkpoint holds, and where checkpoints are."""

    run: Path
    identity: str
    settings: Experiment
    data: ShapeData
    networks: Networks
    average: Average
    step: Step
    ranks: Ranks

    def __post_init__(self) -> None:
        self.folder = checkpoint.Folder(self.run / "checkpoints", self.settings.keep_checkpoints)

    def save(self, state: LoopState, *, passing: bool = False) -> None:
        """Publish a checkpoint of `state`; FloatingPointError, on every process, where a weight is not finite.

        `passing`: not on schedule, so it is kept only until there is a newer one, and a run that was stopped ends with
        the same files as any other.
        """
        state.passing = passing
        if not checkpoint.all_finite(self.networks, self.average.networks):
            raise FloatingPointError("a weight is not finite")
        if self.ranks.first:
            samples = state.step * self.settings.batch
            path = self.folder.path(samples)
            header = checkpoint.Header(
                self.identity,
                self.settings.model_dump(mode="json"),
                self.data.size_px,
                self.data.resolution,
                self.data.categories,
                samples,
                state.as_json(),
            )
            checkpoint.save(path, header, self.networks, self.average, self.step)
            if state.best_is_new:
                self.folder.mark_best(path)
            self.folder.prune()
        state.best_is_new = False
        self.ranks.wait()

    def last_good(self) -> LoopState:
        """Put everything back as the newest whole checkpoint has it; as it is where there is none."""
        for optimizer in self.step.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        latest = self.ranks.shared(str(self.folder.latest() or "") if self.ranks.first else "")
        if not latest:
            return LoopState()
        header = checkpoint.restore(Path(latest), self.networks, self.average, self.step)
        state = LoopState(**header.loop)
        self.step.accuracy = state.d_accuracy
        if self.ranks.first:
            # A run that was killed right after writing this one had no time for these two.
            if state.best_samples == header.samples:
                self.folder.mark_best(Path(latest))
            self.folder.prune()
        return state
