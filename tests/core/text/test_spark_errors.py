"""Spark's error texts, made short."""

from __future__ import annotations

import pytest

from odibi_nb.core.text.spark_errors import (
    is_no_schema,
    is_no_table,
    missing_table,
    short_spark_error,
    trace_apart,
    trace_below,
)

UNRESOLVED = """[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, or function parameter with name `measured` cannot be resolved. Did you mean one of the following? [`measured_on`, `site`, `ac_power_kw`]. SQLSTATE: 42703;
'Project ['measured]
+- LogicalRDD [measured_on#0, site#1, ac_power_kw#2], false

JVM stacktrace:
org.apache.spark.sql.catalyst.ExtendedAnalysisException
\tat org.apache.spark.sql.errors.QueryCompilationErrors$.unresolvedAttributeError(QueryCompilationErrors.scala:401)
\tat org.apache.spark.sql.catalyst.analysis.CheckAnalysis.failUnresolvedAttribute(CheckAnalysis.scala:169)
"""

MISSING_TABLE = """[TABLE_OR_VIEW_NOT_FOUND] The table or view `silver`.`nope` cannot be found. Verify the spelling and correctness of the schema and catalog.
If you did not qualify the name with a schema, verify the current_schema() output. SQLSTATE: 42P01; line 1 pos 14;
'Project [*]
+- 'UnresolvedRelation [silver, nope], [], false
"""

WORKER = """An exception was thrown from the Python worker. Please see the stack trace below.
Traceback (most recent call last):
  File "/usr/lib/python3.11/site-packages/pyspark/python/lib/pyspark.zip/pyspark/worker.py", line 2044, in main
    process()
  File "/home/me/silver.py", line 12, in halve
    return value / divisor
           ~~~~~~^~~~~~~~~
ZeroDivisionError: division by zero
"""

JOB = """An error occurred while calling o87.save.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 3.0 failed 1 times, most recent failure: Lost task 0.0 in stage 3.0 (TID 5) (host executor driver): org.apache.spark.SparkArithmeticException: [DIVIDE_BY_ZERO] Division by zero. Use `try_divide` to tolerate divisor being 0 and return NULL instead. SQLSTATE: 22012
\tat org.apache.spark.sql.errors.QueryExecutionErrors$.divideByZeroError(QueryExecutionErrors.scala:225)
\tat java.base/java.lang.Thread.run(Thread.java:840)

Driver stacktrace:
\tat org.apache.spark.scheduler.DAGScheduler.abortStage(DAGScheduler.scala:2935)
Caused by: org.apache.spark.SparkArithmeticException: [DIVIDE_BY_ZERO] Division by zero. Use `try_divide` to tolerate divisor being 0 and return NULL instead. SQLSTATE: 22012
\tat org.apache.spark.sql.errors.QueryExecutionErrors$.divideByZeroError(QueryExecutionErrors.scala:225)
\t... 12 more
"""

FILE_GONE = """An error occurred while calling o55.load.
: java.io.FileNotFoundException: File file:/data/sensors.csv does not exist
\tat org.apache.hadoop.fs.RawLocalFileSystem.deprecatedGetFileStatus(RawLocalFileSystem.java:917)
"""


CAST = """[CAST_INVALID_INPUT] The value 'abc' of the type "STRING" cannot be cast to "INT" because it is malformed. SQLSTATE: 22018
== DataFrame ==
"cast" was called from
/home/me/silver.py:21
"""
CRASHED = """An error occurred while calling o139.save.
: org.apache.spark.SparkException: [TASK_WRITE_FAILED] Task failed while writing rows to file:/x. SQLSTATE: 58030
\tat org.apache.spark.sql.errors.QueryExecutionErrors$.taskFailed(QueryExecutionErrors.scala:1)
Caused by: org.apache.spark.SparkException: Python worker exited unexpectedly (crashed). Consider setting 'x.enabled' to 'true'
\tat org.apache.spark.api.python.BasePythonRunner$ReaderIterator.x(PythonRunner.scala:1)
\t... 1 more
Caused by: java.io.EOFException
\tat java.base/java.io.DataInputStream.readInt(DataInputStream.java:397)
\t... 20 more
"""


