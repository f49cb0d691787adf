"""Which session a run gets, and one clear message where there is none."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from spark_sessions import QUICK, connect, place

from odibi_nb.core.protocols import Session
from odibi_nb.engines import spark_jvm, spark_session
from odibi_nb.errors import EngineError, EngineNotAvailableError, ManifestError


def java_of_version(folder, version):
    """A java that only says its version."""
    path = folder / "bin" / "java"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2020-01-01' >&2\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return folder


def test_no_java_is_one_message(monkeypatch, tmp_path):
    """Without Java the message says which to install, and how to do without."""
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
    """A Java that is too old is named with its version, and with what to install."""
    monkeypatch.setenv("JAVA_HOME", str(java_of_version(tmp_path, version)))
    with pytest.raises(EngineError, match=f"needs Java 17 or 21, and .* is {shown}: install"):
        spark_jvm.check_java()


def test_a_java_that_runs_spark_is_shown(monkeypatch, tmp_path):
    """A Java of a version that Spark takes is found by JAVA_HOME."""
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
    """Versions of pyspark and delta-spark that do not fit are named, with the command that mends it."""
    monkeypatch.setattr(spark_jvm, "_version", versions.__getitem__)
    with pytest.raises(EngineError, match=message) as caught:
        spark_jvm.check_versions()
    assert "pip install -U 'odibi-nb[spark]'" in str(caught.value)


def test_a_missing_delta_spark_names_the_extra(monkeypatch):
    """Without delta-spark the message says what to install."""

    def missing(name):
        raise spark_jvm.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(spark_jvm.importlib.metadata, "version", missing)
    with pytest.raises(EngineNotAvailableError, match=r"pip install 'odibi-nb\[spark\]'"):
        spark_jvm.check_versions()


def test_missing_jars_are_one_message(tmp_path):
    """What Ivy could not find is named, with how to get it."""
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
    """The last of its errors is shown, and where the rest stands."""
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
        ({"remote": "localhost:15002"}, "expected 'sail' or 'sc://host:port'"),
        ({"shuffle": 2}, "is no Spark setting"),
    ],
)
def test_what_is_no_spark_setting_is_a_problem_of_the_manifest(tmp_path, spark, message):
    """A wrong entry of the environment's ``spark`` is shown with its path; nothing starts."""
    spark_session.stop_own()
    with pytest.raises(ManifestError, match=message):
        spark_session.connect(place(tmp_path, spark))


def test_a_server_that_does_not_answer_is_one_message(tmp_path):
    """A Connect endpoint where nobody is, is named."""
    code = (
        "import sys; sys.path[:0] = ['tests']\n"
        "from pathlib import Path\n"
        "from spark_sessions import place\n"
        "from odibi_nb.engines import spark_session\n"
        "from odibi_nb.errors import EngineError\n"
        "try: spark_session.connect(place(Path(sys.argv[1]), {'remote': 'sc://127.0.0.1:1'}))\n"
        "except EngineError as exc: print(exc)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert "Spark Connect at sc://127.0.0.1:1 does not answer" in done.stdout, done.stderr
    assert done.stdout.count("\n") == 1


def test_the_second_run_has_the_session_of_the_first(tmp_path):
    """A session of our own is kept, and looked at by `planned` without starting anything."""
    first = connect("sail", tmp_path)
    assert connect("sail", tmp_path) is first
    assert first.own
    assert "Sail" in spark_session.planned(place(tmp_path, {"remote": "sail"}))


def test_the_providers_session_is_used_and_never_stopped(tmp_path):
    """What ``auth_provider`` hands over is the run's session, and outlives ours."""
    spark = connect("sail", tmp_path).spark
    given = place(tmp_path, session=Session(spark=spark))
    found = spark_session.connect(given)
    assert found.spark is spark
    assert not found.own
    assert "auth_provider" in spark_session.planned(given)


def test_an_active_session_is_used_and_never_stopped(tmp_path):
    """A notebook's own session is taken as it is: our end is not its end."""
    spark_session.stop_own()
    connection = connect("classic", tmp_path)
    spark_session._own.clear()  # from now on it is somebody else's
    try:
        found = spark_session.connect(place(tmp_path))
        assert found.spark is connection.spark
        assert not found.own
        spark_session.stop_own()
        assert found.spark.range(2).count() == 2
        assert "the active session" in spark_session.planned(place(tmp_path))
    finally:
        connection.spark.stop()


def test_another_configuration_needs_another_process(tmp_path):
    """A JVM session cannot be had with other settings: the message says what to do."""
    connect("classic", tmp_path)
    other = place(tmp_path, {**QUICK, "spark.sql.shuffle.partitions": "7"})
    with pytest.raises(EngineError, match="restart the kernel"):
        spark_session.connect(other)


def test_an_active_session_without_delta_is_one_message(tmp_path):
    """A session without Delta Lake is refused before anything runs, with how to have one."""

    class Bare:
        """A classic session that has nothing configured."""

        version = "4.2.0"

        class conf:
            """Its settings."""

            @staticmethod
            def get(name, default=None):
                return default

    given = place(tmp_path, session=Session(spark=Bare()))
    with pytest.raises(EngineError, match="has no Delta Lake"):
        spark_session.connect(given)
