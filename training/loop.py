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
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from pipeline import runlock
from pipeline.errors import UserError
from pipeline.progress import Log, say
from pipeline.settings.training import Experiment
from pipeline.state.files import write_state
from training.data.batches import Batch, Inputs, to_device
from training.data.loader import Loader
from training.data.pictures import Augment
from training.data.sampler import Sampler
from training.data.shapes import ShapeData
from training.inference.predict import chosen, truth
from training.inference.validation import Validator
from training.networks.build import Networks, set_output_bias
from training.networks.checkpoint import Header
from training.networks.encoders import ImageNetEncoder
from training.networks.imagenet import begin_with
from training.parallel import Ranks, choose_device, connected, described, from_environment, prepare
from training.run import files as run_files
from training.run.alarms import symptoms
from training.run.average import MovingAverage
from training.run.checkpoints import Checkpoints
from training.run.phases import Phase, phase_at, phases_of
from training.run.signals import interruptible
from training.run.state import LoopState
from training.run.step import Values, uses_bf16
from training.run.timeline import Timeline
from training.show.boards import open_boards
from training.show.display import Display

MAX_ROLLBACKS = 3
# Steps whose numbers may be on their way from an accelerator, so that its queue never runs empty.
LAG = {"cuda": 2, "cpu": 0}


class Interrupted(Exception):
    """A signal of `signals.STOPPING` arrived and a checkpoint has been written."""


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
    Raises UserError for bad input, Interrupted after a signal of `signals.STOPPING`.
    """
    ranks = from_environment()
    device = choose_device(settings.device, ranks)
    # Make sure that nobody else trains here, however long that takes, and only then meet the other processes.
    with runlock.held(run) if ranks.first else contextlib.nullcontext(), connected(ranks, device):
        training = open_training(settings, run, shards, name, log or Log(None), stop_after, ranks, device)
        with interruptible() as training.asked_to_stop, contextlib.closing(training.metrics), training.display:
            train(training)
        # The stamp that says "trained"; nothing in it depends on time or machine.
        result = run_files.stamp(name, settings, training.identity, training.state)
        if training.state.step == training.total_steps and ranks.first:
            write_state(run / "train.json", result)
        return result


def train(training: Training) -> None:
    """Train phase by phase and batch by batch and do what is due after each; after a number that is not finite go back.

    Each turn of the outer loop begins a phase, or goes on within one.
    """
    while training.state.step < training.last_step:
        try:
            training.begin_phase()
            for number, batch in training.batches():
                train_batch(training, number, batch)
                do_what_is_due(training, number)
        except FloatingPointError as error:
            recover(training, error)
        except torch.OutOfMemoryError as error:
            raise out_of_memory(training.settings, error) from error


@dataclass
class Training:
    """Everything that one training has open."""

    name: str
    identity: str
    settings: Experiment
    ranks: Ranks
    device: torch.device
    data: ShapeData  # what is trained on
    sampler: Sampler
    prepared: Callable[..., Inputs]  # on the device, augmented
    validator: Validator
    networks: Networks
    average: MovingAverage
    phases: list[Phase]
    checkpoints: Checkpoints
    state: LoopState
    metrics: run_files.Metrics
    timeline: Timeline
    display: Display
    last_step: int  # where this call stops
    asked_to_stop: threading.Event = field(default_factory=threading.Event)
    pending: deque[tuple[int, Values]] = field(default_factory=deque)  # numbers on their way from the device

    @property
    def total_steps(self) -> int:
        """Of the whole training."""
        return self.phases[-1].last

    @property
    def phase(self) -> Phase:
        """The one that the next update belongs to."""
        return phase_at(self.phases, self.state.step)

    def said_of(self, phase: Phase) -> dict[str, str]:
        """What lines of metrics.jsonl say of their phase, where there are several."""
        return {"phase": phase.name} if len(self.phases) > 1 else {}

    def samples(self, step: int) -> int:
        """Samples seen after `step` steps."""
        return step * self.settings.batch

    def begin_phase(self) -> None:
        """Begin the phase of the next update, or go on in it; optimizers of other phases forget what they know."""
        for phase in self.phases:
            if phase is not self.phase:
                for optimizer in phase.step.optimizers.values():
                    optimizer.state.clear()
        self.phase.begin(self.data, self.state.d_accuracy)
        self.display.begin(self.phase.name if len(self.phases) > 1 else "")

    def batches(self) -> Iterator[tuple[int, Batch]]:
        """From the step that comes next to the last of its phase, with nothing on its way from steps before."""
        self.pending.clear()
        return iter(
            Loader(
                self.data,
                self.sampler,
                views_per_shape=self.settings.views_per_shape,
                device=self.device,
                start_step=self.state.step,
                stop_step=min(self.phase.last, self.last_step),
                cameras=self.settings.camera_weight > 0,
            )
        )

    def settle(self, unsettled: int) -> None:
        """Count all but the newest `unsettled` steps' numbers; NotFinite for the first that is NaN or infinite."""
        while len(self.pending) > unsettled:
            number, values = self.pending.popleft()
            numbers = values.numbers()
            if bad := [name for name, value in numbers.items() if not math.isfinite(value)]:
                raise NotFinite(number, bad)
            self.state.add(numbers)


