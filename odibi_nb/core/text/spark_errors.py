"""Shorten the errors of Spark to message and suggestions, and separate the JVM's trace.

This module also recognizes the errors for a missing table, schema or session and for a conflict with
another writer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odibi_nb.core.process.compute import find_compute
from odibi_nb.core.text.object_text import safe_str
from odibi_nb.core.text.sql_text import backticked

if TYPE_CHECKING:
    from collections.abc import Iterable

_TRACE = re.compile(
    r"^[ \t]*(?:JVM stacktrace:|at [\w$.<>]+\(|Driver stacktrace:|\.\.\. \d+ more)", re.MULTILINE
)
_PLAN = re.compile(r"\n[ \t]*'?(?:\+- |[A-Z]\w+ (?:\[|'|\())")
_POSITION = re.compile(r";[ \t]{0,9}line \d{1,9} pos \d{1,9}[;.]?$")
_CLASS = re.compile(r"\[([A-Z][A-Z0-9_]+(?:\.[A-Z0-9_]+)*)\]\s*")
_SUGGESTED = re.compile(
    r"Did you mean (?:one of the following|any of these columns)\?\s{0,9}\[([^\]]{0,2000})\]"
)
_NAMED = re.compile(r"with name (`[^\n]{0,500}?`) cannot be resolved")
_REQUEST = re.compile(
    r"\[RequestId=[\w-]{1,100} ErrorClass=[\w.]{1,200}\]\s{0,9}|\(com\.databricks\.[\w.$]{1,300}\)\s{0,9}"
)
"""Databricks' own head of an error: ``[RequestId=… ErrorClass=…]``, or a class of its JVM."""
_CALLED = re.compile(r"^An error occurred while calling [\w.]+\.?\s*:?\s*", re.MULTILINE)
_CAUSE = re.compile(
    r"^[ \t]*(?:Caused by: |: )?([\w$.]+\.[\w$]*(?:Exception|Error)): (.*)$", re.MULTILINE
)
_PYTHON = re.compile(
    r"Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)+?([A-Za-z_][\w.]*(?::.*)?)$",
    re.MULTILINE,
)
_PLACE = re.compile(r'^[ \t]*File "([^"]+)", line (\d+), in (\S+)$', re.MULTILINE)
_LIBRARY = re.compile(r"[/\\](?:pyspark|site-packages|dist-packages|lib[/\\]python[\d.]+)[/\\]")
_SAIL_COLUMN = re.compile(
    r"attribute ObjectName\(\[(Identifier\(\"[^\n]{0,1000}?\"\))\]\) is missing from the schema: "
    r"cannot resolve attribute"
)
_TRACE_BELOW = "\n\nall that Spark said:\n"
_CALLED_FROM = re.compile(r"\s{0,9}== DataFrame ==\s{0,9}\"(\w+)\" was called from\s{0,9}(\S+)")
_DETAIL = re.compile(r"SQLSTATE: \w+|== SQL .*", re.DOTALL)
_MISSING_PATHS = (
    "PATH_NOT_FOUND",
    "DELTA_TABLE_NOT_FOUND",
    "DELTA_PATH_DOES_NOT_EXIST",
    "DELTA_MISSING_DELTA_TABLE",
    "No commit files found",
    "not a Delta table",
    "ErrorClass=TABLE_DOES_NOT_EXIST",
)
_NO_SESSION = ("SESSION_OR_CONTEXT_NOT_EXISTS", "SparkSession should be created first")
_MISSING_SCHEMAS = ("SCHEMA_NOT_FOUND", "ErrorClass=SCHEMA_DOES_NOT_EXIST", "Database not found")
_CONFLICT = re.compile(
    r"DELTA_CONCURRENT|DELTA_METADATA_CHANGED|DELTA_PROTOCOL_CHANGED"
    r"|\bConcurrent[A-Z]\w*Exception|CommitFailed"
    r"|Failed to commit transaction"  # Sail's only message for a conflict
)
_MISSING_TABLE = re.compile(
    r"(?:table or view (?:not found: )?)(?P<name>(?:`[^`]+`|[\w$]+)(?:\.(?:`[^`]+`|[\w$]+))*)",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"does not have (?P<privileges>[A-Z][A-Z_ ]{1,60}?(?:(?:, | and )[A-Z][A-Z_ ]{1,60}?){0,5})"
    r" (?:privileges? )?on (?P<kind>[A-Za-z][A-Za-z ]{2,30}?) (?P<name>'[^'\n]{1,400}'|`[^\n]{1,400}?`(?![.`\w]))"
)
"""Unity Catalog's texts: ``User does not have USE SCHEMA on Schema 'energy.bronze'``."""
_WRAPPERS = (
    "SparkException",
    "PythonException",
    "Py4JJavaError",
    "ExecutionException",
    "RuntimeException",
)
_SHELL = re.compile(r"\b(?:Job aborted|Task failed|TASK_WRITE_FAILED)\b")
_MORE_MEMORY = (
    "give Spark more memory (spark.driver.memory of a local session, spark.executor.memory of a "
    "cluster), or let a job hold less at once"
)
MAX_SHORT = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SparkError:
    """A shortened Spark error.

    Attributes:
        message: the error in a line or two.
        condition: Spark's name of the error, such as ``UNRESOLVED_COLUMN.WITH_SUGGESTION``; or "".
        subject: the column that was not found; or "".
        suggestions: the names that Spark suggests instead.
        place: file, line and function of the user's code in which a Python worker failed; or "".
        folded: the remaining text: query plan and JVM trace.
    """

    message: str
    condition: str = ""
    subject: str = ""
    suggestions: tuple[str, ...] = ()
    place: str = ""
    folded: str = ""

    def __str__(self) -> str:
        hint = f"\ndid you mean: {', '.join(self.suggestions)}" if self.suggestions else ""
        place = f"\nat {self.place}" if self.place else ""
        return f"{self.message}{place}{hint}"


