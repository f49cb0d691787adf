"""The ready-made Bronze functions: every constant, and the refusals."""

import datetime as dt
import re
import sqlite3
import threading
import zipfile
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from openpyxl import Workbook
from openpyxl.styles import Font
from postgres import postgres_url

from odibi_nb import ingest
from odibi_nb.core.functions.registry import FunctionRegistry, accepted_keywords
from odibi_nb.core.model.attempt_control import AttemptControl
from odibi_nb.core.model.checks import Rule
from odibi_nb.core.model.engine import Engine
from odibi_nb.core.running.context import ExecutionContext, current_context
from odibi_nb.engines.pandas.engine import PandasEngine
from odibi_nb.engines.pandas.frames import to_arrow
from odibi_nb.errors import DataCheckError, DataError, RevokedError, TableNotFoundError
from odibi_nb.storage.sql_frames import SqlSource

__all__ = ["postgres_url"]

FUNCTIONS = (
    ingest.load_csv,
    ingest.load_json,
    ingest.load_parquet,
    ingest.load_excel,
    ingest.load_delta,
    ingest.load_file,
)


@pytest.fixture
def context(tmp_path):
    """A context whose files start in a folder of the test."""
    return ExecutionContext(
        engine=Engine.PANDAS,
        project="Plant One",
        env="qat",
        tables=PandasEngine(str(tmp_path / "lake")),
        folder=str(tmp_path),
        locations={"adls://raw": "data"},
        connections={"erp": "sqlite:///erp.db", "warehouse": "sqlite:///missing.db"},
    )


@pytest.fixture
def sensors(tmp_path):
    """A CSV file where adls://raw is mapped to."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sensors.csv").write_text("id,Value\n007,1.5\n008,2.5\n")
    return "adls://raw/sensors.csv"


@pytest.fixture
def erp(tmp_path):
    """An SQLite database with orders."""
    with sqlite3.connect(tmp_path / "erp.db") as connection:
        connection.execute('CREATE TABLE Orders (id INTEGER, "Unit Price" NUMERIC, day TEXT)')
        connection.executemany(
            "INSERT INTO Orders VALUES (?, ?, ?)", [(1, 1.5, "mo"), (2, 2, "tu")]
        )
    connection.close()
    return tmp_path / "erp.db"


def load(function, context, **constants):
    """Call an ingest function as the runner does."""
    return function(inputs=[], constants=constants, outputs=[], context=context)


def refusal(function, context, **constants):
    """Return the one-line message with which the constants are refused."""
    with pytest.raises(DataError) as caught:
        load(function, context, **constants)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", [f.__name__ for f in FUNCTIONS] + ["load_sql"])
def test_rows_can_name_the_functions(name):
    """A row names odibi_nb.ingest and a function; it takes the seed's keywords, without Spark."""
    function = FunctionRegistry().resolve("odibi_nb.ingest", name, "pandas")
    assert accepted_keywords(function) == ("inputs", "constants", "outputs", "context")


def test_a_file_is_loaded_from_its_mapped_location(context, sensors):
    """The source is mapped and read, and counts as an input of the transformation."""
    frame = load(ingest.load_csv, context, source=sensors, schema={"id": "string"})
    assert frame.to_dict("list") == {"id": ["007", "008"], "Value": [1.5, 2.5]}
    assert context.rows_in == 2


def test_columns_are_renamed_then_selected_then_added(context, sensors):
    """`rename` works on the file's names, columns on the new ones, and add comes last."""
    frame = load(
        ingest.load_csv,
        context,
        source=sensors,
        rename={"Value": "value_c", "id": "sensor"},
        columns=["value_c"],
        add={"site": "RSF II", "checked": None},
    )
    assert frame.columns.tolist() == ["value_c", "site", "checked"]
    assert frame["site"].tolist() == ["RSF II"] * 2
    assert frame["checked"].isna().all()


def test_several_sources_are_loaded_one_after_the_other(context, sensors, tmp_path):
    """A list of sources gives the rows of all. Columns are matched by their names."""
    (tmp_path / "more.csv").write_text("Value,id\n3.5,9\n")
    frame = load(ingest.load_csv, context, source=[sensors, "more.csv"])
    assert frame["Value"].tolist() == [1.5, 2.5, 3.5]
    assert frame["id"].tolist() == [7, 8, 9]


