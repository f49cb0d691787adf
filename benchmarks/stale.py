"""Cost of a second run without changes: a run of the stale rows, and the status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmarks.figures import Figure, compared, shown
from benchmarks.timing import seconds_of
from odibi_nb import GenericProjectOrchestrator
from odibi_nb.sources.table import registry_in_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from odibi_nb.core.model.results import RunResult

NAME = "Stale"
LIMIT = 2.0
FUNCTIONS = "def passed_on(inputs, context):\n    return context.read(inputs[0])\n"


def unchanged_run(folder: Path, rows: int) -> Iterator[Figure]:
    """`run(stale=True)` and `status` of pandas rows on Delta tables, against the first run.

    Each row reads a file or the table of another row, and writes a Delta table of a hundred rows. The
    first run writes all tables; the second finds that nothing has changed, and commits nothing.
    """
    orchestrator = _project(folder, rows)
    first = seconds_of(lambda: orchestrator.run().raise_for_status())
    commits = _commits(folder)
    results: list[RunResult] = []
    second = seconds_of(lambda: results.append(_opened(folder).run(stale=True)))
    status = seconds_of(lambda: _opened(folder).status())
    assert not results[0].transformations, results[0].summary()
    yield compared(
        f"second run of {rows:,} unchanged rows",
        [second],
        [first],
        peer="the first run",
        at_most=0.15,
    )
    made = _commits(folder) - commits
    yield Figure(
        name="commits of the second run",
        ours=str(made),
        baseline="–",
        wanted="0",
        holds=made == 0,
    )
    for name, seconds in (("the second run", second), (f"status of {rows:,} rows", status)):
        yield Figure(
            name=name, ours=shown(seconds), baseline="–", wanted="≤ 2 s", holds=seconds <= LIMIT
        )


def _commits(folder: Path) -> int:
    return sum(1 for _ in (folder / "lake").rglob("_delta_log/*.json"))


def _opened(folder: Path) -> GenericProjectOrchestrator:
    return GenericProjectOrchestrator(
        NAME, "qat", manifest_path=folder / "manifest.json", log_level="CRITICAL"
    )


def _project(folder: Path, rows: int) -> GenericProjectOrchestrator:
    folder.mkdir(parents=True, exist_ok=True)
    environment = {"engine": "pandas", "registry": "sqlite:///registry.db", "lake": "lake"}
    manifest = {
        "project": NAME,
        "layer_order": ["Bronze", "Silver_1"],
        "environments": {"qat": environment},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "passing.py").write_text(FUNCTIONS)
    (folder / "raw.csv").write_text("x\n" + "1\n" * 100)
    registry = registry_in_database("sqlite:///registry.db", folder=folder)
    registry.create()
    registry.upsert([_row(number, rows) for number in range(rows)])
    return _opened(folder)


def _row(number: int, rows: int) -> dict[str, Any]:
    first = number < rows // 2
    return {
        "transformation_id": f"T_{number}",
        "project": NAME,
        "environment": "qat",
        "layer": "Bronze" if first else "Silver_1",
        "module": "odibi_nb.ingest" if first else "passing",
        "function": "load_csv" if first else "passed_on",
        "inputs": [] if first else [f"bronze.t{number - rows // 2}"],
        "constants": {"source": "raw.csv"} if first else {},
        "outputs": [{"table": f"{'bronze' if first else 'silver'}.t{number}"}],
        "enabled": 1,
    }
