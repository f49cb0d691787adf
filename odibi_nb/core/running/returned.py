"""Write the return value of a function to the row's outputs, and find unwritten outputs."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.check_result import NOT_WRITTEN, CheckResult
from odibi_nb.core.model.checks import QUARANTINE
from odibi_nb.core.model.provenance import OutputWritten
from odibi_nb.core.model.tables import TableName, table_key
from odibi_nb.core.protocols import Change, watch_tables
from odibi_nb.core.running.check_evaluation import quarantine_output, rules_for
from odibi_nb.core.running.context import remedy
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from odibi_nb.core.model.transformation import Output, Transformation
    from odibi_nb.core.protocols import TableEngine, Watch
    from odibi_nb.core.running.context import ExecutionContext

_LOOK_BACK = 50
"""Number of newest commits among which an attempt's own are looked for."""
_WHAT_TO_DO = 'return its DataFrame, or give the output "optional": true in the row'


def take_back_earlier(transformation: Transformation, context: ExecutionContext) -> None:
    """Remove the data that earlier attempts appended to the outputs, before the function reads them.

    Two kinds of functions need this. A function that appends only data newer than its table's would find
    the failed attempt's data and append nothing. A function that writes nothing to a table this time would
    leave the failed attempt's data in it.

    Raises:
        DataError: if the data of earlier attempts cannot be identified; nothing was written.
    """
    info = context.write_info()
    take_back = getattr(context.tables, "take_back", None)
    if take_back is None or not info.run_id or (info.attempt <= 1 and not info.repairs):
        return
    for target in transformation.targets:
        if target.mode == "append":
            take_back(target, info)
        if any(rule.on_fail == QUARANTINE for rule in rules_for(context.checks, target.table)):
            take_back(quarantine_output(target), info)


def watch_outputs(transformation: Transformation, context: ExecutionContext) -> Watch:
    """Watch the row's outputs from before the call of its function, which may write them itself."""
    targets = transformation.targets
    if context.tables is None or not targets:
        return lambda _: Change.UNKNOWN
    return watch_tables(context.tables, [TableName.parse(target.table) for target in targets])


def write_returned(returned: Any, transformation: Transformation, context: ExecutionContext) -> str:
    """Write a returned DataFrame to the row's one output, or each of ``{table: DataFrame}``.

    Nothing is written unless the row has an output for every DataFrame. Other return values are not an
    error here: a function that has written its outputs may return any value, as in the seed.

    Returns:
        The reason why no output can take the return value; "" if it is None or was written.

    Raises:
        DataError: if the row has no output for a returned DataFrame.
    """
    if returned is None:
        return ""
    _refuse_unfinished(returned)
    tables = context.tables
    if tables is None:
        return ""
    if tables.is_frame(returned):
        found = {transformation.targets[0].table: returned} if transformation.targets else {}
        if len(transformation.targets) != 1 and not transformation.output_problems:
            raise DataError(
                "the function returned one DataFrame, but its row has "
                f"{len(transformation.targets)} outputs: return {{table: DataFrame}}"
            )
    elif isinstance(returned, Mapping):
        found = {name: value for name, value in returned.items() if value is not None}
        if not found:
            return ""
        if not any(tables.is_frame(value) for value in found.values()):
            return _refusal(returned, transformation)
    else:
        return _refusal(returned, transformation)
    targets = {table_key(target.table): target for target in transformation.targets}
    problems = [*_misfits(found, transformation, tables)]
    if problems:
        raise DataError("; ".join(problems))
    for name, frame in found.items():
        context.write(frame, targets[table_key(str(name))])
    return ""


def _refuse_unfinished(returned: Any) -> None:
    """Raise DataError for a coroutine or generator: the function has not done its work yet."""
    if inspect.iscoroutine(returned) or inspect.isgenerator(returned):
        kind = "coroutine" if inspect.iscoroutine(returned) else "generator"
        returned.close()  # otherwise Python warns later that it was never awaited
    elif inspect.isasyncgen(returned):
        kind = "generator"
    elif inspect.isawaitable(returned):
        kind = f"{type(returned).__name__} to await"
    else:
        return
    raise DataError(
        f"the function returned a {kind}, which has not run its code yet: run it in the function, and "
        "return the DataFrame"
        + (", with asyncio.run(...) if necessary" if kind != "generator" else "")
    )


def _misfits(
    found: Mapping[Any, Any], transformation: Transformation, tables: TableEngine
) -> Iterator[str]:
    """Yield reasons why the runner cannot write *found*, name to DataFrame, to the row's outputs."""
    if transformation.output_problems:
        what = "; ".join(map(str, transformation.output_problems))
        yield f"the function returned DataFrames that the runner cannot write to its row's outputs: {what}"
    targets = {table_key(target.table): target.table for target in transformation.targets}
    unknown = [name for name in found if _key(name) not in targets]
    if unknown and not transformation.output_problems:
        names, known = ", ".join(map(repr, unknown)), ", ".join(targets.values()) or "none"
        yield f"the function returned {names}, but its row's outputs are: {known}"
    keys = [_key(name) for name in found if name not in unknown]
    for key in dict.fromkeys(key for key in keys if keys.count(key) > 1):
        yield f"the function returned more than one DataFrame for {targets[key]}"
    for name, value in found.items():
        if not tables.is_frame(value):
            yield f"the function returned {_described(value)} for {name!r}{remedy(value)}"


