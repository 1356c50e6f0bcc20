"""``python -m benchmarks.trainer.busy``: an update's speed alone and beside another busy process, by how threads wait.

    python -m benchmarks.trainer.busy --rounds 5 --seconds 4     # on an otherwise idle machine

OpenMP's threads meet at the end of every loop.  By default the first to arrive spins, and so keeps the core that
the last one needs where something else runs too; with OMP_WAIT_POLICY=PASSIVE, which `python -m training` sets, it
sleeps.  One worker process for each policy, all made before and silent between their turns, take turns in every
round, so that a busy moment of the machine hits them alike.  The digest shows that the policy changes no weight.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import IO

POLICIES: dict[str, dict[str, str]] = {
    "spin (OpenMP's default)": {},
    "spin briefly": {"GOMP_SPINCOUNT": "6000"},
    "sleep (python -m training)": {"OMP_WAIT_POLICY": "PASSIVE"},
}
FIRST_UPDATES = 3  # whose weights are compared


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trainer.busy", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each turn")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--others", type=int, default=1, help="busy processes beside it")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)  # this is one of the workers
    options = parser.parse_args(argv)
    if options.work:
        work(options.threads, sys.stdin, sys.stdout)
        return 0
    rates: dict[str, tuple[list[float], list[float]]] = {policy: ([], []) for policy in POLICIES}
    with contextlib.ExitStack() as stack:
        workers = {policy: stack.enter_context(worker(options.threads, wanted)) for policy, wanted in POLICIES.items()}
        digests = {policy: said(one) for policy, one in workers.items()}
        for _ in range(options.rounds):
            for policy, one in workers.items():
                rates[policy][0].append(turn(one, options.seconds))
                with busy(options.others):
                    rates[policy][1].append(turn(one, options.seconds))
    print(
        f"{options.threads} threads on {os.cpu_count()} cores, {options.others} busy process(es) beside\n\n"
        "| threads that wait | alone, samples/s | beside | share left |\n|---|---|---|---|"
    )
    for policy, (alone, beside) in rates.items():
        left = statistics.median(b / a for a, b in zip(alone, beside, strict=True))
        print(f"| {policy} | {statistics.median(alone):.0f} | {statistics.median(beside):.0f} | {left:.2f} |")
    print(f"\nweights after {FIRST_UPDATES} updates: {'the same' if len(set(digests.values())) == 1 else 'DIFFERENT'}")
    return 0


@contextlib.contextmanager
def worker(threads: int, policy: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process that measures when it is asked to, under a policy of OpenMP."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.trainer.busy", "--work", "--threads", str(threads)],
        env=environment | policy,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that each want a core, in sessions of their own: Linux shares cores between sessions first."""
    others = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True) for _ in range(count)
    ]
    try:
        time.sleep(0.2)  # until they run
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def turn(process: subprocess.Popen[str], seconds: float) -> float:
    """Samples per second of a worker over so long."""
    assert process.stdin is not None
    print(seconds, file=process.stdin, flush=True)
    return float(said(process))


def said(process: subprocess.Popen[str]) -> str:
    """The next line of a worker."""
    assert process.stdout is not None
    if not (line := process.stdout.readline()):
        raise SystemExit("a worker has ended")
    return line.strip()


def work(threads: int, asked: IO[str], answers: IO[str]) -> None:
    """Say the digest of the first weights, then for each line with a number of seconds the samples per second."""
    import torch

    from benchmarks.trainer.__main__ import RESOLUTION, SIZE_PX, made_up
    from pipeline.settings.training import Experiment
    from training.networks.build import Networks
    from training.run.step import Step

    torch.set_num_threads(threads)
    settings = Experiment(datasets=("made up",))
    networks = Networks(settings, size_px=SIZE_PX, resolution=RESOLUTION).train()
    step, batch = Step.of(settings, networks), made_up(settings.batch)
    number = 0
    for number in range(FIRST_UPDATES):
        step(batch, number).numbers()
    digest = hashlib.sha256()
    for weights in networks.state_dict().values():
        digest.update(weights.numpy().tobytes())
    print(digest.hexdigest(), file=answers, flush=True)
    for line in asked:
        updates, start = 0, time.perf_counter()
        while time.perf_counter() - start < float(line):
            number, updates = number + 1, updates + 1
            step(batch, number).numbers()
        print(updates * settings.batch / (time.perf_counter() - start), file=answers, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
