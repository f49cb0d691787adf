"""Find the line of the user's code at which an attempt failed, and the column that the user may have meant.

This module returns only names, so it keeps no frame or DataFrame in memory.
"""

from __future__ import annotations

import difflib
import itertools
import traceback
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.failure_place import FailurePlace
from odibi_nb.core.running.failure_frames import user_frames
from odibi_nb.core.text.terminal_text import readable

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_COLUMNS = 2_000
MAX_NAME = 100
_HOLDERS = ("self", "obj", "frame", "left", "right")
"""Names of pandas' own variables that hold the DataFrame in which it looked for a column."""


def place_of(error: BaseException) -> FailurePlace | None:
    """Return the innermost line of the user's code in the traceback of *error*; None without one."""
    try:
        found = user_frames(error)
        if not found:
            return None
        frame, line = found[-1]
        code = frame.f_code
        return FailurePlace(
            file=code.co_filename, line=line, function=code.co_name, hint=_hint(error)
        )
    except Exception:  # noqa: BLE001  a hint must not cost the failure itself
        return None


def _hint(error: BaseException) -> str:
    """For a KeyError about a column that a DataFrame lacks, return a question about the likeliest columns."""
    missing = error.args[0] if isinstance(error, KeyError) and error.args else None
    if type(missing) is not str or len(missing) > 2 * MAX_NAME:
        return ""
    missing = _one_name(missing)
    if not missing:
        return ""
    columns = list(dict.fromkeys(_columns(error)))
    near = columns and missing not in columns and _near(missing, columns)
    return f"did you mean {' or '.join(near)}?" if near else ""


def _one_name(message: str) -> str:
    """Return the column that a pandas message names. Otherwise return *message*, which usually is the column itself."""
    name = message.removeprefix("Column not found: ")
    if name.startswith("['") and name.endswith("'] not in index"):
        return name[2 : name.index("'", 2)]
    return name


def _near(missing: str, columns: list[str]) -> list[str]:
    """Return at most two columns with a similar name, or with a name that begins or ends like this one."""
    folded = {column.casefold(): column for column in reversed(columns)}
    word = missing.casefold()
    alike = difflib.get_close_matches(word, folded, n=2, cutoff=0.75)
    parts = [c for c in folded if _is_part(word, c) or _is_part(c, word)]
    return [readable(folded[name]) for name in dict.fromkeys([*alike, *parts])][:2]


def _is_part(short: str, long: str) -> bool:
    return len(short) > 1 and (long.startswith(short) or long.endswith(short))


def _columns(error: BaseException) -> Iterator[str]:
    """Yield the column names of the DataFrames in which pandas looked, from its own frames."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if not str(frame.f_globals.get("__name__", "")).startswith("pandas."):
            continue
        variables = frame.f_locals
        for name in _HOLDERS:
            value = variables.get(name)
            value = getattr(value, "__dict__", {}).get("obj", value)  # of a group
            if value is not None and _is_frame(value):
                names = itertools.islice(iter(value.columns), MAX_COLUMNS)
                yield from (c for c in names if type(c) is str and 0 < len(c) <= MAX_NAME)


def _is_frame(value: Any) -> bool:
    """Return True for a pandas DataFrame. The core does not import pandas to ask."""
    return any(
        kind.__name__ == "DataFrame" and kind.__module__.partition(".")[0] == "pandas"
        for kind in type(value).__mro__
    )
