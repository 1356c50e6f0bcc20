"""Saving and going back: the checkpoints of one run, written by its first process and read by all."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.optim import Optimizer

from pipeline.progress import say
from training.networks.build import Networks
from training.networks.checkpoint import Folder, Header, load, load_weights, read_header, write
from training.parallel import Ranks
from training.run.average import MovingAverage
from training.run.state import LoopState

MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # of Adam, for each parameter


class Checkpoints:
    """Everything that a checkpoint holds, and where the run's checkpoints are."""

    def __init__(
        self,
        folder: Path,
        about: Header,  # of the run; `samples` and `loop` are filled in when it is saved
        networks: Networks,
        average: MovingAverage,
        optimizers: Mapping[str, Optimizer],  # by names of their own; those that have moved nothing leave no trace
        *,
        count: int,  # of the newest that stay, beside the best
        ranks: Ranks = Ranks(),  # noqa: B008 - frozen
    ):
        self.folder, self.about = Folder(folder, count), about
        self.networks, self.average, self.ranks = networks, average, ranks
        self.optimizers = optimizers

    def save(self, state: LoopState, samples: int, *, passing: bool = False) -> None:
        """Publish a checkpoint of `state`; FloatingPointError, on every process, where a weight is not finite.

        `passing`: not on schedule, so it stays only until there is a newer one, and a run that was stopped ends with
        the same files as any other.
        """
        state.passing = passing
        if not all_finite(self.networks, self.average.networks):
            raise FloatingPointError("a weight is not finite")
        if self.ranks.first:
            path = self.folder.path(samples)
            header = dataclasses.replace(self.about, samples=samples, loop=state.as_json())
            save(path, header, self.networks, self.average, self.optimizers)
            if state.best_is_new:
                self.folder.mark_best(path)
            self.folder.prune()
        state.best_is_new = False
        self.ranks.wait()

    def last_good(self) -> LoopState:
        """Put everything back as the newest whole checkpoint has it; as it is where there is none."""
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        latest = self.ranks.shared(str(self._newest() or "") if self.ranks.first else "")
        if not latest:
            return LoopState()
        header = restore(Path(latest), self.networks, self.average, self.optimizers)
        state = LoopState(**header.loop)
        if self.ranks.first:
            # A run that was killed right after writing this one had no time for these two.
            if state.best_samples == header.samples or (state.best_samples and not self.folder.best.exists()):
                self.folder.mark_best(self.folder.path(state.best_samples))
            self.folder.prune()
        return state

    def _newest(self) -> Path | None:
        """The newest whole checkpoint from which the best one is still to come, or at hand.

        Where the best one was removed, the training goes back to before it, and ends with the same bytes.
        """
        for path in self.folder.whole():
            best = LoopState(**read_header(path).loop).best_samples
            if not best or self.folder.best.exists() or self.folder.path(best).exists():
                return path
            say(f"{path} is passed over: {self.folder.best} was removed; it is made again from before {best} samples")
        return None


def save(
    path: Path, header: Header, networks: Networks, average: MovingAverage, optimizers: Mapping[str, Optimizer]
) -> None:
    """Write weights, averaged weights and the optimizers' moments; raises UserError when the disk is full."""
    tensors = {f"networks.{name}": value for name, value in networks.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.networks.state_dict().items()}
    write(path, header, tensors | _optimizer_tensors(optimizers))


def restore(path: Path, networks: Networks, average: MovingAverage, optimizers: Mapping[str, Optimizer]) -> Header:
    """Put everything back as `save` found it; other networks than the checkpoint's are a UserError."""
    header, tensors = load(path, networks.device)
    load_weights(networks, tensors, "networks.", path)
    load_weights(average.networks, tensors, "average.", path)
    for name, optimizer in optimizers.items():
        parameters = optimizer.param_groups[0]["params"]
        state = {
            i: {m: _laid_out(tensors[key], one) for m in MOMENTS if (key := f"adam.{name}.{i}.{m}") in tensors}
            for i, one in enumerate(parameters)
        }
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": {i: s for i, s in state.items() if s}, "param_groups": groups})
    return header


def _laid_out(moment: Tensor, parameter: Tensor) -> Tensor:
    """A moment in its parameter's memory layout, which fused Adam wants; the step count as it is."""
    return moment if moment.dim() == 0 else torch.empty_like(parameter, dtype=moment.dtype).copy_(moment)


def all_finite(*modules: torch.nn.Module) -> bool:
    """Whether no weight or running statistic is NaN or infinite."""
    return all(bool(value.isfinite().all()) for module in modules for value in module.state_dict().values())


def _optimizer_tensors(optimizers: Mapping[str, Optimizer]) -> dict[str, Tensor]:
    out: dict[str, Tensor] = {}
    for name, optimizer in optimizers.items():
        for i, moments in optimizer.state_dict()["state"].items():
            out |= {f"adam.{name}.{i}.{moment}": moments[moment] for moment in MOMENTS}
    return out