def test_every_format_has_its_function(context, tmp_path):
    """The formats are CSV, JSON, Parquet, Excel and Delta. load_file takes it from the suffix or from format."""
    frame = pd.DataFrame({"n": [1, 2]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_json(tmp_path / "a.json", orient="records")
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_excel(tmp_path / "a.xlsx", index=False)
    context.write(frame, "bronze.a")
    for function, source in (
        (ingest.load_csv, "a.csv"),
        (ingest.load_json, "a.json"),
        (ingest.load_parquet, "a.parquet"),
        (ingest.load_excel, "a.xlsx"),
        (ingest.load_delta, "lake/bronze/a"),
        *((ingest.load_file, f"a.{suffix}") for suffix in ("csv", "json", "parquet", "xlsx")),
    ):
        assert load(function, context, source=source)["n"].tolist() == [1, 2]
    loaded = load(ingest.load_file, context, source="lake/bronze/a", format="delta")
    assert loaded["n"].tolist() == [1, 2]
    assert "give 'format'" in refusal(ingest.load_file, context, source="lake/bronze/a")


def test_options_reach_the_reader(context, tmp_path):
    """`options` are the reader's. An unknown one is refused."""
    (tmp_path / "a.csv").write_text("x;y\n1;2\n")
    frame = load(ingest.load_csv, context, source="a.csv", options={"sep": ";"})
    assert frame.columns.tolist() == ["x", "y"]
    text = refusal(ingest.load_csv, context, source="a.csv", options={"sepp": ";"})
    assert "unknown option 'sepp'" in text


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_source_must_be_given(context, function):
    """A missing source is an error."""
    for constants in ({}, {"source": None}, {"source": []}, {"source": ""}):
        text = refusal(function, context, **constants)
        assert text.startswith(f"{function.__name__}: the constant 'source' is missing")


def test_unknown_constants_are_refused(context, sensors):
    """A misspelt constant gets a suggestion. The orchestrator's own constants are accepted."""
    text = refusal(ingest.load_csv, context, sorce=sensors)
    assert text == "load_csv: unknown constant 'sorce' (did you mean 'source'?)"
    assert "unknown constant 'format'" in refusal(ingest.load_csv, context, format="csv")
    reserved = {"engine": "pandas", "retry": {}, "timeout_seconds": 5, "depends_on": []}
    assert len(load(ingest.load_csv, context, source=sensors, priority=1, **reserved)) == 2


@pytest.mark.parametrize(
    ("constants", "words"),
    [
        ({"rename": ["a"]}, "constant 'rename' must be an object, found ['a']"),
        ({"columns": "id"}, "constant 'columns' must be a list"),
        ({"source": 7}, "constant 'source' must be text or a list"),
        (
            {"rename": {"value": "v"}},
            "rename names the unknown column 'value' (did you mean 'Value'",
        ),
        ({"rename": {"Value": "id"}}, "rename would give two columns the name 'id'"),
        ({"columns": ["ident"]}, "columns names the unknown column 'ident'"),
        ({"add": {"id": 1}}, "add would replace the column 'id'"),
        ({"add": {"tags": [1]}}, "add gives 'tags' [1], which is not one value"),
    ],
)
def test_wrong_constants_are_refused(context, sensors, constants, words):
    """Each constant is checked for its form and against the file's columns."""
    assert words in refusal(ingest.load_csv, context, **{"source": sensors, **constants})


def test_environment_variables_are_not_expanded(context, monkeypatch):
    """A registry row cannot read the environment through a path."""
    monkeypatch.setenv("ODIBI_SECRET", "hush")
    for source in ("${ODIBI_SECRET}.csv", "$ODIBI_SECRET.csv"):
        assert "hush" not in refusal(ingest.load_csv, context, source=source)


# SQL


def test_a_table_is_loaded_from_a_connection(context, erp):
    """A table is found in any case; its columns are renamed and selected like a file's."""
    frame = load(
        ingest.load_sql,
        context,
        connection="erp",
        table="orders",
        rename={"Unit Price": "unit_price"},
        columns=["id", "unit_price"],
        add={"source": "erp"},
    )
    assert frame.to_dict("list") == {
        "id": [1, 2],
        "unit_price": [1.5, 2.0],
        "source": ["erp", "erp"],
    }
    assert context.rows_in == 2


def test_a_query_has_bound_parameters(context, erp):
    """Parameters are values, never SQL."""
    query = "SELECT id FROM orders WHERE day = :day -- ; not a second statement"
    frame = load(
        ingest.load_sql, context, url=f"sqlite:///{erp}", query=query, params={"day": "tu"}
    )
    assert frame["id"].tolist() == [2]
    attack = {"day": "' OR 1=1 --"}
    frame = load(ingest.load_sql, context, connection="erp", query=query, params=attack)
    assert frame.columns.tolist() == ["id"]
    assert len(frame) == 0
    assert "day" in refusal(ingest.load_sql, context, connection="erp", query=query)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("'1 day'::interval", "durations"),
        ("int4range(1, 5)", "the type Range ([1, 5))"),
        ("'10.0.0.1'::inet", "the type IPv4Address (10.0.0.1)"),
        ("gen_random_uuid()", "holds a UUID"),
        ("'12:00'::time", "holds a time of day"),
        (
            "'1234567890123456789012345678901234567890.5'::numeric",
            "decimals of more than 38 digits",
        ),
    ],
)
def test_types_of_a_database_that_no_table_has(context, postgres_url, value, words):
    """A value of a type that tables do not have is refused with the cast for the query."""
    text = refusal(ingest.load_sql, context, url=postgres_url, query=f"SELECT {value} AS a")
    assert words in text
    assert 'cast it in a "query", such as CAST(a AS VARCHAR(50))' in text
    query = f"SELECT CAST({value} AS VARCHAR(50)) AS a"
    assert len(load(ingest.load_sql, context, url=postgres_url, query=query)) == 1


