"""The training loop, read from top to bottom.  Its clock is samples seen, never time.

To resume, run the same command again: everything that matters is in the last checkpoint,
and what a step sees depends on (seed, step) alone, so the final weights have the same bits
as those of a run that nothing interrupted (on a CPU).
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from pipeline import runlock
from pipeline.atomic import write_json
from pipeline.errors import UserError
from pipeline.progress import Log, say
from pipeline.settings.training import Experiment
from training.data.batches import to_device
from training.data.loader import Loader
from training.data.pictures import Augment
from training.data.sampler import Sampler
from training.data.shapes import ShapeData
from training.inference.validation import Looker, chosen, truth
from training.networks.build import Networks, set_output_bias
from training.parallel import Ranks, connected, from_environment
from training.run import files as run_files
from training.run.alarms import symptoms
from training.run.average import Average, rate_factor
from training.run.checkpoints import Keeper
from training.run.state import LoopState
from training.run.step import Step, Values
from training.run.timeline import Timeline
from training.show.boards import open_boards
from training.show.display import Display

MAX_ROLLBACKS = 3
# Steps whose numbers may be on their way from an accelerator, so that its queue never runs empty.
LAG = {"cuda": 2, "cpu": 0}
# Ctrl-C, a cancelled job, and what profiles/slurm sends two minutes before the wall time.
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Interrupted(Exception):
    """A signal of `STOPPING` arrived and a checkpoint has been written."""


class NotFinite(FloatingPointError):
    """A loss or gradient norm of batch `number` is NaN or infinite."""

    def __init__(self, number: int, names: Sequence[str]):
        self.number = number
        super().__init__(", ".join(names))


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

    Every process that torchrun starts calls it; the first one writes.
    Raises UserError for bad input, Interrupted after a signal of `STOPPING`.
    """
    # Make sure that nobody else trains here, however long that takes, and only then meet the other processes.
    ranks = from_environment()
    device = choose_device(settings.device, ranks)
    with runlock.held(run) if ranks.first else contextlib.nullcontext(), connected(ranks, device):
        return _training_loop(settings, run, shards, name, log or Log(None), stop_after, ranks, device)


