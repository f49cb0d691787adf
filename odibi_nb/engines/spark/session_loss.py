"""Detect that a Spark session ended during its use: it was stopped, or its JVM or server ended."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from odibi_nb.engines.spark.connection import Connection

_GONE_ON_SERVER = re.compile(
    r"NO_ACTIVE_SESSION|No active Spark session|SESSION_NOT_FOUND|SESSION_CLOSED|SESSION_CHANGED|"
    r"stopped SparkContext|closed channel|Channel closed|RETRIES_EXCEEDED|StatusCode\.UNAVAILABLE"
)
_RETRY = "odibi retry last"


def is_connect_session(spark: Any) -> bool:
    """Return True if *spark* is a session of Spark Connect."""
    return type(spark).__module__.startswith("pyspark.sql.connect")


def is_stopped(spark: Any) -> bool:
    """Return True if a session is known to have ended; the check runs no query."""
    if is_connect_session(spark):
        return bool(getattr(spark, "is_stopped", False))
    context = getattr(spark.sparkContext, "_jsc", None)
    try:
        return context is None or bool(context.sc().isStopped())
    except Exception:  # noqa: BLE001  the JVM does not answer
        return True


def close_without_asking(spark: Any) -> None:
    """Close a Connect session whose server has ended. Otherwise pyspark would return it as the active session."""
    spark.release_session_on_close = False
    with contextlib.suppress(Exception):
        spark.stop()


def forget_stopped_active() -> None:
    """Let the next Connect session become this thread's active one; pyspark would keep a stopped one."""
    with contextlib.suppress(ImportError, AttributeError):  # private, with this name since 3.5
        from pyspark.sql.connect.session import SparkSession

        active = SparkSession._active_session  # noqa: SLF001  nothing public replaces it
        if active.session is not None and active.session.is_stopped:
            active.session = None


def why_lost(connection: Connection, error: BaseException) -> str | None:
    """Return a message if *error* was raised because the session has ended; else None."""
    spark = connection.spark
    if is_connect_session(spark):
        lost = is_stopped(spark) or _GONE_ON_SERVER.search(str(error)) is not None
        what = "was stopped during the run, or its server was"
    else:
        lost = is_stopped(spark)
        what = "was stopped during the run"
        if lost and getattr(spark.sparkContext, "_jsc", None) is not None:
            what = _how_jvm_ended()
    if not lost:
        return None
    then = "the next run starts another" if connection.own else "make another"
    return f"the Spark session {what}; {then}: {_RETRY}"


def _how_jvm_ended() -> str:
    from pyspark import SparkContext

    process = getattr(SparkContext._gateway, "proc", None)  # noqa: SLF001  nothing public returns it
    code = None if process is None else process.poll()
    exit_code = "" if code is None else f" (exit code {code})"
    return (
        f"lost its JVM{exit_code}, as happens when memory runs out: set spark.driver.memory in the "
        "environment's 'spark', or collect less"
    )