def test_colons_in_text_are_no_parameters(context, erp, postgres_url):
    """Only SQL's own :names are parameters: not those in strings, names and comments, and before ::type."""
    query = """SELECT '{"a":1} :day C\\:x' AS "a:day" /* :b */ -- :c
    FROM (SELECT 1 AS n) AS o WHERE 'tu' = :day"""
    how = {"query": query, "params": {"day": "tu"}}
    for place in ({"connection": "erp"}, {"url": postgres_url}):
        frame = load(ingest.load_sql, context, **place, **how)
        assert frame.to_dict("list") == {"a:day": ['{"a":1} :day C\\:x']}
    query = "SELECT :n::bigint AS n, '{\"a\":7}'::jsonb ->> 'a' AS a, $$:day$$ AS d, '12:30'::time::text AS t"
    frame = load(ingest.load_sql, context, url=postgres_url, query=query, params={"n": 5})
    assert frame.iloc[0].tolist() == [5, "7", ":day", "12:30:00"]
    text = refusal(ingest.load_sql, context, connection="erp", query="SELECT ':a', :b")
    assert "'b'" in text
    assert "'a'" not in text


def test_queries_do_not_change_the_database(context, erp):
    """Anything but one SELECT is refused, and nothing is changed."""
    for query in (
        "DELETE FROM orders",
        "SELECT 1; DROP TABLE orders",
        "WITH x AS (SELECT 1) DELETE FROM orders",
        "/* SELECT */ DROP TABLE orders",
        "SELECT * INTO copy FROM orders",
        "",
    ):
        with pytest.raises(DataError, match=r"one SELECT|'table' or 'query'|must be"):
            load(ingest.load_sql, context, connection="erp", query=query)
    assert len(load(ingest.load_sql, context, connection="erp", table="Orders")) == 2


def test_load_sql_says_what_is_missing(context, erp):
    """The row must name one connection and one query or table. An unknown name gets a suggestion."""
    assert "'connection' or 'url'" in refusal(ingest.load_sql, context, table="orders")
    assert "'table' or 'query'" in refusal(ingest.load_sql, context, connection="erp")
    text = refusal(ingest.load_sql, context, connection="epr", table="orders")
    assert text == "load_sql: the environment has no connection 'epr' (did you mean 'erp'?)"
    assert "unknown constant 'tables'" in refusal(ingest.load_sql, context, tables="orders")
    with pytest.raises(TableNotFoundError, match="did you mean 'Orders'"):
        load(ingest.load_sql, context, connection="erp", table="order")
    with pytest.raises(DataError, match=r"missing\.db"):
        load(ingest.load_sql, context, connection="warehouse", table="orders")


def test_passwords_stay_out_of_errors(context):
    """The messages about a wrong URL and about a missing server contain no password."""
    for url in (
        "postgresql+psycopg://me:hush@127.0.0.1:1/db",
        "nosuch://me:hush@host/db",
        "me:hush@host",
    ):
        assert "hush" not in refusal(ingest.load_sql, context, url=url, table="t")


ATTACKS = [
    "SELECT $$'$$ AS a; DELETE FROM m; COMMIT --'",
    r"SELECT E'\'' AS a; DELETE FROM m; COMMIT --'",
    r"SELECT E'\'' AS a, x'; DELETE FROM m; COMMIT --'",
    "SELECT 1; SELECT 2",
    "SELECT setval('s', 99)",
    "SELECT nextval('s')",
    "SELECT pg_terminate_backend(pg_backend_pid())",
    "SELECT pg_catalog.pg_terminate_backend(0)",
    'SELECT "pg_terminate_backend"(0)',
    'SELECT U&"pg_t\\0065rminate_backend"(0)',
    "SELECT query_to_xml('SELECT pg_terminate_backend(0)', true, true, '')",
    "SELECT pg_read_file('/etc/hostname')",
    "SELECT lo_import('/etc/hostname')",
    "SELECT set_config('transaction_read_only', 'off', false)",
    "WITH gone AS (DELETE FROM m RETURNING *) SELECT * FROM gone",
    "SELECT * FROM m FOR UPDATE",
    "SELECT * INTO copy FROM m",
    "COPY m TO PROGRAM 'true'",
    "EXPLAIN ANALYZE DELETE FROM m",
    "DO $$ BEGIN DELETE FROM m; END $$",
    "TABLE m; TRUNCATE m",
    "SELECT 1 FROM m WHERE (( ; DELETE FROM m; COMMIT",
    "CALL x()",
]


