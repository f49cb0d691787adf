"""The lake: a root folder or URL with tables below it, the same for every engine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from odibi_nb.core.model.tables import TableName, redact_url
from odibi_nb.engines.delta.watch import FolderWatch, has_commits, watch_commits
from odibi_nb.errors import DataError, TableNotFoundError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from odibi_nb.core.protocols import Change, Watch


class Lake:
    """A lake whose tables are in the folders ``<root>/<schema>/<table>``.

    Args:
        root: an absolute local path, or a URL.
    """

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/") or root

    @property
    def is_local(self) -> bool:
        """True if the lake is a folder of this machine."""
        return "://" not in self.root

    def uri(self, table: TableName) -> str:
        """Return the path or URL of *table*."""
        return f"{self.root}/{table.path}"

    def has(self, table: TableName) -> bool | None:
        """Return True if *table* exists; None for a remote lake, where a check costs requests."""
        return has_commits(Path(self.uri(table)) / "_delta_log") if self.is_local else None

    def check_writable(self) -> None:
        """Raise DataError if a local lake cannot be written; the check itself writes nothing."""
        if not self.is_local:
            return
        nearest = Path(self.root)
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        if not nearest.is_dir():
            raise DataError(f"lake {self.root}: {nearest} is a file, not a folder")
        if not os.access(nearest, os.R_OK | os.W_OK | os.X_OK):
            raise DataError(f"lake {self.root}: {nearest} cannot be read and written")

    def tables(self, parts: int = 2) -> list[tuple[str, ...]]:
        """List all tables *parts* folders deep; return [] for a remote lake, where this costs requests."""
        if not self.is_local:
            return []
        logs = Path(self.root).glob("/".join(["*"] * parts + ["_delta_log"]))
        return sorted(log.parent.relative_to(self.root).parts for log in logs if has_commits(log))

    def table_names(self) -> list[TableName]:
        """List every table of a lake on this machine, with or without a catalog in its name."""
        return [TableName(parts) for depth in (2, 3) for parts in self.tables(depth)]

    def watch(
        self,
        tables: Sequence[TableName],
        newest_commit: Callable[[TableName], tuple[float, float] | Change],
    ) -> Watch:
        """Watch *tables*: in a local lake by their folders, in a remote lake by *newest_commit*."""
        if self.is_local:
            return FolderWatch(tables, self.uri)
        return watch_commits(newest_commit)

    def not_found(self, table: TableName) -> TableNotFoundError:
        """Build the error for a *table* that does not exist, with the most similar name as a hint."""
        depth = max(2, len(table.parts))
        names = [".".join(parts[-len(table.parts) :]) for parts in self.tables(depth)]
        hint = _misspelled_folder(table, self.tables(depth)) or did_you_mean(str(table), names)
        where = redact_url(self.root)
        return TableNotFoundError(
            str(table), f"table {str(table)!r} does not exist in {where}{hint}"
        )


def _misspelled_folder(table: TableName, found: Sequence[tuple[str, ...]]) -> str:
    """Return a hint if a folder differs from *table*'s path only in case; "" without such a folder."""
    for parts in found:
        folder = "/".join(parts)
        if folder.casefold() == table.path.casefold() and folder != table.path:
            return (
                f": its folder is {folder}, and a lake's folders are in lower case, so that Spark finds "
                f"them, too; rename it to {table.path}"
            )
    return ""


class CatalogLake(Lake):
    """Tables in the catalog of a Spark session, such as Unity Catalog.

    Only that session knows the locations of these tables.

    Args:
        catalog: name of the catalog; empty for the session's current catalog.
    """

    def __init__(self, catalog: str = "") -> None:
        super().__init__(f"catalog:{catalog}")
        self.catalog = catalog

    @property
    def is_local(self) -> bool:
        """False: only the catalog knows the locations of its tables."""
        return False

    def not_found(self, table: TableName) -> TableNotFoundError:
        where = f"catalog {self.catalog!r}" if self.catalog else "the Spark session's catalog"
        return TableNotFoundError(str(table), f"table {str(table)!r} does not exist in {where}")
