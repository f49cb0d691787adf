"""Tables that a query reads, as its engine would understand it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odibi_nb.core.model import query_tables
from odibi_nb.core.model.query_tables import keys_read, tables_in, tables_named

KNOWN = {"silver.readings", "bronze.meter", "bronze.raw", "silver.odd name", "default.raw", "c.s.t"}


@pytest.mark.parametrize(
    ("sql", "keys"),
    [
        ("SELECT silver.readings FROM bronze.meter AS silver", {"bronze.meter"}),
        ("SELECT silver.readings FROM bronze.meter silver", {"bronze.meter"}),
        ("SELECT silver.readings FROM bronze.meter", {"bronze.meter"}),
        (
            "SELECT * FROM silver.readings r, bronze.meter AS silver",
            {"silver.readings", "bronze.meter"},
        ),
        ("SELECT extract(YEAR FROM silver.readings) FROM bronze.meter silver", {"bronze.meter"}),
        ("SELECT a IS DISTINCT FROM silver.readings FROM bronze.meter silver", {"bronze.meter"}),
        ("WITH raw AS (SELECT 1 AS x) SELECT * FROM raw", set()),
        ("WITH raw AS (SELECT * FROM raw) SELECT * FROM raw", {"default.raw"}),
        ("WITH RECURSIVE raw AS (SELECT 1 UNION ALL SELECT * FROM raw) FROM raw", set()),
        ("WITH a AS (SELECT * FROM raw), raw AS (SELECT 1) SELECT * FROM a, raw", {"default.raw"}),
        (
            "SELECT * FROM (WITH raw AS (SELECT 1) SELECT * FROM raw) x JOIN raw ON 1=1",
            {"default.raw"},
        ),
        ("SELECT raw FROM bronze.meter", {"bronze.meter"}),
        ("SELECT m.raw FROM bronze.meter m ORDER BY raw", {"bronze.meter"}),
        (
            "SELECT * FROM bronze.meter m WHERE EXISTS (SELECT 1 FROM Silver.Readings)",
            {"silver.readings", "bronze.meter"},
        ),
        ("SELECT * FROM bronze.meter, silver.readings", {"silver.readings", "bronze.meter"}),
        ('SELECT * FROM "silver"."odd name"', {"silver.odd name"}),
        ("SELECT * FROM c.s.t", {"c.s.t"}),
        ("SELECT s.t.c FROM c.s.t JOIN bronze . meter USING (c)", {"c.s.t", "bronze.meter"}),
        (
            "SELECT 'silver.readings', /* bronze.raw */ x -- raw\nFROM bronze.meter",
            {"bronze.meter"},
        ),
        ("FROM bronze.meter SELECT *", {"bronze.meter"}),
        ("SELECT * FROM range(3) raw", set()),
        ("SELECT * FROM bronze.meter_2", set()),
    ],
)
@pytest.mark.parametrize("engine", ["pandas", "spark"])
def test_a_query_reads_the_tables_in_it_and_no_other_names(sql, keys, engine):
    """Aliases, columns, CTEs, literals and comments are no tables, whatever they are called."""
    assert keys_read(sql, engine, KNOWN) == (keys, "")


def test_quotes_are_those_of_the_engine():
    """Backticks name tables on Spark, where double quotes hold text; E'' and $$ hold text on DuckDB."""
    assert keys_read("SELECT * FROM `silver`.`odd name`", "spark", KNOWN)[0] == {"silver.odd name"}
    text = 'SELECT * FROM bronze.meter WHERE x = "it is FROM bronze.raw"'
    assert keys_read(text, "spark", KNOWN)[0] == {"bronze.meter"}
    text = r"SELECT E'\' FROM bronze.raw', $$ it's FROM bronze.raw $$ FROM bronze.meter s, s.raw"
    assert "bronze.meter" in keys_read(text, "pandas", KNOWN)[0]
    assert tables_named("FROM Silver.T JOIN B USING (x)", "pandas") == {"Silver.T", "B"}


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT * FROM x, bronze.meter WHERE ((", "line 1"),
        pytest.param("SELECT * FROM x, bronze.meter WHERE " + "(" * 100_000, "", id="deep"),
        ("SELECT * FROM x, bronze.meter WHERE a = 'b", ""),
        ("SELECT * FROM x, bronze.meter WHERE a IN (" + "1," * query_tables.LONGEST, "characters"),
    ],
)
def test_what_cannot_be_parsed_is_guessed_and_said(sql, why):
    """The names in the text count as tables, and the reason is one line."""
    keys, reason = keys_read(sql, "pandas", KNOWN)
    assert keys == {"bronze.meter"}
    assert reason
    assert why in reason
    assert "\n" not in reason


def test_a_plain_query_is_not_parsed():
    """Thousands of queries that read known tables after FROM and JOIN, or none, cost next to nothing."""
    before = tables_in.cache_info()
    for i in range(100):
        sql = f"SELECT a.x, {i} FROM bronze.meter a JOIN silver.readings r ON a.id = r.id"
        assert keys_read(sql, "pandas", KNOWN)[0] == {"bronze.meter", "silver.readings"}
        assert not keys_read(f"SELECT {i} FROM other.tables", "spark", KNOWN)[0]
    assert tables_in.cache_info() == before


@given(st.text(alphabet="ab.'\"-/*()`$;\\ \n", max_size=40))
def test_any_text_gets_an_answer(text):
    """The search for names in a query ends without an exception for any text."""
    keys, why = keys_read(f"SELECT {text} FROM b.a, a", "spark", {"a.b", "default.a"})
    assert isinstance(keys, set)
    assert "\n" not in why


def test_duckdb_agrees():
    """If DuckDB can list the tables of a query, sqlglot lists the same."""
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        for sql in (
            "SELECT silver.readings FROM bronze.meter AS silver",
            "WITH raw AS (SELECT * FROM a.b) SELECT * FROM raw, c.d",
            "SELECT (SELECT max(x) FROM a.b) FROM c.d LEFT JOIN e.f ON d.x = f.x",
            "FROM (FROM a.b UNION ALL BY NAME FROM c) LIMIT 1",
            "SELECT x FROM a.b QUALIFY row_number() OVER (PARTITION BY b.x) = 1",
            "SELECT * EXCLUDE (x) FROM a.b SEMI JOIN c.d ON b.k = d.k",
        ):
            named = {
                n.partition(" AS ")[0] for n in connection.get_table_names(sql, qualified=True)
            }
            found, why = tables_in(sql, "duckdb")
            assert why == ""
            assert {".".join(parts) for parts in found} == named, sql


def test_names_in_a_text_that_is_no_query():
    """Of a text that cannot be read as a query, all names count, so that no table is missed."""
    assert "a.b" in tables_named("DROP TABLE a.b -- not c.d", "pandas")
    assert "a . b" not in tables_named("SELECT (( FROM `a` . b", "spark")
    assert "a.b" in tables_named("SELECT (( FROM `a` . b", "spark")
