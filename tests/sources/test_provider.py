"""The registry through a seed-style SQL provider."""

from __future__ import annotations

import collections
import sqlite3
import sys
from decimal import Decimal

import pandas as pd
import pytest
import sqlalchemy as sa
from registries import execute, row, the_error

from odibi_nb.core.model.transformation import SEED_COLUMNS, parse_row
from odibi_nb.core.protocols import DataType
from odibi_nb.sources.provider import ProviderRegistry
from odibi_nb.sources.table import registry_in_database


class Provider:
    """A provider that answers with *answer* of the query, and records how it was asked."""

    def __init__(self, answer) -> None:
        self.answer = answer
        self.asked = []

    def read(self, **arguments):
        """Ask in the seed's way."""
        self.asked.append(arguments)
        return self.answer(arguments["object_name"])


class SparkRow:
    """The part of pyspark's Row that the seed uses."""

    def __init__(self, values) -> None:
        self._values = values

    def asDict(self):
        """Column to value."""
        return self._values


class SparkFrame:
    """The part of a Spark DataFrame that the seed uses."""

    def __init__(self, rows) -> None:
        self._rows = rows

    def collect(self):
        """All rows."""
        return [SparkRow(values) for values in self._rows]


def full_row(id_: str = "T1", **values):
    """A row with all of the seed's columns."""
    return {**dict.fromkeys(SEED_COLUMNS), "enabled": 1, **row(id_, **values)}


@pytest.fixture
def url(tmp_path) -> str:
    """An SQLite registry with two projects and two environments."""
    url = f"sqlite:///{tmp_path}/registry.db"
    registry = registry_in_database(url)
    registry.create()
    registry.upsert(
        [
            row("B", inputs=["s.t"], constants={"a": 1}),
            row("A", enabled=0),
            row("A", environment="prod"),
            row("C", project="O'Brien & Co"),
        ]
    )
    return url


def test_the_question():
    """The provider is asked exactly as the seed asks it."""
    provider = Provider(lambda _query: [])
    spark = object()
    assert ProviderRegistry(provider, spark).fetch("Energy Efficiency", "qat") == []
    assert provider.asked == [
        {
            "data_type": DataType.SQL,
            "container": "",
            "path_prefix": "",
            "object_name": "SELECT * FROM TransformationRegistry "
            "WHERE LOWER(project) = LOWER('Energy Efficiency') AND environment = 'qat'",
            "spark": spark,
        }
    ]