def _training_loop(
    settings: Experiment,
    run: Path,
    shards: Sequence[Path],
    name: str,
    log: Log,
    stop_after: int | None,
    ranks: Ranks,
    device: torch.device,
) -> dict[str, Any]:
    # Open the data.
    torch.set_num_threads(settings.threads)
    train = ShapeData.open(
        shards,
        "train",
        categories=settings.categories,
        random_background=settings.random_background,
        masks=settings.mask_weight > 0,
    )
    held_out = ShapeData.open(shards, "val", categories=settings.categories)
    sampler = Sampler(len(train), settings.batch, settings.seed, ranks.rank, ranks.world)
    fallback = train  # foregrounds without a background are no pictures to look at
    if settings.random_background and not len(held_out):
        fallback = ShapeData.open(shards, "train", categories=settings.categories)
    looker = Looker(settings, held_out, fallback)
    jitter = settings.colour_jitter
    augment = Augment(
        mirror=settings.mirror,
        brightness=jitter,
        contrast=jitter,
        saturation=jitter,
        channel_gain=jitter,
        erase=settings.erase,
        recolour=settings.recolour,
        zoom=settings.zoom,
        turn="random" if settings.turn else "none",
    )
    backgrounds = train.backgrounds(device)
    prepared = functools.partial(
        to_device, device=device, augment=augment, backgrounds=backgrounds, compositing=train.compositing
    )

    # Build the networks; every weight follows from the seed.
    networks = Networks(settings, size_px=train.size_px, resolution=train.resolution).to(device)
    set_output_bias(networks.G, float(truth(train, chosen(train, 1024, "occupancy")).mean()))
    average = Average(networks, settings.ema)
    step = Step(settings, networks, ranks)
    pieces = MicroBatch(settings, networks, sampler.share)
    networks.compile_where_it_pays(settings, device)

    # Load the previous checkpoint, if this very experiment left one, and forget what was logged after it.
    identity = run_files.identity(settings, shards)
    if ranks.first:
        run_files.set_aside_others(run, identity)
        run_files.write_config(run, settings, identity, shards)
    keeper = Keeper(run, identity, settings, train, networks, average, step, ranks)
    state = keeper.last_good()
    if state.step == 0:
        keeper.save(state)  # so that a roll-back always finds one
    elif ranks.first:
        say(f"{name}: going on after {state.step * settings.batch} samples")
    done = state.step * settings.batch
    metrics = run_files.Metrics(
        run if ranks.first else None, done, open_boards(run, settings, identity) if ranks.first else ()
    )
    timeline = Timeline(run / "timeline" if ranks.first else None, settings, looker.data)
    timeline.rewind(done)
    if state.step == 0 and ranks.first:
        timeline.write(average.networks, 0, None)

    # Train: the body of the inner loop is one batch; what happens now and then hangs on the samples seen.
    total = math.ceil(settings.samples / settings.batch)
    last = total if stop_after is None else min(total, math.ceil(stop_after / settings.batch))
    display = Display(name, settings.batch, total, state.step, log, quiet=not ranks.first)
    with interruptible() as interrupted, contextlib.closing(metrics), display:
        while state.step < last:
            pending: deque[tuple[int, Values]] = deque()
            failure: FloatingPointError | None = None
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
                    samples = (number + 1) * settings.batch
                    step.set_rate_factors({one: rate_factor(settings, samples, one) for one in step.optimizers})
                    if number not in state.skipped:
                        networks.train()
                        pending.append((number, step(prepared(batch), number)))
                        average.update(networks, number)
                    state.step = number + 1

                    # What is due now?  The numbers of the last steps are asked for late, but before they are needed.
                    stop = ranks.any(interrupted.is_set()) and state.step < last
                    ends = state.step in (total, last) or stop
                    looks = crosses(settings.validate_every, samples, settings.batch) or state.step == total
                    writes = crosses(settings.log_every, samples, settings.batch) or state.step == total
                    saves = crosses(settings.checkpoint_every, samples, settings.batch) or state.step == total
                    settle(pending, state, 0 if looks or writes or saves or ends else LAG[device.type])
                    display.advance(state.step, state.latest)

                    # Look at validation shapes and at samples from the prior; raise or clear alarms.
                    if looks:
                        if ranks.first:
                            look = looker(average.networks)
                            metrics.write("look", samples, held_out=looker.held_out, **look.as_json())
                            frame = timeline.write(average.networks, samples, look.threshold)
                            metrics.frame(frame, samples, train.resolution)
                            symptoms_now = symptoms(look, *state.take_discriminator())
                            for alarm, raised in state.change_alarms(symptoms_now, samples):
                                metrics.write("alarm", samples, alarm=alarm, raised=raised)
                                display.alarm(alarm, raised, samples)
                            state.note(look.iou, look.threshold, samples)
                            display.look(look, samples, state.alarms)
                        state = LoopState(**ranks.shared(dataclasses.asdict(state)))

                    # Log the mean losses.
                    if writes:
                        metrics.write("losses", samples, **state.take_means())
                        metrics.timing(samples, samples_per_s=round(display.rate, 2))

                    # Save everything that resuming needs, and stop if asked to.
                    if saves or ends or state.best_is_new:
                        keeper.save(state, passing=not saves and not state.best_is_new)
                    if stop:
                        raise Interrupted(
                            f"{name}: stopped after {samples} of {settings.samples} samples; "
                            "the same command again goes on from here"
                        )
            except FloatingPointError as error:
                failure = error
            except torch.OutOfMemoryError as error:
                pieces.shrink(error, ranks)
            else:
                continue

            # NaN or infinity: go back to the last good checkpoint and pass over this batch.  Out of memory: go back
            # too, since a step may be half done, and go on in smaller pieces.
            skipped, rollbacks = state.skipped, state.rollbacks
            if failure is not None:
                number = failure.number if isinstance(failure, NotFinite) else number
                skipped, rollbacks = [*skipped, number], rollbacks + 1
            if failure is not None and rollbacks > MAX_ROLLBACKS:
                raise diverged(skipped, failure) from failure
            state = keeper.last_good()
            state.skipped, state.rollbacks = skipped, rollbacks
            metrics.rewind(state.step * settings.batch)
            timeline.rewind(state.step * settings.batch)
            if failure is not None:
                metrics.write("rollback", state.step * settings.batch, skipped=skipped, why=str(failure))
                display.rewind(state.step, f"not finite ({failure}); passing over batch {number}")
            else:
                metrics.timing(state.step * settings.batch, micro_batch=pieces.size)
                display.rewind(state.step, f"out of memory; going on with {pieces.size} samples at once")

    # The stamp that says "trained"; nothing in it depends on time or machine.
    result = run_files.stamp(name, settings, identity, state)
    if state.step == total and ranks.first:
        write_json(run / "train.json", result)
    return result


