"""Start a JVM session once, so that Delta's JARs are in ~/.ivy2* before the tests want them."""

import tempfile
from pathlib import Path

from odibi_nb.engines.spark import jvm as spark_jvm

folder = Path(tempfile.mkdtemp())
settings = spark_jvm.local_configuration(folder)
spark = spark_jvm.start("odibi_nb", settings, folder / "spark.log")
print("Spark", spark.version, "starts:", spark_jvm.check_versions())
spark.stop()
