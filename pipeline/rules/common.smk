# The plan, and what every rule needs; no rules here.
#
# Every rule runs `python -m <stage> ...` with its settings as JSON, so that a job depends on
# the values it is given and on nothing else.
import sys

sys.path.insert(0, str(workflow.basedir))  # the stages live beside the Snakefile

from pipeline import console, errors, runlock
from pipeline.workflow import Plan

try:
    PLAN = Plan(config)
    if workflow.is_main_process:
        console.listen()
        PLAN.refresh_folders()
        if not workflow.dryrun:
            runlock.hold(PLAN.out)
except errors.UserError as error:
    # A wrong configuration is the user's to mend: say so in words, without a traceback.
    print(f"error: {error}", file=sys.stderr)
    sys.stderr.flush()
    os._exit(1)

OUT = PLAN.out
SEED = PLAN.config.seed
ARCHIVED = PLAN.datasets_from("generated") + PLAN.datasets_from("archives")
BACKGROUNDS = PLAN.config.backgrounds

# Stages use processes and shards for parallelism: one thread each in the numeric libraries.
shell.prefix(
    f"set -euo pipefail; export PYTHONPATH={str(workflow.basedir)!r}${{{{PYTHONPATH:+:$PYTHONPATH}}}} "
    "OMP_NUM_THREADS={threads} OPENBLAS_NUM_THREADS={threads} MKL_NUM_THREADS={threads}; "
)


wildcard_constraints:
    dataset=r"[a-z0-9][a-z0-9_.-]*",
    experiment=r"[a-z0-9][a-z0-9_.-]*",
    shard=r"[0-9]{3,6}",
