"""Tables that a row's SQL query reads.

sqlglot parses the query in the engine's dialect. The engine may understand a query that sqlglot cannot
parse. In that case the names come from a search in the text, which finds too many rather than too few.
"""

from __future__ import annotations

import operator
import re
from functools import lru_cache, partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.tables import DEFAULT_SCHEMA, MOST_PARTS, TableName

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

DIALECTS = {"pandas": "duckdb", "spark": "databricks"}
"""Engine to the dialect of its queries; Databricks' dialect includes Spark's."""
SHOWN_SQL = 120
LONGEST = 200_000
"""Longest text to parse, so that a plan does not wait."""
_QUERY = re.compile(
    r"(?i)[(\s]*(?:select|with|from|values|table|pivot|unpivot|summarize|describe)\b"
)
_NOISE = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_NAME = re.compile(r"[\w`\"\[\].]+")
_DOT = re.compile(r"\s{0,20}\.\s{0,20}")
_QUOTES = re.compile(r'[`"\[\]]')
_ODD_QUOTED = re.compile(r'"[^"]*[^\w"][^"]*"|`[^`]*[^\w`][^`]*`')
_TABLE_PLACE = re.compile(r"(?i)\b(?:from|join)\s+([\w`\"\[\].]+)")
_OTHER_FROM = re.compile(r"(?i)\b(?:extract|trim|substring|overlay|position|distinct)\b")


def shown_sql(sql: str) -> str:
    """Return the query *sql* as one short line, for messages."""
    line = " ".join(sql.split())
    return line if len(line) <= SHOWN_SQL else f"{line[: SHOWN_SQL - 3]}..."


def keys_read(sql: str, engine: str, known: Container[str]) -> tuple[set[str], str]:
    """Return the keys in *known* of the tables that *sql* reads, and why they are only guessed.

    The reason is "" if the keys are certain.

    Args:
        sql: a query.
        engine: engine that sets the SQL dialect.
        known: keys of tables, as `TableName.key`.
    """
    text = _DOT.sub(".", _NOISE.sub(" ", sql))
    odd = _ODD_QUOTED.search(text)
    names = {_QUOTES.sub("", name).lower() for name in _NAME.findall(text)}
    candidates = {key for n in names for key in (n, f"{DEFAULT_SCHEMA}.{n}") if key in known}
    if not odd and (not candidates or _plainly_read(text, candidates, names)):
        # Parsing takes a third of a millisecond, and a plan has thousands of rows.
        return candidates, ""
    tables, why = tables_in(sql, DIALECTS.get(engine, engine))
    if tables is None:
        return candidates, why
    keys = {TableName(parts).key for parts in tables if len(parts) <= MOST_PARTS}
    return {key for key in keys if key in known}, ""


def _plainly_read(text: str, candidates: set[str], names: set[str]) -> bool:
    """Return True if each of *candidates* follows FROM or JOIN and can only be a table there."""
    if _OTHER_FROM.search(text):
        return False
    read = {_QUOTES.sub("", name).lower() for name in _TABLE_PLACE.findall(text)}
    aliases = {name.rpartition(".")[2] for name in names}
    return all(
        name in read and aliases.isdisjoint(name.split(".")[:-1]) and "." in name
        for name in candidates
    )


def mentions(sql: str) -> set[str]:
    """Return all names in *sql* outside literals and comments, in their spelling. A dotted name is one name."""
    text = _DOT.sub(".", _NOISE.sub(" ", sql))
    return {_QUOTES.sub("", name) for name in _NAME.findall(text)}


def tables_named(sql: str, engine: str) -> set[str]:
    """Return the dotted names of the tables that *sql* reads, in their spelling. If that is unclear, return all names."""
    tables, _ = tables_in(sql, DIALECTS.get(engine, engine))
    return mentions(sql) if tables is None else {".".join(parts) for parts in tables}


@lru_cache(maxsize=1 << 14)
def tables_in(sql: str, dialect: str) -> tuple[frozenset[tuple[str, ...]] | None, str]:
    """Return the names of the tables that *sql* reads, in parts, and "".

    CTEs that the query defines itself are not included. If sqlglot cannot parse the query, return None
    and the reason.
    """
    if not _QUERY.match(_NOISE.sub(" ", sql)):
        return None, ""  # not a query: its engine will report that
    trees, why = parse(sql, dialect)
    if trees is None:
        return None, why
    return frozenset(map(table_parts, tables_read(trees))), ""


def tables_read(trees: Iterable[Any]) -> Iterator[Any]:
    """Yield the parsed tables in *trees* except CTEs, once for each place that names them."""
    import sqlglot.expressions as sx

    for tree in trees:
        for table in tree.find_all(sx.Table):
            parts = table_parts(table)
            if not parts or (len(parts) == 1 and _is_own(table, sx.With)):
                continue
            if not table.find_ancestor(sx.Hint):  # a hint only refers to tables of the query
                yield table


@lru_cache(maxsize=8)
def parse(sql: str, dialect: str) -> tuple[list[Any] | None, str]:
    """Return sqlglot's tree of each statement in *sql*, or None and the reason of a parse error.

    The checks of one query share its trees, so callers must not change them.
    """
    if len(sql) > LONGEST:
        return None, f"it has more than {LONGEST:,} characters"
    import sqlglot

    try:
        return [tree for tree in sqlglot.parse(sql, dialect=dialect) if tree is not None], ""
    except RecursionError:
        return None, "it is nested too deeply"
    except Exception as exc:  # noqa: BLE001  a parser of untrusted text may raise anything
        errors = getattr(exc, "errors", None)
        if errors:
            found = errors[0]
            return None, f"{found['description'].rstrip('.')} (line {found['line']})"
        return None, " ".join(str(exc).split())[:SHOWN_SQL] or type(exc).__name__


def tokens_of(sql: str, dialect: str) -> list[Any] | None:
    """Return sqlglot's tokens of *sql*; None if it has none, because a quote or a comment does not end."""
    import sqlglot

    try:
        return sqlglot.tokenize(sql, read=dialect)
    except Exception:  # noqa: BLE001  a parser of untrusted text may raise anything
        return None


def table_parts(table: Any) -> tuple[str, ...]:
    """Return the parts of a parsed table's name; () for a table function."""
    names = table.parts
    return tuple(p.name for p in names) if all(p.key == "identifier" for p in names) else ()


def _is_own(table: Any, with_: Any) -> bool:
    """Return True if *table*, whose name has one part, refers to a CTE in its scope."""
    name = table.name.casefold()
    return any(cte.alias.casefold() == name for cte in _visible(table, with_))


def _visible(node: Any, with_: Any) -> Iterator[Any]:
    """Yield the CTEs in the scope of *node*. Only a recursive CTE sees itself and later CTEs."""
    child, parent = node, node.parent
    while parent is not None:
        if isinstance(parent, with_):
            ctes = parent.expressions
            recursive = parent.args.get("recursive")
            yield from ctes if recursive else takewhile(partial(operator.is_not, child), ctes)
        else:
            own = next((v for v in parent.args.values() if isinstance(v, with_)), None)
            if own is not None and own is not child:
                yield from own.expressions
        child, parent = parent, parent.parent
