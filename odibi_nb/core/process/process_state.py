"""Restore the state of the whole process after a run.

Rows that run at the same time share the working directory, the warning filters, the locale and the
root logger's handlers. If two rows use ``warnings.catch_warnings``, the filters of one remain, and
``logging.basicConfig(force=True)`` removes the notebook's handlers.

A run in the foreground restores all of these. During a run in the background, the user may change
them in other cells, so such a run only adds missing log handlers again. Each row has its own standard
streams, which need no restoring; see `capture`.

Environment variables and imported modules are not restored, because sessions that a row starts, such
as Spark's, find their settings there. Only the main thread can set signal handlers, and no row runs
in it.
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
    """Restore the state of the process at the end of the block. *own* is the run's log handler."""
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
    """The root logger's handlers and level, and the names of the enabled loggers."""

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
            for name in self.enabled:  # dictConfig disables the loggers that it does not name
                logging.getLogger(name).disabled = False


@dataclass(frozen=True, slots=True)
class _State:
    """The working directory, the warning filters and the locale."""

    folder: Path | None
    filters: tuple[Any, ...]
    show_warning: Any
    locale: str | None

    @classmethod
    def now(cls) -> _State:
        return cls(_folder(), tuple(warnings.filters), warnings.showwarning, _locale())

    def put_back(self) -> None:
        if self.folder is not None and self.folder != _folder():
            with contextlib.suppress(OSError):  # the folder was removed during the run
                os.chdir(self.folder)
        if tuple(warnings.filters) != self.filters:
            warnings.simplefilter("default", append=True)  # makes Python notice the change
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
