"""The training loop, read from top to bottom.  Its clock is samples seen, never time.

To resume, run the same command again: everything that matters is in the last checkpoint,
and what a step sees depends on (seed, step) alone, so the final weights have the same bits
as those of a run that nothing interrupted (on a CPU).
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from pipeline import runlock
from pipeline.atomic import write_json
from pipeline.errors import UserError
from pipeline.progress import Log, say
from pipeline.settings.training import Experiment
from training import checkpoint, run_files
from training.average import Average, rate_factor
from training.data import ShapeData
from training.data_device import Augment, to_device
from training.data_loader import Loader
from training.display import Display
from training.measure import Looker, chosen, truth
from training.networks import Networks, set_output_bias
from training.sampler import Sampler
from training.state import LoopState
from training.step import Step
from training.watch import symptoms

MAX_ROLLBACKS = 3
# Ctrl-C, a cancelled job, and what profiles/slurm sends two minutes before the wall time.
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Interrupted(Exception):
    """A signal of `STOPPING` arrived and a checkpoint has been written."""


def training_loop(
    settings: Experiment,  # the whole experiment, presets filled in
    run: Path,  # folder of this run
    shards: Sequence[Path],  # shards/<data set>/index.json
    *,
    name: str = "run",  # for the bar
    log: Log | None = None,  # the DAG's log of this job
    stop_after: int | None = None,  # samples; stop there as if interrupted (tests), None trains to the end
) -> dict[str, Any]:
    """Train to `settings.samples` samples; returns what train.json holds.

    Raises UserError for bad input, Interrupted after a signal of `STOPPING`.
    """
    # Make sure that nobody else trains here.
    with runlock.held(run):
        return _training_loop(settings, run, shards, name, log or Log(None), stop_after)


def _training_loop(
    settings: Experiment,
    run: Path,
    shards: Sequence[Path],
    name: str,
    log: Log,
    stop_after: int | None,
) -> dict[str, Any]:
    # Open the data.
    device = choose_device(settings.device)
    torch.set_num_threads(settings.threads)
    train = ShapeData.open(shards, "train", categories=settings.categories)
    held_out = ShapeData.open(shards, "val", categories=settings.categories)
    sampler = Sampler(len(train), settings.batch, settings.seed)
    looker = Looker(settings, held_out, train)
    jitter = settings.colour_jitter
    augment = Augment(
        mirror=settings.mirror,
        brightness=jitter,
        contrast=jitter,
        saturation=jitter,
        channel_gain=jitter,
        erase=settings.erase,
    )

    # Build the networks; every weight follows from the seed.
    networks = Networks(settings, size_px=train.size_px, resolution=train.resolution).to(device)
    set_output_bias(networks.G, float(truth(train, chosen(train, 1024, "occupancy")).mean()))
    average = Average(networks, settings.ema)
    step = Step(settings, networks)

    # Load the previous checkpoint, if this very experiment left one, and forget what was logged after it.
    identity = run_files.identity(settings, shards)
    run_files.set_aside_others(run, identity)
    run_files.write_config(run, settings, identity, shards)
    folder = checkpoint.Folder(run / "checkpoints", settings.keep_checkpoints)

    def save(state: LoopState) -> None:
        if not checkpoint.all_finite(networks, average.networks):
            raise FloatingPointError("a weight is not finite")
        path = folder.path(state.step * settings.batch)
        header = checkpoint.Header(
            identity,
            settings.model_dump(mode="json"),
            train.size_px,
            train.resolution,
            train.categories,
            state.step * settings.batch,
            state.as_json(),
        )
        checkpoint.save(path, header, networks, average, step)
        if state.best_is_new:
            folder.mark_best(path)
            state.best_is_new = False
        folder.prune()

    def last_good() -> LoopState:
        latest = folder.latest()
        state = LoopState() if latest is None else LoopState(**checkpoint.restore(latest, networks, average, step).loop)
        step.accuracy = state.d_accuracy
        return state

    state = last_good()
    if state.step == 0:
        save(state)  # so that a roll-back always finds one
    else:
        say(f"{name}: going on after {state.step * settings.batch} samples")
    metrics = run_files.Metrics(run, state.step * settings.batch, tensorboard=settings.tensorboard)

    # Train: the body of the inner loop is one batch; what happens now and then hangs on the samples seen.
    total = math.ceil(settings.samples / settings.batch)
    last = total if stop_after is None else min(total, math.ceil(stop_after / settings.batch))
    display = Display(name, settings.batch, total, state.step, log)
    with interruptible() as interrupted, contextlib.closing(metrics), display:
        while state.step < last:
            number = state.step
            try:
                for number, batch in Loader(
                    train,
                    sampler,
                    views_per_shape=settings.views_per_shape,
                    device=device,
                    start_step=state.step,
                    stop_step=last,
                ):
                    samples, values = (number + 1) * settings.batch, {}
                    step.set_rate_factor(
                        rate_factor(settings.schedule, settings.constant_share, samples, settings.samples)
                    )
                    if number not in state.skipped:
                        networks.train()
                        values = step(to_device(batch, device, augment=augment), number)
                        require_finite(values)
                        average.update(networks, number)
                        state.add(values)
                    state.step, state.d_accuracy = number + 1, step.accuracy
                    display.advance(state.step, values)

                    # Look at validation shapes and at samples from the prior; raise or clear alarms.
                    if crosses(settings.validate_every, samples, settings.batch) or state.step == total:
                        look = looker(average.networks)
                        metrics.write("look", samples, held_out=looker.held_out, **look.as_json())
                        for alarm, raised in state.change_alarms(symptoms(look, *state.take_discriminator()), samples):
                            metrics.write("alarm", samples, alarm=alarm, raised=raised)
                            display.alarm(alarm, raised, samples)
                        state.note(look.iou, look.threshold, samples)
                        display.look(look, samples, state.alarms)

                    # Log the mean losses.
                    if crosses(settings.log_every, samples, settings.batch) or state.step == total:
                        metrics.write("losses", samples, **state.take_means())
                        metrics.timing(samples, display.rate)

                    # Save everything that resuming needs, and stop if asked to.
                    stop = interrupted.is_set() and state.step < last
                    if (
                        stop
                        or state.best_is_new
                        or state.step == last
                        or crosses(settings.checkpoint_every, samples, settings.batch)
                    ):
                        save(state)
                    if stop:
                        raise Interrupted(
                            f"{name}: stopped after {samples} of {settings.samples} samples; "
                            "the same command again goes on from here"
                        )
            except FloatingPointError as error:
                # NaN or infinity: go back to the last good checkpoint and pass over this batch.
                skipped, rollbacks = [*state.skipped, number], state.rollbacks + 1
                if rollbacks > MAX_ROLLBACKS:
                    raise diverged(skipped, error) from error
                state = last_good()
                state.skipped, state.rollbacks = skipped, rollbacks
                metrics.rewind(state.step * settings.batch)
                metrics.write("rollback", state.step * settings.batch, skipped=skipped, why=str(error))
                display.rewind(state.step, str(error))

    # The stamp that says "trained"; nothing in it depends on time or machine.
    result = run_files.stamp(name, settings, identity, state)
    if state.step == total:
        write_json(run / "train.json", result)
    return result


def require_finite(values: dict[str, float]) -> None:
    """Raise FloatingPointError with the names of the losses or gradient norms that are NaN or infinite."""
    if bad := [name for name, value in values.items() if not math.isfinite(value)]:
        raise FloatingPointError(", ".join(bad))


def diverged(skipped: list[int], error: FloatingPointError) -> UserError:
    """The report after the last roll-back."""
    return UserError(
        f"the training diverges: not finite again after {MAX_ROLLBACKS} roll-backs",
        where=f"batches {', '.join(map(str, skipped))}",
        got=str(error),
        do="lower the learning rates or set clip_norm, and run the same command again",
    )


def crosses(every: int, samples: int, batch: int) -> bool:
    """Whether the batch that ends at `samples` passes a multiple of `every` samples."""
    return samples // every > (samples - batch) // every


def choose_device(wanted: str) -> torch.device:
    """The accelerator where `auto` finds one; a UserError where `cuda` does not."""
    found = torch.cuda.is_available()
    if wanted == "cuda" and not found:
        raise UserError("there is no CUDA device", got="device: cuda", do="set device to auto or cpu")
    return torch.device("cuda" if wanted != "cpu" and found else "cpu")


@contextlib.contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that the signals of `STOPPING` set instead of killing; the old handlers come back at the end."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def restore() -> None:
        for number, handler in old.items():
            signal.signal(number, handler)

    def ask(*_: object) -> None:
        event.set()
        restore()  # a second signal acts at once

    old = {number: signal.signal(number, ask) for number in STOPPING}
    try:
        yield event
    finally:
        restore()
