"""Third-party libraries: importing them late, and what their errors say."""

from __future__ import annotations

import importlib
import re
from typing import Any

from odibi_nb.core.spark_errors import is_spark_error, short_spark_error
from odibi_nb.core.tables import redact_url
from odibi_nb.errors import EngineNotAvailableError

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_NOISE = re.compile(r"\n\s*(0: |stack backtrace|Traceback |LINE \d+:).*", re.DOTALL)
_URL = re.compile(r"[A-Za-z][\w+.-]*://[^\s'\",)]+")
_MAX_REASON = 400


def require(module: str, needed_for: str, extra: str = "pandas") -> Any:
    """Import *module*.

    Raises:
        EngineNotAvailableError: if it is not installed; names the *extra* that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as exc:
        raise EngineNotAvailableError(needed_for, extra, exc.name) from exc


def reason(error: BaseException) -> str:
    """What *error* says, in one line: without colours, stack frames, plans and passwords in URLs."""
    text = str(short_spark_error(str(error)) if is_spark_error(error) else error)
    text = _NOISE.sub("", _COLOURS.sub("", text)).replace("↳", "-")
    text = _URL.sub(lambda found: redact_url(found[0]), text)
    text = re.sub(r"\s*\n\s*", "; ", text.strip()).rstrip(".") or type(error).__name__
    return text if len(text) <= _MAX_REASON else text[: _MAX_REASON - 3] + "..."
