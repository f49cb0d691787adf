"""The job's face: run a project as a task of a scheduler that calls a function, such as Databricks.

A Databricks task fails if its function raises; it ignores an exit code that the function returns.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from importlib import import_module
from typing import TYPE_CHECKING, Any

from odibi_nb.commands import Face, execute, parse
from odibi_nb.core.process.compute import is_databricks
from odibi_nb.core.text.terminal_text import readable
from odibi_nb.export.tasks import CONFIRM, JOB_RUN
from odibi_nb.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odibi_nb.core.model.results import RunResult


def main(words: Sequence[str] | None = None) -> None:
    """Run a project with the words that may follow ``odibi run``, and raise if the run fails.

    One more option, ``--confirm-env ENV``, confirms a run in the protected environment ENV; with another
    environment it confirms nothing. With ``--job-run ID``, a run for the same ID that did not succeed is
    retried: a repair of a job, or a retry of its task, keeps the ID. On Databricks the state folder is a new one on the driver's disk, unless
    ``ODIBI_STATE_DIR`` names one, because workspace files may be read-only.

    Raises:
        ConfigurationError: if the input is wrong; nothing has run.
        RunFailedError: if the run did not succeed. The message names the failed transformations.
    """
    given = list(sys.argv[1:] if words is None else words)
    given, confirmed = _without(given, CONFIRM)
    given, job = _without(given, JOB_RUN)
    arguments = parse(["run", *given])
    arguments.log_level = arguments.log_level or "INFO"
    if confirmed and arguments.env == confirmed:
        arguments.yes = True
    arguments.job = "" if "{{" in job else job  # a text that the scheduler has not replaced
    if is_databricks() and not load_settings().get("state_dir"):
        arguments.state_dir = tempfile.mkdtemp(prefix="odibi-state-")
    result: RunResult | None = execute(arguments, Face()) or None
    if result is None:  # nothing was left to run, and the console shows why
        return
    facts = {"run_id": result.run_id, "status": result["status"], "counts": result.counts()}
    print(readable(json.dumps(facts, ensure_ascii=False)))
    _set_task_values(facts)
    result.raise_for_status()


def _without(words: list[str], option: str) -> tuple[list[str], str]:
    """Return *words* without *option*, and its value."""
    rest, value = [], ""
    remaining = iter(words)
    for word in remaining:
        name, equals, given = word.partition("=")
        if name == option:
            value = given if equals else next(remaining, "")
        else:
            rest.append(word)
    return rest, value


def _set_task_values(facts: dict[str, Any]) -> None:
    """Set the task values that later tasks of a Databricks job can read."""
    if not is_databricks():
        return
    with contextlib.suppress(Exception):  # only a job has task values
        runtime = import_module("databricks.sdk.runtime")  # part of each runtime from 13 on
        for key, value in facts.items():
            runtime.dbutils.jobs.taskValues.set(key=f"odibi_{key}", value=value)