def _key(name: Any) -> str:
    try:
        return table_key(str(name))
    except DataError:
        return ""


def _refusal(returned: Any, transformation: Transformation) -> str:
    outputs = ", ".join(target.table for target in transformation.targets)
    advice = remedy(returned) or ": return a DataFrame, {table: DataFrame}, or nothing"
    return f"the function returned {_described(returned)}, which {outputs} cannot hold{advice}"


def _described(value: Any) -> str:
    """Describe the type of *value*, without its content."""
    cls = type(value)
    home = cls.__module__.partition(".")[0]
    name = cls.__name__ if home == "builtins" else f"{home} {cls.__name__}"
    article = "an" if name[:1].lower() in "aeio" else "a"
    if isinstance(value, (list, tuple)) and value:
        return f"{article} {name} of {len(value):,} {type(value[0]).__name__}"
    return f"{article} {name}"


def record_own_writes(
    transformation: Transformation,
    context: ExecutionContext,
    watch: Watch,
    began: dt.datetime | None,
) -> None:
    """Record in *context* the outputs that the function has written itself, without it.

    *watch* is from `watch_outputs`, *began* is the start of the attempt.
    """
    recorded = {written.table for written in context.provenance.outputs_written}
    for target in transformation.targets:
        table = TableName.parse(target.table)
        if table.key in recorded or table.key in transformation.elsewhere:
            continue
        with contextlib.suppress(Exception):  # a row must not fail because of its record
            if watch(table) is Change.WRITTEN:
                written = _own_write(target, table, context, watch, began)
                if written is not None:
                    context.provenance.wrote(written)


def _own_write(
    target: Output,
    table: TableName,
    context: ExecutionContext,
    watch: Watch,
    began: dt.datetime | None,
) -> OutputWritten | None:
    """Return the record of a table that was written since *began*; None if only other attempts wrote it."""
    engine: Any = context.tables
    newest = engine.versions([table]).get(table.key)
    if newest is None:
        return OutputWritten(table=table.key, mode=target.mode)
    known = getattr(watch, "version_before", None)
    before = None if known is None else known(table)
    if before is not None and before >= newest.version:
        before = None  # the table was dropped and created again
    commits = engine.commits(
        table, down_to=max(0, newest.version - _LOOK_BACK, 0 if before is None else before + 1)
    )
    if known is None and began is not None:
        since = [commit for commit in commits if commit.at is not None and commit.at >= began]
        commits = since or commits[:1]
        before = commits[-1].version - 1 if commits and commits[-1].version else None
    own = context.run_id, context.transformation_id
    if commits and all(c.run_id and (c.run_id, c.transformation_id) != own for c in commits):
        return None
    return OutputWritten(
        table=table.key,
        mode=target.mode,
        version=newest.version,
        previous_version=before,
        table_id=newest.table_id,
    )


def check_written(
    refused: str,
    transformation: Transformation,
    context: ExecutionContext,
    watch: Watch,
    *,
    required: bool,
) -> None:
    """Find the outputs that neither the runner nor the function wrote while the function ran.

    Args:
        refused: the reason why the return value cannot be written, from `write_returned`.
        transformation: the row.
        context: has the runner's `writes`, and gets the results.
        watch: from `watch_outputs`. A write by any process counts: the table has new data.
        required: raise an error for an output that was not written, instead of a warning.

    Raises:
        DataError: if an output was not written, and *refused* is set or outputs are required.
        RevokedError: if an output was not written because the attempt was revoked.
    """
    written = {table_key(use.name) for use in context.writes}
    missing: dict[Output, Change] = {}
    for target in transformation.targets:
        key = table_key(target.table)
        if key in written or key in transformation.elsewhere:
            continue
        if refused or not target.optional:
            change = watch(TableName.parse(target.table))
            if change is not Change.WRITTEN:
                missing[target] = change
    if not missing:
        return
    context.control.check()
    if refused:
        raise DataError(refused)
    results = [
        CheckResult(check="output", table=t.table, status=NOT_WRITTEN, message=_why(t, change))
        for t, change in missing.items()
        if change is not Change.UNKNOWN
    ]
    if results and required:
        problems = "; ".join(map(str, results))
        raise DataError(f"{problems} (the manifest sets outputs_required)")
    context.check_results += results


def _why(target: Output, change: Change) -> str:
    states = {Change.ABSENT: "the table does not exist", Change.REMOVED: "the table is gone"}
    how = states.get(change, "the table is unchanged")
    return f"the function neither returned nor wrote {target.table}, and {how}: {_WHAT_TO_DO}"
