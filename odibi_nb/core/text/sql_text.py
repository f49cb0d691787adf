"""Names and texts in SQL: each quoted in one way for each kind of engine."""

from __future__ import annotations


def double_quoted(name: str) -> str:
    """*name* as standard SQL quotes it, and with it DuckDB and DataFusion."""
    return '"' + name.replace('"', '""') + '"'


def backticked(name: str) -> str:
    """*name* as Spark's SQL quotes it."""
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """*text* as a string of standard SQL, which knows no escape but the doubled quote."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def spark_literal(text: str) -> str:
    """*text* as a string of Spark's SQL, in which a backslash escapes."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
