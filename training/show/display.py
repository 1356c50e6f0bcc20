"""What a person sees while it trains: a bar on a terminal, a line at every validation, loud alarms."""

from __future__ import annotations

import sys
import time
from collections import deque
from types import TracebackType
from typing import Any

from tqdm import tqdm

from pipeline.foreign import visible
from pipeline.progress import Log, say
from training.inference.validation import Validation

# What to do about an alarm of `training/run/alarms.py`.
ADVICE = {
    "collapse": "every picture gives nearly the same shape: the code is ignored; lower kl_weight "
    "(the paper's 5 does this at 32^3) or raise reconstruction_weight",
    "empty": "predictions are nearly empty: train longer, or raise reconstruction_weight",
    "cube": "predictions are boxes, not shapes: train longer, or lower learning_rate_generator",
    "plateau": "answers are still no better than the mean training shape, whatever the picture: lower "
    "learning_rate_encoder (to 1e-3, or with encoder_weights to 1e-4), begin with warm_start, or raise batch to 16",
    "samples-collapse": "samples from the prior are nearly all the same: raise adversarial_weight, or train longer",
    "samples-empty": "samples from the prior are nearly empty: raise kl_weight so that codes cover the prior, "
    "or raise adversarial_weight",
    "discriminator-wins": "the discriminator is nearly always right and the samples are far from the data: "
    "train longer, or lower learning_rate_discriminator",
}

SHOWN = ("reconstruction", "kl", "code_kl", "d_loss", "g_loss")  # of the last batch, on the bar


WINDOW_S, MOMENT_S = 60.0, 1.0  # a rate is of the last minute, known to a second


class Pace:
    """How fast samples go by now: over the last minute, validations and checkpoints included."""

    def __init__(self, samples: int):
        self.restart(samples)

    @property
    def rate(self) -> float:
        """Samples per second."""
        start, samples = self._moments[0]
        return (self._samples - samples) / max(time.monotonic() - start, 1e-9)

    def advance(self, samples: int) -> None:
        """So many samples have been seen."""
        now, self._samples = time.monotonic(), samples
        if now - self._moments[-1][0] >= MOMENT_S:
            self._moments.append((now, samples))
        while len(self._moments) > 1 and self._moments[1][0] <= now - WINDOW_S:
            self._moments.popleft()

    def restart(self, samples: int) -> None:
        """The training goes on from so many samples."""
        self._samples, self._moments = samples, deque([(time.monotonic(), samples)])


class Bar(tqdm):  # type: ignore[misc, type-arg]
    """A bar whose rate and remaining time are those of a `Pace`."""

    def __init__(self, pace: Pace, **settings: Any):
        self._pace = pace
        super().__init__(**settings)

    @property
    def format_dict(self) -> dict[str, Any]:
        """What the bar is made from."""
        return {**super().format_dict, "rate": self._pace.rate}


class Display:
    """A bar with samples/s, losses, validation IoU and ETA; JSON lines for machines in `log`."""

    def __init__(
        self, name: str, batch: int, total: int, done: int, log: Log, every_s: float = 30.0, *, quiet: bool = False
    ):
        self._name, self._batch, self._total, self._log, self._every_s = name, batch, total, log, every_s
        self._done, self._quiet = done, quiet
        self._last = time.monotonic()
        self._iou = self._phase = ""
        self._alarms: list[str] = []
        self._pace = Pace(done * batch)
        self._bar = Bar(
            self._pace,
            total=total * batch,
            initial=done * batch,
            desc=visible(name),
            unit="sample",
            unit_scale=True,
            disable=quiet or not sys.stderr.isatty(),
            leave=False,
            file=sys.stderr,
            mininterval=0.5,
        )

    @property
    def rate(self) -> float:
        """Samples per second over the last minute, validations and checkpoints included."""
        return self._pace.rate

    @property
    def eta_s(self) -> float:
        return (self._total - self._done) * self._batch / max(self.rate, 1e-9)

    def begin(self, phase: str) -> None:
        """What is shown from now on belongs to this phase; "" where there is but one."""
        self._phase, self._iou = phase and f" {phase}", ""
        self._pace.restart(self._done * self._batch)
        self._bar.set_description(visible(f"{self._name}{self._phase}"), refresh=False)

    def advance(self, step: int, values: dict[str, float]) -> None:
        """`step` batches are done; `values` are the last batch's losses."""
        self._bar.update((step - self._done) * self._batch)
        self._done = step
        self._pace.advance(step * self._batch)
        if not self._bar.disable:
            losses = " ".join(f"{key} {values[key]:.3g}" for key in SHOWN if key in values)
            alarms = " ALARM " + ",".join(self._alarms) if self._alarms else ""
            self._bar.set_postfix_str(losses + self._iou + alarms, refresh=False)
        now = time.monotonic()
        if now - self._last >= self._every_s:
            self._last = now
            self._log.write(
                "progress",
                title=self._name,
                done=step * self._batch,
                total=self._total * self._batch,
                samples_per_s=round(self.rate, 1),
                eta_s=round(self.eta_s, 1),
            )

    def validation(self, found: Validation, samples: int, alarms: list[str]) -> None:
        """One line about a validation."""
        self._alarms = alarms
        self._iou = "" if found.iou is None else f" IoU {found.iou:.3f}"
        what = "autoencoder" if self._phase == " autoencode" else "validation"
        minutes, seconds = divmod(round(self.eta_s), 60)
        say(
            f"{self._name}{self._phase}: {samples} of {self._total * self._batch} samples"
            f"{'' if found.iou is None else f', {what} IoU {found.iou:.3f}'}"
            f", {self.rate:.0f} samples/s, about {minutes}:{seconds:02d} left"
        )

    def alarm(self, alarm: str, raised: bool, samples: int) -> None:
        """Say loudly what has gone wrong, or that it is over."""
        say(
            f"{self._name}: ALARM {alarm} at {samples} samples: {ADVICE[alarm]}"
            if raised
            else f"{self._name}: alarm {alarm} is over at {samples} samples"
        )
        self._log.write("alarm", alarm=alarm, raised=raised, samples=samples)

    def rewind(self, step: int, why: str) -> None:
        """Training went back to the checkpoint after `step` batches."""
        if not self._quiet:
            say(f"{self._name}: back to {step * self._batch} samples: {why}")
        self._bar.update((step - self._done) * self._batch)
        self._done = step
        self._pace.restart(step * self._batch)
        self._log.write("rollback", samples=step * self._batch, why=why)

    def __enter__(self) -> Display:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
