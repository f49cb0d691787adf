"""SELECTs over a lake's tables, by DuckDB, shut off from everything else."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from odibi_nb.core.model.query_tables import shown_sql
from odibi_nb.core.model.tables import TableName
from odibi_nb.core.running.stopping import stoppable
from odibi_nb.core.text.sql_text import double_quoted
from odibi_nb.engines.optional_imports import reason, require
from odibi_nb.engines.pandas.frames import pyarrow
from odibi_nb.errors import DataError, TableNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SHUT = (
    "SET TimeZone = 'UTC'",
    "SET enable_external_access = false",
    "SET python_enable_replacements = false",
)
_BATCH_ROWS = 100_000
_SPILLS = 4
"""How many times its memory a query may put on disk."""
_LEAST_MEMORY = 512 * 2**20


class _Mention(NamedTuple):
    """A table that a query names; *local* if the name may be one that the query itself defines."""

    parts: tuple[str, ...]
    local: bool


class Limits(NamedTuple):
    """What one query may use.

    Attributes:
        memory: bytes, for DuckDB's work and for the result each.
        threads: None for one per CPU.
    """

    memory: int
    threads: int | None = None


def select(sql: str, read: Callable[[TableName], Any], limits: Limits | None = None) -> Any:
    """The result of one SELECT as an Arrow table.

    The SQL sees the tables it names and nothing else: no files, no network, no variables. A query of
    an attempt that is cancelled or timed out ends.

    Args:
        sql: DuckDB's dialect; table names in any case.
        read: gives a lake table as an Arrow table.
        limits: of memory and threads; a part of the machine's if None.

    Raises:
        DataError: if it is not one SELECT, or fails; with DuckDB's reason.
        RevokedError: if the attempt was cancelled, or timed out.
        TableNotFoundError: if it names a table that does not exist.
    """
    require("pandas", "a query on the pandas engine")  # DuckDB looks for it in sys.modules
    duckdb = require("duckdb", "a query on the pandas engine")
    limits = limits or Limits(default_memory())
    shown = shown_sql(sql)
    connections: list[Any] = []

    def interrupt() -> None:
        for connection in connections:
            connection.interrupt()

    with (
        stoppable(interrupt),  # outside: what closes a connection is native code, too
        tempfile.TemporaryDirectory(prefix="odibi-query-", ignore_cleanup_errors=True) as spill,
        duckdb.connect(":memory:", config=_configuration(limits, spill)) as connection,
    ):
        connections.append(connection)
        try:
            for statement in _SHUT:
                connection.execute(statement)
            _show_tables(connection, _mentions(connection, sql, shown), read)
            connection.execute("SET lock_configuration = true")
            relation = connection.sql(sql)
            return _narrow(_result(relation, limits), [str(kind) for kind in relation.types])
        except duckdb.OutOfMemoryException as exc:
            raise DataError(
                f"{_too_much('the query', limits)} ({reason(exc)}) - in: {shown}"
            ) from exc
        except (duckdb.Error, pyarrow().ArrowException) as exc:
            raise DataError(f"the query failed: {reason(exc)} - in: {shown}") from exc
        except RuntimeError as exc:  # what DuckDB makes of Ctrl-C
            if "interrupted" in str(exc).lower():
                raise KeyboardInterrupt from exc
            raise DataError(f"the query failed: {reason(exc)} - in: {shown}") from exc


def _configuration(limits: Limits, spill: str) -> dict[str, str]:
    settings = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "memory_limit": f"{limits.memory}B",
        "temp_directory": spill,
        "max_temp_directory_size": f"{_SPILLS * limits.memory}B",
    }
    return settings if limits.threads is None else {**settings, "threads": str(limits.threads)}


def _result(relation: Any, limits: Limits) -> Any:
    """All rows of *relation*, batch by batch: DuckDB does not count what it hands over."""
    batches, size = [], 0
    # DuckDB 1.4 has only the second name, which warns in 2.0.
    read = getattr(relation, "to_arrow_reader", None) or relation.fetch_record_batch
    reader = read(_BATCH_ROWS)
    for batch in reader:
        size += batch.nbytes
        if size > limits.memory:
            raise DataError(_too_much("the query's result", limits))
        batches.append(batch)
    return pyarrow().Table.from_batches(batches, schema=reader.schema)


def _too_much(what: str, limits: Limits) -> str:
    return (
        f"{what} needs more than {limits.memory / 2**20:,.0f} MB: select fewer rows or columns, or raise "
        "the setting query_memory_mb"
    )


def default_memory() -> int:
    """A quarter of the memory that this process may have, in bytes."""
    sizes = []
    with contextlib.suppress(OSError, ValueError, AttributeError):  # Windows has no sysconf
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with contextlib.suppress(OSError, ValueError):  # a container's limit; "max" is none
        sizes.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return max(_LEAST_MEMORY, min(sizes, default=4 * _LEAST_MEMORY) // 4)


def _mentions(connection: Any, sql: str, shown: str) -> set[_Mention]:
    # DuckDB's get_table_names binds the query, which fails for joins with USING; this only parses.
    found = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()
    try:
        tree = json.loads(found[0][0])
    except RecursionError:
        raise DataError(f"the query failed: it is nested too deeply - in: {shown}") from None
    if tree.get("error_type") == "parser":
        raise DataError(f"the query failed: {tree['error_message']} - in: {shown}")
    if tree["error"] or len(tree["statements"]) != 1:
        raise DataError(f"a query must be one SELECT, found: {shown or 'nothing'}")
    nodes = [*_nodes(tree["statements"])]
    own = {e["key"].lower() for node in nodes for e in node.get("cte_map", {}).get("map", ())}
    names = [
        tuple(
            node[f"{part}_name"] for part in ("catalog", "schema", "table") if node[f"{part}_name"]
        )
        for node in nodes
        if node.get("type") == "BASE_TABLE"
    ]
    return {_Mention(parts, len(parts) == 1 and parts[0].lower() in own) for parts in names}


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object in decoded JSON, at any depth."""
    waiting = [tree]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _show_tables(
    connection: Any, mentions: set[_Mention], read: Callable[[TableName], Any]
) -> None:
    """Make the tables that the query names known under these names."""
    tables = {".".join(m.parts).lower(): m for m in sorted(mentions)}
    for number, mention in enumerate(tables.values()):
        name = TableName.parse(".".join(mention.parts))
        if len(name.parts) != len(mention.parts):
            raise DataError(f"{mention.parts[-1]!r} is not a table: a query sees tables only")
        try:
            connection.register(f"__lake_{number}", read(name))
        except TableNotFoundError:
            if mention.local:
                continue
            raise
        quoted = [double_quoted(part) for part in mention.parts]
        if len(quoted) == len(("catalog", "schema", "table")):
            connection.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {quoted[0]}")
        if len(quoted) > 1:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {'.'.join(quoted[:-1])}")
        connection.execute(f"CREATE VIEW {'.'.join(quoted)} AS FROM temp.main.__lake_{number}")


def _narrow(table: Any, kinds: list[str]) -> Any:
    """*table* with the sums of whole numbers, 128 bits wide in DuckDB, as usual numbers."""
    pa = pyarrow()
    for i, kind in enumerate(kinds):
        if kind in {"HUGEINT", "UHUGEINT"}:
            column = table.column(i)
            try:
                column = column.cast(pa.int64())
            except pa.ArrowInvalid:
                column = column.cast(pa.float64())
            table = table.set_column(i, table.schema.field(i).name, column)
    return table
