"""Collect the rows of a plan from the registry, with the problems of their columns."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from odibi_nb.core.model.engine import ENGINES
from odibi_nb.core.model.sql_rows import TEXT, SqlRow, is_sql, place_of, sql_of, sql_row
from odibi_nb.core.model.tables import table_key
from odibi_nb.core.model.transformation import (
    Transformation,
    enabled_from,
    parse_columns,
    row_columns,
)
from odibi_nb.errors import Hints, Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from odibi_nb.core.model.manifest import ProjectManifest
    from odibi_nb.core.planning.plan import PlannedRow, PlanRequest

MAX_QUERIES = 300
"""Most queries in `inputs` that a plan looks at: each takes a millisecond."""


class Planner:
    """Collector of the rows and problems of a plan.

    ``looked_at``   the layers whose rows are parsed: the layers to run. With a selection, all
                    layers of the manifest, because the selection follows dependencies.
    ``rows``        the parsed rows by id, in the registry's order
    ``malformed``   the columns of the rows that cannot be parsed, by id
    ``wrong``       the problems of malformed and duplicate rows, by id; they count if the row runs
    ``planned``     the planned rows by id
    ``problems``    the problems found so far
    ``disabled``    the layer, in lower case, of each disabled id
    ``elsewhere``   the reason why a row does not run, by id
    ``notices``     notes for the user that do not prevent the run
    ``hints``       suggestions for misspelled names, and how many were looked up
    ``lost_layers`` layers that rows name but the manifest does not, with the number of rows
    ``queries``     the SQL of the rows that are a query, by id
    ``idle_tables`` the keys of the tables that disabled rows write
    """

    def __init__(self, manifest: ProjectManifest, request: PlanRequest) -> None:
        self.manifest = manifest
        self.request = request
        self.looked_at = manifest.layer_order if request.selects else request.layers
        self.layers = {layer.casefold(): layer for layer in self.looked_at}
        self.known_layers = {layer.casefold() for layer in manifest.layer_order}
        self.rows: dict[str, Transformation] = {}
        self.malformed: dict[str, dict[str, Any]] = {}
        self.wrong: dict[str, list[Problem]] = {}
        self.planned: dict[str, PlannedRow] = {}
        self.problems: list[Problem] = []
        self.notices: list[str] = []
        self.disabled: dict[str, str] = {}
        self.elsewhere: dict[str, str] = {}
        self.hints = Hints()
        self.lost_layers: dict[str, tuple[str, int]] = {}
        self.queries: dict[str, SqlRow] = {}
        self.idle_tables: set[str] = set()

    def add(self, raw: Mapping[str, Any], number: int) -> None:
        """Add one registry row, or note why it does not run."""
        columns = row_columns(raw)
        identity = str(columns.get("transformation_id") or f"number {number}")
        layer = str(columns.get("layer") or "")
        enabled = enabled_from(columns.get("enabled"))
        if layer and layer.casefold() not in self.layers:
            self.elsewhere[identity] = "its layer is not run"
            if layer.casefold() not in self.known_layers and enabled is not False:
                spelling, count = self.lost_layers.get(layer.casefold(), (layer, 0))
                self.lost_layers[layer.casefold()] = spelling, count + 1
            return
        row, problems = parse_columns(columns, number)
        if enabled is False:
            self.disabled[identity] = layer.casefold()
            self.idle_tables |= {table_key(t.table) for t in row.targets} if row else set()
            if problems:
                self.notices.append(f"disabled row {identity!r} is malformed: {problems[0]}")
        elif row is None:
            self.malformed.setdefault(identity, columns)
            self.wrong.setdefault(identity, []).extend(problems)
        elif identity in self.rows:
            twice = Problem(f"row {identity!r}", "duplicate transformation_id")
            self.wrong.setdefault(identity, []).append(twice)
        else:
            self.rows[identity] = self._finished(row)

    def hint(self, name: str) -> str:
        """Return a suggestion for the unknown id *name*, for the end of a message."""
        return self.hints(name, self.rows)

    def _finished(self, row: Transformation) -> Transformation:
        """Return *row* with the manifest's spelling of its layer and the run's overrides."""
        changes: dict[str, Any] = {}
        layer = self.layers[row.layer.casefold()]
        if layer != row.layer:
            changes["layer"] = layer
        overrides = self.request.overrides.get(row.transformation_id)
        if overrides:
            changes["constants"] = {**row.constants, **overrides}
        row = msgspec.structs.replace(row, **changes) if changes else row
        return self._with_query(row) if is_sql(row) else row

    def _with_query(self, row: Transformation) -> Transformation:
        """Return a SQL row with the present text of its query, and the tables that it reads."""
        found = sql_row(row, self._engine_of(row), self.manifest.folder, self.request.reach)
        if found.problems:
            self.wrong.setdefault(row.transformation_id, []).extend(found.problems)
        self.queries[row.transformation_id] = found
        reads = tuple(key for key, _, _ in found.tables)
        constants = {**row.constants, TEXT: found.text} if found.text else row.constants
        return msgspec.structs.replace(row, constants=constants, query_reads=reads)

    def query_notes(self, names: Collection[str], unclear: Collection[str]) -> Iterator[str]:
        """Yield notes on queries of the rows *names*: refused queries in `inputs`, and tables with misspelled
        names.

        A row's own query is refused by the plan. One in `inputs` only gets a note: the row's function may
        send it to a database. The rows *unclear* have a note already, because a query cannot be parsed.
        """
        queries = [(name, self.queries[name]) for name in names if name in self.queries]
        found = [(name, place_of(self.rows[name].constants), query) for name, query in queries]
        listed = [*islice(self._listed_queries(names), MAX_QUERIES)]
        for name, where, query in listed:
            for wrong in query.problems if name not in unclear else ():
                yield f"row {name!r}: context.read refuses its query: {wrong.message} - at {where}"
        if len(self.looked_at) < len(self.known_layers) or not (found or listed):
            return  # the rows of other layers are not known, or no query names a table
        known = {table_key(t.table) for row in self.rows.values() for t in row.targets}
        hint = Hints()
        for name, where, query in [*found, *listed]:
            for key, table, place in query.tables:
                suggestion = "" if key in known or key in self.idle_tables else hint(key, known)
                if suggestion:
                    yield f"row {name!r}: no row writes {table}{suggestion} - at {where}, {place}"

    def _listed_queries(self, names: Collection[str]) -> Iterator[tuple[str, str, SqlRow]]:
        """Yield row, place and content of each query in the inputs of the rows *names*."""
        for name in names:
            row = self.rows[name]
            for i, item in enumerate(row.inputs):
                text = item.get("sql") if isinstance(item, dict) and not is_sql(row) else None
                if isinstance(text, str) and text.strip():
                    yield name, f"inputs[{i}]", sql_of(text, {}, self._engine_of(row))

    def _engine_of(self, row: Transformation) -> str:
        name = str(row.constants.get("engine") or self.request.engine).lower()
        return name if name in ENGINES else self.request.engine
