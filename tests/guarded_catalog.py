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
        spark.addArtifact(str(compiled()))
        spark.conf.set(f"spark.sql.catalog.{name}.denied", str(self._denied))
        spark.conf.set(f"spark.sql.catalog.{name}", "GuardedCatalog")

    def deny(self, *rights):
        """Refuse each of *rights*, such as ``USE SCHEMA on Schema 'main.bronze'``, and nothing else."""
        self._denied.write_text("".join(f"{right}\n" for right in rights))

    def drop(self):
        """Drop all schemas of the catalog."""
        self.deny()
        for row in self.spark.sql(f"SHOW SCHEMAS IN {self.name}").collect():
            self.spark.sql(f"DROP SCHEMA {self.name}.{row[0]} CASCADE").collect()
