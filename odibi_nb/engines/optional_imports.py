"""Import third-party libraries late, and shorten their error messages."""

from __future__ import annotations

import contextlib
import importlib.util
import re
from typing import Any

from odibi_nb.core.process.late_imports import import_late
from odibi_nb.core.text.object_text import safe_str
from odibi_nb.core.text.redaction import redact_text
from odibi_nb.core.text.spark_errors import is_spark_error, short_spark_error
from odibi_nb.errors import EngineNotAvailableError

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_NOISE = re.compile(r"\n[ \t]*(0: |stack backtrace|Traceback |LINE \d+:).*", re.DOTALL)
_MAX_REASON = 400


def require(module: str, needed_for: str, extra: str = "pandas") -> Any:
    """Import *module*; see `late_imports`.

    Raises:
        EngineNotAvailableError: if *module* is not installed; names the *extra* that installs it.
    """
    try:
        return import_late(module)
    except ModuleNotFoundError as exc:
        raise EngineNotAvailableError(needed_for, extra, exc.name) from exc


def check_installed(needed_for: str, extra: str, *libraries: str) -> None:
    """Check that *libraries* are installed, without importing them.

    Raises:
        EngineNotAvailableError: naming the first missing library, and the extra that installs it.
    """
    for library in libraries:
        if importlib.util.find_spec(library) is None:
            raise EngineNotAvailableError(needed_for, extra, library)


def load_installed(*modules: str) -> None:
    """Import the installed ones of *modules*, before a library imports them on several threads."""
    for module in modules:
        with contextlib.suppress(ImportError):
            import_late(module)


def reason(error: BaseException) -> str:
    """Return the message of *error* in one line, without colours, stack frames, plans and passwords."""
    text = safe_str(error)
    text = str(short_spark_error(text)) if is_spark_error(error) else text
    text = _NOISE.sub("", _COLOURS.sub("", text)).replace("↳", "-")
    lines = [line.strip() for line in redact_text(text).split("\n")]
    text = "; ".join(line for line in lines if line).rstrip(".") or type(error).__name__
    return text if len(text) <= _MAX_REASON else text[: _MAX_REASON - 3] + "..."
