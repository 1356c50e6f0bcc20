# The plan, and what every rule needs; no rules here.
#
# Every rule runs `python -m <stage> ...` with its settings as JSON, so that a job depends on
# the values it is given and on nothing else.
import os
import re
import shlex
import shutil
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(workflow.basedir))  # the stages live beside the Snakefile

from pipeline.workflow import console
from pipeline import errors, parent, runlock
from pipeline.workflow.plan import Plan, only_looks

try:
    PLAN = Plan(config)
    if not workflow.is_main_process:
        # SLURM sends its warning before the wall time to every process of a job; it is for the trainer alone.
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    else:
        console.listen()
        PLAN.forget_missing_archives()
        PLAN.refresh_folders()
        if not only_looks(sys.argv[1:]):
            runlock.hold(Path(PLAN.out))
            PLAN.check_shards()
except (errors.UserError, OSError) as error:
    # A wrong configuration or path is the user's to mend: say so in words, without a traceback.
    said = errors.in_words(error) if isinstance(error, OSError) else error
    print(f"error: {said}", file=sys.stderr)
    sys.stderr.flush()
    os._exit(1)

OUT = PLAN.out
SEED = PLAN.config.seed
ARCHIVED = PLAN.datasets_from("generated") + PLAN.datasets_from("archives")
BACKGROUNDS = PLAN.config.backgrounds

# Stages use processes and shards for parallelism: one thread each in the numeric libraries
# (the trainer sets its own number).  `python` must be the one that runs Snakemake, unless
# conda or a container brings another, which this would hide.
_bin = os.path.dirname(sys.executable)
_same = (
    bool(workflow.deployment_settings.deployment_method)
    or os.path.dirname(shutil.which("python") or "") == _bin
)
shell.prefix(
    "set -euo pipefail; "
    + ("" if _same else f"export PATH={shlex.quote(_bin)}:$PATH; ")
    + f"export PYTHONPATH={shlex.quote(str(workflow.basedir))}; "
    # A command ends with this Snakemake, which a kill may take away over the head of the shell between the two.
    + f"export {parent.VARIABLE}={shlex.quote(parent.announcement())}; "
    + "export PIPELINE_BARS=0 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1; "
)


wildcard_constraints:
    dataset=r"[a-z0-9][a-z0-9_.-]*",
    experiment=r"[a-z0-9][a-z0-9_.-]*",
    photographs=r"[a-z0-9][a-z0-9_.-]*",
    shard=r"[0-9]{3,6}",


def one_of(names):
    """A wildcard constraint: one of these names and no other."""
    return "|".join(map(re.escape, names))
