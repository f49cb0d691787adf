"""Spark in a JVM of this machine: is everything there, what it is told, and how it is started."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
"""delta-spark's version to the first and the last of pyspark's that it runs with."""
_UNRESOLVED = re.compile(r"unresolved dependency: (\S+?): not found")
_PROPERTIES = "spark.databricks.delta.properties.defaults"


def java() -> str | None:
    """The java that Spark would start: JAVA_HOME's, else the one on the path; None without one."""
    home = os.environ.get("JAVA_HOME")
    if home:
        return shutil.which("java", path=str(Path(home) / "bin"))
    return shutil.which("java")


def java_version(command: str) -> int | None:
    """The major version of *command*, a java; None if it does not say."""
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
    """The java to be used, and its version, for people.

    Raises:
        EngineError: if there is none that runs Spark; says how to get one.
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
    """The versions of pyspark and delta-spark, for people.

    Raises:
        EngineNotAvailableError: if one of them is not installed.
        EngineError: if they do not fit each other.
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
    """Whether Delta's JAR is in one of the places where Spark looks for it before it fetches it."""
    name = f"*delta-spark*{_version('delta-spark')}.jar"
    places = (f".ivy2*/jars/{name}", f".m2/repository/io/delta/*/*/{name}")
    return any(found for place in places for found in Path.home().glob(place))


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        raise EngineNotAvailableError("a local Spark session", "spark", distribution) from None


def _minor(version: str) -> tuple[int, int]:
    major, minor = [*re.findall(r"\d+", version), "0", "0"][:2]
    return int(major), int(minor)


def local_configuration(state_dir: Path) -> dict[str, str]:
    """What a local session is told unless the manifest says otherwise."""
    cores = os.cpu_count() or 1
    return {
        "spark.master": "local[*]",
        # One transformation's long job must not keep the others' short ones waiting.
        "spark.scheduler.mode": "FAIR",
        # 200, the default, is for clusters: here every one of them is a task of its own.
        "spark.sql.shuffle.partitions": str(max(2, cores)),
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.sql.session.timeZone": "UTC",
        # INT96, the default, is read as nanoseconds by delta-rs and many others: 9999-12-31 wraps.
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.warehouse.dir": str(state_dir / "spark-warehouse"),
        # As on Databricks: what a function saves as a table is a Delta table.
        "spark.sql.sources.default": "delta",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        # delta-rs, through which pandas rows read, cannot read them.
        f"{_PROPERTIES}.enableDeletionVectors": "false",
        # No web server: two sessions of one machine would want the same port.
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "localhost",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
    }


def start(name: str, settings: Mapping[str, str], log: Path) -> Any:
    """Start a JVM and a session in it.

    Args:
        name: the application's.
        settings: Spark's configuration.
        log: the file that gets what the JVM has to say, instead of the notebook.

    Raises:
        EngineError: if it does not start; says why, and what to do.
    """
    check_versions()
    check_java()
    if "spark.pyspark.python" not in settings:
        # Else "python3" runs the user's Python functions: in a virtual environment that nobody has
        # activated, as a notebook's kernel, another Python without its libraries.
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
    for key, value in builder._options.items():  # noqa: SLF001  what the builder itself does with them
        conf.set(key, value)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as output:
        try:
            if SparkContext._gateway is None:  # noqa: SLF001  there is no other way to ask
                gateway = launch_gateway(conf, {"stdout": output, "stderr": output})
                SparkContext._ensure_initialized(gateway=gateway)  # noqa: SLF001  as above
            return builder.getOrCreate()
        except Exception as exc:
            raise EngineError(_why_not(log, exc)) from exc


def _forget_dead_jvm() -> None:
    """Let pyspark start a JVM anew where the one that it had has ended; it has no way of its own."""
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
            f"did; {WITHOUT_JAVA}. All of it: {log}"
        )
    if "UnsupportedClassVersionError" in log_text:
        return f"Spark needs Java 17 or 21, and {java()} is too old: {_INSTALL_JAVA}{WITHOUT_JAVA}"
    lines = [line.strip() for line in log_text.splitlines() if line.strip()]
    error_lines = [line for line in lines if "Exception" in line or "Error" in line]
    because = (error_lines or lines or [str(error).strip().splitlines()[0]])[-1]
    return f"Spark did not start: {because:.300}. All of it: {log}"