def test_the_users_line_stays():
    """If Spark names the user's line that built the expression, the message keeps it."""
    assert short_spark_error(CAST).message == (
        'The value \'abc\' of the type "STRING" cannot be cast to "INT" because it is malformed. '
        "(called at /home/me/silver.py:21)"
    )


def test_an_unknown_column_comes_with_its_suggestions():
    """Of an unresolved column there remain its name and what Spark suggests; plan and trace are folded."""
    short = short_spark_error(UNRESOLVED)
    assert short.message == (
        "A column, variable, or function parameter with name `measured` cannot be resolved"
    )
    assert short.condition == "UNRESOLVED_COLUMN.WITH_SUGGESTION"
    assert short.subject == "measured"
    assert short.suggestions == ("measured_on", "site", "ac_power_kw")
    assert str(short).endswith("did you mean: measured_on, site, ac_power_kw")
    assert "CheckAnalysis.scala" in short.folded
    assert "LogicalRDD" in short.folded


def test_a_missing_table_is_one_sentence():
    """The query's plan does not belong to the message."""
    short = short_spark_error(MISSING_TABLE)
    assert short.message.startswith("The table or view `silver`.`nope` cannot be found")
    assert "UnresolvedRelation" not in short.message
    assert "SQLSTATE" not in short.message
    assert short.condition == "TABLE_OR_VIEW_NOT_FOUND"


def test_a_python_workers_error_is_its_last_line():
    """The message is the error that a user's function raised on a worker; the frames are folded."""
    short = short_spark_error(WORKER)
    assert short.message == "ZeroDivisionError: division by zero"
    assert "return value / divisor" in short.folded


def test_the_cause_that_says_most_is_the_message():
    """Wrappers around the cause are left out, and the JVM's trace is folded."""
    short = short_spark_error(JOB)
    assert short.message == (
        "SparkArithmeticException: Division by zero. Use `try_divide` to tolerate divisor being 0 "
        "and return NULL instead"
    )
    assert "DAGScheduler" in short.folded
    assert short_spark_error(FILE_GONE).message == (
        "FileNotFoundException: File file:/data/sensors.csv does not exist"
    )


def test_what_only_says_that_a_job_failed_is_not_the_message():
    """If all causes are Spark's general exception, the message is the one with the reason."""
    assert short_spark_error(CRASHED).message == (
        "Python worker exited unexpectedly (crashed). Consider setting 'x.enabled' to 'true'"
    )


def test_want_of_memory_says_what_to_set():
    """The JVM's memory error comes with the settings that give it more."""
    text = (
        "An error occurred while calling o84.save.\n: java.lang.OutOfMemoryError: Java heap space\n"
    )
    message = short_spark_error(
        f"{text}\tat java.base/java.util.Arrays.copyOf(Arrays.java:1)"
    ).message
    assert message.startswith("OutOfMemoryError: Java heap space; give Spark more memory")
    assert "spark.driver.memory" in message


def test_any_other_text_stays_itself():
    """An error that is not Spark's is its own message."""
    short = short_spark_error("no column 'x'")
    assert (short.message, short.folded, short.suggestions) == ("no column 'x'", "", ())


def test_the_place_in_a_python_worker_is_the_users():
    """Of the worker's frames the innermost that is in no library is told."""
    short = short_spark_error(WORKER)
    assert short.place == "/home/me/silver.py:12, in halve"
    assert str(short) == "ZeroDivisionError: division by zero\nat /home/me/silver.py:12, in halve"


