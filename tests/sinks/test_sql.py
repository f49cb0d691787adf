"""The run log in an SQL database."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
import sqlalchemy as sa
from log_records import record, run
from registries import execute
from sqlalchemy.dialects import mssql, mysql, postgresql
from sqlalchemy.schema import CreateTable

from odibi_nb.core.model.log_columns import RECORD_COLUMNS, RUN_COLUMNS
from odibi_nb.errors import DataError
from odibi_nb.sinks.table import KEY_LENGTHS, log_in_database
from odibi_nb.storage.sql_table import SqlLayout, new_columns


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path) -> str:
    """URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/log.db"
    return request.getfixturevalue("postgres_url")


def test_plain_sql(url):
    """Any SQL client can read the tables, whose names need no quotes."""
    sink = log_in_database(url)
    sink.write([record(), record("B")])
    sink.write_run(run())
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        names = "transformation_id, function, status, duration_seconds, error_message"
        found = connection.exec_driver_sql(
            f"SELECT {names} FROM TransformationRunLog WHERE project = 'Energy Efficiency' ORDER BY start_time DESC"
        ).all()
        assert len(found) == 2
        assert connection.exec_driver_sql("SELECT count(*) FROM TransformationRun").scalar() == 1


def test_written_twice(url):
    """An existing record or run is not written again, and does not change."""
    sink = log_in_database(url)
    sink.write([record()])
    sink.write([record(status="FAILED"), record("B"), record("B")])
    assert sink.attempts(["run-1"]) == [record("B"), record()]
    sink.write_run(run())
    sink.write_run(run(status="other"))
    assert sink.runs(5) == [run()]


def test_key(url):
    """The database rejects a second record of one attempt."""
    log_in_database(url).write([record()])
    insert = "INSERT INTO TransformationRunLog (run_id, transformation_id, attempt) VALUES ('run-1', 'T1', 1)"
    with pytest.raises(sa.exc.IntegrityError):
        execute(url, insert)


def test_older_table(url):
    """A table with fewer columns, and other types, is widened and used."""
    execute(
        url,
        "CREATE TABLE TransformationRunLog (transformation_id VARCHAR(50), project VARCHAR(50), start_time VARCHAR(50))",
        "INSERT INTO TransformationRunLog VALUES ('OLD', 'p', '2025-01-15 10:30:00')",
    )
    sink = log_in_database(url)
    assert (sink.written("run-1"), sink.attempts(["run-1"])) == (set(), [])
    sink.write([record()])
    assert sink.attempts(["run-1"]) == [record()]


def test_all_or_nothing(postgres_url):
    """If the database refuses a batch, it stores none of it, and the error is one line."""
    sink = log_in_database(postgres_url)
    sink.write([record()])
    with pytest.raises(
        DataError, match=r"run log TransformationRunLog in postgresql.*: value too long"
    ) as caught:
        sink.write([record("B"), record("C" * 300)])
    assert sink.written("run-1") == {("T1", 1)}
    assert "\n" not in str(caught.value)
    assert sa.make_url(postgres_url).password not in str(caught.value)


def test_locked_file(tmp_path):
    """A locked SQLite file gives one clear error, and the batch can be written later."""
    sink = log_in_database("sqlite:///log.db", folder=tmp_path, timeout=0.05)
    sink.write([record()])
    with contextlib.closing(sqlite3.connect(tmp_path / "log.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DataError, match="locked by another process"):
            sink.write([record("B")])
    sink.write([record("B")])
    assert sink.written("run-1") == {("T1", 1), ("B", 1)}


def test_unreachable_server():
    """A missing server gives one clear error, without a password."""
    pytest.importorskip("psycopg")
    sink = log_in_database("postgresql+psycopg://u:s3cret@127.0.0.1:1/db")
    for call in (lambda: sink.write([record()]), lambda: sink.runs(1)):
        with pytest.raises(DataError, match="refused") as caught:
            call()
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        (
            mssql.dialect(deprecate_large_types=True),  # as every server since 2012
            [
                "DATETIMEOFFSET",
                "DOUBLE PRECISION",
                "NVARCHAR(max)",
                "NVARCHAR(255)",
                "BIGINT",
                "[user]",
            ],
        ),
        (
            mysql.dialect(),
            ["DATETIME(6)", "DOUBLE", "LONGTEXT", "VARCHAR(255)", "BIGINT", "`function`"],
        ),
        (
            postgresql.dialect(),
            ["TIMESTAMP WITH TIME ZONE", "DOUBLE PRECISION", "TEXT", "BIGINT", '"user"'],
        ),
    ],
)
def test_other_databases(dialect, expected):
    """Every database gets its own types, times to the microsecond, and quotes around its keywords."""
    layout = SqlLayout(key=("run_id",), lengths=KEY_LENGTHS)
    columns = new_columns(RECORD_COLUMNS, layout)
    table = sa.Table("TransformationRunLog", sa.MetaData(), *columns)
    text = str(CreateTable(table).compile(dialect=dialect))
    assert [part for part in expected if part not in text] == []
    runs = sa.Table("TransformationRun", sa.MetaData(), *new_columns(RUN_COLUMNS, layout))
    assert "retry_of" in str(CreateTable(runs).compile(dialect=dialect))
