"""Queries that are one SELECT that only reads, for databases whose protocol cannot enforce it."""

import pytest

from odibi_nb.core.model.read_only_query import files_named, why_refused


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        ("tsql", "SELECT 1 DELETE FROM t"),
        ("tsql", "SELECT a FROM t EXEC xp_cmdshell 'dir'"),
        ("tsql", "SELECT a FROM t SHUTDOWN"),
        ("tsql", "SELECT 1 COMMIT"),
        ("tsql", "SELECT 1 AS a DROP TABLE t"),
        ("tsql", "SELECT 1 a TRUNCATE TABLE t"),
        ("tsql", "SELECT * FROM OPENROWSET(BULK 'c:/x', SINGLE_CLOB) AS x"),
        ("tsql", "SELECT 1 WAITFOR DELAY '1:00'"),
        ("tsql", "SELECT 1 sp_who 2"),
        ("tsql", "SELECT * INTO u FROM t"),
        ("tsql", "SELECT \"a'b\" FROM t SHUTDOWN --'"),
        ("mysql", "SELECT \"a'b\" INTO OUTFILE '/tmp/x'"),
        ("mysql", "SELECT 1 --1 INTO OUTFILE '/tmp/x'"),
        ("mysql", "SELECT 1 /* /* */ INTO OUTFILE '/tmp/x' -- */"),
        ("mysql", "SELECT 1 /*! INTO OUTFILE '/tmp/x' */"),
        ("mysql", "SELECT 1 /*M! INTO OUTFILE '/tmp/x' */"),
        ("mysql", "SELECT 1 INTO OUTFILE '/tmp/x'"),
        ("mysql", "SELECT LOAD_FILE('/etc/passwd')"),
        ("mysql", "SELECT 1 -- '\n; DELETE FROM t"),
        ("sqlite", "SELECT load_extension('x')"),
        ("sqlite", "ATTACH 'x.db' AS x"),
        ("sqlite", "PRAGMA writable_schema = 1"),
        ("oracle", "SELECT utl_http.request('http://x') FROM dual"),
        ("oracle", "BEGIN NULL; END;"),
        ("duckdb", "SELECT * FROM read_csv('/etc/passwd')"),
        ("duckdb", "SELECT 1; DROP TABLE t"),
        ("snowflake", "SELECT SYSTEM$CANCEL_QUERY('x')"),
        ("", "SELECT (("),
        ("", "WITH x AS (SELECT 1) DELETE FROM t"),
        ("postgres", "SELECT pg_sleep(1), pg_reload_conf()"),
        ("postgres", "SELECT (( pg_reload_conf ()"),
        ("postgres", "SELECT * FROM pg_terminate_backend(1)"),
        ("postgres", "SELECT * FROM ROWS FROM (pg_read_file('/etc/passwd')) AS x"),
        ("databricks", "SELECT 1 -- \\\n' FROM csv.`/x` -- '"),
        ("databricks", "FROM t MAP a USING 'sh' AS b"),
        ("databricks", "SELECT secret('scope', 'key')"),
        ("databricks", "SELECT (( 'it''s; fine' ) FROM t INSERT INTO u"),
    ],
)
def test_anything_but_one_select_that_reads_is_refused(dialect, sql):
    """Second statements with or without a semicolon, code in comments, functions that act or reach files."""
    why = why_refused(sql, dialect, alone=dialect in {"postgres", "sqlite"})
    assert why
    assert "\n" not in why


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        ("tsql", "SELECT TOP 5 [update], [a b] FROM dbo.t WITH (NOLOCK) WHERE x = :p ORDER BY y;"),
        ("tsql", "SELECT 'DROP TABLE t' AS words, updated_at FROM t -- EXEC nothing"),
        ("mysql", "SELECT `delete`, count(*) FROM t GROUP BY 1 /* INTO */"),
        (
            "sqlite",
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT * FROM r",
        ),
        ("postgres", "SELECT updated_at, pg_size_pretty(pg_total_relation_size('t')) FROM t"),
        ("postgres", "VALUES (1), (2)"),
        ("oracle", "SELECT * FROM t WHERE rownum < 3 AND day > TO_DATE(:d, 'YYYY-MM-DD')"),
        ("snowflake", "SELECT a:b::string FROM t QUALIFY row_number() OVER (ORDER BY a) = 1"),
        (
            "databricks",
            "SELECT transform(xs, x -> x + 1), s.f FROM silver.t LATERAL VIEW explode(a) e AS b",
        ),
        ("databricks", "SELECT a FROM t JOIN u USING (a) WHERE b = 'USING'"),
        ("", "SELECT a FROM t UNION SELECT b FROM u"),
    ],
)
def test_usual_queries_are_not_refused(dialect, sql):
    """Quoted names, words in literals and comments, hints, lambdas and parameters are no statements."""
    assert why_refused(sql, dialect) == ""


@pytest.mark.parametrize(
    ("sql", "files"),
    [
        ("SELECT * FROM csv.`/etc/passwd`", ["csv./etc/passwd"]),
        ("SELECT * FROM JSON . events", ["JSON.events"]),
        ("SELECT * FROM a.csv.t", []),
        ("SELECT * FROM `org.apache.spark.sql.json`.`x`", ["org.apache.spark.sql.json.x"]),
        ("SELECT csv.x FROM silver.t AS csv", []),
        ("SELECT * FROM silver.csv, csv", []),
        ("FROM parquet.x MAP a", ["parquet.x"]),
        ("FROM csv.`/x` MAP a", ["csv.`", "`/x`"]),
        ("SELECT `C:\\x` FROM silver.t", ["`C:\\x`"]),
    ],
)
def test_a_format_before_a_dot_is_a_file_to_spark(sql, files):
    """In the place of a table; an alias or a table of that name is none."""
    assert files_named(sql) == files


@pytest.mark.parametrize("text", ["${env:HOME}", "${fs.azure.account.key}"])
def test_spark_replaces_no_variables_in_a_query(text):
    """Spark replaces ${…} before it parses, in literals too: a row could read settings and secrets."""
    refused = why_refused(f"SELECT '{text}' AS found", "databricks")
    assert refused.startswith("a query must not have ${…}, which Spark replaces")
    assert why_refused(f"SELECT '{text}' AS found", "duckdb") == ""


def test_a_query_with_an_open_quote_is_refused_for_its_syntax():
    """A quote without an end is reported as such, also for a server that needs no semicolons."""
    assert "cannot be parsed" in why_refused("SELECT 'a", "tsql")
