"""Run Spark in a JVM of this machine: check requirements, configure a session and start it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi_nb.core.process.packages import version_of
from odibi_nb.errors import EngineError, EngineNotAvailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

JAVA_VERSIONS = (17, 21)
WITHOUT_JAVA = (
    'or run without Java: pip install \'odibi-nb[sail]\' and "spark": {"remote": "sail"} in the '
    "manifest's environment"
)
_INSTALL_JAVA = (
    "install Java 17 or 21 (Debian: apt install openjdk-17-jre-headless; macOS: brew install "
    "openjdk@17; conda: conda install openjdk=17), or point JAVA_HOME at one; "
)
FIRST_START = (
    "Delta's JARs are not in ~/.ivy2 or ~/.m2: the first session fetches them from Maven Central "
    "(without a network, copy ~/.ivy2.5.2 from a machine that has them)"
)
_FITS = {
    (4, 0): ((4, 0), (4, 0)),
    (4, 1): ((4, 0), (4, 1)),
    (4, 2): ((4, 0), (4, 1)),
    (4, 3): ((4, 0), (4, 1)),
    (4, 4): ((4, 0), (4, 2)),
}
"""Version of delta-spark to the first and the last version of pyspark that it runs with."""
_UNRESOLVED = re.compile(r"unresolved dependency: (\S+?): not found")
_PROPERTIES = "spark.databricks.delta.properties.defaults"


def java() -> str | None:
    """Return the java that Spark would start: from JAVA_HOME, else from the path; None without one."""
    home = os.environ.get("JAVA_HOME")
    return shutil.which("java", path=str(Path(home) / "bin") if home else None)


def java_version(command: str) -> int | None:
    """Return the major version of the java *command*; None if it is unknown."""
    try:
        done = subprocess.run(  # noqa: S603  the java of JAVA_HOME or of the path
            [command, "-version"], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(\d+)(?:\.(\d+))?', done.stderr + done.stdout)
    if found is None:
        return None
    first = int(found[1])
    return int(found[2]) if first == 1 and found[2] else first


def check_java() -> str:
    """Return the java that Spark will use and its version, for messages.

    Raises:
        EngineError: if no java runs Spark; with a remedy.
    """
    command = java()
    if command is None:
        home = os.environ.get("JAVA_HOME")
        where = f"JAVA_HOME ({home}) has none" if home else "none was found"
        raise EngineError(f"Spark needs Java, and {where}: {_INSTALL_JAVA}{WITHOUT_JAVA}")
    version = java_version(command)
    if version is not None and version < JAVA_VERSIONS[0]:
        raise EngineError(
            f"Spark needs Java 17 or 21, and {command} is Java {version}: {_INSTALL_JAVA}{WITHOUT_JAVA}"
        )
    return f"{command} ({version or 'unknown version'})"


def check_versions() -> str:
    """Return the versions of pyspark and delta-spark, for messages.

    Raises:
        EngineNotAvailableError: if one of them is not installed.
        EngineError: if the versions do not work together.
    """
    spark, delta = _version("pyspark"), _version("delta-spark")
    needed = _FITS.get(_minor(delta))
    if needed is not None and not needed[0] <= _minor(spark) <= needed[1]:
        first, last = (".".join(map(str, version)) for version in needed)
        span = first if first == last else f"{first} to {last}"
        raise EngineError(
            f"pyspark {spark} and delta-spark {delta} do not fit: delta-spark "
            f"{'.'.join(map(str, _minor(delta)))} runs with pyspark {span}: "
            "pip install -U 'odibi-nb[spark]'"
        )
    return f"pyspark {spark}, delta-spark {delta}"


def has_jars() -> bool:
    """Return True if Delta's JAR is in a local folder that Spark searches before it downloads it."""
    name = f"*delta-spark*{_version('delta-spark')}.jar"
    places = (f".ivy2*/jars/{name}", f".m2/repository/io/delta/*/*/{name}")
    return any(found for place in places for found in Path.home().glob(place))


def _version(distribution: str) -> str:
    found = version_of(distribution)
    if found is None:
        raise EngineNotAvailableError("a local Spark session", "spark", distribution)
    return found


