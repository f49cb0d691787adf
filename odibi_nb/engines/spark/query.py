"""Check the queries of registry rows on Spark, and find the tables that they read."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.query_tables import (
    DIALECTS,
    parse,
    shown_sql,
    table_parts,
    tables_named,
    tables_read,
)
from odibi_nb.core.model.read_only_query import files_named, why_refused
from odibi_nb.core.model.tables import DEFAULT_SCHEMA, TableName
from odibi_nb.core.text.sql_text import backticked
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from odibi_nb.engines.lake import Lake

_SHARED_VIEWS = "global_temp"


def checked(sql: str, lake: Lake | None) -> str:
    """Check that the query *sql* only reads tables, and return it in one line for messages.

    Raises:
        DataError: if *sql* is not one SELECT that only reads tables. Spark takes a name such as
            ``csv.orders`` for a file, unless *lake* has such a table. Sail always takes it for a file;
            *lake* is None then.
    """
    shown = shown_sql(sql)
    if refused := why_refused(sql, DIALECTS["spark"]):
        raise DataError(refused)
    for name in files_named(sql):
        if lake is None or not _is_in(name, lake):
            raise DataError(f"{name} is not a table: a query can only read tables - in: {shown}")
    return shown


def _is_in(name: str, lake: Lake) -> bool:
    with contextlib.suppress(DataError):  # *name* is a path
        return lake.has(TableName.parse(name)) is True
    return False


def lake_tables(sql: str, lake: Lake) -> list[str]:
    """Return the names in *sql* that are tables of *lake*, in the spelling of *sql*."""
    names = []
    for name in tables_named(sql, "spark"):
        with contextlib.suppress(DataError):  # not a table name
            if lake.has(TableName.parse(name)) is not False:
                names.append(name)
    return sorted(names)


def in_catalog(sql: str, catalog: str, is_temporary: Callable[[str], bool]) -> str:
    """Return *sql* with *catalog* before the names of tables that have none.

    The query then reads the same tables, whatever catalog and schema are current. This matters on
    Connect, which resolves the names again for each action on the DataFrame. Text that sqlglot cannot
    parse is returned unchanged.

    Args:
        sql: a query.
        catalog: the lake's catalog.
        is_temporary: returns True if a name of one part is a temporary view, which has no catalog.
    """
    trees, _ = parse(sql, DIALECTS["spark"])
    prefixes = {}
    for table in tables_read(trees or ()):
        parts = table_parts(table)
        start = table.parts[0].meta.get("start", len(sql))
        stands_there = _stands_at(sql, start, parts[0])
        is_whole = len(parts) > len(("schema", "table")) or parts[0].lower() == _SHARED_VIEWS
        if is_whole or not stands_there:
            continue
        if len(parts) > 1:
            prefixes[start] = f"{backticked(catalog)}."
        elif not is_temporary(parts[0]):
            prefixes[start] = f"{backticked(catalog)}.{backticked(DEFAULT_SCHEMA)}."
    for start in sorted(prefixes, reverse=True):
        sql = f"{sql[:start]}{prefixes[start]}{sql[start:]}"
    return sql


def _stands_at(sql: str, start: int, name: str) -> bool:
    return sql[start:].lstrip("`").startswith(name.replace("`", "``"))


def at_versions(sql: str, versions: Mapping[str, int]) -> tuple[str, frozenset[str]]:
    """Return *sql* with a version after the name of each table, and the keys that it could not mark.

    A table for which the query itself names a version (``VERSION AS OF``) cannot be marked. Text
    that sqlglot cannot parse is returned unchanged.

    Args:
        sql: a query.
        versions: the number of the version by key of the table.
    """
    trees, _ = parse(sql, DIALECTS["spark"])
    if trees is None:
        return sql, frozenset(versions)
    marks, left = {}, set(versions)
    unmarked = set()
    for table in tables_read(trees):
        parts = table_parts(table)
        key = TableName(parts).key
        if key not in versions:
            continue
        left.discard(key)
        end = _end_of(sql, table.parts[-1], parts[-1])
        if end is None or table.args.get("version") or table.args.get("when"):
            unmarked.add(key)
        else:
            marks[end] = f" VERSION AS OF {versions[key]}"
    for end in sorted(marks, reverse=True):
        sql = f"{sql[:end]}{marks[end]}{sql[end:]}"
    return sql, frozenset(unmarked | left)


def _end_of(sql: str, identifier: Any, name: str) -> int | None:
    """Return the position in *sql* right after the *identifier* called *name*; None if it is unclear."""
    start = identifier.meta.get("start")
    if start is None or not _stands_at(sql, start, name):
        return None
    quoted = backticked(name)
    for spelled in (quoted, name):
        if sql.startswith(spelled, start):
            end = start + len(spelled)
            return None if sql[end : end + 1] in {"@", "`"} else end
    return None


def in_full(missing: str, sql: str) -> TableName:
    """Return the full name in *sql* of a *missing* table; Sail's error has only its last part."""
    last = missing.rpartition(".")[2].casefold()
    names = [
        name for name in tables_named(sql, "spark") if name.rpartition(".")[2].casefold() == last
    ]
    return TableName.parse(max(names, key=len, default=missing))
