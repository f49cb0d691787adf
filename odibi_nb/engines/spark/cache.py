"""Cache tables in the memory of a Spark session's cluster, for one or more runs.

Every read of a cached table, by name or by path, reads from memory. Spark updates the cache when it
writes to the table itself. It does not notice writes through delta-rs, which pandas rows use: it returns
the cached rows for every version of the table. So this module stores the version and checks it again.

Rows read a table at one version (``versionAsOf``), which is another plan for Spark. So this module loads
the rows of that version. Code that names the table without a version loads them again at its first read.
"""

from __future__ import annotations

import contextlib
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.engines.spark import writes as spark_writes
from odibi_nb.engines.spark.delta_target import DeltaTarget

if TYPE_CHECKING:
    from odibi_nb.engines.spark.connection import Connection

_by_session: weakref.WeakKeyDictionary[Any, dict[str, _Kept]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class _Kept:
    """A cached table. It has no DataFrame, which would keep the session alive."""

    name: str
    identifier: str
    path: str | None
    version: int | None
    stays: bool

    def target(self, connection: Connection) -> DeltaTarget:
        return DeltaTarget(connection, self.name, self.identifier, self.path)


class SparkCache:
    """The tables that this engine and earlier engines have cached in one session's cluster."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._kept = _by_session.setdefault(connection.spark, {})

    def keep(self, target: DeltaTarget, *, stays: bool) -> None:
        """Cache a table until a write to it; unless it *stays*, at most until `end_run`."""
        self.forget(target.key)
        version = spark_writes.version_of(target)
        current = target.frame().persist()
        if version is None:
            current.count()
        else:
            target.frame(version).persist().count()
        self._kept[target.key] = _Kept(target.name, target.identifier, target.path, version, stays)

    def forget(self, key: str) -> None:
        """Remove the table with this key from the cache, if it is cached."""
        kept = self._kept.pop(key, None)
        if kept is not None:
            target = kept.target(self._connection)
            with contextlib.suppress(Exception):  # if the session has ended, its cache has, too
                target.frame().unpersist()
            if kept.version is not None:
                with contextlib.suppress(Exception):  # or the version's files may be gone
                    target.frame(kept.version).unpersist()

    def forget_changed(self) -> None:
        """Remove the tables that another writer has changed since they were cached."""
        for key, kept in self._kept.copy().items():
            target = kept.target(self._connection)
            if kept.path is not None and spark_writes.version_of(target) != kept.version:
                self.forget(key)

    def end_run(self) -> None:
        """Remove the tables that do not stay, or that another writer has changed."""
        self.forget_changed()
        for key in [key for key, kept in self._kept.items() if not kept.stays]:
            self.forget(key)
