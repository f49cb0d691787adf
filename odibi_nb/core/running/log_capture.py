"""Add the log records of a transformation to its log, whatever rows do to logging.

A handler of the root logger would lose records as soon as any row resets logging:
``basicConfig(force=True)`` removes all handlers, and ``logging.disable`` silences all rows. So during a run
``Logger.callHandlers`` itself adds each record to the log of the transformation that made it. A level that a
row sets on the root logger, or with ``logging.disable``, raises the level of that row's log alone.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from odibi_nb.core.process.process_state import LoggingState


_PLACES = {
    "isEnabledFor": logging.Logger,
    "callHandlers": logging.Logger,
    "setLevel": logging.Logger,
    "disable": logging.Manager,
}
"""Replaced methods, and one property, to their classes."""


class RowLog(Protocol):
    """A log that takes records.

    Attributes:
        levels: the levels that the row itself has set: ``root`` and ``disable``.
    """

    levels: dict[str, int]

    def write(self, text: str) -> None:
        """Add *text*."""

    def takes(self, stream: Any) -> bool:
        """Return True if text that is written to *stream* gets into a log."""


class LogCapture:
    """The replaced methods of `logging`.

    Args:
        find_log: returns the log of the transformation that runs here, or None.
        own: the package's logger of transformations. If it is disabled, ``dictConfig`` has disabled all.
    """

    def __init__(self, find_log: Callable[[], RowLog | None], own: logging.Logger) -> None:
        self._find_log = find_log
        self._own = own
        self._before: LoggingState | None = None
        self._formatter = logging.Formatter()
        self._plain: dict[str, Any] = {}
        self._ours: dict[str, Any] = {}

    def begin(self, before: LoggingState) -> None:
        """Replace the methods. *before* is the state of logging from before the runs that overlap now."""
        self._before = before
        if self._plain:  # a library has wrapped ours in an earlier run
            return
        self._plain = {name: getattr(place, name) for name, place in _PLACES.items()}
        self._ours = self._replacements()
        for name, place in _PLACES.items():
            setattr(place, name, self._ours[name])

    def end(self) -> None:
        """Put the methods back."""
        self._before = None
        if all(getattr(place, name) is self._ours[name] for name, place in _PLACES.items()):
            for name, place in _PLACES.items():
                setattr(place, name, self._plain[name])
            self._plain = {}

    def _replacements(self) -> dict[str, Any]:
        plain_is_enabled = self._plain["isEnabledFor"]
        plain_call, plain_set = self._plain["callHandlers"], self._plain["setLevel"]
        plain_disable, find_log = self._plain["disable"], self._find_log

        def is_enabled_for(logger: logging.Logger, level: int) -> bool:
            if plain_is_enabled(logger, level):
                return True
            log = find_log()
            return log is not None and self._hears(logger, level, log)

        def call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
            log = find_log()
            if log is not None and not self._captured(logger, record, log):
                return
            plain_call(logger, record)

        def set_level(logger: logging.Logger, level: int | str) -> None:
            plain_set(logger, level)
            log = find_log()
            if log is not None and logger.parent is None:
                log.levels["root"] = logger.level

        def disable(manager: logging.Manager, level: int) -> None:
            plain_disable.fset(manager, level)
            log = find_log()
            if log is not None:
                log.levels["disable"] = manager.disable

        return {
            "isEnabledFor": is_enabled_for,
            "callHandlers": call_handlers,
            "setLevel": set_level,
            "disable": property(plain_disable.fget, disable),
        }

    def _hears(self, logger: logging.Logger, level: int, log: RowLog) -> bool:
        """Return True if *logger* would be enabled for *level* without the settings of other rows."""
        before = self._before
        if before is None:
            return False
        if self._own.disabled:
            before.enable()
        elif logging.root.level <= before.level and logger.manager.disable <= before.disabled_below:
            return False  # nearly always: no row has changed anything
        if logger.disabled or level <= max(before.disabled_below, log.levels.get("disable", 0)):
            return False
        at: logging.Logger | None = logger
        while at is not None and at.parent is not None and not at.level:
            at = at.parent
        if at is None or at.parent is None:
            return level >= log.levels.get("root", before.level)
        return level >= at.level

    def _captured(self, logger: logging.Logger, record: logging.LogRecord, log: RowLog) -> bool:
        """Add *record* to *log*. Return True if there are handlers for it, too."""
        handlers, at = [], logger
        while True:
            handlers += at.handlers
            if at.parent is None or not at.propagate:
                break
            at = at.parent
        # A row's own handler for its standard error has a format, so its line is enough.
        shown = any(
            record.levelno >= handler.level and log.takes(getattr(handler, "stream", None))
            for handler in handlers
        )
        # Another handler of a logger that does not propagate is the library's own business.
        if not shown and (at.parent is None or not handlers):
            try:
                log.write(self._formatter.format(record) + "\n")
            except Exception:  # noqa: BLE001  logging's own rule: a bad record never stops the program
                if logging.raiseExceptions:
                    sys.excepthook(*sys.exc_info())
        return bool(handlers)
