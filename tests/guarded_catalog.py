"""A second catalog of Delta tables in a Spark Connect session, which refuses rights in Unity Catalog's words.

Its class is in GuardedCatalog.java. The Java that runs Spark compiles it: Debian's headless package has the
module of the compiler, too.
"""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
import zipfile
from pathlib import Path

from odibi_nb.engines.spark import jvm as spark_jvm

SOURCE = Path(__file__).with_name("GuardedCatalog.java")
COMPILER = "jdk.compiler/com.sun.tools.javac.Main"


@functools.cache
def compiled():
    """A JAR with the catalog's classes, compiled once for the process."""
    import pyspark

    folder = Path(tempfile.mkdtemp(prefix="odibi-catalog-"))
    jars = os.pathsep.join(map(str, Path(pyspark.__file__).parent.glob("jars/s*_2.13-*.jar")))
    command = [spark_jvm.java(), "-m", COMPILER, "-nowarn", "-proc:none", "-cp", jars]
    done = subprocess.run(
        [*command, "-d", folder, SOURCE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(folder / "catalog.jar", "w") as jar:
        for path in folder.glob("*.class"):
            jar.write(path, path.name)
    return folder / "catalog.jar"


class GuardedCatalog:
    """The catalog *name* of a session; `deny` takes rights away."""

    def __init__(self, spark, name, folder):
        self.spark, self.name = spark, name
        self._denied = folder / f"{name}.denied"
        self._shown: dict[str, list[tuple]] = {}
        spark.addArtifact(str(compiled()))
        spark.conf.set(f"spark.sql.catalog.{name}.denied", str(self._denied))
        spark.conf.set(f"spark.sql.catalog.{name}", "GuardedCatalog")

    def deny(self, *rights):
        """Refuse each of *rights*, such as ``USE SCHEMA on Schema 'main.bronze'``, and nothing else."""
        self._denied.write_text("".join(f"{right}\n" for right in rights))

    def show_rights(self, granted, schemas=(), owner="somebody"):
        """Make the catalog's information schema: triples of schema ("" for the catalog), grantee and privilege.

        Its tables are real ones; the session's user is in the group ``engineers`` alone.
        """
        self.deny()
        member = "CREATE OR REPLACE TEMPORARY FUNCTION is_account_group_member(name STRING) RETURNS BOOLEAN"
        self.spark.sql(f"{member} RETURN name = 'engineers'").collect()
        place = f"{self.name}.information_schema"
        self.spark.sql(f"CREATE SCHEMA IF NOT EXISTS {place}").collect()
        tables = {
            "catalogs": (("catalog_name", "catalog_owner"), [(self.name, owner)]),
            "schemata": (("schema_name", "schema_owner"), [(name, owner) for name in schemas]),
            "schema_privileges": (
                ("catalog_name", "schema_name", "grantee", "privilege_type"),
                [(self.name, *one) for one in granted if one[0]],
            ),
            "catalog_privileges": (
                ("catalog_name", "grantee", "privilege_type"),
                [(self.name, *one[1:]) for one in granted if not one[0]],
            ),
        }
        for name, (columns, rows) in tables.items():
            if self._shown.get(name) == rows:
                continue  # each write of a table takes seconds
            self._shown[name] = rows
            schema = ", ".join(f"{column} STRING" for column in columns)
            self.spark.createDataFrame(rows, schema).write.format("delta").mode(
                "overwrite"
            ).saveAsTable(f"{place}.{name}")

    def drop(self):
        """Drop all schemas of the catalog."""
        self.deny()
        self._shown.clear()
        for row in self.spark.sql(f"SHOW SCHEMAS IN {self.name}").collect():
            self.spark.sql(f"DROP SCHEMA {self.name}.{row[0]} CASCADE").collect()