def is_spark_error(error: BaseException) -> bool:
    """Return True if *error* is a PySpark error or comes from its JVM."""
    modules = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return bool(modules & {"pyspark", "py4j"})


def short_spark_error(text: str) -> SparkError:
    """Split the text of a Spark error into its parts. Any other text becomes the message."""
    text = _SAIL_COLUMN.sub(_as_spark_says, text)
    folded_from = [found.start() for found in (_TRACE.search(text), _PLAN.search(text)) if found]
    cut = min(folded_from, default=len(text))
    message, folded = _POSITION.sub("", text[:cut].strip()), text[cut:].strip()
    python = _PYTHON.search(text)
    if python is not None:  # a Python worker's error: the last line is the message
        message, folded = python[1].strip(), text.strip()
    else:
        message = _CALLED.sub("", message).strip().removeprefix(":").strip()
        message = _innermost(text, message)
    condition = _CLASS.search(message)
    named, suggested = _NAMED.search(message), _SUGGESTED.search(message)
    suggestions = tuple(re.findall(r"`((?:[^`]|``)*)`", suggested[1])) if suggested else ()
    message = _CALLED_FROM.sub(r" (called at \2)", _REQUEST.sub("", message))
    short = _DETAIL.sub(" ", _SUGGESTED.sub("", _CLASS.sub("", message, count=1)))
    short = " ".join(short.split()).rstrip(";. ")[:MAX_SHORT]
    grant = missing_grant(short)
    return SparkError(
        message=f"{short}; ask for: {grant}" if grant else short,
        condition=condition[1] if condition else "",
        subject=named[1].strip("`") if named else "",
        suggestions=suggestions,
        place=_user_place(text) if python is not None else "",
        folded=folded,
    )


def missing_grant(text: str) -> str:
    """Return the ``GRANT`` statement that an error of Unity Catalog asks for; "" for other errors."""
    found = _DENIED.search(text)
    if found is None:
        return ""
    privileges = re.sub(" and ", ", ", found["privileges"]).replace("_", " ").strip()
    name = found["name"].strip("'`").replace("`", "").split(".")
    return grant_of(privileges, found["kind"].upper(), name)


def grant_of(privileges: str, kind: str, name: Iterable[str]) -> str:
    """Return the ``GRANT`` statement of *privileges* on the object *name*, such as a ``SCHEMA``, for this user."""
    user = find_compute().user or "<user>"
    return f"GRANT {privileges} ON {kind} {'.'.join(map(backticked, name))} TO {backticked(user)}"


def _as_spark_says(found: re.Match[str]) -> str:
    """Return Spark's message for Sail's message of a missing column."""
    name = ".".join(f"`{part}`" for part in re.findall(r'Identifier\("(.{0,300}?)"\)', found[1]))
    return f"A column, variable, or function parameter with name {name} cannot be resolved"


def _user_place(text: str) -> str:
    """Return the innermost place in a Python worker's trace that is not in a library."""
    places = [
        f"{file}:{line}, in {function}"
        for file, line, function in _PLACE.findall(text)
        if not _LIBRARY.search(file) and re.search(r"[/\\]|^<(?!frozen)", file)
    ]
    return places[-1] if places else ""


def trace_below(shown: str, folded: str) -> str:
    """Join the *shown* text of an error and its *folded* text into one text for the log."""
    return f"{shown}{_TRACE_BELOW}{folded}" if folded else shown


def trace_apart(text: str) -> tuple[str, str]:
    """Split a text of `trace_below` into shown and folded text. Any other text is all shown."""
    shown, _, folded = text.partition(_TRACE_BELOW)
    return shown, folded


def _innermost(text: str, message: str) -> str:
    """Return the innermost cause that is not a generic wrapper exception."""
    causes = [(kind.rpartition(".")[2], cause) for kind, cause in _CAUSE.findall(text)]
    specific = [
        f"{kind}: {cause}" for kind, cause in causes if kind not in _WRAPPERS and cause.strip()
    ]
    if not specific and _SHELL.search(message):
        specific = [cause for _, cause in causes if cause.strip() and not _SHELL.search(cause)]
    found = specific[-1] if specific else message
    return f"{found}; {_MORE_MEMORY}" if "OutOfMemoryError" in found else found


def is_no_table(error: BaseException) -> bool:
    """Return True if *error* means that a path does not exist or is not a Delta table."""
    text = safe_str(error)
    return any(word in text for word in (*_MISSING_PATHS, "TABLE_OR_VIEW_NOT_FOUND"))


def missing_table(error: BaseException) -> str | None:
    """Return the missing table of a query, as the error spells it; None for other errors."""
    if "TABLE_OR_VIEW_NOT_FOUND" not in safe_str(error):
        return None
    text = safe_str(error).replace("[TABLE_OR_VIEW_NOT_FOUND]", "")
    names = (found["name"].replace("`", "") for found in _MISSING_TABLE.finditer(text))
    return next((name for name in names if name.lower() != "not"), None)


def is_conflict(error: BaseException) -> bool:
    """Return True if *error* means that another writer committed to the table first."""
    text = f"{type(error).__name__} {safe_str(error)[:500]}"
    return bool(_CONFLICT.search(text))


def is_no_schema(error: BaseException) -> bool:
    """Return True if *error* means that the schema of a table, or its catalog, does not exist."""
    text = safe_str(error)
    return any(word in text for word in _MISSING_SCHEMAS)


def is_no_session(text: str) -> bool:
    """Return True if the *text* of an error means that no Spark session exists yet."""
    return any(word in text for word in _NO_SESSION)
