"""A second Delta catalog of a session that is not ours, whose rights Unity Catalog's texts refuse."""

from __future__ import annotations

import json
import uuid

import pytest
from engines.contract import INFO, table
from guarded_catalog import GuardedCatalog
from real_project import default_rows
from spark_sessions import connect, make, place, settings_of
from thorough import THOROUGH

from odibi_nb import GenericProjectOrchestrator
from odibi_nb.core.model.transformation import Output
from odibi_nb.core.protocols import Session
from odibi_nb.core.running.failure_frames import failure_message
from odibi_nb.engines.lake import CatalogLake
from odibi_nb.engines.spark import session as spark_session
from odibi_nb.engines.spark.connect import connected
from odibi_nb.engines.spark.connection import CONNECT, Connection
from odibi_nb.engines.spark.engine import SparkEngine
from odibi_nb.errors import OdibiError
from odibi_nb.storage.row_table import Merge
from odibi_nb.storage.spark_table import SparkRowTable
from odibi_nb.wiring import editable_registry, rights_to_write

COLUMNS = (("k", "string"), ("v", "string"))
FUNCTIONS = """
def load(constants, spark):
    return spark.range(constants["rows"]).selectExpr("id AS x")


def double(inputs, spark):
    return spark.table(inputs[0]).selectExpr("x * 2 AS x")
"""


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """A second Delta catalog in a session of its own on the Connect server."""
    folder = tmp_path_factory.mktemp("guarded")
    connect("connect", folder)
    own = dict(spark_session._own)
    spark = connected(settings_of("connect")["remote"], {})
    found = GuardedCatalog(spark, f"main_{uuid.uuid4().hex[:8]}", folder)
    yield found
    found.drop()
    spark.stop()
    spark_session._own.update(own)


def engine_of(catalog):
    """An engine whose lake is the catalog."""
    connection = Connection(catalog.spark, CONNECT, own=False, why="the test's session")
    return SparkEngine(lambda: connection, CatalogLake(catalog.name))


@pytest.fixture
def guarded(catalog):
    """The catalog with one table, all rights again after the test."""
    spark = catalog.spark
    engine = engine_of(catalog)
    engine.write(make(spark, [{"n": 1}]), Output(table="bronze.t"), INFO)
    rows = SparkRowTable(lambda: spark, "the log", name=f"{catalog.name}.config.log")
    rows.append([{"k": "a", "v": "1"}], COLUMNS)
    yield catalog, engine, rows
    catalog.drop()


def grants(catalog, action, *rights):
    """The message of *action* without *rights*."""
    catalog.deny(*(right.format(catalog.name) for right in rights))
    with pytest.raises(Exception, match=r"INSUFFICIENT_PERMISSIONS|ask for") as caught:
        action()
    catalog.deny()
    return failure_message(caught.value)


def test_each_missing_right_is_one_message_with_its_grant(guarded):
    """Reads, writes, the registry's and the run log's tables, and doctor name the GRANT to ask for."""
    catalog, engine, rows = guarded
    spark, name = catalog.spark, f"`{catalog.name}`"
    frame = make(spark, [{"n": 2}])
    here = place(
        catalog._denied.parent, session=Session(spark=spark), lake=f"catalog:{catalog.name}"
    )

    def write(to, **keywords):
        return lambda: engine.write(frame, Output(table=to, **keywords), INFO)

    merge = Merge(keys=("k",), updates=(({"k": "a", "v": "1"}, {"v": "2"}),))
    found = [
        (engine_of(catalog).check_writable, "USE CATALOG on Catalog '{}'"),
        (lambda: rights_to_write(here, ["bronze.t"]), "USE CATALOG on Catalog '{}'"),
        (lambda: engine.read(table("bronze.t")).collect(), "USE SCHEMA on Schema '{}.bronze'"),
        (lambda: engine.read(table("bronze.t")).collect(), "SELECT on Table '{}.bronze.t'"),
        (lambda: engine.query("SELECT * FROM bronze.t").collect(), "SELECT on Table '{}.bronze.t'"),
        (write("bronze.t", mode="append"), "MODIFY on Table '{}.bronze.t'"),
        (write("bronze.t"), "MODIFY on Table '{}.bronze.t'"),
        (write("bronze.t", mode="merge", keys=("n",)), "MODIFY on Table '{}.bronze.t'"),
        (write("bronze.new"), "CREATE TABLE on Schema '{}.bronze'"),
        (write("new.t"), "CREATE SCHEMA on Catalog '{}'"),
        (lambda: rows.select(COLUMNS), "SELECT on Table '{}.config.log'"),
        (lambda: rows.append([{"k": "b"}], COLUMNS), "MODIFY on Table '{}.config.log'"),
        (lambda: rows.merge(COLUMNS, lambda _: merge), "MODIFY on Table '{}.config.log'"),
    ]
    for number, (action, right) in enumerate(found):
        message = grants(catalog, action, right)
        privilege, _, rest = right.format(catalog.name).partition(" on ")
        kind, _, place_ = rest.partition(" ")
        spelled = ".".join(f"`{part}`" for part in place_.strip("'").split("."))
        assert message.count(f"ask for: GRANT {privilege} ON {kind.upper()} {spelled} TO ") == 1, (
            number,
            message,
        )
        assert name in message
        assert "\tat " not in message
        assert len(message.splitlines()) == 1, message
    assert rows.select(COLUMNS) == [{"k": "a", "v": "1"}]
    assert engine.details(table("bronze.t")).rows == 1


