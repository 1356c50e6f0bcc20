# The plan, and what every rule needs; no rules here.
#
# Every rule runs `python -m <stage> ...` with its settings as JSON, so that a job depends on
# the values it is given and on nothing else.
import functools
import inspect
import os
import re
import shlex
import shutil
import signal
import sys

# The project this file belongs to; another workflow may take it as a module, and then has a folder of its own.
PROJECT = os.path.dirname(
    os.path.dirname(workflow.current_basedir.get_path_or_uri(secret_free=False))
)
sys.path.insert(0, PROJECT)

from pipeline import errors, parent
from pipeline.gpu import gpus
from pipeline.workflow import console, places
from pipeline.workflow.plan import Plan


def in_words(act):
    """What is the user's to mend is said in words, without a traceback."""
    try:
        return act()
    except (errors.UserError, OSError) as error:
        errors.complain(errors.in_words(error) if isinstance(error, OSError) else error)
        os._exit(1)


def place(out):
    """Where products lie: in a folder, or in the storage that the command names."""
    provider = workflow.storage_registry.default_storage_provider
    if provider is None:
        return places.Shared()
    return places.Apart(
        provider, workflow.storage_settings.default_storage_prefix or "", out
    )


# What messages name: the files of the configuration that were given.
GIVEN = ", ".join(map(str, workflow.overwrite_configfiles or workflow.configfiles))
PLAN = in_words(
    lambda: Plan(
        config, GIVEN or "config.yaml", main=workflow.is_main_process, place=place
    )
)
# Here, and not in the middle of a rule: what is wrong with a data set is said in words.
in_words(lambda: [PLAN.count(name) for name in PLAN.datasets])
here = PLAN.place.local  # where the commands of a job find and leave a file
if workflow.is_main_process:
    PLAN.due_found = lambda files: workflow.dag.forcefiles.update(map(here, files))
    console.listen(
        PLAN, is_look=lambda: workflow.dryrun, begin=lambda: in_words(PLAN.begin)
    )
else:
    # SLURM sends its warning before the wall time to every process of a job; it is for the trainer alone.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


onstart:
    in_words(PLAN.begin)


onsuccess:
    in_words(PLAN.end)


onerror:
    in_words(PLAN.end)


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
    + f"export PYTHONPATH={shlex.quote(PROJECT)}; "
    # A command ends with this Snakemake, which a kill may take away over the head of the shell between the two.
    + f"export {parent.VARIABLE}={shlex.quote(parent.announcement())}; "
    # Written last, by a rename, with the sums of what was made: a product without its record is made again.
    + 'made() {{ python -S -m pipeline.state.record "$1" "$2"; }}; '
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
        # Nor are its marks of jobs that had begun when it was killed: their commands may have ended well since.
        workflow.dag.ignore_incomplete = True
        PLAN.force(
            asked.forcerun,
            asked.forceall,
            (asked.targets or ["all"]) if asked.forcetargets else [],
        )


def known(function):
    """A function that says at once what it asks for: Snakemake looks twice for each job, an eighth of its time."""
    function.__signature__ = inspect.signature(function)
    return function


def needs(rule):
    """The inputs of a rule, by the names that PLAN.graph gives them; none where the product is up to date."""
    inputs = PLAN.inputs(rule)

    def function(wildcards):
        in_words(take_over)
        return in_words(lambda: inputs(wildcards))

    return known(function)


def made(rule):
    """The text of the record of a job, as a parameter."""
    return known(PLAN.made(rule))


def each_attempt(amount):
    """A resource of which the second attempt gets twice as much."""
    return known(lambda wildcards, attempt: amount * attempt)


def in_pieces(w):
    """Commands before a training where no two jobs see the same folder: take up the run that another job has left.

    Of a job that fails Snakemake carries the logs alone, so the run that is to be continued is one of them.
    """
    if not PLAN.place.apart:
        return ""
    run = shlex.quote(here(f"{OUT}/runs/{w.experiment}"))
    kept = shlex.quote(here(PLAN.graph.suspended(w.experiment)))
    return (
        f"mkdir -p {run}; if [ -s {kept} ]; then tar -xf {kept} -C {run}; fi; : > {kept}; "
        f"leave() {{ code=$?; [ $code = 0 ] || tar -cf {kept} -C {run} .; exit $code; }}; trap leave EXIT; "
    )


def beside(rule, **words):
    """What a job leaves beside its product, where that has to be carried: folders and files."""
    left = PLAN.graph.left_beside(PLAN.job(rule, words))
    return [path if os.path.splitext(path)[1] else directory(path) for path in left]


def may_use_gpu(experiment):
    """Whether a training may find a GPU: an executor's machines are not seen from here, this one is."""
    return PLAN.gpus(experiment) > 0 and (workflow.non_local_exec or gpus() is not None)


def clusters(w):
    """The option that names the near-duplicates of a data set that keeps them on one side of the split."""
    if PLAN.config.datasets[w.dataset].split != "clusters":
        return ""
    return shlex.join(["--clusters", here(f"{OUT}/clusters/{w.dataset}.json")])