@pytest.mark.parametrize("query", ATTACKS)
def test_a_query_never_changes_postgresql(context, postgres_url, query):
    """The protocol allows one SELECT in a read-only transaction: rows, sequences and sessions do not change."""
    engine = sa.create_engine(postgres_url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE m AS SELECT generate_series(1, 5) AS a")
        connection.exec_driver_sql("CREATE SEQUENCE s")
    text = refusal(ingest.load_sql, context, url=postgres_url, query=query)
    assert len(text) < 500
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM m").scalar() == 5
        assert connection.exec_driver_sql("SELECT nextval('s')").scalar() == 1


def test_postgresql_refuses_what_our_own_look_at_a_query_misses(context, postgres_url, monkeypatch):
    """The protocol and the transaction are enough by themselves, without parsing the text."""
    monkeypatch.setattr("odibi_nb.storage.sql_frames.why_refused", lambda *_, **__: "")
    engine = sa.create_engine(postgres_url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE m AS SELECT generate_series(1, 5) AS a")
        connection.exec_driver_sql("CREATE SEQUENCE s")
    for query in (*ATTACKS[:6], "DELETE FROM m", "DELETE FROM m; COMMIT", *ATTACKS[14:]):
        refusal(ingest.load_sql, context, url=postgres_url, query=query)
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM m").scalar() == 5
        assert connection.exec_driver_sql("SELECT nextval('s')").scalar() == 1


def test_usual_queries_of_postgresql_work(context, postgres_url):
    """CTEs, set operations, percent signs, casts, parameters and a final semicolon are accepted."""
    for query in (
        "WITH x AS (SELECT 1 AS a) SELECT a FROM x UNION ALL SELECT 2",
        "SELECT '50 %' AS a, 7 % 2 AS b WHERE 'x' LIKE '%';",
        "VALUES (1)",
        "SELECT now()::date AS a, pg_typeof(1)::text, 'a;b' AS delete_me -- ; a comment",
        "SELECT * FROM generate_series(1, 3) AS a WHERE a > :low",
    ):
        params = {"low": 1} if ":low" in query else {}
        assert len(load(ingest.load_sql, context, url=postgres_url, query=query, params=params))


def test_a_statement_ends_when_its_attempt_is_revoked(context, erp, postgres_url):
    """Cancelling reaches both drivers while the server works."""
    endless = (
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"
    )
    for url, query in ((f"sqlite:///{erp}", endless), (postgres_url, "SELECT pg_sleep(600)")):
        context.control = AttemptControl()
        threading.Timer(0.2, context.control.revoke, ["timed out"]).start()
        with current_context(context), pytest.raises(RevokedError, match="timed out"):
            SqlSource(url, Path())._read(lambda _, query=query: sa.text(query), {})


def test_sqlite_is_only_read(context, erp, monkeypatch):
    """The database itself refuses writes, however the text is parsed."""
    monkeypatch.setattr("odibi_nb.storage.sql_frames.why_refused", lambda *_, **__: "")
    for query in ("DELETE FROM Orders", "DROP TABLE Orders", "INSERT INTO Orders VALUES (1, 1, 1)"):
        assert "readonly" in refusal(ingest.load_sql, context, connection="erp", query=query)
    assert len(load(ingest.load_sql, context, connection="erp", table="Orders")) == 2


def test_where_rows_are_limited_urls_come_from_the_manifest(context, erp):
    """With an allow-list, a row names a connection. A URL of its own is refused before any contact."""
    context.allowed = (context.folder,)
    text = refusal(ingest.load_sql, context, url=f"sqlite:///{erp}", table="Orders")
    assert "environments.<env>.connections" in text
    assert len(load(ingest.load_sql, context, connection="erp", table="Orders")) == 2


def test_postgresql_types_arrive(context, postgres_url):
    """Time stamps, dates, exact numbers and large ones with gaps keep their values; views work."""
    engine = sa.create_engine(postgres_url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE m (at timestamptz, day date, price numeric, exact numeric, big bigint)"
        )
        connection.exec_driver_sql(
            "INSERT INTO m VALUES ('2024-01-02 13:00+01', '2024-01-02', 1.25, "
            "12345678901234567890.5, 9007199254740993), (NULL, NULL, NULL, NULL, NULL)"
        )
        connection.exec_driver_sql("CREATE VIEW v AS SELECT * FROM m WHERE day IS NOT NULL")
    frame = load(ingest.load_sql, context, url=postgres_url, table="m")
    noon = dt.datetime(2024, 1, 2, 12, tzinfo=dt.timezone.utc)
    assert frame["at"][0] == noon
    assert frame["day"][0] == dt.date(2024, 1, 2)
    assert frame["price"][0] == 1.25
    assert str(frame["price"].dtype) == "float64"
    assert str(frame["exact"][0]) == "12345678901234567890.5"
    assert frame["big"][0] == 9007199254740993
    assert len(load(ingest.load_sql, context, url=postgres_url, table="v")) == 1
    context.write(frame, "bronze.m")
    assert context.read("bronze.m")["at"][0] == noon


# In words for rows without code


def workbook(path, *rows):
    """Write a workbook of one sheet."""
    book = Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)


def test_headers_may_be_numbers_and_days(context, tmp_path):
    """A workbook's years and days are names of columns, as JSON's numbers are in `columns`."""
    workbook(tmp_path / "y.xlsx", ["site", 2023, dt.datetime(2024, 1, 1), "2023"], ["a", 1, 2, 3])
    frame = load(
        ingest.load_excel,
        context,
        source="y.xlsx",
        columns=["site", 2023, "y24", "2023.1"],
        rename={"2024-01-01": "y24"},
        schema={"2023": "double"},
    )
    assert frame.to_dict("list") == {"site": ["a"], "2023": [1.0], "y24": [2], "2023.1": [3]}


@pytest.mark.parametrize(
    ("rows", "constants", "words"),
    [
        ([["m"], ["007"], [15]], {}, 'mixes text and numbers (\'007\', 15): give "schema": {"m": '),
        (
            [["m"], [dt.time(12)]],
            {},
            'time of day (12:00:00), for which tables have no type: give "',
        ),
        ([["m"], [dt.datetime(2024, 1, 1)], ["x"]], {}, "mixes times and text"),
        ([["m"], [dt.datetime(2024, 1, 1)], [5]], {}, "mixes times and numbers"),
        ([["m", "M"], [1, 2]], {}, "two columns are called 'm' and 'M'"),
        ([["m", " "], [1, 2]], {}, "has the name ' ': give it another by \"rename\""),
        ([["m", "n"], [1, 2]], {"columns": []}, '"schema" can name them'),
    ],
)
def test_what_no_table_takes_is_told_without_code(context, tmp_path, rows, constants, words):
    """Messages name `schema`, `rename` and `columns`, and no function of pandas, because a row has no code."""
    workbook(tmp_path / "m.xlsx", *rows)
    text = refusal(ingest.load_excel, context, source="m.xlsx", **constants)
    assert words in text
    assert "astype" not in text
    assert "frame" not in text


def test_the_advice_helps(context, tmp_path):
    """The schema that a message shows makes the file load."""
    workbook(tmp_path / "m.xlsx", ["m", "at"], ["007", dt.time(12)], [15, None])
    schema = {"m": "string", "at": "string"}
    frame = load(ingest.load_excel, context, source="m.xlsx", schema=schema)
    assert frame["m"].tolist() == ["007", "15"]
    assert frame["at"][0] == "12:00:00"


def test_sources_with_other_types_change_no_value(context, tmp_path):
    """A large whole number beside another file's 1.5, and a column with gaps in one file, keep their values."""
    (tmp_path / "a.csv").write_text("id,n,b\n9007199254740993,1,true\n")
    (tmp_path / "b.csv").write_text("n,id,b\n1.5,,\n")
    frame = load(ingest.load_csv, context, source=["a.csv", "b.csv"])
    context.write(frame, "bronze.t")
    back = context.read("bronze.t")
    assert back["id"].tolist() == [9007199254740993, pd.NA]
    assert back["n"].tolist() == [1.0, 1.5]
    assert back["b"].tolist() == [True, None]
    (tmp_path / "c.csv").write_text("id,n,b\n0.5,1,true\n")
    text = refusal(ingest.load_csv, context, source=["a.csv", "c.csv"])
    assert "'id' holds 9007199254740993 and fractions" in text
    assert 'give "schema": {"id": "string"}' in text


def stored(function, context, **constants):
    """Return the type and the values of each column as a load stores them in a table."""
    rows = to_arrow(load(function, context, **constants), "t")
    return {field.name: (str(field.type), rows[field.name].to_pylist()) for field in rows.schema}


BIG = 2**53 + 1


def test_a_column_that_only_one_source_has_keeps_type_and_values(context, tmp_path):
    """Columns that appear later, or are gone again, stay whole numbers and booleans: no id is rounded."""
    (tmp_path / "a.csv").write_text("id\n1\n")
    (tmp_path / "b.csv").write_text(f"id,big,ok\n2,{BIG},true\n")
    found = stored(ingest.load_csv, context, source=["a.csv", "b.csv", "a.csv"])
    assert found["big"] == ("int64", [None, BIG, None])
    assert found["ok"] == ("bool", [None, True, None])
    (tmp_path / "in").mkdir()
    for name, columns in (("1", {"id": [1]}), ("2", {"big": [BIG], "u": pa.array([7], "uint8")})):
        pq.write_table(pa.table(columns), tmp_path / "in" / f"{name}.parquet")
    found = stored(ingest.load_parquet, context, source="in")
    assert found == {
        "id": ("int64", [1, None]),
        "big": ("int64", [None, BIG]),
        "u": ("int16", [None, 7]),
    }


def test_booleans_of_one_source_do_not_become_numbers_of_another(context, tmp_path):
    """True beside 5 is refused with the schema that helps. It does not become 1."""
    (tmp_path / "a.csv").write_text("v\ntrue\n")
    (tmp_path / "b.csv").write_text("v\n5\n")
    (tmp_path / "c.csv").write_text("v\n5.5\n")
    for other in ("b.csv", "c.csv"):
        text = refusal(ingest.load_csv, context, source=["a.csv", other])
        assert text.startswith("load_csv: column 'v' mixes booleans and numbers (True, 5")
    found = stored(ingest.load_csv, context, source=["a.csv", "b.csv"], schema={"v": "string"})
    assert found == {"v": ("string", ["true", "5"])}


def test_gaps_in_one_source_and_fractions_in_another_are_numbers(context, tmp_path):
    """A whole number with a gap beside a fraction is loaded as a float."""
    for name, values in (("a", [1, None]), ("b", [1.5, 2.5])):
        pq.write_table(pa.table({"n": values}), tmp_path / f"{name}.parquet")
    found = stored(ingest.load_parquet, context, source=["a.parquet", "b.parquet"])
    assert found == {"n": ("double", [1.0, None, 1.5, 2.5])}


def test_exact_decimals_and_floats_of_different_sources_are_refused(context, tmp_path):
    """A number of more than 64 bits beside a fraction of another file is refused, with advice for a row."""
    (tmp_path / "a.csv").write_text("n\n12345678901234567890\n")
    (tmp_path / "b.csv").write_text("n\n5.5\n")
    text = refusal(ingest.load_csv, context, source=["a.csv", "b.csv"])
    assert "mixes exact decimals and floats (12345678901234567890, 5.5)" in text
    assert 'give "schema": {"n": "string"}' in text
    (tmp_path / "c.csv").write_text("other\n1\n")
    found = stored(ingest.load_csv, context, source=["a.csv", "c.csv", "a.csv"])
    wide = Decimal(12345678901234567890)
    assert found["n"] == ("decimal128(38, 0)", [wide, None, wide])


@pytest.mark.parametrize("kind", ["int", "bigint", "double", "float", "decimal(38,0)"])
def test_times_do_not_become_numbers(context, tmp_path, kind):
    """A schema that declares times as numbers is refused: no unit and no first day is known."""
    columns = {
        "at": [dt.datetime(2024, 1, 1)],
        "day": [dt.date(2024, 1, 1)],
        "time": [dt.time(1)],
        "long": [dt.timedelta(1)],
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    workbook(tmp_path / "t.xlsx", ["at"], [dt.datetime(2024, 1, 1)])
    for name in columns:
        text = refusal(ingest.load_parquet, context, source="t.parquet", schema={name: kind})
        assert f"column '{name}', row 1" in text
        assert f"does not fit type {kind}" in text
    text = refusal(ingest.load_excel, context, source="t.xlsx", schema={"at": kind})
    assert f"does not fit type {kind}" in text


def test_numbers_beyond_a_floats_range_do_not_become_infinite(context, tmp_path):
    """A declared float refuses 1e39 and a double 1e400; without a schema 1e400 stays text; inf is infinite."""
    (tmp_path / "a.csv").write_text("f,d,i\n1e39,1e400,inf\n1,1,-Infinity\n")
    (tmp_path / "a.json").write_text('[{"d": 1e400, "i": Infinity}]')
    pq.write_table(pa.table({"f": [1e39]}), tmp_path / "a.parquet")
    for kind, column in (("float", "f"), ("double", "d")):
        text = refusal(ingest.load_csv, context, source="a.csv", schema={column: kind})
        assert f"column '{column}', line 2: '1e" in text
    text = refusal(ingest.load_parquet, context, source="a.parquet", schema={"f": "float"})
    assert "does not fit type float" in text
    assert "1e400" in refusal(ingest.load_json, context, source="a.json", schema={"d": "double"})
    found = stored(ingest.load_csv, context, source="a.csv", schema={"i": "float"})
    assert found["d"] == ("string", ["1e400", "1"])
    assert found["i"] == ("float", [float("inf"), float("-inf")])
    found = stored(ingest.load_json, context, source="a.json")
    assert found == {"d": ("string", ["1e400"]), "i": ("double", [float("inf")])}


@pytest.mark.parametrize("days", ["12/31/2024\n01/02/2024", "01/02/2024\n12/31/2024"])
@pytest.mark.parametrize("kind", ["date", "timestamp"])
def test_the_day_comes_first_in_every_date(context, tmp_path, days, kind):
    """With dayfirst, a date whose day is not first is refused, whichever row it is in."""
    (tmp_path / "a.csv").write_text(f"d\n{days}\n")
    how = {"source": "a.csv", "schema": {"d": kind}, "options": {"dayfirst": True}}
    assert "'12/31/2024' does not fit" in refusal(ingest.load_csv, context, **how)
    (tmp_path / "a.csv").write_text("d\n31/12/2024\n01/02/2024\n")
    values = load(ingest.load_csv, context, **how)["d"]
    assert [(value.month, value.day) for value in values] == [(12, 31), (2, 1)]


def test_bytes_that_are_not_text_are_named(context, tmp_path):
    """A binary column that is declared as text is refused with column and row if it is not UTF-8."""
    pq.write_table(pa.table({"b": [b"ok", None, b"\xff"]}), tmp_path / "b.parquet")
    text = refusal(ingest.load_parquet, context, source="b.parquet", schema={"b": "string"})
    assert "column 'b', row 3: b'\\xff' does not fit type string" in text


def test_values_of_secret_columns_are_not_shown(context, tmp_path):
    """A message about a value of a column called password, also as a key or in a check, does not show it."""
    (tmp_path / "a.csv").write_text("id,password\n1,hunter2\n2,hunter2\n")
    how = {"source": "a.csv", "schema": {"password": "int"}}
    assert "column 'password', line 2: '***' does not fit" in refusal(
        ingest.load_csv, context, **how
    )
    frame = load(ingest.load_csv, context, source="a.csv")
    with pytest.raises(DataError, match=r"password='\*\*\*' \(2 rows\)"):
        context.write(frame, {"table": "t.a", "mode": "merge", "keys": ["password"]})
    context.checks = (
        Rule(kind="unique", text="unique(password)", table="t.a", columns=("password",)),
    )
    with pytest.raises(DataCheckError) as caught:
        context.write(frame, "t.a")
    assert "2 of 2 rows" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_key_that_an_object_has_twice_is_refused(context, tmp_path):
    """JSON data with a duplicate key is refused, also in nested objects, because a value would be lost."""
    for text, place in (
        ('[{"a": 1, "b": 2, "a": 3}]', "a.json: an"),
        ('[{"n": {"a": 1, "a": 3}}]', "a.json: an"),
        ('{"b": 1}\n{"a": 1, "a": 3}\n', "a.jsonl: line 2: an"),
    ):
        path = tmp_path / place.partition(":")[0]
        path.write_text(text)
        found = refusal(ingest.load_json, context, source=path.name)
        assert f"{place} object has the key 'a' more than once" in found


def test_types_that_no_table_has_are_named_without_code(context, tmp_path):
    """Decimals of more than 38 digits are refused with the schema that loads them as text."""
    number = Decimal("1" * 50)
    pq.write_table(
        pa.table({"d": pa.array([number], pa.decimal256(60, 2))}), tmp_path / "d.parquet"
    )
    text = refusal(ingest.load_parquet, context, source="d.parquet")
    assert 'column \'d\' holds decimals of more than 38 digits: give "schema": {"d": "str' in text
    how = {"source": "d.parquet", "schema": {"d": "string"}}
    assert stored(ingest.load_parquet, context, **how) == {"d": ("string", [f"{number}.00"])}


@pytest.mark.parametrize("new", [None, 5, ["x"]])
def test_new_names_are_text(context, sensors, new):
    """`rename` to null or to a list is refused, and makes no column called None."""
    text = refusal(ingest.load_csv, context, source=sensors, rename={"Value": new})
    assert text == f"load_csv: rename gives 'Value' {new!r}, which is not text"


def test_a_column_that_is_selected_twice_is_named(context, sensors):
    """`columns` with one name twice is refused in words for a row."""
    text = refusal(ingest.load_csv, context, source=sensors, columns=["id", "id"])
    assert "two columns are called 'id' and 'id'" in text
    assert 'by "columns"' in text


def test_a_query_keeps_large_numbers_beside_fractions(context, erp):
    """SQLite's columns may mix types. A number that a float would round is refused, with advice for a query."""
    for values in (f"SELECT {BIG} AS v UNION ALL SELECT 1.5", "SELECT 1 AS v UNION ALL SELECT 'x'"):
        text = refusal(ingest.load_sql, context, connection="erp", query=values)
        assert 'cast it in a "query", such as CAST(v AS VARCHAR(50))' in text
        assert "schema" not in text


def test_a_folders_files_have_one_type_for_a_column(context, tmp_path):
    """Files of one folder are one table: 007 is text if another file has A1."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("id,v\n007,1\n")
    (tmp_path / "in" / "b.csv").write_text("id,v\nA1,2.5\n")
    frame = load(ingest.load_csv, context, source="in")
    assert frame.to_dict("list") == {"id": ["007", "A1"], "v": [1.0, 2.5]}


def test_a_cell_far_out_is_named_before_memory_is_filled(context, tmp_path):
    """A sheet with one cell at its far end is refused: it would make 17 thousand million cells."""
    book = Workbook(write_only=False)
    book.active["A1"], book.active["A2"] = "m", 1
    book.active["XFD1048576"] = "oops"
    book.create_sheet("Good").append(["m"])
    book["Good"].append([1])
    book.save(tmp_path / "far.xlsx")
    text = refusal(ingest.load_excel, context, source="far.xlsx")
    assert "its used cells reach to XFD1048576" in text
    assert "17,179,869,184 cells, and only 3 of them a value" in text
    frame = load(ingest.load_excel, context, source="far.xlsx", options={"sheet_name": "Good"})
    assert frame["m"].tolist() == [1]


def test_a_formula_without_a_result_is_named(context, tmp_path):
    """A workbook whose formulas no program has calculated is refused: it would be loaded as gaps."""
    workbook(tmp_path / "f.xlsx", ["a", "b"], [1, "=A2*2"])
    text = refusal(ingest.load_excel, context, source="f.xlsx")
    assert "f.xlsx: cell B2 has a formula without a result: open the workbook in Excel" in text
    frame = load(ingest.load_excel, context, source="f.xlsx", options={"usecols": "A"})
    assert frame.to_dict("list") == {"a": [1]}
    for result, values in (
        ('<c r="B2"><f>A2*2</f><v>2</v></c>', [2]),
        ('<c r="B2" t="str"><f>""</f><v></v></c>', [None]),
    ):
        with zipfile.ZipFile(tmp_path / "f.xlsx") as book:
            parts = {name: book.read(name) for name in book.namelist()}
        sheet = "xl/worksheets/sheet1.xml"
        parts[sheet] = re.sub(rb'<c r="B2".*?</c>', result.encode(), parts[sheet])
        with zipfile.ZipFile(tmp_path / "f.xlsx", "w") as book:
            for name, part in parts.items():
                book.writestr(name, part)
        assert load(ingest.load_excel, context, source="f.xlsx")["b"].tolist() == values


def test_cells_are_whole_wherever_a_piece_of_the_sheet_ends(context, tmp_path, monkeypatch):
    """A sheet is read in pieces. A cell that two pieces share is looked at as a whole."""
    workbook(tmp_path / "f.xlsx", ["a", "b"], [1, "=A2*2"], [2, 3])
    for size in range(40, 700, 3):
        monkeypatch.setattr("odibi_nb.engines.files.excel._CHUNK", size)
        assert "cell B2 has a formula" in refusal(ingest.load_excel, context, source="f.xlsx")


def test_errors_in_cells_are_told(context, tmp_path, caplog):
    """Cells with an error, such as #DIV/0!, are gaps, and a warning names the first of them. #N/A means a gap."""
    workbook(tmp_path / "e.xlsx", ["a", "b"], *([i, i] for i in range(6)))
    cell = '<c r="B{}" t="e"><f>A1/0</f><v>{}</v></c>'
    texts = ["#DIV/0!", "#N/A", "#REF!", "#NAME?", "#VALUE!"]
    with zipfile.ZipFile(tmp_path / "e.xlsx") as book:
        parts = {name: book.read(name) for name in book.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    for number, text in enumerate(texts, 2):
        wanted = cell.format(number, text).encode()
        parts[sheet] = re.sub(rb'<c r="B%d".*?</c>' % number, wanted, parts[sheet])
    with zipfile.ZipFile(tmp_path / "e.xlsx", "w") as book:
        for name, part in parts.items():
            book.writestr(name, part)
    frame = load(ingest.load_excel, context, source="e.xlsx")
    assert frame["b"].isna().tolist() == [True] * 5 + [False]
    (told,) = [text for text in caplog.messages if "error" in text]
    assert told.endswith(
        "e.xlsx: cells with an error are loaded as gaps: #DIV/0! in B2, #REF! in B4, #NAME? in B5 and 1 more"
    )


def test_formats_of_cells_are_no_cells(context, tmp_path):
    """Empty cells with only a colour, as Excel leaves them, do not count."""
    book = Workbook()
    book.active["A1"], book.active["A2"] = "m", 1
    book.active["XFD9000"].font = Font(bold=True)
    book.save(tmp_path / "bold.xlsx")
    assert load(ingest.load_excel, context, source="bold.xlsx")["m"].tolist() == [1]


def test_many_columns_are_loaded(context, tmp_path):
    """1,000 columns with gaps, renamed, selected and typed, keep their values."""
    names = [f"c{i}" for i in range(1000)]
    values = [str(i) for i in range(1000)]
    (tmp_path / "wide.csv").write_text(f"{','.join(names)}\n{','.join(values)}\n{',' * 999}\n")
    frame = load(
        ingest.load_csv,
        context,
        source="wide.csv",
        rename={"c0": "first"},
        columns=["first", *names[1:]],
        schema={"c7": "string"},
    )
    assert frame.iloc[0].tolist() == [*range(7), "7", *range(8, 1000)]
    assert frame.iloc[1].isna().all()


def test_json_that_is_no_table_says_what_is_wanted(context, tmp_path):
    """The error about an invalid record names it, and shows the form of a file of records."""
    (tmp_path / "a.json").write_text("5")
    (tmp_path / "b.json").write_text("[[1, 2]]")
    (tmp_path / "c.json").write_text("[]")
    assert "it holds a number (5); expected an array of records" in refusal(
        ingest.load_json, context, source="a.json"
    )
    assert "record 1 is an array ([1, 2]), not an object" in refusal(
        ingest.load_json, context, source="b.json"
    )
    assert '"schema" can name them' in refusal(ingest.load_json, context, source="c.json")


def test_an_empty_query_decides_no_types(context, erp):
    """A query without rows makes a table whose columns accept the types of the next rows."""
    none = load(ingest.load_sql, context, connection="erp", query="SELECT * FROM orders WHERE 0")
    context.write(none, {"table": "bronze.o", "mode": "append"})
    rows = load(ingest.load_sql, context, connection="erp", table="orders")
    context.write(rows, {"table": "bronze.o", "mode": "append"})
    assert context.read("bronze.o")["id"].tolist() == [1, 2]


def test_a_databases_whole_numbers_with_gaps_stay_whole(context, erp):
    """A gap does not turn a column of small whole numbers into floats."""
    query = "SELECT id AS n FROM orders UNION ALL SELECT NULL"
    frame = load(ingest.load_sql, context, connection="erp", query=query)
    assert str(frame["n"].dtype) == "Int64"
