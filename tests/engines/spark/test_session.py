"""The session that a run gets, and one clear message without a session."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from engines.parallel_rows import runs
from fakes import row
from spark_server import stop_server
from spark_sessions import QUICK, connect, engine, has_java, make, place

from odibi_nb.core.protocols import Session
from odibi_nb.engines.spark import connect as spark_connect
from odibi_nb.engines.spark import jvm as spark_jvm
from odibi_nb.engines.spark import session as spark_session
from odibi_nb.errors import EngineError, EngineNotAvailableError, ManifestError


def java_of_version(folder, version):
    """A java that only prints its version."""
    path = folder / "bin" / "java"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2020-01-01' >&2\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return folder


def test_no_java_is_one_message(monkeypatch, tmp_path):
    """Without Java the message has the version to install, and an alternative."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match=r"needs Java, and none was found: install Java 17") as e:
        spark_jvm.check_java()
    assert "pip install 'odibi-nb[sail]'" in str(e.value)
    assert "\n" not in str(e.value)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(EngineError, match=r"JAVA_HOME .* has none"):
        spark_jvm.check_java()


@pytest.mark.parametrize(("version", "shown"), [("1.8.0_402", "Java 8"), ("11.0.2", "Java 11")])
def test_an_old_java_is_one_message(monkeypatch, tmp_path, version, shown):
    """The message about a Java that is too old has its version and the one to install."""
    monkeypatch.setenv("JAVA_HOME", str(java_of_version(tmp_path, version)))
    with pytest.raises(EngineError, match=f"needs Java 17 or 21, and .* is {shown}: install"):
        spark_jvm.check_java()


def test_a_java_that_runs_spark_is_shown(monkeypatch, tmp_path):
    """JAVA_HOME finds a Java of a supported version."""
    monkeypatch.setenv("JAVA_HOME", str(java_of_version(tmp_path, "21.0.3")))
    assert spark_jvm.check_java() == f"{tmp_path}/bin/java (21)"


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        ({"pyspark": "4.3.0", "delta-spark": "4.4.0"}, "runs with pyspark 4.0 to 4.2"),
        ({"pyspark": "4.2.0", "delta-spark": "4.3.1"}, "runs with pyspark 4.0 to 4.1"),
        ({"pyspark": "4.1.0", "delta-spark": "4.0.1"}, "runs with pyspark 4.0:"),
        ({"pyspark": "3.5.3", "delta-spark": "4.0.1"}, "runs with pyspark 4.0:"),
    ],
)
def test_a_wrong_pair_of_versions_is_one_message(monkeypatch, versions, message):
    """The message about incompatible pyspark and delta-spark has both versions and the command that mends it."""
    monkeypatch.setattr(spark_jvm, "_version", versions.__getitem__)
    with pytest.raises(EngineError, match=message) as caught:
        spark_jvm.check_versions()
    assert "pip install -U 'odibi-nb[spark]'" in str(caught.value)


def test_a_missing_delta_spark_names_the_extra(monkeypatch):
    """Without delta-spark the message has the package to install."""
    monkeypatch.setattr(spark_jvm, "version_of", lambda name: None)
    with pytest.raises(EngineNotAvailableError, match=r"pip install 'odibi-nb\[spark\]'"):
        spark_jvm.check_versions()


def test_missing_jars_are_one_message(tmp_path):
    """The message names the JARs that Ivy could not find, and a remedy."""
    log = tmp_path / "spark.log"
    log.write_text(
        "\t:: io.delta#delta-spark_4.2_2.13;4.4.1: not found\n"
        'Exception in thread "main" java.lang.RuntimeException: [unresolved dependency: '
        "io.delta#delta-spark_4.2_2.13;4.4.1: not found]\n\tat org.apache.spark\n"
    )
    text = spark_jvm._why_not(log, RuntimeError("[JAVA_GATEWAY_EXITED]"))
    assert "JARs are missing: io.delta:delta-spark_4.2_2.13:4.4.1." in text
    assert "Maven Central" in text
    assert "\n" not in text


def test_a_jvm_that_does_not_start_says_why(tmp_path):
    """The last of the JVM's errors is shown, with the place of the others."""
    log = tmp_path / "spark.log"
    log.write_text(
        "Starting\nException in thread main: Invalid maximum heap size: -Xmx1x\n\tat x\n"
    )
    text = spark_jvm._why_not(log, RuntimeError("gone"))
    assert "Invalid maximum heap size" in text
    assert str(log) in text


