"""Write Spark's classes, as a JVM has loaded them, to a file from which the tests' JVMs start.

A JVM with this file needs a third less processor time until its first commit. Java checks that the file was made by
the same Java from the same JARs, and ignores it otherwise.
"""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from pyspark import SparkContext  # noqa: E402
from spark_sessions import CLASSES, OPTIONS, QUICK  # noqa: E402

from odibi_nb.engines.spark import jvm as spark_jvm  # noqa: E402

if not CLASSES.exists():
    CLASSES.parent.mkdir(parents=True, exist_ok=True)
    unfinished = CLASSES.with_suffix(".unfinished")
    folder = Path(tempfile.mkdtemp())
    options = {OPTIONS: f"{QUICK[OPTIONS]} -XX:ArchiveClassesAtExit={unfinished}"}
    settings = {**spark_jvm.local_configuration(folder), **QUICK, **options}
    spark = spark_jvm.start("odibi_nb", settings, folder / "spark.log")
    table = f"delta.`{folder}/table`"
    rows = spark.createDataFrame([(1, "a")], "id long, name string")
    for mode in ("overwrite", "append"):
        rows.write.format("delta").mode(mode).save(f"{folder}/table")
    rows.createOrReplaceTempView("rows")
    spark.sql(
        f"MERGE INTO {table} t USING rows r ON t.id = r.id WHEN MATCHED THEN UPDATE SET * "
        "WHEN NOT MATCHED THEN INSERT *"
    )
    spark.sql(f"DESCRIBE HISTORY {table}").collect()
    java = SparkContext._gateway.proc  # noqa: SLF001  nothing public returns it
    spark.stop()
    java.stdin.close()  # it ends, and writes the file
    java.wait(timeout=300)
    unfinished.rename(CLASSES)
