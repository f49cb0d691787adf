"""SELECTs over a lake's tables, by DuckDB, shut off from everything else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from odibi_nb.core.tables import TableName
from odibi_nb.engines.libraries import reason, require
from odibi_nb.engines.pandas_frames import pyarrow
from odibi_nb.errors import DataError, TableNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SHUT = (
    "SET TimeZone = 'UTC'",
    "SET enable_external_access = false",
    "SET python_enable_replacements = false",
)
_SHOWN_SQL = 120


class _Mention(NamedTuple):
    """A table that a query names; *local* if the name may be one that the query itself defines."""

    parts: tuple[str, ...]
    local: bool


def select(sql: str, read: Callable[[TableName], Any]) -> Any:
    """The result of one SELECT as an Arrow table.

    The SQL sees the tables it names and nothing else: no files, no network, no variables.

    Args:
        sql: DuckDB's dialect; table names in any case.
        read: gives a lake table as an Arrow table.

    Raises:
        DataError: if it is not one SELECT, or fails; with DuckDB's reason.
        TableNotFoundError: if it names a table that does not exist.
    """
    require("pandas", "a query on the pandas engine")  # DuckDB looks for it in sys.modules
    duckdb = require("duckdb", "a query on the pandas engine")
    config = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    shown = " ".join(sql.split())
    shown = shown if len(shown) <= _SHOWN_SQL else shown[: _SHOWN_SQL - 3] + "..."
    with duckdb.connect(":memory:", config=config) as connection:
        try:
            for statement in _SHUT:
                connection.execute(statement)
            _show_tables(connection, _mentions(connection, sql, shown), read)
            connection.execute("SET lock_configuration = true")
            relation = connection.sql(sql)
            return _narrow(relation.to_arrow_table(), [str(kind) for kind in relation.types])
        except duckdb.Error as exc:
            raise DataError(f"the query failed: {reason(exc)} - in: {shown}") from exc


def _mentions(connection: Any, sql: str, shown: str) -> set[_Mention]:
    # DuckDB's get_table_names binds the query, which fails for joins with USING; this only parses.
    found = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()
    tree = json.loads(found[0][0])
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
        quoted = [_quoted(part) for part in mention.parts]
        if len(quoted) == len(("catalog", "schema", "table")):
            connection.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {quoted[0]}")
        if len(quoted) > 1:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {'.'.join(quoted[:-1])}")
        connection.execute(f"CREATE VIEW {'.'.join(quoted)} AS FROM temp.main.__lake_{number}")


def _quoted(part: str) -> str:
    return '"' + part.replace('"', '""') + '"'


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
