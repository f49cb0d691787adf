"""Spark sessions for tests: one JVM for all of them, a Connect server, or Sail.

A laptop without Java or Delta's JARs skips the tests that need them, with one reason; CI never does.
"""

from __future__ import annotations

import datetime as dt
import os
import warnings

import pytest
from spark_server import server_url
from thorough import THOROUGH

from odibi_nb.core.model.manifest import EnvironmentConfig, ProjectManifest
from odibi_nb.core.protocols import Place, Session
from odibi_nb.engines.lake import Lake
from odibi_nb.engines.spark import jvm as spark_jvm
from odibi_nb.engines.spark import session as spark_session
from odibi_nb.engines.spark.engine import SparkEngine
from odibi_nb.errors import EngineError

UTC = dt.timezone.utc
QUICK = {
    "spark.master": "local[2]",
    "spark.default.parallelism": "1",
    "spark.sql.shuffle.partitions": "1",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.sql.adaptive.enabled": "false",
    # The tests end before a compiler's better code would pay. With one level of it the JVM keeps 48 MB
    # of code, which Spark and Delta fill: what is thrown out is interpreted.
    "spark.driver.extraJavaOptions": (
        "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize=256m -XX:NewSize=256m"
    ),
    # Without checksums of files, Delta starts 4 processes a commit (chmod) instead of 10.
    "spark.hadoop.fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
    "spark.hadoop.fs.AbstractFileSystem.file.impl": "org.apache.hadoop.fs.local.RawLocalFs",
    "spark.driver.memory": "1g",
}
if not THOROUGH:  # a fifth of Spark's time goes into the text of code that small tables hardly run
    QUICK |= {
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.codegen.wholeStage": "false",
    }


def place(folder, spark=None, session=None, lake=None):
    """Return the place of a test: an environment with this ``spark``, its state below *folder*."""
    return Place(
        manifest=ProjectManifest.from_dict({"project": "P"}),
        env="qat",
        config=EnvironmentConfig(spark=QUICK if spark is None else spark, lake=lake),
        state_dir=folder / "state",
        session=session or Session(),
    )


def settings_of(kind):
    """Return the environment's ``spark`` for a session of *kind*.

    Raises:
        EngineError: if Spark's Connect server cannot be had.
    """
    if kind == "classic":
        return QUICK
    return {"remote": "sail" if kind == "sail" else server_url(QUICK)}


def connect(kind, folder):
    """Return a session of *kind*, ``classic``, ``connect`` or ``sail``. Stop a session of another kind first."""
    if any(connection.kind != kind for connection in spark_session._own.values()):
        spark_session.stop_own()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return spark_session.connect(place(folder, settings_of(kind)))
        except EngineError as exc:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"no {kind} Spark here: {exc}")


def has_java():
    """Return True if classic Spark could start."""
    try:
        spark_jvm.check_versions()
        spark_jvm.check_java()
    except EngineError:
        return False
    return True


def engine(connection, folder):
    """An engine over an empty lake."""
    return SparkEngine(lambda: connection, Lake(str(folder / "lake")))


def make(spark, rows, columns=None):
    """Return a DataFrame of dicts with the types of the values, whole numbers as 64 bits."""
    from pyspark.sql import types as t

    kinds = {
        bool: t.BooleanType(),
        int: t.LongType(),
        float: t.DoubleType(),
        str: t.StringType(),
        dt.date: t.DateType(),
        dt.datetime: t.TimestampType(),
    }
    names = columns or list(dict.fromkeys(name for row in rows for name in row))
    fields = []
    for name in names:
        values = [row[name] for row in rows if row.get(name) is not None]
        kind = kinds[type(values[0])] if values else t.StringType()
        fields.append(t.StructField(name, kind))
    cells = [tuple(row.get(name) for name in names) for row in rows]
    return spark.createDataFrame(cells, t.StructType(fields))


def rows_of(frame):
    """The rows of a DataFrame, sorted, nulls last, timestamps aware."""
    from pyspark.sql import types as t

    stamps = {f.name for f in frame.schema.fields if isinstance(f.dataType, t.TimestampType)}
    rows = [
        {
            name: value.astimezone(UTC) if name in stamps and value is not None else value
            for name, value in row.asDict().items()
        }
        for row in frame.collect()
    ]
    return sorted(rows, key=lambda row: [(v is None, str(v)) for v in row.values()])
