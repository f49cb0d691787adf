"""Tables that runs keep in the memory of a Spark session's cluster.

Whoever reads a table that is kept, by name or by path, reads memory. Spark itself brings that up to
date when it writes to the table. What delta-rs writes, as pandas rows do, it does not notice: to it, all
versions of a table are the one that it has in memory. So the version is noted, and looked at again.
"""

from __future__ import annotations

import contextlib
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.engines.spark import writes as spark_writes

if TYPE_CHECKING:
    from odibi_nb.engines.spark.session import Connection

_by_session: weakref.WeakKeyDictionary[Any, dict[str, _Kept]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class _Kept:
    """A table in memory; no DataFrame, which would keep the session alive."""

    name: str
    identifier: str
    path: str | None
    version: int | None
    stays: bool

    def target(self, connection: Connection) -> spark_writes.DeltaTarget:
        return spark_writes.DeltaTarget(connection, self.name, self.identifier, self.path)


class SparkCache:
    """What is kept in the memory of one session's cluster, by this engine and those before it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._kept = _by_session.setdefault(connection.spark, {})

    def keep(self, target: spark_writes.DeltaTarget, *, stays: bool) -> None:
        """Bring a table into memory, until it is written or, unless it *stays*, until `end_run`."""
        self.forget(target.key)
        version = spark_writes.version_of(target)
        target.frame().persist().count()
        self._kept[target.key] = _Kept(target.name, target.identifier, target.path, version, stays)

    def forget(self, key: str) -> None:
        """Take the table called so out of memory, if it is there."""
        kept = self._kept.pop(key, None)
        if kept is not None:
            with contextlib.suppress(Exception):  # a session that is gone has nothing in memory
                kept.target(self._connection).frame().unpersist()

    def forget_changed(self) -> None:
        """Take out of memory what somebody else has written since."""
        for key, kept in [*self._kept.items()]:
            target = kept.target(self._connection)
            if kept.path is not None and spark_writes.version_of(target) != kept.version:
                self.forget(key)

    def end_run(self) -> None:
        """Take out of memory what does not stay, or was written by somebody else."""
        self.forget_changed()
        for key in [key for key, kept in self._kept.items() if not kept.stays]:
            self.forget(key)
