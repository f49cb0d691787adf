"""The registry in an SQL database: reading."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import sys

import pytest
import sqlalchemy as sa
from registries import execute, row, the_error
from sqlalchemy.dialects import mssql, mysql, postgresql, sqlite

from odibi_nb.core.model.transformation import OPTIONAL_COLUMNS, SEED_COLUMNS, parse_row
from odibi_nb.errors import EngineNotAvailableError
from odibi_nb.sources.table import registry_in_database
from odibi_nb.sources.upsert import KEY
from odibi_nb.storage.row_table import RowQuery
from odibi_nb.storage.sql_table import select_of

EXERCISE_1 = """
INSERT INTO TransformationRegistry VALUES (
    'TEST_001',
    'My Project',
    'qat',
    'Silver_1',
    NULL,  -- plant
    NULL,  -- asset
    'my_module',
    'my_function',
    '["input_table"]',
    '{"param1": "value1"}',
    '[{"table": "output_table", "mode": "overwrite"}]',
    1
);
"""


def test_seed_exercise(database_url):
    """A created table accepts the seed's INSERT without column names, and the row is read back."""
    registry = registry_in_database(database_url)
    registry.create()
    execute(database_url, EXERCISE_1)
    [found] = registry.fetch("my project", "qat")
    assert tuple(found) == SEED_COLUMNS
    parsed, problems = parse_row(found, 1)
    assert problems == []
    assert (parsed.inputs, parsed.constants, parsed.enabled) == (
        ["input_table"],
        {"param1": "value1"},
        True,
    )


def test_selection(database_url):
    """The rows are the project's, in any case, and the env's, enabled or not, ordered by id."""
    registry = registry_in_database(database_url)
    registry.create()
    registry.upsert(
        [
            row("B"),
            row("C", enabled=0),
            row("A"),
            row("D", environment="prod"),
            row("E", project="Energy"),
        ]
    )
    found = registry.fetch("ENERGY efficiency", "qat")
    assert [(r["transformation_id"], r["enabled"]) for r in found] == [("A", 1), ("B", 1), ("C", 0)]
    assert registry.fetch("Energy Efficiency", "QAT") == []


def test_letters_beyond_ascii(database_url):
    """A project is found in any case in any alphabet."""
    registry = registry_in_database(database_url)
    registry.create()
    registry.upsert([row(project="Wärmerückgewinnung Öst")])
    assert len(registry.fetch("WÄRMERÜCKGEWINNUNG ÖST", "qat")) == 1


@pytest.mark.parametrize(
    "name", ["x' OR '1'='1", "'; DROP TABLE TransformationRegistry; --", "%", 'a"b', "\\'"]
)
def test_names_are_bound(database_url, name):
    """The name of a project or env is only data, whatever its characters."""
    registry = registry_in_database(database_url)
    registry.create()
    registry.upsert([row()])
    assert registry.fetch(name, "qat") == registry.fetch("Energy Efficiency", name) == []
    registry.upsert([row("T2", project=name, environment=name)])
    assert [r["transformation_id"] for r in registry.fetch(name, name)] == ["T2"]
    assert len(registry.export()) == 2


def test_any_case(database_url):
    """Table and columns are found in any case that the database keeps."""
    columns = ", ".join(f'"{name.title()}" VARCHAR(200)' for name in SEED_COLUMNS)
    execute(database_url, f'CREATE TABLE "transformationREGISTRY" ({columns})')
    registry = registry_in_database(database_url)
    registry.upsert([row(inputs=["bronze.a"])])
    [found] = registry.fetch("energy efficiency", "qat")
    assert tuple(found) == SEED_COLUMNS
    assert (found["inputs"], found["enabled"]) == ('["bronze.a"]', "1")
    assert registry.upsert([row(inputs=["bronze.a"])]) == (0, 0, 1)


def test_exact_name_first(database_url):
    """Of several tables whose names differ in case only, the one with the exact spelling is read."""
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite has no such tables")
    registry_in_database(database_url, table="transformationregistry").create()
    columns = ", ".join(f"{name} TEXT" for name in SEED_COLUMNS)
    execute(database_url, f'CREATE TABLE "TransformationRegistry" ({columns})')
    registry_in_database(database_url).upsert([row("exact")])
    assert [r["transformation_id"] for r in registry_in_database(database_url).export()] == [
        "exact"
    ]
    assert registry_in_database(database_url, table="transformationregistry").export() == []


def test_native_types(postgres_url):
    """A table with real booleans, JSON and times is read, counted and written like any other."""
    types = {"enabled": "BOOLEAN", "inputs": "JSONB", "constants": "JSON", "outputs": "JSONB"}
    columns = ", ".join(f"{name} {types.get(name, 'TEXT')}" for name in SEED_COLUMNS)
    execute(postgres_url, f"CREATE TABLE TransformationRegistry ({columns}, updated_at TIMESTAMP)")
    registry = registry_in_database(postgres_url)
    rows = [
        row("A", inputs=["s.t"], constants={"a": [1, None]}),
        row("B", enabled=0, outputs='[{"table": "s.t"}]'),
    ]
    assert registry.upsert(rows) == (2, 0, 0)
    assert registry.upsert(rows) == (0, 0, 2)
    assert registry.census() == [("Energy Efficiency", "qat", 1)]
    parsed = [parse_row(r, 1)[0] for r in registry.fetch("Energy Efficiency", "qat")]
    assert [(p.enabled, p.inputs, p.constants) for p in parsed] == [
        (True, ["s.t"], {"a": [1, None]}),
        (False, [], {}),
    ]
    assert parsed[1].targets[0].table == "s.t"


