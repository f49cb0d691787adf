"""The ready-made Bronze functions: every constant, and what is refused."""

import datetime as dt
import sqlite3

import pandas as pd
import pytest
import sqlalchemy as sa
from postgres import postgres_url

from odibi_nb import ingest
from odibi_nb.core.context import Engine, ExecutionContext
from odibi_nb.core.functions import FunctionRegistry, accepted_keywords
from odibi_nb.engines.pandas import PandasEngine
from odibi_nb.errors import DataError, EngineError, TableNotFoundError

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
    """Why the constants are refused, in one line."""
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
    """The source is mapped, read and counted as what the transformation read."""
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
    """A list of sources gives the rows of all; columns go by their names."""
    (tmp_path / "more.csv").write_text("Value,id\n3.5,9\n")
    frame = load(ingest.load_csv, context, source=[sensors, "more.csv"])
    assert frame["Value"].tolist() == [1.5, 2.5, 3.5]
    assert frame["id"].tolist() == [7, 8, 9]


def test_every_format_has_its_function(context, tmp_path):
    """CSV, JSON, Parquet, Excel and Delta; load_file goes by the suffix or by format."""
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
    """`options` are the reader's; a wrong one is refused."""
    (tmp_path / "a.csv").write_text("x;y\n1;2\n")
    frame = load(ingest.load_csv, context, source="a.csv", options={"sep": ";"})
    assert frame.columns.tolist() == ["x", "y"]
    text = refusal(ingest.load_csv, context, source="a.csv", options={"sepp": ";"})
    assert "unknown option 'sepp'" in text


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_source_must_be_given(context, function):
    """Without source there is nothing to load."""
    for constants in ({}, {"source": None}, {"source": []}, {"source": ""}):
        text = refusal(function, context, **constants)
        assert text.startswith(f"{function.__name__}: the constant 'source' is missing")


def test_unknown_constants_are_refused(context, sensors):
    """A misspelt constant gets a suggestion; the orchestrator's own are let through."""
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
        ({"rename": {"Value": "id"}}, "rename makes two columns 'id'"),
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
    """Where and what to load must each be told once; unknown names get a suggestion."""
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
    """Neither a wrong URL nor a server that is not there brings a password into a message."""
    for url in (
        "postgresql+psycopg://me:hush@127.0.0.1:1/db",
        "nosuch://me:hush@host/db",
        "me:hush@host",
    ):
        assert "hush" not in refusal(ingest.load_sql, context, url=url, table="t")


def test_load_sql_is_for_pandas(context):
    """On Spark the message says how to run the row all the same."""
    context.engine = Engine.SPARK
    with pytest.raises(EngineError, match="comes with the Spark engine"):
        load(ingest.load_sql, context, connection="erp", table="orders")


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
