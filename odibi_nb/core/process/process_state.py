"""What belongs to the whole process and is put back after a run, whatever its rows did to it.

Rows that run at a time share the working directory, the warnings' filters, the locale and the root
logger's handlers. ``warnings.catch_warnings`` in two of them leaves one's filters behind, and
``logging.basicConfig(force=True)`` takes the notebook's handlers away.

After a run in the foreground all of these are what they were before it. While a run goes on in the
background people change them in other cells, so after such a run only log handlers that are missing
are added again. Standard streams are each row's own, so there is nothing to put back; see `capture`.

Environment variables stay as rows left them, as imported modules do: sessions that a row starts, such as
Spark's, find their settings there. Signal handlers can be set by the main thread alone, in which no
row runs.
"""

from __future__ import annotations

import contextlib
import locale
import logging
import os
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def put_back_at_the_end(own: logging.Handler) -> Iterator[None]:
    """Put the process' state back at the end of the block; *own* is the run's log handler."""
    foreground = threading.current_thread() is threading.main_thread()
    logs, rest = _Logging.now(own), _State.now() if foreground else None
    try:
        yield
    finally:
        logs.put_back(own, exactly=foreground)
        if rest is not None:
            rest.put_back()


@dataclass(frozen=True, slots=True)
class _Logging:
    """The root logger's handlers and level, and which loggers are disabled."""

    handlers: tuple[logging.Handler, ...]
    level: int
    disabled_below: int
    enabled: tuple[str, ...]

    @classmethod
    def now(cls, own: logging.Handler) -> _Logging:
        root = logging.getLogger()
        loggers = [*root.manager.loggerDict.items()]
        return cls(
            tuple(handler for handler in root.handlers if handler is not own),
            root.level,
            root.manager.disable,
            tuple(n for n, x in loggers if isinstance(x, logging.Logger) and not x.disabled),
        )

    def put_back(self, own: logging.Handler, *, exactly: bool) -> None:
        root = logging.getLogger()
        for handler in [*root.handlers] if exactly else []:
            if handler is not own and handler not in self.handlers:
                root.removeHandler(handler)
        for handler in self.handlers:
            if handler not in root.handlers:
                root.addHandler(handler)
        if exactly:
            root.setLevel(self.level)
            logging.disable(self.disabled_below)
            for name in self.enabled:  # dictConfig disables those that it does not name
                logging.getLogger(name).disabled = False


@dataclass(frozen=True, slots=True)
class _State:
    """The working directory, the warnings' filters and the locale."""

    folder: Path | None
    filters: tuple[Any, ...]
    show_warning: Any
    locale: str | None

    @classmethod
    def now(cls) -> _State:
        return cls(_folder(), tuple(warnings.filters), warnings.showwarning, _locale())

    def put_back(self) -> None:
        if self.folder is not None and self.folder != _folder():
            with contextlib.suppress(OSError):  # it was removed meanwhile
                os.chdir(self.folder)
        if tuple(warnings.filters) != self.filters:
            warnings.simplefilter("default", append=True)  # so that Python notices the change
            warnings.filters[:] = self.filters  # type: ignore[index]  # typeshed: Sequence; it is a list
        warnings.showwarning = self.show_warning
        if self.locale is not None and self.locale != _locale():
            with contextlib.suppress(locale.Error):
                locale.setlocale(locale.LC_ALL, self.locale)


def _folder() -> Path | None:
    try:
        return Path.cwd()
    except OSError:
        return None


def _locale() -> str | None:
    try:
        return locale.setlocale(locale.LC_ALL)
    except locale.Error:
        return None
