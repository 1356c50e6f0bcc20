# PYTHON_ARGCOMPLETE_OK
"""``python -m training <command>``."""

from __future__ import annotations

import os
import sys

from training.command.train import main

# Threads that wait for each other sleep.  By default they spin for milliseconds, on the core that the others need where
# something else runs too: a training of two threads beside one busy process then has 3 % of its speed
# (`python -m benchmarks.trainer.busy`).  OpenMP (libgomp, in torch's wheel) reads it once, when `main` loads torch.
if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
sys.exit(main())