def answers(url: str):
    """Return every kind of answer of a provider to a query, by name."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)

    def mappings(query):
        with engine.connect() as connection:
            return [dict(r) for r in connection.exec_driver_sql(query).mappings()]

    def sqlalchemy_rows(query):
        with engine.connect() as connection:
            return connection.exec_driver_sql(query).all()

    def sqlite_rows(query):
        connection = sqlite3.connect(engine.url.database)
        connection.row_factory = sqlite3.Row
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def named_tuples(query):
        kind = collections.namedtuple("RegistryRow", SEED_COLUMNS)  # noqa: PYI024  columns are data
        return (kind(**values) for values in mappings(query))

    return {
        "spark": lambda query: SparkFrame(mappings(query)),
        "pandas": lambda query: pd.DataFrame(mappings(query)),
        "pandas with gaps": lambda query: pd.DataFrame(mappings(query)).astype(
            {"enabled": "float64"}
        ),
        "sqlalchemy": sqlalchemy_rows,
        "sqlite3": sqlite_rows,
        "dicts": mappings,
        "named tuples": named_tuples,
    }


@pytest.mark.parametrize("kind", answers("sqlite://"))
def test_answers(url, kind):
    """A Spark or pandas DataFrame, SQLAlchemy rows, named tuples and dicts all give the same rows."""
    registry = ProviderRegistry(Provider(answers(url)[kind]))
    found = registry.fetch("energy efficiency", "qat")
    assert found == registry_in_database(url).fetch("energy efficiency", "qat")
    assert [parse_row(r, 1)[0].enabled for r in found] == [False, True]
    assert registry.census() == []


def test_quotes(url):
    """A name with a quote is found, and cannot end the literal."""
    registry = ProviderRegistry(Provider(answers(url)["dicts"]))
    assert [r["transformation_id"] for r in registry.fetch("O'Brien & Co", "qat")] == ["C"]
    assert registry.fetch("x' OR '1'='1", "qat") == []
    assert registry.fetch("Energy Efficiency", "x' OR '1'='1") == []


@pytest.mark.parametrize("name", ["a\\", "a\\' OR 1=1 --", "a\nb", "a\0b", "a\x7f"])
def test_names_that_no_literal_holds(name):
    """A backslash or a control character in a name is refused before the provider is asked."""
    provider = Provider(lambda _query: [])
    for call in (
        lambda: ProviderRegistry(provider).fetch(name, "qat"),
        lambda: ProviderRegistry(provider).fetch("p", name),
    ):
        assert "has a backslash or a control character" in the_error(call)
    message = the_error(
        lambda: ProviderRegistry(provider, table="t; DROP TABLE t").fetch("p", "qat")
    )
    assert "is not a table name" in message
    assert provider.asked == []


def test_foreign_rows():
    """Rows of other projects and environments are dropped from any answer."""
    rows = [full_row("A"), full_row("B", project="Other"), full_row("C", environment="prod")]
    registry = ProviderRegistry(Provider(lambda _query: rows))
    assert [r["transformation_id"] for r in registry.fetch("ENERGY efficiency", "qat")] == ["A"]


def test_padded_text():
    """Text that a database padded with blanks, or keeps in another case, still matches."""
    rows = [full_row("A", project="Energy Efficiency   ", environment="QAT ")]
    assert (
        len(ProviderRegistry(Provider(lambda _query: rows)).fetch("Energy Efficiency", "qat")) == 1
    )


def test_aliased_columns():
    """The aliases of the seed's query, in any case, are the registry's columns."""
    aliases = {
        "transformation_id": "ID",
        "environment": "env",
        "entity_1": "plant",
        "entity_2": "asset",
    }
    renamed = {aliases.get(k, k): v for k, v in full_row(entity_1="Plant_A").items()}
    [found] = ProviderRegistry(Provider(lambda _query: SparkFrame([renamed]))).fetch(
        "Energy Efficiency", "qat"
    )
    assert found == full_row(entity_1="Plant_A")


def test_a_column_that_is_called_like_an_alias():
    """A column such as `id` beside transformation_id is not its alias."""
    rows = [{**full_row(), "id": 17, "env": "x"}]
    [found] = ProviderRegistry(Provider(lambda _query: rows)).fetch("Energy Efficiency", "qat")
    assert (found["transformation_id"], found["environment"]) == ("T1", "qat")


def test_pandas_gaps():
    """Missing values of a pandas DataFrame (NaN, NaT, NA) become None."""
    frame = pd.DataFrame([full_row("A", step=None, created_at=None), full_row("B", step=2)])
    frame["created_at"] = pd.to_datetime(frame["created_at"])
    frame["entity_1"] = pd.array([None, "x"], dtype="string")
    frame["step"] = frame["step"].astype("float64")
    [a, b] = ProviderRegistry(Provider(lambda _query: frame)).fetch("Energy Efficiency", "qat")
    assert (a["step"], a["created_at"], a["entity_1"], a["inputs"]) == (None, None, None, None)
    assert (repr(b["step"]), b["entity_1"]) == ("2", "x")


def test_other_numbers():
    """`enabled` may be a boolean or a decimal, as JDBC gives it."""
    rows = [
        full_row("A", enabled=True),
        full_row("B", enabled=Decimal(1)),
        full_row("C", enabled=False),
    ]
    found = ProviderRegistry(Provider(lambda _query: rows)).fetch("Energy Efficiency", "qat")
    assert [parse_row(r, 1)[0].enabled for r in found] == [True, True, False]


def test_missing_columns():
    """One error names all of the seed's columns that the answer lacks."""
    short = {k: v for k, v in full_row().items() if k not in ("module", "outputs")}
    rows = [{**short, "modul": "m"}]
    message = the_error(
        lambda: ProviderRegistry(Provider(lambda _query: rows)).fetch("Energy Efficiency", "qat")
    )
    assert "column 'module' is missing (did you mean 'modul'?)" in message
    assert "column 'outputs' is missing" in message


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, "found NoneType"),
        ("SELECT", "found str"),
        ({"a": 1}, "found dict"),
        ([(1, 2)], "expected rows with column names, found tuple (1, 2)"),
    ],
)
def test_no_rows(answer, expected):
    """An answer without rows' structure is an error that describes it."""
    message = the_error(lambda: ProviderRegistry(Provider(lambda _query: answer)).fetch("p", "qat"))
    assert "TransformationRegistry through Provider" in message
    assert expected in message


def test_failing_provider():
    """A provider's own failure gives one line, without secrets."""

    def fail(_query):
        raise ConnectionError(
            "no login to jdbc:sqlserver://u:s3cret1@h;password=s3cret2;x=1\nToken: s3cret3"
        )

    message = the_error(lambda: ProviderRegistry(Provider(fail)).fetch("p", "qat"))
    assert (
        "the SQL provider failed: ConnectionError: no login to jdbc:sqlserver://u:***@h" in message
    )
    assert "s3cret" not in message
    assert "\n" not in message


def test_failing_collect(url):
    """A query that fails when its rows are collected gives the same error."""

    class Lazy:
        def collect(self):
            raise ValueError("Invalid object name 'TransformationRegistry'")

    message = the_error(lambda: ProviderRegistry(Provider(lambda _query: Lazy())).fetch("p", "qat"))
    assert "ValueError: Invalid object name" in message


def test_the_frameworks_own_type(tmp_path, monkeypatch):
    """If odibi_de_v2 is installed, the provider gets its DataType, which equals no other."""
    package = tmp_path / "odibi_de_v2"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "core.py").write_text("import enum\nclass DataType(enum.Enum):\n    SQL = 'sql'\n")
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("odibi_de_v2", "odibi_de_v2.core"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    provider = Provider(lambda _query: [])
    ProviderRegistry(provider).fetch("p", "qat")
    import odibi_de_v2.core

    assert provider.asked[0]["data_type"] is odibi_de_v2.core.DataType.SQL
    for module in ("odibi_de_v2", "odibi_de_v2.core"):
        monkeypatch.delitem(sys.modules, module)


def test_same_rows_as_sql(url):
    """The row of the seed's INSERT statement is the same through a provider as read directly."""
    execute(
        url, "UPDATE TransformationRegistry SET entity_1 = 'Plant_A' WHERE transformation_id = 'B'"
    )
    registry = ProviderRegistry(Provider(answers(url)["spark"]))
    assert registry.fetch("Energy Efficiency", "qat")[1]["entity_1"] == "Plant_A"
