"""Which of Spark's errors mean what to the engine; `core.spark_errors` tells people what they say."""

from __future__ import annotations

import re

_MISSING_PATHS = (
    "PATH_NOT_FOUND",
    "DELTA_TABLE_NOT_FOUND",
    "DELTA_PATH_DOES_NOT_EXIST",
    "DELTA_MISSING_DELTA_TABLE",
    "No commit files found",
    "not a Delta table",
)
_CONFLICTS = (
    "DELTA_CONCURRENT",
    "DELTA_METADATA_CHANGED",
    "DELTA_PROTOCOL_CHANGED",
    "Concurrent",
    "CommitFailed",
)
_MISSING_TABLE = re.compile(
    r"(?:table or view (?:not found: )?)(?P<name>(?:`[^`]+`|[\w$]+)(?:\.(?:`[^`]+`|[\w$]+))*)",
    re.IGNORECASE,
)


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
