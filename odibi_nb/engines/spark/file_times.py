"""Times in files as microseconds, in sessions that are not our own, too, for as long as we write."""

from __future__ import annotations

import contextlib
import threading
import weakref
from typing import TYPE_CHECKING, Any

from odibi_nb.engines.spark.session import CLASSIC, SAIL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from odibi_nb.engines.spark.session import Connection

_SETTING = "spark.sql.parquet.outputTimestampType"
"""INT96, Spark's default, is nanoseconds to delta-rs and others, for whom 9999-12-31 wraps to 1816.

There is no option of a single write for it.
"""
_MICROSECONDS = "TIMESTAMP_MICROS"
_lock = threading.Lock()
_writing: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
_before: weakref.WeakKeyDictionary[Any, str | None] = weakref.WeakKeyDictionary()


@contextlib.contextmanager
def in_microseconds(connection: Connection) -> Iterator[None]:
    """Let the session write times as microseconds; the last of several writers sets it back."""
    spark = connection.spark
    if connection.kind == SAIL or (connection.own and connection.kind == CLASSIC):
        yield  # Sail always does; our own are configured when they start
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
    with contextlib.suppress(Exception):  # serverless compute lets nobody set it
        found = spark.conf.get(_SETTING, None)
        if found != _MICROSECONDS:
            spark.conf.set(_SETTING, _MICROSECONDS)
            _before[spark] = found


def _set_back(spark: Any) -> None:
    if spark in _before:
        before = _before.pop(spark)
        with contextlib.suppress(Exception):  # the session may be gone
            spark.conf.unset(_SETTING) if before is None else spark.conf.set(_SETTING, before)
