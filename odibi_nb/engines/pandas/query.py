"""Run SELECTs over a lake's tables in DuckDB, which cannot reach anything else."""

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
"""Limit of the data that a query may spill to disk, as a multiple of its memory."""
_LEAST_MEMORY = 512 * 2**20


class _Mention(NamedTuple):
    """A table name in a query; *local* is True if the query itself may define the name."""

    parts: tuple[str, ...]
    local: bool


class Limits(NamedTuple):
    """The limits of one query.

    Attributes:
        memory: bytes for DuckDB's work, and as many again for the result.
        threads: number of threads; None for one per CPU.
    """

    memory: int
    threads: int | None = None


def select(sql: str, read: Callable[[TableName], Any], limits: Limits | None = None) -> Any:
    """Run one SELECT and return the result as an Arrow table.

    The query can use the tables that it names and nothing else: no files, no network, no Python
    variables. If the attempt is cancelled or times out, the query is interrupted.

    Args:
        sql: the query in DuckDB's dialect; table names in upper or lower case.
        read: returns a lake table as an Arrow table.
        limits: memory and threads; None for `default_memory` and one thread per CPU.

    Raises:
        DataError: if *sql* is not one SELECT, or the query fails; with DuckDB's reason.
        RevokedError: if the attempt was cancelled, or timed out.
        TableNotFoundError: if the query names a table that does not exist.
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
        stoppable(interrupt),  # outermost: native code also runs when the connection closes
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
        except RuntimeError as exc:  # DuckDB raises this on Ctrl-C
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
    """Read all rows of *relation* in batches, to limit their size: DuckDB's limit excludes results."""
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
    """Return a quarter of the memory that this process may use, at least 512 MiB, in bytes."""
    sizes = []
    with contextlib.suppress(OSError, ValueError, AttributeError):  # Windows has no sysconf
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with contextlib.suppress(OSError, ValueError):  # a container's limit; "max" means no limit
        sizes.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return max(_LEAST_MEMORY, min(sizes, default=4 * _LEAST_MEMORY) // 4)


def _mentions(connection: Any, sql: str, shown: str) -> set[_Mention]:
    # DuckDB's get_table_names also binds the query, which fails for joins with USING. This only parses.
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
    """Yield every object in decoded JSON, at any depth."""
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
    """Create views in DuckDB for the tables that the query names."""
    tables = {".".join(m.parts).lower(): m for m in sorted(mentions)}
    for number, mention in enumerate(tables.values()):
        name = TableName.parse(".".join(mention.parts))
        if len(name.parts) != len(mention.parts):
            raise DataError(f"{mention.parts[-1]!r} is not a table: a query can only read tables")
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
    """Convert DuckDB's 128-bit sums of whole numbers in *table* to int64, or to float64 if too large."""
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
