"""Quote names and texts in SQL, for each kind of engine."""

from __future__ import annotations


def double_quoted(name: str) -> str:
    """Quote *name* for standard SQL, which DuckDB and DataFusion follow."""
    return '"' + name.replace('"', '""') + '"'


def backticked(name: str) -> str:
    """Quote *name* for Spark's SQL."""
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """Quote *text* as a string of standard SQL. Its only escape is the doubled quote."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def spark_literal(text: str) -> str:
    """Quote *text* as a string of Spark's SQL, in which the backslash is the escape."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
