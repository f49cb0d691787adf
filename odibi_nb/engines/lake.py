"""A lake: a root folder or URL below which tables stand, the same for every engine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from odibi_nb.core.model.tables import TableName, redact_url
from odibi_nb.engines.delta.watch import has_commits, watch_commits, watch_folders
from odibi_nb.errors import DataError, TableNotFoundError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from odibi_nb.core.protocols import Change, Watch


class Lake:
    """Where tables are: ``<root>/<schema>/<table>``.

    Args:
        root: an absolute local path, or a URL.
    """

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/") or root

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine."""
        return "://" not in self.root

    def uri(self, table: TableName) -> str:
        """The path or URL of *table*."""
        return f"{self.root}/{table.path}"

    def has(self, table: TableName) -> bool | None:
        """Whether *table* is there; None where a look costs requests."""
        return has_commits(Path(self.uri(table)) / "_delta_log") if self.is_local else None

    def check_writable(self) -> None:
        """Raises DataError if a local lake cannot be written; writes nothing to find out."""
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
        """The names of all tables *parts* folders deep; none where a look costs requests."""
        if not self.is_local:
            return []
        logs = Path(self.root).glob("/".join(["*"] * parts + ["_delta_log"]))
        return sorted(log.parent.relative_to(self.root).parts for log in logs if has_commits(log))

    def table_names(self) -> list[TableName]:
        """Every table of a lake on this machine, with or without a catalog in its name."""
        return [TableName(parts) for depth in (2, 3) for parts in self.tables(depth)]

    def watch(
        self,
        tables: Sequence[TableName],
        newest_commit: Callable[[TableName], tuple[float, float] | Change],
    ) -> Watch:
        """Watch *tables*: in folders, or by what *newest_commit* finds, as in `watch_commits`."""
        if self.is_local:
            return watch_folders(tables, self.uri)
        return watch_commits(newest_commit)

    def not_found(self, table: TableName) -> TableNotFoundError:
        """The error for *table*, which is not there; with the name that was probably meant."""
        depth = max(2, len(table.parts))
        names = [".".join(parts[-len(table.parts) :]) for parts in self.tables(depth)]
        hint = _misspelled_folder(table, self.tables(depth)) or did_you_mean(str(table), names)
        where = redact_url(self.root)
        return TableNotFoundError(
            str(table), f"table {str(table)!r} does not exist in {where}{hint}"
        )


def _misspelled_folder(table: TableName, found: Sequence[tuple[str, ...]]) -> str:
    """Say which folder holds *table* in another case than the lake's tables have."""
    for parts in found:
        folder = "/".join(parts)
        if folder.casefold() == table.path.casefold() and folder != table.path:
            return (
                f": its folder is {folder}, and a lake's folders are in lower case, so that Spark finds "
                f"them, too; rename it to {table.path}"
            )
    return ""


class CatalogLake(Lake):
    """Tables that the catalog of a Spark session keeps under their own names, such as Unity Catalog's.

    Nobody but that session knows where they stand.

    Args:
        catalog: its name; empty for the one that the session is in.
    """

    def __init__(self, catalog: str = "") -> None:
        super().__init__(f"catalog:{catalog}")
        self.catalog = catalog

    @property
    def is_local(self) -> bool:
        """No: where its tables stand is the catalog's business."""
        return False

    def not_found(self, table: TableName) -> TableNotFoundError:
        """The error for *table*, which is not there."""
        where = f"catalog {self.catalog!r}" if self.catalog else "the Spark session's catalog"
        return TableNotFoundError(str(table), f"table {str(table)!r} does not exist in {where}")