def settle(pending: deque[tuple[int, Values]], state: LoopState, keep: int) -> None:
    """Count all but the newest `keep` steps' numbers; NotFinite for the first that is NaN or infinite."""
    while len(pending) > keep:
        number, values = pending.popleft()
        numbers = values.numbers()
        if bad := [name for name, value in numbers.items() if not math.isfinite(value)]:
            raise NotFinite(number, bad)
        state.add(numbers)


class MicroBatch:
    """How many samples pass the networks at once, halved when the accelerator's memory is full."""

    def __init__(self, settings: Experiment, networks: Networks, share: int):
        self._settings, self._networks = settings, networks
        self.size = min(settings.micro_batch or share, share)
        self._apply(None if self.size == share else self.size)

    def _apply(self, size: int | None) -> None:
        self._networks.set_micro_batch(size, self._settings.views_per_shape)

    def shrink(self, error: torch.OutOfMemoryError, ranks: Ranks) -> None:
        """Half of it from now on; a UserError where that is not wanted or not possible."""
        if self._settings.on_out_of_memory == "stop" or self.size == 1 or ranks.world > 1:
            raise out_of_memory(self._settings, self.size, error) from error
        self.size = math.ceil(self.size / 2)
        self._apply(self.size)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def out_of_memory(settings: Experiment, size: int, error: torch.OutOfMemoryError) -> UserError:
    """What did not fit and the three ways out."""
    smaller = f"set micro_batch to {max(1, size // 2)} (the same result, slower), " if size > 1 else ""
    return UserError(
        "the memory is full",
        where=f"{size} samples at once, of a batch of {settings.batch} in {settings.processes} process(es)",
        got=str(error).split(". ")[0],
        do=f"{smaller}a smaller batch or narrower networks, then run the same command again; "
        "`on_out_of_memory: halve` does the first by itself in a single process",
    )


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


def choose_device(wanted: str, ranks: Ranks = Ranks()) -> torch.device:  # noqa: B008 - frozen
    """The accelerator where `auto` finds one; a UserError where `cuda` does not."""
    found = torch.cuda.is_available()
    if wanted == "cuda" and not found:
        raise UserError("there is no CUDA device", got="device: cuda", do="set device to auto or cpu")
    if wanted == "cpu" or not found:
        return torch.device("cpu")
    if ranks.local >= torch.cuda.device_count():
        raise UserError(
            "there are more processes than GPUs",
            got=f"{ranks.world} processes, {torch.cuda.device_count()} GPUs",
            do="set `processes` to the number of GPUs",
        )
    return torch.device("cuda", ranks.local) if ranks.world > 1 else torch.device("cuda")


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

    def ask(number: int, _: object) -> None:
        # A second Ctrl-C acts at once.  A cluster signals every process of a job, and the launcher of several
        # passes that on: the same SIGTERM comes twice.
        if event.is_set() and number == signal.SIGINT:
            restore()
            signal.raise_signal(number)
        event.set()

    old = {number: signal.signal(number, ask) for number in STOPPING}
    try:
        yield event
    finally:
        restore()
