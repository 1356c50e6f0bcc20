"""One network, cut where it needs to know the whole batch: at its batch norms.

A stage normalises some of the tensors it gets and computes on; between two norms every
sample is on its own.  So a batch can pass a stage in micro-batches, each stage with the
statistics of the whole batch, and the result and all gradients (those through the
statistics too) are those of the whole batch, up to the order of additions.

What that saves: inside a stage nothing is kept for the backward pass, it is computed again
(Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"); between stages, where
an accelerator works, tensors wait in the host's memory.  So the accelerator holds one
micro-batch of activations, beside inputs and outputs of the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from training.networks.layers import BatchNorm, moments

State = tuple[Tensor, ...]  # what one stage hands to the next: one tensor, two beside a shortcut


@dataclass(frozen=True)
class Stage:
    """`body` of the normalised tensors; a norm of None leaves its tensor alone."""

    norms: tuple[BatchNorm | None, ...]
    body: Callable[..., State]


def chain(
    layers: Sequence[Callable[[Tensor], Tensor]],
    norms: Sequence[BatchNorm | None],
    activation: Callable[[Tensor], Tensor],
) -> list[Stage]:
    """layer, norm, activation, layer, norm, activation, ..., layer: one norm fewer than layers."""
    first, *rest = layers

    def following(layer: Callable[[Tensor], Tensor]) -> Callable[..., State]:
        return lambda x: (layer(activation(x)),)

    stages = [Stage((None,), lambda x: (first(x),))]
    return stages + [Stage((norm,), following(layer)) for norm, layer in zip(norms, rest, strict=True)]


def with_mask(
    stages: list[Stage], at: int, head: Callable[[Tensor], Tensor], features: Callable[..., Tensor]
) -> list[Stage]:
    """The same stages; what `head` makes of the features in stage `at` is carried along to the end."""

    def carrying(stage: Stage) -> Stage:
        return Stage((*stage.norms, None), lambda *state: (*stage.body(*state[:-1]), state[-1]))

    cut = stages[at]
    branching = Stage(cut.norms, lambda *state: (*cut.body(*state), head(features(*state))))
    return [*stages[:at], branching, *map(carrying, stages[at + 1 :])]


def run(stages: Sequence[Stage], x: Tensor, source: int, micro_batch: int | None = None) -> State:
    """(B, ...) through all stages; what the last hands over."""
    if micro_batch is None or len(x) <= micro_batch:
        state: State = (x,)
        for stage in stages:
            state = stage.body(
                *(value if norm is None else norm(value, source) for norm, value in zip(stage.norms, state))
            )
        return state
    return _in_parts(_joined(stages), x, source, micro_batch)


def _joined(stages: Sequence[Stage]) -> list[Stage]:
    """Stages that begin without a norm become part of the one before."""
    out = [stages[0]]
    for stage in stages[1:]:
        if any(stage.norms):
            out.append(stage)
        else:
            out[-1] = Stage(out[-1].norms, _after(out[-1].body, stage.body))
    return out


def _after(first: Callable[..., State], then: Callable[..., State]) -> Callable[..., State]:
    return lambda *state: then(*first(*state))


def _in_parts(stages: Sequence[Stage], x: Tensor, source: int, micro_batch: int) -> State:
    device, parts = x.device, [(part,) for part in torch.split(x, micro_batch)]
    statistics: list[tuple[Tensor, Tensor] | None] = [None]
    for number, stage in enumerate(stages):
        last = number + 1 == len(stages)
        next_norms = () if last else stages[number + 1].norms
        results = [
            checkpoint(
                _part_of_stage,
                stage,
                statistics,
                next_norms,
                device,
                last,
                *part,
                use_reentrant=False,
                preserve_rng_state=False,
            )
            for part in parts
        ]
        parts = [result[0] for result in results]
        statistics = [
            None if norm is None else norm.merged([result[1][place] for result in results], source)
            for place, norm in enumerate(next_norms)
        ]
    return tuple(torch.cat(pieces) for pieces in zip(*parts, strict=True))


def _part_of_stage(
    stage: Stage,
    statistics: Sequence[tuple[Tensor, Tensor] | None],
    next_norms: Sequence[BatchNorm | None],
    device: torch.device,
    last: bool,
    *state: Tensor,
) -> tuple[State, list[tuple[Tensor, Tensor, int] | None]]:
    """One micro-batch through one stage; with the moments that the next stage's norms want."""
    values = [value.to(device) for value in state]
    values = [
        value if norm is None or known is None else norm.normalise(value, *known)
        for norm, known, value in zip(stage.norms, statistics, values, strict=True)
    ]
    out = stage.body(*values)
    wanted = [None if norm is None else moments(value) for norm, value in zip(next_norms, out)]
    return (out if last else tuple(value.cpu() for value in out)), wanted
