"""Write times to files as microseconds; other sessions than our own are configured during the write."""

from __future__ import annotations

import contextlib
import threading
import weakref
from typing import TYPE_CHECKING, Any

from odibi_nb.engines.spark.connection import CLASSIC, SAIL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from odibi_nb.engines.spark.connection import Connection

_SETTING = "spark.sql.parquet.outputTimestampType"
"""The session's setting; a single write has no option for it.

delta-rs and others read INT96, Spark's default, as nanoseconds, in which 9999-12-31 wraps to 1816.
"""
_MICROSECONDS = "TIMESTAMP_MICROS"
_lock = threading.Lock()
_writing: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
_before: weakref.WeakKeyDictionary[Any, str | None] = weakref.WeakKeyDictionary()


@contextlib.contextmanager
def in_microseconds(connection: Connection) -> Iterator[None]:
    """Let the session write times as microseconds; the last concurrent writer restores the setting."""
    spark = connection.spark
    if connection.kind == SAIL or (connection.own and connection.kind == CLASSIC):
        yield  # Sail always does; our own sessions are configured at their start
        return
    with _lock:
        _writing[spark] = _writing.get(spark, 0) + 1
        if _writing[spark] == 1:
            _set(spark)
    try:
        yield
    finally:
        with _lock:
            _writing[spark] -= 1
            if not _writing[spark]:
                _set_back(spark)


def _set(spark: Any) -> None:
    with contextlib.suppress(Exception):  # serverless compute does not allow it
        found = spark.conf.get(_SETTING, None)
        if found != _MICROSECONDS:
            spark.conf.set(_SETTING, _MICROSECONDS)
            _before[spark] = found


def _set_back(spark: Any) -> None:
    if spark in _before:
        before = _before.pop(spark)
        with contextlib.suppress(Exception):  # the session may have ended
            spark.conf.unset(_SETTING) if before is None else spark.conf.set(_SETTING, before)
