"""A Delta table that a session reads and writes, at a path or under a name of its catalog."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from odibi_nb.engines.spark.connection import SAIL
from odibi_nb.storage.spark_names import for_jvm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from odibi_nb.engines.spark.connection import Connection


@dataclass(frozen=True, slots=True, eq=False)
class DeltaTarget:
    """A Delta table to write.

    Attributes:
        connection: the session.
        name: the table's name in messages.
        identifier: the table's name in SQL.
        path: path or URL of the table; None if only the session's catalog knows it.
        storage_options: delta-rs's options for tables at URLs; None if delta-rs cannot reach them.
    """

    connection: Connection
    name: str
    identifier: str
    path: str | None
    storage_options: Mapping[str, str] | None = field(default=None, repr=False)  # it has secrets

    @property
    def key(self) -> str:
        """A key that identifies the table."""
        return self.path or self.identifier

    @property
    def location(self) -> str:
        """The table's place as the session must spell it."""
        assert self.path is not None
        return self.path if self.connection.kind == SAIL else for_jvm(self.path)

    def frame(self, version: int | None = None) -> Any:
        """Return all of the table as a DataFrame, which Spark reads on the first action.

        Args:
            version: the version to read. Without one, each action reads the newest version.
        """
        reader = self.connection.spark.read
        if version is not None:
            reader = reader.option("versionAsOf", version)
        if self.path is None:
            return reader.table(self.identifier)
        return reader.format("delta").load(self.location)

    def history(self, newest: int | None = None) -> list[dict[str, Any]]:
        """Return the facts of the *newest* commits, or of all, newest first, as the session shows them."""
        limit = "" if newest is None else f" LIMIT {newest}"
        rows = self.connection.spark.sql(f"DESCRIBE HISTORY {self.identifier}{limit}").collect()
        return [row.asDict(recursive=True) for row in rows]

    def detail(self) -> Any:
        """Return the facts of the table as the session shows them: id, location, properties and more."""
        return self.connection.spark.sql(f"DESCRIBE DETAIL {self.identifier}").collect()[0]

    def save(self, writer: Any) -> None:
        """Save the rows of a DataFrameWriter to the table."""
        if self.path is None:
            writer.saveAsTable(self.identifier)
        else:
            writer.save(self.location)