def test_view(database_url):
    """A view works like a table."""
    registry = registry_in_database(database_url)
    registry.create()
    registry.upsert([row()])
    execute(database_url, "CREATE VIEW registry_view AS SELECT * FROM TransformationRegistry")
    assert (
        len(
            registry_in_database(database_url, table="Registry_View").fetch(
                "Energy Efficiency", "qat"
            )
        )
        == 1
    )


def test_optional_columns(database_url):
    """The optional columns are read if they exist. Foreign columns are not read."""
    registry_in_database(database_url).create(all_columns=True)
    execute(database_url, "ALTER TABLE TransformationRegistry ADD COLUMN owner TEXT")
    registry = registry_in_database(database_url)
    registry.upsert([row(step=3, description="d")])
    [found] = registry.fetch("Energy Efficiency", "qat")
    assert tuple(found) == (*SEED_COLUMNS, *OPTIONAL_COLUMNS)
    assert (found["step"], found["description"]) == (3, "d")


def test_schema(postgres_url):
    """A table in another schema than the connection's own is found by `schema`."""
    own = re.search(r"test_\w+", postgres_url)[0]
    registry_in_database(postgres_url).create()
    elsewhere = sa.make_url(postgres_url).set(query={}).render_as_string(hide_password=False)
    assert registry_in_database(elsewhere, schema=own).export() == []
    assert "no table 'TransformationRegistry' in schema 'nowhere'" in the_error(
        registry_in_database(elsewhere, schema="nowhere").export
    )


def test_missing_columns(database_url):
    """One error names all of the seed's columns that a table lacks, with suggestions."""
    columns = [name for name in SEED_COLUMNS if name not in ("environment", "module", "layer")]
    execute(
        database_url,
        f"CREATE TABLE TransformationRegistry ({', '.join(f'{c} TEXT' for c in [*columns, 'enviroment', 'modul'])})",
    )
    message = the_error(lambda: registry_in_database(database_url).fetch("p", "qat"))
    assert "column 'environment' is missing (did you mean 'enviroment'?)" in message
    assert "column 'module' is missing (did you mean 'modul'?)" in message
    assert "column 'layer' is missing" in message


def test_census(database_url):
    """The census counts enabled rows by project and environment, and names places without any."""
    registry = registry_in_database(database_url)
    registry.create()
    registry.upsert(
        [row("A"), row("B", enabled=0), row("C"), row("D", environment="prod", enabled=False)]
    )
    assert registry.census() == [("Energy Efficiency", "prod", 0), ("Energy Efficiency", "qat", 2)]


def test_relative_path(tmp_path, monkeypatch):
    """A relative path of an SQLite file starts at the manifest's folder."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path)
    registry = registry_in_database("sqlite:///data/registry.db", folder=tmp_path / "project")
    registry.create()
    assert (tmp_path / "project/data/registry.db").exists()
    assert registry.export() == []
    assert registry.name == "TransformationRegistry in sqlite:///data/registry.db"


def test_missing_file(tmp_path):
    """Reading never creates an SQLite file. The error has the command that creates it."""
    registry = registry_in_database("sqlite:///registry.db", folder=tmp_path)
    for call in (registry.census, registry.export, lambda: registry.upsert([row()])):
        message = the_error(call)
        assert f"the file {tmp_path / 'registry.db'} does not exist" in message
        assert "odibi registry init" in message
        assert "odibi registry import" in message
    assert list(tmp_path.iterdir()) == []


def test_missing_table(database_url):
    """The error about a database without the table has a suggestion and the command that creates it."""
    execute(database_url, "CREATE TABLE transformation_registry (a TEXT)")
    message = the_error(lambda: registry_in_database(database_url).fetch("p", "qat"))
    assert "no table 'TransformationRegistry' (did you mean 'transformation_registry'?)" in message
    assert "odibi registry init" in message


def test_locked_file(tmp_path):
    """A locked SQLite file is an error after the timeout."""
    url = f"sqlite:///{tmp_path}/registry.db"
    registry_in_database(url).create()
    with contextlib.closing(sqlite3.connect(tmp_path / "registry.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        message = the_error(registry_in_database(url, timeout=0.05).census)
    assert message.endswith("the file is locked by another process (waited 0.05 s)")


def test_not_a_database(tmp_path):
    """A file that is not an SQLite database, and a folder, give one sentence."""
    (tmp_path / "registry.db").write_text("transformation_id,project\n" * 100)
    assert the_error(
        registry_in_database("sqlite:///registry.db", folder=tmp_path).census
    ).endswith("the file is not an SQLite database")
    (tmp_path / "folder").mkdir()
    assert "unable to open database file" in the_error(
        registry_in_database("sqlite:///folder", folder=tmp_path).census
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("registry.db", "not a database URL; expected dialect://"),
        ("", "not a database URL"),
        ("postgresql://user:s3cret-pw@host:port/db", "not a database URL"),
        ("postgresql:/user:s3cret-pw@host/db", "not a database URL"),
        ("user:s3cret-pw@host/db", "not a database URL"),
        (
            "postgres://user:s3cret-pw@host/db",
            "unknown kind of database 'postgres' (did you mean 'postgresql'?)",
        ),
        ("sqlite://", "in-memory"),
        ("sqlite:///:memory:", "in-memory"),
        (
            "postgresql+nodriver://user:s3cret-pw@host/db",
            "unknown kind of database 'postgresql+nodriver'",
        ),
    ],
)
def test_malformed_url(url, expected):
    """A URL that cannot be used gives one error with the reason, without the password."""
    message = the_error(lambda: registry_in_database(url).fetch("p", "qat"))
    assert expected in message
    assert "s3cret" not in message


def test_unknown_argument(postgres_url):
    """An argument in the URL that the driver rejects gives one clear error."""
    assert "nonsense" in the_error(registry_in_database(f"{postgres_url}&nonsense=1").census)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@ss:s3cret@h/db",
        "mssql+pyodbc:///?odbc_connect=UID=u;PWD=s3cret",
        "mysql+pymysql://u:s3cret@h/d?ssl_key=k",
        "databricks://token:s3cret@h?http_path=p",
    ],
)
def test_name_hides_password(url):
    """The registry's name contains no password, escaped correctly or not."""
    assert "s3cret" not in registry_in_database(url).name


