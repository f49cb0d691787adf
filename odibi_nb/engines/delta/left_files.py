"""Find files that delta-rs would leave in a table although it replaces them.

delta-rs 1.2 to 1.6.5 encode the path of a removed file in another way than Spark. If the path contains a
blank, an asterisk or a lone percent sign, the log still has the file: an overwrite keeps the old rows, a
merge or delete doubles the rows that it copies, and no error is raised. delta-rs 1.1 and 1.6.6 are right.
Databricks Runtime 19 has delta-rs 1.5.1.
"""

from __future__ import annotations

import re
from typing import Any

from odibi_nb.engines.delta.tables import deltalake
from odibi_nb.engines.pandas.frames import pyarrow
from odibi_nb.errors import DataError

_FIRST, _FIXED = (1, 2), (1, 6, 6)
_ENCODED_OTHERWISE = re.compile(r"%20|[ *]|%(?![0-9A-Fa-f]{2})")


def why_files_stay(table: Any) -> str:
    """Return the reason why this delta-rs cannot remove every file of *table*; "" if it can."""
    version = str(deltalake().__version__)
    if not _FIRST <= _numbers(version) < _FIXED:
        return ""
    for path in pyarrow().table(table.get_add_actions(flatten=True))["path"].to_pylist():
        if _ENCODED_OTHERWISE.search(path):
            return (
                f"deltalake {version} would keep the rows of {path}, because of special characters in its name: "
                "write the table with Spark, or install deltalake 1.6.6 or newer"
            )
    return ""


def check_removable(table: Any, name: str) -> None:
    """Raise DataError if this delta-rs would leave rows in *table* that it should replace."""
    if why := why_files_stay(table):
        raise DataError(f"{name}: nothing was written: {why}")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