def test_doctor_names_each_missing_right(guarded):
    """The rights to use a schema, to create tables and to create schemas are looked up, and nothing is written."""
    catalog, _, _ = guarded
    name = f"`{catalog.name}`"
    session = Session(spark=catalog.spark)
    here = place(catalog._denied.parent, session=session, lake=f"catalog:{catalog.name}")
    me = catalog.spark.sql("SELECT current_user()").collect()[0][0]

    def missing(*granted, denied=(), **keywords):
        catalog.show_rights([("bronze", me, "USE SCHEMA"), *granted], ["bronze"], **keywords)
        catalog.deny(*denied)
        found = rights_to_write(here, ["bronze.new", "config.log"])
        catalog.deny()
        assert found.new_schemas == ()
        assert all(one.endswith(" TO `<user>`") for one in found.missing)
        return [one.removesuffix(" TO `<user>`") for one in found.missing], found.unknown

    create = f"GRANT CREATE TABLE ON SCHEMA {name}.`bronze`"
    of_log = ("config", me, "CREATE_TABLE")
    assert missing(of_log) == ([create], ())
    assert missing(of_log, ("bronze", "others", "CREATE_TABLE")) == ([create], ())
    for enough in (("engineers", "CREATE TABLE"), (me, "CREATE_TABLE"), (me, "ALL PRIVILEGES")):
        assert missing(of_log, ("bronze", *enough)) == ([], ())
    assert missing(of_log, owner="engineers") == ([], ())
    unusable = f"USE SCHEMA on Schema '{catalog.name}.bronze'"
    use = f"GRANT USE SCHEMA ON SCHEMA {name}.`bronze`"
    assert missing(of_log, denied=[unusable]) == ([use, create], ())
    hidden = f"SELECT on Table '{catalog.name}.information_schema.schema_privileges'"
    assert missing(of_log, denied=[hidden]) == ([], ("CREATE TABLE",))
    tables = catalog.spark.sql(f"SHOW TABLES IN {catalog.name}.bronze").collect()
    assert [row["tableName"] for row in tables] == ["t"]
    catalog.show_rights([("", me, "USE CATALOG")])
    (schema,) = rights_to_write(here, ["new.t"]).missing
    assert schema.startswith(f"GRANT CREATE SCHEMA ON CATALOG {name} TO ")
    catalog.show_rights([("", me, "CREATE_SCHEMA")])
    assert rights_to_write(here, ["new.t"]).missing == ()


@pytest.mark.skipif(not THOROUGH, reason="takes a minute: ODIBI_TEST_THOROUGH=1 runs it")
def test_a_run_without_rights(guarded, tmp_path):
    """A row fails with the GRANT, a run log only warns with it, and a registry ends the run with it."""
    catalog, _, _ = guarded
    registry = "config.TransformationRegistry"
    environment = {"engine": "spark", "lake": f"catalog:{catalog.name}", "registry": registry}
    content = {
        "project": "Plant One",
        "layer_order": ["Bronze", "Silver_1"],
        "layers": {"Bronze": {"retry": {"max_retries": 0}}},
        "environments": {"qat": environment},
    }
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    (tmp_path / "plant_functions.py").write_text(FUNCTIONS)
    project = GenericProjectOrchestrator(
        "Plant One",
        manifest_path=tmp_path / "manifest.json",
        auth_provider=lambda **given: {"spark": catalog.spark},
    )
    store = editable_registry(project.place())
    store.create()
    store.upsert(default_rows())
    project.run().raise_for_status()
    catalog.deny(f"MODIFY on Table '{catalog.name}.bronze.x'")
    result = project.run()
    assert result["status"] == "failed"
    assert "ask for: GRANT MODIFY ON TABLE" in failure_message(result.transformations["B1"].error)
    catalog.deny(f"MODIFY on Table '{catalog.name}.config_driven.transformationrunlog'")
    result = project.run()
    assert result["status"] == "success"
    (warning,) = [text for text in result.warnings if "GRANT" in text]
    assert "GRANT MODIFY ON TABLE" in warning
    catalog.deny(f"SELECT on Table '{catalog.name}.config.transformationregistry'")
    with pytest.raises(OdibiError, match="GRANT SELECT ON TABLE"):
        project.run()