@pytest.mark.parametrize(
    ("url", "extra"),
    [
        ("postgresql://u:s3cret@h/db", "postgres"),
        ("postgresql+psycopg://u:s3cret@h/db", "postgres"),
        ("mssql+pyodbc://u:s3cret@h/db", "mssql"),
        ("mysql://u:s3cret@h/db", "mysql"),
        ("mysql+pymysql://u:s3cret@h/db", "mysql"),
        ("databricks://token:s3cret@h?http_path=p", "databricks-sql"),
    ],
)
def test_missing_driver(monkeypatch, url, extra):
    """The error about a missing driver names the extra that installs it."""
    for module in (
        "psycopg",
        "psycopg2",
        "pyodbc",
        "pymysql",
        "MySQLdb",
        "databricks",
        "databricks.sqlalchemy",
    ):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EngineNotAvailableError) as caught:
        registry_in_database(url).fetch("p", "qat")
    assert caught.value.extra == extra
    assert f"pip install 'odibi-nb[{extra}]'" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_plain_postgresql_url(postgres_url):
    """``postgresql://`` without a driver uses the installed one."""
    plain = sa.make_url(postgres_url).set(drivername="postgresql")
    registry = registry_in_database(plain.render_as_string(hide_password=False))
    registry.create()
    assert registry.census() == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"port": 1}, "refused"),
        ({"password": "wr0ng-s3cret"}, "password authentication failed"),
        ({"database": "nowhere"}, 'database "nowhere" does not exist'),
        ({"username": "nobody"}, "nobody"),
    ],
)
def test_unreachable_server(postgres_url, change, expected):
    """A server that is missing, or denies access, gives one error with its reason, without the password."""
    url = sa.make_url(postgres_url).set(**change)
    message = the_error(registry_in_database(url.render_as_string(hide_password=False)).census)
    assert expected in message
    assert str(url.password) not in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("dialect", "function", "parameter"),
    [
        (mssql.dialect(paramstyle="named"), "[function]", ":project"),
        (mysql.dialect(), "`function`", "%s"),
        (postgresql.dialect(), "function", "%(project)s"),
        (sqlite.dialect(), "function", "?"),
    ],
)
def test_compiled(dialect, function, parameter):
    """Keywords are quoted in the database's way, and values are parameters, never part of the SQL."""
    chosen = RowQuery(equal={"environment": ["qat"]}, folded={"project": "O'Brien; --"}, order=KEY)
    query = select_of("TransformationRegistry", SEED_COLUMNS, chosen)
    compiled = query.compile(dialect=dialect)
    assert re.search(rf"[.\s]{re.escape(function)}[,\s]", str(compiled))
    assert parameter in str(compiled)
    assert "Brien" not in str(compiled)
    assert sorted(compiled.params.values()) == ["O'Brien; --", "qat"]
    assert "ORDER BY" in str(compiled)


def test_compiled_for_databricks():
    """Databricks gets its backticks, and its named parameters."""
    dialects = pytest.importorskip("databricks.sqlalchemy")
    chosen = RowQuery(equal={"environment": ["qat"]}, folded={"project": "p"})
    query = select_of("TransformationRegistry", SEED_COLUMNS, chosen)
    compiled = str(query.compile(dialect=dialects.DatabricksDialect()))
    assert "FROM `TransformationRegistry`" in compiled
    assert "lower(:`project`)" in compiled