@pytest.mark.parametrize(
    ("spark", "message"),
    [
        ({"remote": "localhost:15002"}, "expected 'sail', 'databricks' or 'sc://host:port'"),
        ({"shuffle": 2}, "is not a Spark setting: expected 'remote'"),
    ],
)
def test_what_is_no_spark_setting_is_a_problem_of_the_manifest(tmp_path, spark, message):
    """A wrong entry of the environment's ``spark`` is shown with its path; nothing starts."""
    spark_session.stop_own()
    with pytest.raises(ManifestError, match=message):
        spark_session.connect(place(tmp_path, spark))


def test_a_server_that_does_not_answer_is_one_message(tmp_path):
    """The message names a Connect endpoint that does not answer."""
    pytest.importorskip("grpc")
    code = (
        "import sys; sys.path[:0] = ['tests']\n"
        "from pathlib import Path\n"
        "from spark_sessions import place\n"
        "from odibi_nb.engines.spark import session as spark_session\n"
        "from odibi_nb.errors import EngineError\n"
        "try: spark_session.connect(place(Path(sys.argv[1]), {'remote': 'sc://127.0.0.1:1'}))\n"
        "except EngineError as exc: print(exc)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert "Spark Connect at sc://127.0.0.1:1 does not answer" in done.stdout, done.stderr
    assert done.stdout.count("\n") == 1


def test_the_second_run_has_the_session_of_the_first(tmp_path):
    """Our own session is reused, and `planned` looks at it without starting anything."""
    first = connect("sail", tmp_path)
    assert connect("sail", tmp_path) is first
    assert first.own
    assert "Sail" in spark_session.planned(place(tmp_path, {"remote": "sail"}))


def test_the_providers_session_is_used_and_never_stopped(tmp_path):
    """A session from ``auth_provider`` is the run's session, and outlives our engine."""
    spark = connect("sail", tmp_path).spark
    given = place(tmp_path, session=Session(spark=spark))
    found = spark_session.connect(given)
    assert found.spark is spark
    assert not found.own
    assert "auth_provider" in spark_session.planned(given)


def test_an_active_session_is_used_and_never_stopped(tmp_path):
    """A notebook's own session is used unchanged, and our end does not end it."""
    spark_session.stop_own()
    connection = connect("classic", tmp_path)
    spark_session._own.clear()  # from now on it is a foreign session
    try:
        found = spark_session.connect(place(tmp_path))
        assert found.spark is connection.spark
        assert not found.own
        spark_session.stop_own()
        assert found.spark.range(2).count() == 2
        assert "the active session" in spark_session.planned(place(tmp_path))
    finally:
        connection.spark.stop()


def test_a_shell_of_a_cluster_has_no_session(monkeypatch, tmp_path):
    """A command of %sh starts no local Spark without Delta; the message names what works there."""
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "18.0")
    for name in spark_session._SUBMITTED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(spark_session, "active_session", lambda: None)
    for ask in (spark_session.planned, spark_session.connect):
        with pytest.raises(EngineError, match="no Spark session") as caught:
            ask(place(tmp_path))
        assert "%odibi" in str(caught.value)
        assert "odibi export databricks" in str(caught.value)


def test_another_configuration_needs_another_process(tmp_path):
    """A JVM session with other settings is refused with a remedy."""
    connect("classic", tmp_path)
    other = place(tmp_path, {**QUICK, "spark.sql.shuffle.partitions": "7"})
    with pytest.raises(EngineError, match="restart the kernel"):
        spark_session.connect(other)


def test_an_active_session_without_delta_is_one_message(tmp_path):
    """A session without Delta Lake is refused with a remedy before anything runs."""

    class Bare:
        """A classic session without settings."""

        version = "4.2.0"

        class conf:
            """The session's settings."""

            @staticmethod
            def get(name, default=None):
                return default

    given = place(tmp_path, session=Session(spark=Bare()))
    with pytest.raises(EngineError, match="has no Delta Lake"):
        spark_session.connect(given)


def rows_end(folder, connection, *work, **options):
    """Run one row after the other on *connection*; each one's status, attempts and message."""
    rows = [
        row(f"R{n}", function, layer=layer, outputs=[{"table": f"silver.r{n}"}])
        for n, (function, layer) in enumerate(zip(work, ("Silver_1", "Gold_1"), strict=False))
    ]
    result = runs(engine(connection, folder), folder)(*rows, **options)
    return [(t.status, t.attempts, t.error_message) for t in result.transformations.values()]


def two_rows(spark):
    """A DataFrame."""
    return make(spark, [{"k": 1}, {"k": 2}])


