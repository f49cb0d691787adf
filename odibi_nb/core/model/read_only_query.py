"""Check that a row's query is one SELECT that only reads.

The first defence is the server's: read-only transactions, protocols that accept a single statement, and
engines without external access. This module refuses queries that would pass all of these defences, such as calls of
functions that access files, other sessions or other servers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.query_tables import parse, shown_sql, table_parts, tokens_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BEGINS = re.compile(r"(?i)[(\s]*(?:select|with|from|values|table)\b")
_NOISE = re.compile(r"'(?:[^']|'')*(?:'|\Z)|--[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_FORBIDDEN_NODES = (
    *("Insert", "Update", "Delete", "Merge", "Into", "MultitableInserts", "TruncateTable"),
    *("Create", "Drop", "Alter", "Grant", "Copy", "LoadData", "Export", "Analyze"),
    *("Command", "Execute", "QueryTransform", "Transaction", "Commit", "Rollback", "Kill"),
    *("Set", "Use", "Declare", "Pragma", "Attach", "Detach", "Cache", "Uncache", "Refresh"),
)
_PG_READS = re.compile(
    r"pg_(?:typeof|size_pretty|size_bytes|backend_pid|is_in_recovery|my_temp_schema|collation_for"
    r"|postmaster_start_time|conf_load_time|describe_object|identify_object\w*|encoding_to_char"
    r"|char_to_encoding|client_encoding|column_size|\w*relation_size|table_size|indexes_size"
    r"|database_size|tablespace_\w+|\w+_is_visible|get_(?:\w+def|expr|userbyid|serial_sequence|keywords"
    r"|function_\w+|constraintdef|partkeydef)|timezone_\w+|column_\w+|stat_get_\w+)"
)
_ACTS = re.compile(
    # PostgreSQL: server files, other servers, other sessions, settings, SQL in text
    r"(?i:lo_\w+|dblink\w*|setval|nextval|set_config|\w*_to_xml\w*|ts_stat|ts_rewrite|crosstab\w*"
    r"|connectby|xpath_table|binary_upgrade_\w+"
    # MySQL, SQLite, SQL Server, Oracle, Snowflake, DuckDB, ClickHouse
    r"|load_file|get_lock|release_\w*locks?|benchmark|sys_exec|sys_eval|load_extension|readfile"
    r"|writefile|edit|fts3_tokenizer|openrowset|openquery|opendatasource|xp_\w+|utl_\w+"
    r"|dbms_\w+|httpuritype|system\$\w+|read_\w+|parquet_scan|query_table|sniff_csv"
    # Spark and Databricks: Java, files, HTTP, secrets
    r"|reflect|try_reflect|java_method|cloud_files|http_request|remote_query|try_secret|secret"
    r"|table_changes_by_path|ai_\w+|identifier)"
)
_TSQL_STATEMENTS = frozenset(
    {
        *("insert", "update", "delete", "merge", "into", "truncate", "writetext", "updatetext"),
        *("create", "alter", "drop", "grant", "revoke", "deny", "enable", "disable", "bulk"),
        *("exec", "execute", "openrowset", "openquery", "opendatasource", "load"),
        *("begin", "commit", "rollback", "save", "set", "setuser", "declare", "use"),
        *("while", "goto", "waitfor", "print", "raiserror", "throw"),
        *("shutdown", "kill", "backup", "restore", "dbcc", "reconfigure", "checkpoint"),
    }
)
_FORMATS = frozenset(
    {
        *("csv", "json", "xml", "text", "excel", "parquet", "orc", "avro", "protobuf"),
        *("delta", "iceberg", "hive", "jdbc", "binaryfile", "image", "libsvm"),
        *("kafka", "rate", "socket", "statestore", "deltasharing", "cloudfiles"),
    }
)
_FORMAT_DOT = re.compile(rf"(?i)\b(?:{'|'.join(sorted(_FORMATS))})\s{{0,9}}\.\s{{0,9}}[\w`\"]+")
_FORMAT_AND_PATH = 2  # of three parts the first is a catalog
_PATH = re.compile(r"[/\\:*]")
_MYSQL_CODE = re.compile(r"/\*M?!|--(?=\S)")
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_UNICODE_NAME = re.compile(r'(?i)\bU&"')
_CALL = re.compile(r'(?<![\w$])[\w$]+(?=["`\]]?\s*\()')
_SCRIPT = re.compile(r"(?i)\busing\s*(?:r\s*)?['\"]")
_CONTINUED = re.compile(r"\\\r?\n")
_SPARK_NOISE = re.compile(
    r"'(?:[^'\\]|\\.)*(?:'|\\?\Z)|\"(?:[^\"\\]|\\.)*(?:\"|\\?\Z)|`[^`]*(?:`|\Z)|--[^\n]*|/\*.*?(?:\*/|\Z)",
    re.DOTALL,
)
_WRITES = re.compile(r"(?i)\b(?:insert|update|delete|merge|into)\b|;")
_SPARK_PATH = re.compile(r"`[^`]*[/\\:][^`]*`")


def why_refused(sql: str, dialect: str, *, alone: bool = False) -> str:
    """Return the reason why *sql* is not one SELECT that only reads; "" if it is one.

    Args:
        sql: a query.
        dialect: sqlglot's name of the SQL dialect; "" for standard SQL.
        alone: True if the driver or server itself accepts only one statement and no writes.
    """
    bare = _NOISE.sub(" ", sql).strip().rstrip(";")
    if not _BEGINS.match(bare):
        return f"a query must be one SELECT, found: {shown_sql(sql) or 'nothing'}"
    trees, why = parse(sql, dialect)
    odd = _odd_text(sql, dialect)
    if odd or trees is None:
        return odd or _unparsed(sql, dialect, why, alone=alone or dialect == "databricks")
    return _of_trees(trees, sql, dialect)


def _of_trees(trees: list[Any], sql: str, dialect: str) -> str:
    import sqlglot.expressions as sx

    if len(trees) != 1 or not isinstance(trees[0], (sx.Query, sx.Values)):
        return f"a query must be one SELECT, found: {shown_sql(sql)}"
    forbidden = tuple(found for name in _FORBIDDEN_NODES if (found := getattr(sx, name, None)))
    if trees[0].find(*forbidden) is not None:
        return f"a query must be one SELECT that only reads - in: {shown_sql(sql)}"
    return _refused_call(_calls(trees[0], sx), sql, dialect)


def files_named(sql: str) -> list[str]:
    """Return the paths in a Spark query, and its table names that mean a file of a format."""
    files = _files_of_formats(sql)
    paths = [path for path in _SPARK_PATH.findall(sql) if not any(path[1:-1] in f for f in files)]
    return [*files, *paths]


def _files_of_formats(sql: str) -> list[str]:
    trees, _ = parse(sql, "databricks")
    if trees is None:
        return [re.sub(r"\s", "", found) for found in _FORMAT_DOT.findall(_NOISE.sub(" ", sql))]
    import sqlglot.expressions as sx

    named = [table_parts(table) for tree in trees for table in tree.find_all(sx.Table)]
    return [
        ".".join(parts)
        for parts in named
        if any(map(_PATH.search, parts)) or _is_format_and_path(parts)
    ]


def _is_format_and_path(parts: tuple[str, ...]) -> bool:
    """Return True if Spark reads a file for a name of these parts: a format or its class, and a path."""
    return len(parts) == _FORMAT_AND_PATH and (parts[0].lower() in _FORMATS or "." in parts[0])


def _odd_text(sql: str, dialect: str) -> str:
    """Return an error message for text that parsers could understand differently; "" otherwise."""
    if dialect == "mysql" and _MYSQL_CODE.search(sql):
        what = "code in comments (/*! */), or -- without a blank after it, which is not a comment"
        return f"a query must not have {what} - in: {shown_sql(sql)}"
    if dialect == "postgres" and _UNICODE_NAME.search(sql):
        return f'a query must not have names in U&"…" - in: {shown_sql(sql)}'
    if dialect == "databricks" and (odd := _odd_on_spark(sql)):
        return odd
    if any("/*" in comment[2:] for comment in _COMMENT.findall(sql)):
        return f"a query must not have a comment in a comment - in: {shown_sql(sql)}"
    if dialect == "tsql" and (word := _statement_word(sql)):
        what = f"{word.upper()} begins another statement"  # it needs no semicolon
        return f"a query must be one SELECT: {what} - in: {shown_sql(sql)}"
    return ""


def _odd_on_spark(sql: str) -> str:
    if _WRITES.search(_SPARK_NOISE.sub(_blank, sql.strip().rstrip(";"))):
        return f"a query must be one SELECT, found: {shown_sql(sql)}"
    if "${" in sql:  # in literals, too; the settings may have the keys of a store
        what = "${…}, which Spark replaces by settings and by variables of the machine"
        return f"a query must not have {what} - in: {shown_sql(sql)}"
    if _CONTINUED.search(sql):
        return f"a query must not have lines that end with a backslash - in: {shown_sql(sql)}"
    return ""


def _blank(found: re.Match[str]) -> str:
    """Hide a literal or comment from the checks, unless its end is missing."""
    closed = found[0].startswith("--") or found[0][-1] in "'\"`/"
    return " x " if closed else found[0]


def _statement_word(sql: str) -> str:
    """Return the first word in T-SQL that must begin another statement; "" without such a word."""
    from sqlglot import TokenType

    tokens = tokens_of(sql, "tsql") or ()  # without tokens, the parser's error is reported
    quoted = {TokenType.STRING, TokenType.NATIONAL_STRING, TokenType.IDENTIFIER}
    words = (token.text for token in tokens if token.token_type not in quoted)
    return next((word for word in words if word.lower() in _TSQL_STATEMENTS), "")


def _unparsed(sql: str, dialect: str, why: str, *, alone: bool) -> str:
    """Return the reason to refuse a query that sqlglot cannot parse; "" if its server is safe alone."""
    if not alone:
        return f"the query cannot be checked, because it cannot be parsed: {why} - in: {shown_sql(sql)}"
    if dialect == "databricks" and _SCRIPT.search(sql):
        return f"a query only reads tables, but this one runs a script - in: {shown_sql(sql)}"
    return _refused_call(_CALL.findall(sql), sql, dialect)


def _acts(name: str, dialect: str) -> bool:
    low = name.lower()
    if dialect == "postgres" and low.startswith("pg_"):
        return not _PG_READS.fullmatch(low)
    return bool(_ACTS.fullmatch(low))


def _refused_call(names: Iterable[str], sql: str, dialect: str) -> str:
    """Return the reason to refuse calls of *names*; "" if they only read."""
    name = next((name for name in names if _acts(name, dialect)), None)
    if name is None:
        return ""
    return f"a query only reads tables, but this one calls {name} - in: {shown_sql(sql)}"


def _calls(tree: Any, sx: Any) -> Iterator[str]:
    for node in tree.find_all(sx.Func):
        yield node.name if isinstance(node, sx.Anonymous) else node.sql_name()
        if isinstance(node.parent, sx.Dot):  # a function of a package, such as utl_http.request
            yield from (name.name for name in node.parent.this.find_all(sx.Identifier))