def test_sail_says_it_as_spark_does():
    """A column that is not there has the same words on Sail."""
    text = (
        'attribute ObjectName([Identifier("t"), Identifier("kk")]) is missing from the schema: '
        "cannot resolve attribute"
    )
    short = short_spark_error(text)
    assert short.message.endswith("parameter with name `t`.`kk` cannot be resolved")
    assert short.subject == "t`.`kk"


def test_a_log_keeps_what_is_folded_apart():
    """Shown and folded text are joined into one text for the log, and separated again."""
    assert trace_apart(trace_below("shown", "the JVM's")) == ("shown", "the JVM's")
    assert trace_apart(trace_below("shown", "")) == ("shown", "")


@pytest.mark.parametrize(
    ("text", "grant"),
    [
        (
            (
                "[INSUFFICIENT_PERMISSIONS] Insufficient privileges:\nUser does not have USE SCHEMA on Schema "
                "'energy.bronze'. SQLSTATE: 42501"
            ),
            "GRANT USE SCHEMA ON SCHEMA `energy`.`bronze` TO `<user>`",
        ),
        (
            "PERMISSION_DENIED: User does not have USE CATALOG on Catalog 'energy'.",
            "GRANT USE CATALOG ON CATALOG `energy` TO `<user>`",
        ),
        (
            "PERMISSION_DENIED: User does not have CREATE TABLE and USE SCHEMA on Schema `cat`.`sch`",
            "GRANT CREATE TABLE, USE SCHEMA ON SCHEMA `cat`.`sch` TO `<user>`",
        ),
        (
            "User does not have SELECT on Table 'c.s.what; DROP TABLE x'.",
            "GRANT SELECT ON TABLE `c`.`s`.`what; DROP TABLE x` TO `<user>`",
        ),
        (
            "User does not have READ FILES on External Location 'raw'.",
            "GRANT READ FILES ON EXTERNAL LOCATION `raw` TO `<user>`",
        ),
    ],
)
def test_a_missing_right_names_the_statement_to_ask_for(text, grant):
    """Unity Catalog says which right is missing; the error adds the GRANT that gives it."""
    message = short_spark_error(text).message
    assert message.endswith(f"; ask for: {grant}")
    assert message.startswith(("Insufficient", "PERMISSION", "User"))


@pytest.mark.parametrize(
    "head",
    [
        "[RequestId=0a1b-2c ErrorClass=TABLE_DOES_NOT_EXIST] ",
        "(com.databricks.sql.managedcatalog.acl.UnauthorizedAccessException) ",
        "[RequestId=0a1b-2c ErrorClass=A.B] (com.databricks.x.Y$Z) ",
    ],
)
def test_the_head_of_databricks_is_left_out(head):
    """Ids of requests and classes of Databricks' JVM say nothing to the user."""
    assert short_spark_error(f"{head}Table 'c.s.t' is closed.").message == "Table 'c.s.t' is closed"


def test_unity_catalogs_missing_table_and_schema_are_known():
    """A first write creates them, as it does where Spark itself says that they do not exist."""
    text = "[RequestId=0a1b-2c ErrorClass={}_DOES_NOT_EXIST] '{}' does not exist."
    assert is_no_table(RuntimeError(text.format("TABLE", "c.s.t")))
    assert is_no_schema(RuntimeError(text.format("SCHEMA", "c.s")))
    assert not is_no_table(RuntimeError(text.format("SCHEMA", "c.s")))


def test_other_errors_ask_for_nothing():
    """A text without a right, a thing and its name gets no statement."""
    for text in ("User does not have a clue on Table", "Permission denied", "x" * 10_000):
        assert "GRANT" not in short_spark_error(text).message
    assert "GRANT" not in short_spark_error("does not have " + "A and " * 50_000).message


def test_the_name_of_a_missing_table_is_no_other_word():
    """In "table or view not found" without a name, the word "not" is not the name of a table."""
    head = "TABLE_OR_VIEW_NOT_FOUND: table or view not"
    assert missing_table(Exception(f"{head} known; table or view `a`.`b` is missing")) == "a.b"
    assert missing_table(Exception(head)) is None
