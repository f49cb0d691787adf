"""The registry as a Delta table of the lake: through delta-rs, and through a Spark session."""

from __future__ import annotations

import datetime as dt
import json
import threading

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from registries import row, the_error
from spark_sessions import connect

from odibi_nb.core.model.transformation import OPTIONAL_COLUMNS, SEED_COLUMNS
from odibi_nb.sources.table import TableRegistry
from odibi_nb.storage.delta_table import DeltaRowTable
from odibi_nb.storage.spark_table import SparkRowTable


@pytest.fixture(scope="module", params=["sail", "delta-rs"])
def spark(request, tmp_path_factory):
    """A session, or None if the table belongs to delta-rs."""
    if request.param == "delta-rs":
        return None
    return connect(request.param, tmp_path_factory.mktemp("spark")).spark


@pytest.fixture
def make(spark, tmp_path):
    """Make the registry in the test's folder newly with every call."""
    path = f"{tmp_path}/lake/config_driven/transformationregistry"
    if spark is None:
        return lambda: TableRegistry(DeltaRowTable(path), "the registry")
    return lambda: TableRegistry(SparkRowTable(lambda: spark, "it", path=path), "the registry")


def table_of(tmp_path):
    """The Delta table."""
    return DeltaTable(f"{tmp_path}/lake/config_driven/transformationregistry")


def test_create_write_and_read(make, tmp_path):
    """A new table has the seed's columns in order. Rows are inserted, updated or left alone, in one commit."""
    registry = make()
    [done] = registry.create()
    assert done.startswith("created table the registry: transformation_id, project, ")
    assert [f.name for f in table_of(tmp_path).schema().fields] == list(SEED_COLUMNS)
    assert make().create() == []
    assert (registry.fetch("Energy Efficiency", "qat"), registry.census()) == ([], [])
    first = [
        row("A", inputs=["s.t"], constants={"a": {"b": [1, "ü'\"\\"]}}, entity_1=None),
        row("B", enabled=0, project="ENERGY efficiency"),
        row("B", environment="prod"),
        row("O'Brien", project="Othér 漢字"),
    ]
    assert registry.upsert(first) == (4, 0, 0)
    version = table_of(tmp_path).version()
    again = [row("A", layer="Gold_1"), row("B", enabled=0), row("C")]
    assert make().upsert(again) == (1, 1, 1)
    assert table_of(tmp_path).version() == version + 1
    found = make().fetch("energy EFFICIENCY", "qat")
    assert [(r["transformation_id"], r["layer"], r["enabled"]) for r in found] == [
        ("A", "Gold_1", 1),
        ("B", "Silver_1", 0),
        ("C", "Silver_1", 1),
    ]
    assert json.loads(found[0]["constants"]) == {"a": {"b": [1, "ü'\"\\"]}}
    assert make().census() == [
        ("ENERGY efficiency", "qat", 0),
        ("Energy Efficiency", "prod", 1),
        ("Energy Efficiency", "qat", 2),
        ("Othér 漢字", "qat", 1),
    ]
    assert make().fetch("x' OR '1'='1", "qat' OR 1=1 --") == []


def test_columns_are_found_in_any_case_and_added(make, tmp_path):
    """A table in another case, with missing and foreign columns, is read, completed, and not replaced."""
    names = [name.upper() for name in SEED_COLUMNS if name != "enabled"]
    values = {name: f"{name}-1" for name in names} | {"ENVIRONMENT": "qat", "PROJECT": "P"}
    path = f"{tmp_path}/lake/config_driven/transformationregistry"
    write_deltalake(path, pa.Table.from_pylist([{**values, "own": 1}]))
    assert "column 'enabled' is missing" in the_error(lambda: make().fetch("p", "qat"))
    done = make().create(all_columns=True)
    assert [line.split()[2] for line in done] == ["enabled", *OPTIONAL_COLUMNS]
    [found] = make().fetch("p", "qat")
    assert (found["transformation_id"], found["enabled"]) == ("TRANSFORMATION_ID-1", 1)
    new = {**row("T2", project="P"), "step": 3}
    assert make().upsert([new]) == (1, 0, 0)
    by_id = {r["transformation_id"]: r for r in make().export()}
    assert (by_id["T2"]["step"], by_id["T2"]["enabled"]) == (3, 1)
    now = dt.datetime.now(dt.timezone.utc)
    assert abs(by_id["T2"]["created_at"] - now) < dt.timedelta(minutes=5)
    assert make().upsert([{**new, "step": 4}]) == (0, 1, 0)
    assert {r["transformation_id"]: r for r in make().export()}["T2"]["created_at"] == (
        by_id["T2"]["created_at"]
    )


def test_a_table_without_the_columns_that_rows_are_chosen_by_is_refused(make, tmp_path):
    """A table without the column project or environment has no rows for any: the message names the missing one."""
    path = f"{tmp_path}/lake/config_driven/transformationregistry"
    write_deltalake(path, pa.Table.from_pylist([{"transformation_id": "A", "projekt": "P"}]))
    message = the_error(lambda: make().fetch("p", "qat"))
    assert "column 'project' is missing (did you mean 'projekt'?)" in message
    assert "column 'environment' is missing" in message


def test_what_is_wrong_is_told_and_nothing_is_written(make, tmp_path):
    """A missing table, invalid rows, and unknown columns give one message and no commit."""
    assert "the table does not exist; `odibi registry init` creates it" in the_error(
        lambda: make().fetch("p", "qat")
    )
    assert not (tmp_path / "lake").exists()
    make().create()
    before = table_of(tmp_path).version()
    bad = [row("A"), row("A"), row("B", inputs="[oops"), row("C", colour="red"), row("D", step=1)]
    message = the_error(lambda: make().upsert(bad))
    for part in (
        "row 'A'",
        "occurs twice",
        "row 'B', inputs",
        "unknown column 'colour'",
        "the table has no column 'step'; `odibi registry init --all-columns` adds it",
    ):
        assert part in message
    assert table_of(tmp_path).version() == before


def test_two_that_change_it_at_once(make):
    """Two writers that change different rows at the same time both succeed."""
    make().create()
    make().upsert([row("A"), row("B")])
    start = threading.Barrier(2)

    def work(name):
        registry = make()
        start.wait(60)
        registry.upsert([row(name, layer="Gold_1"), row(f"{name}2")])

    threads = [threading.Thread(target=work, args=(name,)) for name in "AB"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {r["transformation_id"]: r["layer"] for r in make().export()} == {
        "A": "Gold_1",
        "A2": "Silver_1",
        "B": "Gold_1",
        "B2": "Silver_1",
    }