def open_training(
    settings: Experiment,
    run: Path,
    shards: Sequence[Path],
    name: str,
    log: Log,
    stop_after: int | None,
    ranks: Ranks,
    device: torch.device,
) -> Training:
    """Open data, networks, the last checkpoint if this very experiment left one, and what is written and shown."""
    prepare(device, settings.threads)
    data = open_data(settings, shards)
    sampler = Sampler(len(data), settings.batch, settings.seed, ranks.rank, ranks.world)
    validator = open_validator(settings, data, shards)
    networks, average = build(settings, data, device)
    phases = phases_of(settings, networks, ranks)
    if ranks.first:
        bf16 = uses_bf16(settings.precision, device, data.resolution)
        say(f"{name}: {described(device, settings.threads, bf16=bf16)}")

    # Load the previous checkpoint, and forget what was logged after it.
    identity = run_files.identity(settings, shards)
    if ranks.first:
        run_files.set_aside_others(run, identity)
        run_files.write_config(run, settings, identity, shards)
    config = settings.model_dump(mode="json")
    about = Header(identity, config, data.size_px, data.resolution, data.categories, samples=0, loop={})
    checkpoints = Checkpoints(
        run / "checkpoints",
        about,
        networks,
        average,
        {f"{phase.name}.{name}": one for phase in phases for name, one in phase.step.optimizers.items()},
        count=settings.keep_checkpoints,
        ranks=ranks,
    )
    state = checkpoints.last_good()
    samples, total_steps = state.step * settings.batch, phases[-1].last
    if state.step == 0:
        checkpoints.save(state, 0)  # so that a roll-back always finds one
    elif ranks.first:
        say(f"{name}: going on after {samples} samples")
    if ranks.first and settings.adversarial_weight > 0 and settings.discriminator_norm:
        say(
            f"{name}: batch norm in the discriminator hides from it how occupied shapes are, so samples may become "
            "too thin; the preset r1-3dgan does without"
        )
    boards = open_boards(run, identity, config) if ranks.first else ()
    timeline = Timeline(run / "timeline" if ranks.first else None, validator.data, views=settings.views_per_shape)
    timeline.rewind(samples)
    if state.step == 0 and ranks.first:
        timeline.write(phases[0].of(average.networks), 0, None)
    return Training(
        name=name,
        identity=identity,
        settings=settings,
        ranks=ranks,
        device=device,
        data=data,
        sampler=sampler,
        prepared=functools.partial(
            to_device,
            device=device,
            augment=Augment.of(settings),
            backgrounds=data.backgrounds(device),
            compositing=data.compositing,
        ),
        validator=validator,
        networks=networks,
        average=average,
        phases=phases,
        checkpoints=checkpoints,
        state=state,
        metrics=run_files.Metrics(run if ranks.first else None, samples, boards),
        timeline=timeline,
        display=Display(name, settings.batch, total_steps, state.step, log, quiet=not ranks.first),
        last_step=total_steps if stop_after is None else min(total_steps, math.ceil(stop_after / settings.batch)),
    )


def open_data(settings: Experiment, shards: Sequence[Path]) -> ShapeData:
    """The shapes that are trained on."""
    return ShapeData.open(
        shards,
        "train",
        categories=settings.categories,
        random_background=settings.random_background,
        masks=settings.mask_weight > 0,
        crop=settings.crop,
    )


def open_validator(settings: Experiment, data: ShapeData, shards: Sequence[Path]) -> Validator:
    """The validation shapes, or training shapes where there are none."""
    held_out = ShapeData.open(shards, "val", categories=settings.categories, crop=settings.crop)
    fallback = data
    if settings.random_background and not len(held_out):  # foregrounds without a background are no pictures
        fallback = ShapeData.open(shards, "train", categories=settings.categories, crop=settings.crop)
    return Validator(held_out, fallback, shapes=settings.validation_shapes, views=settings.views_per_shape)


def build(settings: Experiment, data: ShapeData, device: torch.device) -> tuple[Networks, MovingAverage]:
    """The networks, whose every weight follows from the seed, and their average."""
    sizes = {"size_px": data.size_px, "resolution": data.resolution, "categories": len(data.categories)}
    networks = Networks(settings, **sizes).on(device)
    if settings.encoder_weights is not None and isinstance(networks.E, ImageNetEncoder):
        begin_with(networks.E.body, Path(settings.encoder_weights))
    set_output_bias(networks.G, float(truth(data, chosen(data, 1024, "occupancy")).mean()))
    average = MovingAverage(networks, settings.ema)
    penalised = settings.adversarial == "wgan-gp" or settings.r1_gamma > 0
    networks.compile_where_it_pays(settings.compile, penalised=penalised)
    return networks, average


