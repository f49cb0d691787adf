"""The frames of a failure as data: code, arguments and variables, shortened and without secrets."""

from __future__ import annotations

import itertools
import linecache
import reprlib
import sysconfig
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi_nb.core.functions import sibling_modules
from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.object_text import safe_str
from odibi_nb.core.text.redaction import (
    REDACTED,
    clean_text,
    error_message,
    is_secret_name,
    redact,
    redact_text,
)
from odibi_nb.core.text.spark_errors import is_spark_error, short_spark_error, trace_below

if TYPE_CHECKING:
    from types import FrameType, TracebackType

CONTEXT_LINES = 3
MAX_VARIABLES = 40
MAX_VALUE = 400
MAX_ITEMS = 12
MAX_TABLE = 4_000
HEAD_ROWS = 5
MAX_COLUMNS = 30
_OWN = str(Path(__file__).parents[2])
_CORE = str(Path(__file__).parents[1])
_LIBRARIES = tuple(
    {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable of a frame: its summary in one line, and its first rows if it is a table."""

    name: str
    summary: str
    table: str = ""
    argument: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameView:
    """One frame.

    Attributes:
        library: True for code that is not the user's; its variables are not shown.
        code: (line number, text) around *line*.
    """

    function: str
    file: str
    line: int
    library: bool
    code: tuple[tuple[int, str], ...] = ()
    variables: tuple[Variable, ...] = ()


def user_frames(error: BaseException) -> list[tuple[FrameType, int]]:
    """Return the frames of *error* that run the user's code, not a library's, with their lines."""
    found, mine = _from_user(error)
    return [(frame, line) for frame, line in found if not _is_library(frame, mine)]


def failure_message(error: BaseException) -> str:
    """Return the message of *error*; for a Spark error, its cause and Spark's advice."""
    if not is_spark_error(error):
        return error_message(error)
    # Shorten the full text: the cause can follow pages of JVM frames.
    text = clean_text(str(short_spark_error(safe_str(error))))
    return text or error_message(error)


def frames_of(error: BaseException) -> list[FrameView]:
    """Return the frames of *error* from the user's code on, outermost first."""
    found, mine = _from_user(error)
    return [_view(frame, line, mine) for frame, line in found]


def spark_traceback(error: BaseException) -> str:
    """Return the user's frames and the cause of a Spark error; see `spark_errors.trace_below`."""
    frames = traceback.StackSummary.extract(user_frames(error))
    head = ["Traceback (most recent call last):\n", *frames.format()] if frames else []
    return trace_below("".join([*head, headline(error)]), short_spark_error(safe_str(error)).folded)


def user_lines(error: BaseException, trace: TracebackType | None) -> list[str]:
    """Return the traceback of *error* from *trace* on, in lines, without most library frames.

    Keep the user's frames and the last frame. Omit causes that were raised inside libraries alone. If
    *error* has no frame of the user's code, return the complete traceback.
    """
    report = traceback.TracebackException(type(error), error, trace)
    mine = _user_files(error)
    if not any(frame.filename in mine for frame in report.stack):
        return [*report.format()]
    one: traceback.TracebackException | None = report
    while one is not None:
        one.stack = _without_libraries(one.stack, mine)
        for cause in ("__cause__", "__context__"):
            earlier = getattr(one, cause)
            if earlier is not None and not any(f.filename in mine for f in earlier.stack):
                setattr(one, cause, None)
        one = one.__cause__ or one.__context__
    return [*report.format()]


def _user_files(error: BaseException) -> set[str]:
    found: set[str] = set()
    one: BaseException | None = error
    seen: set[int] = set()
    mine = _from_user(error)[1]
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        frames = (frame for frame, _ in _from_user(one)[0])
        found |= {f.f_code.co_filename for f in frames if not _is_library(f, mine)}
        one = one.__cause__ or one.__context__
    return found


def _without_libraries(stack: traceback.StackSummary, mine: set[str]) -> traceback.StackSummary:
    """Return *stack* without library frames, except for the last frame."""
    shown = [frame for frame in stack if frame.filename != sibling_modules.__file__]
    kept = [frame for frame in shown[:-1] if frame.filename in mine]
    return traceback.StackSummary.from_list([*kept, *shown[-1:]])


def user_trace(error: BaseException) -> TracebackType | None:
    """Return the traceback from the user's code on; None if the frames have been released."""
    return trace_outside(error) or error.__traceback__


def trace_outside(error: BaseException) -> TracebackType | None:
    """Return the traceback from the first frame outside this package on; None without such a frame."""
    trace = error.__traceback__
    while trace is not None and _is_own(trace.tb_frame):
        trace = trace.tb_next
    return trace


def depth_in_libraries(error: BaseException) -> int:
    """Return the number of library frames of *error* below the user's innermost frame."""
    found, mine = _from_user(error)
    below = [*itertools.takewhile(lambda one: _is_library(one[0], mine), reversed(found))]
    return len(below) if len(below) < len(found) else 0


def headline(error: BaseException) -> str:
    """Return type and message of *error*; for a Spark error, without the JVM's trace."""
    text = safe_str(error, "its message")
    if is_spark_error(error):
        text = str(short_spark_error(text))
    return f"{type(error).__name__}: {clean_text(text)}"


def _from_user(error: BaseException) -> tuple[list[tuple[FrameType, int]], str]:
    """Return the frames from the first outside this package on, with lines, and the user's package.

    Users may install their functions as a package, which then does not count as a library. A package
    that our engines call always counts as a library.
    """
    found: list[tuple[FrameType, int]] = []
    caller = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if found or not _is_own(frame):
            found.append((frame, line))
        else:
            caller = frame.f_code.co_filename
    by_engine = caller and not caller.startswith(_CORE)
    return found, _package_of(found[0][0]) if found and not by_engine else ""


def _is_library(frame: FrameType, mine: str) -> bool:
    file = frame.f_code.co_filename
    if not file.startswith("<") and not Path(file).is_absolute():  # of a Python worker inside Sail
        return True
    return file.startswith((_OWN, "<frozen", *_LIBRARIES)) and _package_of(frame) != mine


def _is_own(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_OWN)


def _package_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _view(frame: FrameType, line: int, mine: str) -> FrameView:
    code = frame.f_code
    if _is_library(frame, mine):
        return FrameView(function=code.co_name, file=code.co_filename, line=line, library=True)
    lines = [
        (n, redact_text(linecache.getline(code.co_filename, n, frame.f_globals).rstrip("\n")))
        for n in range(max(1, line - CONTEXT_LINES), line + CONTEXT_LINES + 1)
    ]
    arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    values = frame.f_locals
    names = [n for n in dict.fromkeys([*arguments, *values]) if n in values]
    shown = [n for n in names if not n.startswith("__")][:MAX_VARIABLES]
    return FrameView(
        function=code.co_name,
        file=code.co_filename,
        line=line,
        library=False,
        code=tuple((number, text) for number, text in lines if text or number == line),
        variables=tuple(_variable(n, values[n], argument=n in arguments) for n in shown),
    )


def _variable(name: str, value: Any, *, argument: bool) -> Variable:
    if is_secret_name(name):
        return Variable(name=name, summary=REDACTED, argument=argument)
    try:
        summary, table = _described(value)
    except BaseException as exc:  # noqa: BLE001  a broken __repr__ must not cost the other variables
        summary, table = f"({type(value).__name__}; cannot be shown: {type(exc).__name__})", ""
    return Variable(name=name, summary=summary, table=table, argument=argument)


def _described(value: Any) -> tuple[str, str]:
    """Return a summary of *value*, and for a DataFrame or Series its types and first rows."""
    kind = type(value).__name__
    if hasattr(value, "dtypes") and hasattr(value, "head") and hasattr(value, "shape"):
        rows = value.shape[0]
        if len(value.shape) == 1:
            return f"{kind}: {counted(rows, 'value')} of {value.dtype}", _head(value)
        return f"{kind}: {counted(rows, 'row')} × {counted(value.shape[1], 'column')}", _types(
            value
        ) + _head(value)
    if hasattr(value, "dtypes") and hasattr(value, "schema"):  # Spark: a count would run it
        return f"{kind}: {counted(len(value.columns), 'column')}", _types(value)
    text = _short.repr(_redacted(value))
    return clean_text(text[: 2 * MAX_VALUE])[:MAX_VALUE], ""


def _redacted(value: Any) -> Any:
    """Remove secrets from *value*, and from a collection all items that are not shown."""
    if type(value) is dict:
        return redact(dict(itertools.islice(value.items(), MAX_ITEMS + 1)))
    return redact(value[: MAX_ITEMS + 1]) if type(value) in {list, tuple} else value


def _types(frame: Any) -> str:
    pairs = frame.dtypes.items() if hasattr(frame.dtypes, "items") else frame.dtypes
    columns = [f"{name}: {kind}" for name, kind in pairs]
    more = f", … {len(columns) - MAX_COLUMNS} more" if len(columns) > MAX_COLUMNS else ""
    return ", ".join(columns[:MAX_COLUMNS]) + more + "\n"


def _head(frame: Any) -> str:
    head = frame.head(HEAD_ROWS)
    if len(head.shape) > 1:
        head = head.iloc[:, :MAX_COLUMNS].copy()
        for i, name in enumerate(head.columns):
            if is_secret_name(str(name)):
                head.isetitem(i, [REDACTED] * len(head))
    elif is_secret_name(str(head.name)):
        return REDACTED
    return clean_text(head.to_string()[: 2 * MAX_TABLE])[:MAX_TABLE]


_short = reprlib.Repr()
_short.maxstring = _short.maxother = MAX_VALUE
_short.maxlevel = 4  # each level multiplies: 12 ** 6 is three million
_short.maxdict = _short.maxlist = _short.maxtuple = _short.maxset = MAX_ITEMS
