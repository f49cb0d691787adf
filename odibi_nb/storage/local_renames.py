"""Explain the errors of file systems on which delta-rs cannot commit, such as mounts of object stores."""

from __future__ import annotations

import re

_NO_RENAME = re.compile(r"Unable to (?:rename|copy) file")
_DATA_FILE = "parquet"
"""delta-rs moves a data file by a plain rename, a commit by a hard link or an unsafe rename."""


def why_not_moved(text: str) -> tuple[str, str] | None:
    """Return the reason why delta-rs could not move a file, and a remedy; None for other errors.

    Args:
        text: the error of delta-rs.
    """
    if not _NO_RENAME.search(text):
        return None
    if _DATA_FILE in text:
        why = "the file system cannot rename files, which delta-rs needs"
        return why, "use a lake in a catalog, at a URL or on another disk"
    remedy = (
        "use a lake in a catalog, at a URL or on another disk; or, if only one process at a time writes to the "
        'lake, set "storage_options": {"allow_unsafe_rename": "true"} in the environment'
    )
    return "the file system has no hard links, with which delta-rs commits", remedy
