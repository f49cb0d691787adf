"""``explain``: one transformation, with everything that affects it. Writes nothing."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from odibi_nb.commands.opening import opened
from odibi_nb.core.functions.registry import SEED_KEYWORDS
from odibi_nb.core.functions.source import source_of
from odibi_nb.core.model.manifest import shown_path
from odibi_nb.core.model.sql_rows import FILE, TEXT, is_sql
from odibi_nb.core.model.tables import TableName, table_key
from odibi_nb.core.rehearsal.rehearsal import SPARK, open_rehearsal
from odibi_nb.core.runlog.history import past_attempts, past_runs
from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.json import as_json
from odibi_nb.core.text.redaction import error_message, redact, redact_text
from odibi_nb.views.inspect.explanation import Explanation, Fact, Section
from odibi_nb.views.records import Records
from odibi_nb.wiring import make_frame

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from odibi_nb.api import GenericProjectOrchestrator
    from odibi_nb.commands.face import Face
    from odibi_nb.core.rehearsal.rehearsal import Rehearsal

RUNS_LOOKED_AT = 50
RUNS_SHOWN = 5
RUN_COLUMNS = ("run_id", "status", "start_time", "duration_seconds", "rows_in", "rows_out", "error")
_CONSTANT = "the row's constants"


def explain(arguments: argparse.Namespace, face: Face) -> Explanation:
    """Explain a row: its function, settings, neighbours, runs and tables."""
    del face
    with opened(arguments) as orchestrator:
        rehearsal = open_rehearsal(orchestrator, arguments.id, to_call=False)
        row = rehearsal.row.transformation
        where = f"{orchestrator.project} · env {orchestrator.env} · {row.layer}"
        sections = (
            Section("registry row", tuple(_row_facts(rehearsal))),
            Section("function", tuple(_function_facts(orchestrator, rehearsal))),
            Section("settings", tuple(_settings(orchestrator, rehearsal, arguments.engine))),
            Section("neighbours", tuple(_neighbours(rehearsal))),
            Section("output tables", tuple(_tables(rehearsal))),
            Section(f"last {RUNS_SHOWN} runs", *_runs(orchestrator, rehearsal)),
        )
        return Explanation(f"{rehearsal.row.id} · {where}", sections)


def _row_facts(rehearsal: Rehearsal) -> Iterator[Fact]:
    row = rehearsal.row.transformation
    for problem in rehearsal.problems:
        yield Fact("✖ problem", str(problem))
    for name in (
        "description",
        "transformation_group_id",
        "entity_1",
        "entity_2",
        "entity_3",
        "step",
    ):
        value = getattr(row, name)
        if value is not None:
            yield Fact(name, str(value))
    yield Fact("inputs", _each(row.inputs))
    constants = redact(row.constants)
    query = constants.pop(TEXT, None) if is_sql(row) else None
    yield Fact("constants", _each([f"{k} = {as_json(v)}" for k, v in constants.items()]))
    if query is not None:
        yield Fact("query", str(query).strip())
    yield Fact("outputs", _each(row.outputs))


def _each(items: list[Any]) -> str:
    return "\n".join(i if isinstance(i, str) else as_json(redact(i)) for i in items) or "none"


def _function_facts(
    orchestrator: GenericProjectOrchestrator, rehearsal: Rehearsal
) -> Iterator[Fact]:
    planned = rehearsal.row
    yield Fact("name", planned.transformation.qualified_function)
    if planned.fn is None:
        yield Fact("found", "no: see the problems above")
        return
    row = planned.transformation
    file = row.constants.get(FILE) if is_sql(row) else None
    if file:
        path = orchestrator.manifest.folder / str(file)
        yield Fact("query's file", shown_path(path), str(path))
    source = source_of(planned.fn)
    if source is not None:
        text = f"{shown_path(source.file)}:{source.line}"
        yield Fact("file", text, str(source.file), source.line)
    yield Fact("signature", _declared(planned.fn))
    values = {
        "inputs": row.inputs,
        "constants": row.constants,
        "outputs": row.outputs,
        "env": row.environment,
    }
    for name in SEED_KEYWORDS:
        if name in planned.keywords:
            text = (
                as_json(redact(values[name]))
                if name in values
                else _given(orchestrator, rehearsal, name)
            )
            yield Fact(f"{name} =", text)
    unused = [name for name in SEED_KEYWORDS if name not in planned.keywords]
    if unused:
        yield Fact("not passed", ", ".join(unused))
    doc = inspect.getdoc(planned.fn)
    if doc:
        yield Fact("docstring", doc)


def _declared(fn: Callable[..., Any]) -> str:
    """Return the signature of *fn*. Annotations that are strings appear without quotes."""
    found = inspect.signature(fn)
    bare = [p.replace(annotation=_unquoted(p.annotation)) for p in found.parameters.values()]
    shown = found.replace(parameters=bare, return_annotation=_unquoted(found.return_annotation))
    return f"{getattr(fn, '__name__', '?')}{shown}"


class _Text(str):
    """Text whose repr has no quotes."""

    __slots__ = ()
    __repr__ = str.__str__


def _unquoted(annotation: Any) -> Any:
    return _Text(annotation) if isinstance(annotation, str) else annotation


def _given(orchestrator: GenericProjectOrchestrator, rehearsal: Rehearsal, name: str) -> str:
    if name == "spark":
        engines = {orchestrator.engine, rehearsal.row.engine}
        has_one = SPARK in engines or orchestrator.place().session.spark is not None
        return "the Spark session" if has_one else "None"
    return "the ExecutionContext"


def _settings(
    orchestrator: GenericProjectOrchestrator, rehearsal: Rehearsal, asked_engine: str | None
) -> Iterator[Fact]:
    row, constants = rehearsal.row, rehearsal.row.transformation.constants
    engine_from = (
        _CONSTANT if constants.get("engine") else orchestrator.engine_setting(asked_engine).source
    )
    yield Fact("engine", f"{row.engine} ({engine_from})")
    layer = orchestrator.manifest.layers.get(row.layer)
    layer_retry = dict(layer.retry) if layer is not None else {}
    of_layer = f"layer {row.layer} in the manifest"
    own = constants.get("retry")
    retry_from = [_CONSTANT] if own is not None else []
    retry_from += [of_layer] if layer_retry else []
    policy = row.retry
    yield Fact(
        "retry",
        f"{policy.max_retries} {'retry' if policy.max_retries == 1 else 'retries'}, the first after "
        f"{policy.base_delay:g} s "
        f"({', then '.join([*retry_from, 'default'])})",
    )
    if row.timeout_seconds is None:
        yield Fact("timeout", "none (default)")
    else:
        where = _CONSTANT if constants.get("timeout_seconds") is not None else of_layer
        yield Fact("timeout", f"{row.timeout_seconds:g} s ({where})")
    for name in ("priority", "depends_on"):
        if name in constants:
            yield Fact(name, f"{as_json(constants[name])} ({_CONSTANT})")
    if row.expected_seconds is not None:
        yield Fact("usual time", f"{row.expected_seconds:,.2f} s (median of its last successes)")


def _neighbours(rehearsal: Rehearsal) -> Iterator[Fact]:
    rows, me = rehearsal.plan.rows, rehearsal.row
    mine = {table_key(output.table) for output in me.transformation.targets}
    for other in me.upstream:
        theirs = {table_key(o.table) for o in rows[other].transformation.targets}
        yield Fact(f"← {other}", _why(theirs & set(me.reads)))
    step = rehearsal.plan.step_of(me)
    before = [s for s in rehearsal.plan.steps().get(me.layer, ()) if step is not None and s < step]
    for other_step in before[-1:]:
        yield Fact(f"← step {other_step}", f"all its rows: {me.layer} is ordered by step")
    for name, row in rows.items():
        if me.id in row.upstream:
            yield Fact(f"→ {name}", _why(mine & set(row.reads)))
    for table in sorted(set(me.reads) - rehearsal.producers.keys()):
        yield Fact("←", f"{table}, which no transformation makes")


def _why(tables: set[str]) -> str:
    return f"through {', '.join(sorted(tables))}" if tables else "depends_on"


def _tables(rehearsal: Rehearsal) -> Iterator[Fact]:
    for output in rehearsal.row.transformation.targets:
        keys = f" by {', '.join(output.keys)}" if output.keys else ""
        details = rehearsal.captured.tables.details(TableName.parse(output.table))
        if details is None:
            yield Fact(output.table, f"{output.mode}{keys}; does not exist yet")
            continue
        rows = "rows unknown" if details.rows is None else counted(details.rows, "row")
        at = f" on {details.modified_at:%Y-%m-%d %H:%M:%S} UTC" if details.modified_at else ""
        who = f" by {details.transformation_id} in run {details.run_id}" if details.run_id else ""
        version = "unknown" if details.version is None else details.version
        columns = ", ".join(f"{name}: {kind}" for name, kind in details.columns.items())
        text = f"{output.mode}{keys}; {rows}, version {version}, written{at}{who}\n{columns}"
        yield Fact(output.table, text)


def _runs(
    orchestrator: GenericProjectOrchestrator, rehearsal: Rehearsal
) -> tuple[tuple[Fact, ...], Records | None]:
    try:
        runs = past_runs(
            orchestrator.sinks(), RUNS_LOOKED_AT, orchestrator.project, orchestrator.env
        )
        rows = past_attempts(orchestrator.sinks(), [run["run_id"] for run in runs])
    except Exception as exc:  # noqa: BLE001  the rest is useful without the log
        return (Fact("unknown", error_message(exc)),), None
    order = {run["run_id"]: i for i, run in enumerate(runs)}
    mine = [row for row in rows if row["transformation_id"] == rehearsal.row.id]
    last = {row["run_id"]: row for row in sorted(mine, key=lambda r: r["attempt"] or 0)}
    shown = [last[run_id] for run_id in sorted(last, key=order.__getitem__)][:RUNS_SHOWN]
    if not shown:
        return (Fact("none", "it has not run yet"),), None
    records = [{**row, "error": _error(row)} for row in shown]
    return (), Records("runs", RUN_COLUMNS, records, make_frame)


def _error(row: dict[str, Any]) -> str:
    message = redact_text(row["error_message"] or "")
    return f"{row['error_type']}: {message}" if row["error_type"] else message
