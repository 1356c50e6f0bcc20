"""``python impatient.py ...`` is ``snakemake ...`` that looks at its SLURM jobs every second.

The executor waits ten seconds longer after each look at which nothing had ended, which is kind to a
controller that others use too, and has no setting for it.  Half of a short test would be that wait.
"""

from __future__ import annotations

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

EVERY_S = 1.0

if __name__ == "__main__":
    Executor.next_seconds_between_status_checks = property(lambda self: EVERY_S, lambda self, wanted: None)
    main()