@pytest.mark.parametrize("kind", ["classic", "sail"])
def test_a_session_that_is_stopped_in_a_run_is_one_message(kind, tmp_path):
    """When the session is gone, its rows fail at once with the reason and the remedy. The next run gets a new session."""

    def stops(spark):
        spark.stop()
        return two_rows(spark)

    ended = rows_end(tmp_path, connect(kind, tmp_path), stops, two_rows, retry=2)
    for status, attempts, message in ended:
        assert (status, attempts) == ("FAILED", 1)
        assert message.startswith("the Spark session was stopped during the run")
        assert message.endswith("the next run starts another: odibi retry last")
    (again,) = rows_end(tmp_path, connect(kind, tmp_path), two_rows)
    assert again == ("SUCCESS", 1, None)


@pytest.mark.parametrize(
    ("kind", "end_server"), [("sail", spark_connect.stop_sail), ("connect", stop_server)]
)
def test_a_server_that_ends_in_a_run_is_one_message(kind, end_server, monkeypatch, tmp_path):
    """When a session's server ends, its rows fail soon with the reason. The next run uses the active session."""
    monkeypatch.setattr(spark_connect, "RETRIES_HERE", 2)
    spark_session.stop_own()

    def ends_it(spark):
        end_server()
        return two_rows(spark)

    ended = rows_end(tmp_path, connect(kind, tmp_path), ends_it, two_rows, retry=2)
    for status, attempts, message in ended:
        assert (status, attempts) == ("FAILED", 1)
        assert "was stopped during the run, or its server was" in message
        assert "\n" not in message
    connection = connect(kind, tmp_path)
    assert type(connection.spark).getActiveSession() is connection.spark
    (again,) = rows_end(tmp_path, connection, two_rows)
    assert again == ("SUCCESS", 1, None)
    spark_session.stop_own()


def test_a_jvm_that_ends_in_a_run_is_one_message(tmp_path):
    """When the JVM dies, as without memory, rows fail with the setting to change, and the next run gets a new JVM."""

    def killed(spark):
        SparkContext._gateway.proc.kill()
        return two_rows(spark)

    connection = connect("classic", tmp_path)
    from pyspark import SparkContext

    ended = rows_end(tmp_path, connection, killed, two_rows, retry=2)
    for status, attempts, message in ended:
        assert (status, attempts) == ("FAILED", 1)
        assert "lost its JVM" in message
        assert "set spark.driver.memory" in message
        assert "\n" not in message
    (again,) = rows_end(tmp_path, connect("classic", tmp_path), two_rows)
    assert again == ("SUCCESS", 1, None)


def test_want_of_memory_is_one_message(tmp_path):
    """A task that exceeds the memory, and a Python worker that reaches its limit, give one line."""

    def more_than_the_heap(spark):
        return spark.range(1).selectExpr(
            "length(repeat('x', 900000000) || repeat('y', 900000000)) n"
        )

    def more_than_allowed(spark):
        def hungry(batches):
            import resource

            resource.setrlimit(resource.RLIMIT_AS, (1 << 32, 1 << 32))
            for batch in batches:
                bytearray(1 << 33)
                yield batch

        return spark.range(1).mapInPandas(hungry, "id long")

    connection = connect("classic", tmp_path)
    (heap,) = rows_end(tmp_path / "heap", connection, more_than_the_heap, retry=0)
    assert heap[2].startswith("OutOfMemoryError: Java heap space; give Spark more memory")
    (worker,) = rows_end(tmp_path / "worker", connection, more_than_allowed, retry=0)
    assert worker[2].startswith("MemoryError")
    assert "test_session.py" in worker[2]


def test_what_a_first_session_has_to_fetch_is_said_before(monkeypatch, tmp_path):
    """If this machine lacks Delta's JARs, the planned session mentions this and their source."""
    if not has_java():
        pytest.skip("no Java here, or versions that do not fit")
    spark_session.stop_own()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "from Maven Central" in spark_session.planned(place(tmp_path))
    version = spark_jvm._version("delta-spark")
    jar = tmp_path / ".ivy2.5.2" / "jars" / f"io.delta_delta-spark_4.2_2.13-{version}.jar"
    jar.parent.mkdir(parents=True)
    jar.touch()
    assert "Maven Central" not in spark_session.planned(place(tmp_path))


def test_a_server_that_does_not_answer_is_told_before_a_run(tmp_path):
    """The planned session mentions it, too, and starts nothing."""
    pytest.importorskip("grpc")
    spark_session.stop_own()
    with pytest.raises(EngineError, match=r"sc://127\.0\.0\.1:1 does not answer"):
        spark_session.planned(place(tmp_path, {"remote": "sc://127.0.0.1:1"}))
