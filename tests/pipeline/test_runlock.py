"""Who holds a lock, and how its job is ended, whatever engine runs it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline import runlock
from pipeline.errors import UserError

VARIABLES = [
    *(variable for variable, _, _ in runlock._ENGINES),
    "JOB_ID",
    "SGE_ROOT",
    "KUBERNETES_SERVICE_HOST",
]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"SLURM_JOB_ID": "7"}, r"SLURM job 7: `scancel 7`"),
        ({"PBS_JOBID": "7.head"}, r"PBS job 7.head: `qdel 7.head`"),
        ({"JOB_ID": "7", "SGE_ROOT": "/opt/sge"}, r"Grid Engine job 7: `qdel 7`"),
        ({"JOB_ID": "7"}, r"since [-\d]+ [:\d]+$"),
        ({"BATCH_TASK_ID": "task-1"}, r"\(Google Batch task task-1\)"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, r"pod \S+: `kubectl delete pod \S+`"),
    ],
)
def test_the_holder_is_named_with_its_job(
    variables: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    with runlock.held(tmp_path):
        # As another process: a lock of another open file is refused in this one too.
        monkeypatch.setattr(runlock, "_held", {})
        with pytest.raises(UserError, match="another run is working in this folder") as refused:
            runlock.hold(tmp_path)
        monkeypatch.undo()
    assert re.search(said, str(refused.value), re.MULTILINE)
