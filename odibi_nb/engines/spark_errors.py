"""What Spark's errors say, in one line, and which of them mean what."""

from __future__ import annotations

import re

from odibi_nb.engines import libraries

_PLAN = re.compile(r"(;?\n+'|;\n+[A-Z+!]|\n+JVM stacktrace:|\n+== ).*", re.DOTALL)
_STATE = re.compile(r"\s*SQLSTATE: \w{5}")
_JAVA = re.compile(r"An error occurred while calling [\w.]+\.\s*:?\s*")
_CAUSE = re.compile(r"^Caused by: (?:[\w$]+\.)+[\w$]+: (.+)$", re.MULTILINE)
_STACK = re.compile(r"\n\s+at .*", re.DOTALL)
_MISSING_PATHS = (
    "PATH_NOT_FOUND",
    "DELTA_TABLE_NOT_FOUND",
    "DELTA_PATH_DOES_NOT_EXIST",
    "DELTA_MISSING_DELTA_TABLE",
    "No commit files found",
    "not a Delta table",
)
_CONFLICTS = ("DELTA_CONCURRENT", "DELTA_METADATA_CHANGED", "DELTA_PROTOCOL_CHANGED", "Concurrent")
_CANCELLED = ("SPARK_JOB_CANCELLED", "OPERATION_CANCELED", "OPERATION_CANCELLED", "cancelled part")
_MISSING_TABLE = re.compile(
    r"(?:table or view (?:not found: )?)(?P<name>(?:`[^`]+`|[\w$]+)(?:\.(?:`[^`]+`|[\w$]+))*)",
    re.IGNORECASE,
)


def is_spark_error(error: BaseException) -> bool:
    """Whether *error* comes from Spark, its JVM, or a Connect server."""
    home = type(error).__module__.partition(".")[0]
    return home in {"pyspark", "py4j", "delta", "grpc"}


def reason(error: BaseException) -> str:
    """What *error* says, in one line: without plans, stack frames and passwords."""
    text = str(error)
    if type(error).__module__.startswith("py4j"):
        causes = _CAUSE.findall(text)
        text = causes[-1] if causes else _JAVA.sub("", _STACK.sub("", text))
    text = _STATE.sub("", _STACK.sub("", _PLAN.sub("", text)))
    return libraries.reason(Exception(text or type(error).__name__))


def is_no_table(error: BaseException) -> bool:
    """Whether *error* says that nothing is there, or no Delta table."""
    text = str(error)
    return any(word in text for word in (*_MISSING_PATHS, "TABLE_OR_VIEW_NOT_FOUND"))


def missing_table(error: BaseException) -> str | None:
    """The table that a query names and that is not there, as the error spells it; or None."""
    if "TABLE_OR_VIEW_NOT_FOUND" not in str(error):
        return None
    text = str(error).replace("[TABLE_OR_VIEW_NOT_FOUND]", "")
    found = None
    for found in _MISSING_TABLE.finditer(text):
        if found["name"].lower() != "not":
            break
    return None if found is None else found["name"].replace("`", "")


def is_conflict(error: BaseException) -> bool:
    """Whether another writer of the table came first."""
    text = f"{type(error).__name__} {str(error)[:500]}"
    return any(word in text for word in _CONFLICTS)


def is_cancelled(error: BaseException) -> bool:
    """Whether the job was cancelled."""
    return any(word in str(error) for word in _CANCELLED)
