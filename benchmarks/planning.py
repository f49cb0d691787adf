"""Cost of a plan, against fetching and decoding its rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import sqlalchemy as sa

from benchmarks.figures import compared
from benchmarks.project import ENV, NAME, Project, row
from benchmarks.timing import seconds_of, side_by_side
from odibi_nb.sources.table import registry_in_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from benchmarks.figures import Figure

LAYERS = ("Bronze", "Silver_1", "Gold_1")


def plan(folder: Path, rows: int, turns: int) -> Iterator[Figure]:
    """`GenericProjectOrchestrator.plan` of a registry in SQLite, against fetching and ``json.loads``.

    The rows are in three layers; each has one or two inputs (tables of the layer before, files in
    Bronze), five constants and an output. Ours is the manifest, the query with its look at the
    table's columns, parsing and checking, functions, graph and ranks. The baseline is SQLAlchemy's
    query for the same columns and rows in the same order, and ``json.loads`` of the three JSON
    columns of each row.
    """
    folder.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{folder / 'registry.db'}"
    registry = registry_in_database(url)
    registry.create()
    registry.upsert(_rows(rows))
    project = Project(folder, registry, LAYERS)

    def ours() -> float:
        plans = []
        seconds = seconds_of(lambda: plans.append(project.orchestrator().plan()))
        plans[0].raise_for_problems()
        return seconds

    planned, fetched = side_by_side(
        [ours, lambda: seconds_of(lambda: _fetch_and_decode(url))], turns
    )
    yield compared(
        f"plan of {rows:,} rows",
        planned,
        fetched,
        peer="SQLAlchemy fetch + json.loads",
        at_most=3.0,
        rows=(rows, rows),
    )


def _rows(count: int) -> list[dict[str, Any]]:
    """A third of *count* in each layer; the later ones read one or two tables of the layer before."""
    per_layer = count // len(LAYERS) + 1
    made = []
    for i in range(count):
        depth, number = divmod(i, per_layer)
        upstream = [number, (number + 1) % per_layer][: 1 + number % 2]
        inputs = (
            [f"{LAYERS[depth - 1]}.table_{n}" for n in upstream]
            if depth
            else [f"adls://raw/sensors_{n}.csv" for n in upstream]
        )
        constants = {
            "timestamp_column": "measured_at",
            "interval_minutes": 15,
            "drop_nulls": True,
            "limits": [0, 1500.5],
            "time_zone": "America/Denver",
        }
        outputs = [{"table": f"{LAYERS[depth]}.table_{number}", "mode": "overwrite"}]
        made.append(
            row(
                number,
                "nothing",
                layer=LAYERS[depth],
                inputs=inputs,
                constants=constants,
                outputs=outputs,
            )
        )
    return made


def _fetch_and_decode(url: str) -> list[tuple[Any, ...]]:
    query = sa.text(
        "SELECT transformation_id, project, environment, layer, entity_1, entity_2, module,"
        ' "function", enabled, inputs, constants, outputs FROM TransformationRegistry'
        " WHERE lower(project) = lower(:project) AND environment = :env"
        " ORDER BY project, environment, transformation_id"
    )
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        return [
            (*values, json.loads(inputs), json.loads(constants), json.loads(outputs))
            for *values, inputs, constants, outputs in connection.execute(
                query, {"project": NAME, "env": ENV}
            )
        ]