def _minor(version: str) -> tuple[int, int]:
    major, minor = [*re.findall(r"\d+", version), "0", "0"][:2]
    return int(major), int(minor)


def local_configuration(state_dir: Path) -> dict[str, str]:
    """Return the default configuration of a local session, which the manifest can override."""
    cores = os.cpu_count() or 1
    return {
        "spark.master": "local[*]",
        # A long job of one transformation must not block short jobs of others.
        "spark.scheduler.mode": "FAIR",
        # The default, 200, is for clusters; here it would only mean 200 small tasks.
        "spark.sql.shuffle.partitions": str(max(2, cores)),
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.sql.session.timeZone": "UTC",
        # delta-rs and many others read INT96, the default, as nanoseconds: 9999-12-31 wraps.
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.warehouse.dir": str(state_dir / "spark-warehouse"),
        # As on Databricks: a table that a function saves is a Delta table.
        "spark.sql.sources.default": "delta",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        # Pandas rows read through delta-rs, which cannot read deletion vectors.
        f"{_PROPERTIES}.enableDeletionVectors": "false",
        # No web server, because two sessions on one machine would need the same port.
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "localhost",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
    }


def start(name: str, settings: Mapping[str, str], log: Path) -> Any:
    """Start a JVM and a session in it.

    Args:
        name: the application's name.
        settings: Spark's configuration.
        log: file for the JVM's output, which would otherwise go to the notebook.

    Raises:
        EngineError: if Spark does not start; with the cause and a remedy.
    """
    check_versions()
    check_java()
    if "spark.pyspark.python" not in settings:
        # Otherwise Spark runs the user's Python functions with "python3". If the virtual environment
        # is not activated, as in a notebook's kernel, that is another Python without its libraries.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    from delta import configure_spark_with_delta_pip
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    _forget_dead_jvm()
    builder = SparkSession.builder.appName(name)
    for key, value in settings.items():
        builder = builder.config(key, value)
    extra = [p for p in settings.get("spark.jars.packages", "").split(",") if p]
    builder = configure_spark_with_delta_pip(builder, extra_packages=extra)
    conf = SparkConf()
    for key, value in builder._options.items():  # noqa: SLF001  as the builder itself does
        conf.set(key, value)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as output:
        try:
            if SparkContext._gateway is None:  # noqa: SLF001  nothing public returns it
                gateway = launch_gateway(conf, {"stdout": output, "stderr": output})
                SparkContext._ensure_initialized(gateway=gateway)  # noqa: SLF001  as above
            return builder.getOrCreate()
        except Exception as exc:
            raise EngineError(_why_not(log, exc)) from exc


def _forget_dead_jvm() -> None:
    """Let pyspark start another JVM after its JVM has ended; pyspark has no function for that."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    process = getattr(SparkContext._gateway, "proc", None)  # noqa: SLF001  as above
    if process is not None and process.poll() is not None:
        SparkContext._gateway = SparkContext._jvm = None  # noqa: SLF001  as above
        SparkContext._active_spark_context = None  # noqa: SLF001  as above
        SparkSession._instantiatedSession = None  # noqa: SLF001  as above


def _why_not(log: Path, error: Exception) -> str:
    log_text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    missing = _UNRESOLVED.findall(log_text)
    if missing:
        jars = ", ".join(
            dict.fromkeys(name.replace("#", ":").replace(";", ":") for name in missing)
        )
        return (
            f"Spark's JARs are missing: {jars}. They come from Maven Central when a session starts "
            "for the first time: start one with a network, or copy ~/.ivy2.5.2 from a machine that "
            f"did; {WITHOUT_JAVA}. Full log: {log}"
        )
    if "UnsupportedClassVersionError" in log_text:
        return f"Spark needs Java 17 or 21, and {java()} is too old: {_INSTALL_JAVA}{WITHOUT_JAVA}"
    lines = [line.strip() for line in log_text.splitlines() if line.strip()]
    error_lines = [line for line in lines if "Exception" in line or "Error" in line]
    because = (error_lines or lines or [str(error).strip().splitlines()[0]])[-1]
    return f"Spark did not start: {because:.300}. Full log: {log}"
