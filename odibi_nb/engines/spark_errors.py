"""What Spark's errors say, in one line, and which table is missing."""

from __future__ import annotations

import re

from odibi_nb.core.spark_errors import short_spark_error
from odibi_nb.engines import libraries

_MISSING_TABLE = re.compile(
    r"(?:table or view (?:not found: )?)(?P<name>(?:`[^`]+`|[\w$]+)(?:\.(?:`[^`]+`|[\w$]+))*)",
    re.IGNORECASE,
)


def reason(error: BaseException) -> str:
    """What *error* says, in one line: without plans, stack frames and passwords."""
    return libraries.reason(Exception(str(short_spark_error(str(error))) or type(error).__name__))


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