def train_batch(training: Training, number: int, batch: Batch) -> None:
    """Update the networks with batch `number`, and their average; batches that gave NaN before are passed over."""
    samples = training.samples(number + 1)
    step, schedule = training.phase.step, training.phase.schedule
    step.set_rate_factors({network: schedule.factor(samples, network) for network in step.optimizers})
    if number not in training.state.skipped:
        training.networks.train()
        inputs = training.prepared(batch, **training.phase.seen)
        training.pending.append((number, step(inputs, number)))
        training.average.update(training.networks, number, training.phase.moved)
    training.state.step = number + 1


def do_what_is_due(training: Training, number: int) -> None:
    """Validate, log and save after batch `number`, each by its own interval; raises Interrupted if asked to stop."""
    settings, ranks, phase = training.settings, training.ranks, phase_at(training.phases, number)
    steps = number + 1
    samples = training.samples(steps)

    def due(every: int) -> bool:
        return crosses(every, samples, settings.batch) or steps == phase.last

    stop = ranks.any(training.asked_to_stop.is_set()) and steps < training.last_step
    ends = steps in (phase.last, training.last_step) or stop
    validates, logs, saves = due(settings.validate_every), due(settings.log_every), due(settings.checkpoint_every)

    # The numbers of the last steps are asked for late, but before they are needed.
    training.settle(0 if validates or logs or saves or ends else LAG[training.device.type])
    training.display.advance(steps, training.state.latest)
    if settings.standing_statistics and (validates or saves or ends):
        training.average.measure_statistics()
    if validates:
        validate(training, phase, samples)
    if logs:
        training.metrics.write("losses", samples, **training.said_of(phase), **training.state.take_means())
        training.metrics.timing(samples, samples_per_s=round(training.display.rate, 2))
    if saves or ends or training.state.best_is_new:
        training.checkpoints.save(training.state, samples, passing=not saves and not training.state.best_is_new)
    if stop:
        raise Interrupted(
            f"{training.name}: stopped after {samples} of {settings.samples} samples; "
            "the same command again goes on from here"
        )


def validate(training: Training, phase: Phase, samples: int) -> None:
    """Measure validation shapes and samples from the prior; raise or clear alarms; every rank has the same state."""
    state, networks = training.state, phase.of(training.average.networks)
    if training.ranks.first:
        found, about = training.validator(networks), training.said_of(phase)
        training.metrics.write("look", samples, held_out=training.validator.held_out, **about, **found.as_json())
        frame = training.timeline.write(networks, samples, found.threshold)
        seen = samples - training.samples(training.phases[1].first if len(training.phases) > 1 else 0)
        training.metrics.frame(frame, samples, training.data.resolution)
        for alarm, raised in state.change_alarms(symptoms(found, *state.take_discriminator(), seen), samples):
            training.metrics.write("alarm", samples, alarm=alarm, raised=raised)
            training.display.alarm(alarm, raised, samples)
        if phase.name != "autoencode":  # which sees the shape itself: its answers are no answers to pictures
            state.note_validation(found, samples)
        training.display.validation(found, samples, state.alarms)
    training.state = LoopState(**training.ranks.shared(dataclasses.asdict(state)))


def recover(training: Training, error: FloatingPointError) -> None:
    """Go back to the last good checkpoint and pass over the batch that gave NaN or infinity."""
    state = training.state
    number = error.number if isinstance(error, NotFinite) else max(0, state.step - 1)
    skipped, rollbacks = [*state.skipped, number], state.rollbacks + 1
    if rollbacks > MAX_ROLLBACKS:
        raise diverged(skipped, error) from error
    training.state = training.checkpoints.last_good()
    training.state.skipped, training.state.rollbacks = skipped, rollbacks
    samples = training.samples(training.state.step)
    training.metrics.rewind(samples)
    training.timeline.rewind(samples)
    training.metrics.write("rollback", samples, skipped=skipped, why=str(error))
    training.display.rewind(training.state.step, f"not finite ({error}); passing over batch {number}")


def out_of_memory(settings: Experiment, error: torch.OutOfMemoryError) -> UserError:
    """What did not fit and the ways out."""
    return UserError(
        "the memory is full",
        where=f"a batch of {settings.batch} in {settings.processes} process(es)",
        got=str(error).split(". ")[0],
        do="set a smaller `batch`, narrower networks (`width`, `encoder_width`) or more `processes`, "
        "then run the same command again",
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
