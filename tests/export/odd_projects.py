"""Requests for exports of projects whose names, ids, environments and schedules are odd."""

from __future__ import annotations

import itertools
import shlex
from typing import TYPE_CHECKING

from plans import planned

from odibi_nb.commands import parse
from odibi_nb.core.model.manifest import ProjectManifest
from odibi_nb.core.planning.plan import RunPlan
from odibi_nb.export.request import ExportRequest
from odibi_nb.export.schedules import checked_cron
from odibi_nb.export.tasks import LAYER, PROJECT, ROW

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IDS = [
    "-x",
    "--yes",
    "it's",
    'say "x"',
    "a\\b",
    "日本 ☃",
    "a, b",
    "A*",
    "+A+",
    "# no",
    "null",
    "a: b",
    "$HOME",
    "`id`",
    "x.sh",
]
ENVIRONMENTS = {
    "qat": {},
    "prod": {"protected": True},
    "-odd env": {"lake": "${LAKE}", "registry": "${R_2}"},
    "null": {},
    "1": {},
    "日本": {},
}
PROJECTS = ["Plant", 'it\'s "P"', "null", "日本", "1"]
CRONS = ["", "30 5 * * 1-5", "0 6 * * 0", "*/15 2-4 1,15 JAN *"]
LAYERS = ("Bronze", "Silver 1", "it's")
TEXTS = ["", "a: b # c", 'two\nlines "of" it\'s text']
OWNERS = ["owner@example.com", "a team", "日本 'x'"]


def odd_plan() -> RunPlan:
    """A plan of rows with odd ids in three layers, each of which reads every other row of earlier layers."""
    rows = [
        planned(f"{name}{number or ''}", layer=LAYERS[number])
        for number in range(3)
        for name in IDS
    ]
    linked = [
        planned(
            row.id, layer=row.layer, upstream=[r.id for r in rows[:at:2] if r.layer != row.layer]
        )
        for at, row in enumerate(rows)
    ]
    facts = {"project": "P", "env": "qat", "engine": "pandas", "source": "a list"}
    return RunPlan(**facts, layers=LAYERS, rows={row.id: row for row in linked})


def odd_requests(folder: Path) -> Iterator[ExportRequest]:
    """Yield a request for each split with each environment, project and schedule, in a repository each."""
    plan = odd_plan()
    variants = {
        *((env, "Plant", "") for env in ENVIRONMENTS),
        *(("qat", project, "") for project in PROJECTS),
        *(("prod", "Plant", cron) for cron in CRONS),
    }
    numbered = enumerate(itertools.product((PROJECT, LAYER, ROW), sorted(variants)))
    for number, (split, (env, project, cron)) in numbered:
        home = folder / f"repository {number}" / "a project"
        (home.parent / ".git").mkdir(parents=True)
        home.mkdir()
        content = {
            "project": project,
            "environments": ENVIRONMENTS,
            "layer_order": list(LAYERS),
            "owner": OWNERS[number % 3],
            "tags": ["t", "a b", "#x"],
            "description": TEXTS[number % 3],
        }
        yield ExportRequest(
            manifest=ProjectManifest.from_dict(content, path=home / "manifest.json"),
            plan=plan,
            env=env,
            command="odibi export",
            split=split,
            schedule=checked_cron(cron) if cron else (),
        )


def check_tasks(request: ExportRequest, tasks: dict[str, tuple[list[str], list[str]]]) -> None:
    """Check that *tasks* run the rows of *request*, each after the rows or layers before it.

    Args:
        request: the request.
        tasks: of each task, by its key, the words after ``odibi`` and the keys of the tasks before it.
    """
    found = {key: parse(words) for key, (words, _) in tasks.items()}
    if request.split == PROJECT:
        assert [(a.only, a.layers) for a in found.values()] == [(None, None)]
        return
    name = "only" if request.split == ROW else "layers"
    part = {key: getattr(arguments, name) for key, arguments in found.items()}
    assert all(len(one) == 1 for one in part.values())
    graph = {part[key][0]: {part[one][0] for one in before} for key, (_, before) in tasks.items()}
    if request.split == ROW:
        assert graph == {name: set(row.upstream) for name, row in request.plan.rows.items()}
    else:
        first, *rest = zip((None, *LAYERS), LAYERS, strict=False)
        assert graph == {first[1]: set(), **{layer: {before} for before, layer in rest}}


def words_of(command: str) -> list[str]:
    """Return the words after ``odibi`` of a shell command of an export."""
    words = shlex.split(command)
    return words[words.index("odibi_nb") + 1 :]
