# The plan, and what every rule needs; no rules here.
#
# Every rule runs `python -m <stage> ...` with its settings as JSON, so that a job depends on
# the values it is given and on nothing else.
import functools
import os
import re
import shlex
import shutil
import signal
import sys

sys.path.insert(0, str(workflow.basedir))  # the stages live beside the Snakefile

from pipeline import errors, parent
from pipeline.workflow import console
from pipeline.workflow.plan import Plan


def in_words(act):
    """What is the user's to mend is said in words, without a traceback."""
    try:
        return act()
    except (errors.UserError, OSError) as error:
        said = errors.in_words(error) if isinstance(error, OSError) else error
        print(f"error: {said}", file=sys.stderr)
        sys.stderr.flush()
        os._exit(1)


PLAN = in_words(lambda: Plan(config, main=workflow.is_main_process))
if workflow.is_main_process:
    PLAN.due_found = lambda files: workflow.dag.forcefiles.update(files)
    console.listen(
        PLAN, is_look=lambda: workflow.dryrun, begin=lambda: in_words(PLAN.begin)
    )
else:
    # SLURM sends its warning before the wall time to every process of a job; it is for the trainer alone.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


onstart:
    in_words(PLAN.begin)


OUT = PLAN.out
SEED = PLAN.config.seed
ARCHIVED = PLAN.graph.archived
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
    # Written last, by a rename: a product without its record is made again.
    + 'made() {{ printf "%s\\n" "$2" > "$1.tmp" && mv "$1.tmp" "$1"; }}; '
    + "export PIPELINE_BARS=0 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1; "
)


def one_of(names):
    """A wildcard constraint: one of these names and no other."""
    return "|".join(map(re.escape, names)) or "(?!)"


wildcard_constraints:
    dataset=one_of(PLAN.datasets),
    experiment=one_of(PLAN.experiments),
    photographs=one_of(PLAN.config.photographs),
    shard=r"[0-9]{3,6}",


@functools.cache
def take_over():
    """Before the first input is asked for: the plan says what is due, Snakemake is told by force and by nothing else."""
    if workflow.is_main_process:
        asked = workflow.dag_settings
        asked.rerun_triggers = frozenset()
        PLAN.force(
            asked.forcerun,
            asked.forceall,
            (asked.targets or ["all"]) if asked.forcetargets else [],
        )


def needs(rule):
    """The inputs of a rule, by the names that PLAN.graph gives them; none where the product is up to date."""
    inputs = PLAN.inputs(rule)

    def function(wildcards):
        in_words(take_over)
        return in_words(lambda: inputs(wildcards))

    return function
