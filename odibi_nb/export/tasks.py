"""Tasks of a scheduler that together run a project: one for all, one a layer, or one a row."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odibi_nb.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from odibi_nb.core.planning.plan import RunPlan

PROJECT, LAYER, ROW = "project", "layer", "row"
CONFIRM = "--confirm-env"
"""Option of the job's face with the protected environment that the job may run."""
JOB_RUN = "--job-run"
"""Option of the job's face with the id of the scheduler's run, which a repair of that run keeps."""
_MAX_KEY = 90
"""Longest key of a task: Databricks allows 100 characters, Airflow 250."""
_INTERPOLATED = re.compile(r"\$\{|\{\{|\{%|\{#")
"""Openings of expressions that Databricks bundles, Airflow and GitHub Actions replace in any text."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task: a run of some rows.

    Attributes:
        key: name of the task, in letters, digits, ``_`` and ``-``.
        words: words that follow ``odibi run`` to choose the task's rows; () for all rows.
        after: keys of the tasks that must succeed before.
        alone: False if other tasks of the same project may run at the same time.
    """

    key: str
    words: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    alone: bool = True


def tasks_of(plan: RunPlan, split: str, *, most: int, where: str) -> list[Task]:
    """Return the tasks of *plan*, in an order in which they can run.

    Args:
        plan: the plan of all rows to export.
        split: ``project``, ``layer`` or ``row``.
        most: maximum number of tasks that the scheduler accepts.
        where: name of the scheduler, for messages.

    Raises:
        ConfigurationError: if the plan has too many rows for one task each, or if the scheduler would
            replace a part of a name.
    """
    if split == PROJECT:
        return [Task("run")]
    tasks = _by_layer(plan) if split == LAYER else _by_row(plan)
    if len(tasks) > most:
        count = f"{len(tasks):,} tasks, but {where} accepts {most:,} in one job"
        raise ConfigurationError("export", [f"--split {split} makes {count}: use --split layer"])
    check_names((word for task in tasks for word in task.words), where)
    return tasks


def check_names(names: Iterable[str], where: str) -> None:
    """Raise ConfigurationError if *where* would replace a part of one of *names*."""
    problems = [
        f"{name!r:.200} contains {found[0]!r}, which {where} would replace: rename it"
        for name in names
        if (found := _INTERPOLATED.search(name))
    ]
    if problems:
        raise ConfigurationError("export", problems)


def _by_layer(plan: RunPlan) -> list[Task]:
    tasks: list[Task] = []
    keys = _Keys()
    for layer, rows in plan.by_layer().items():
        if rows:
            after = (tasks[-1].key,) if tasks else ()
            tasks.append(Task(keys.new(layer), (f"--layers={layer}",), after))
    return tasks


def _by_row(plan: RunPlan) -> list[Task]:
    keys = _Keys()
    names = {name: keys.new(name) for name in plan.rows}
    return [
        Task(
            names[name],
            (f"--only={name}",),  # in one word: an id may begin with a dash
            tuple(names[upstream] for upstream in row.upstream if upstream in names),
            alone=False,
        )
        for name, row in plan.rows.items()
    ]


class _Keys:
    """Distinct keys of tasks."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def new(self, name: str) -> str:
        """Return a key for *name* that no other task has, even in another case."""
        plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-")[:_MAX_KEY] or "task"
        key, number = plain, 2
        while key.casefold() in self._taken:
            key, number = f"{plain}_{number}", number + 1
        self._taken.add(key.casefold())
        return key
