"""Places that rows may not write: the run log's tables, and the logs of Delta tables.

A write to the run log's tables would falsify the history. A file in ``_delta_log`` can destroy a table.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.checks import QUARANTINE, quarantine_of
from odibi_nb.core.model.log_columns import LEASE_TABLE, RUN_TABLE
from odibi_nb.core.model.manifest import DEFAULT_LAKE
from odibi_nb.core.model.readable_places import decoded, locate
from odibi_nb.core.model.tables import DELTA_LOG, TableName, is_location, table_key
from odibi_nb.core.text.redaction import redact_text
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from odibi_nb.core.model.checks import Rule
    from odibi_nb.core.model.manifest import EnvironmentConfig, ProjectManifest
    from odibi_nb.core.model.transformation import Transformation

_CATALOG = "catalog"
_SEPARATOR = re.compile(r"[/\\]")


def log_tables(run_log: str) -> tuple[TableName, TableName]:
    """Return the run log's two tables: the table of attempts, and the table of runs.

    Raises:
        DataError: if *run_log* is not a table's name.
    """
    log = TableName.parse(run_log)
    return log, TableName((*log.parts[:-1], RUN_TABLE))


def lease_table(run_log: str) -> TableName:
    """Return the name of the table of leases, beside the run log.

    Raises:
        DataError: if *run_log* is not a table's name.
    """
    return TableName((*TableName.parse(run_log).parts[:-1], LEASE_TABLE))


def own_tables(run_log: str) -> tuple[TableName, ...]:
    """Return all tables that the run log of an environment may have.

    Raises:
        DataError: if *run_log* is not a table's name.
    """
    return (*log_tables(run_log), lease_table(run_log))


class Links:
    """Symbolic links among the folders of a local lake, as the first lookup of each folder found them.

    A plan has thousands of tables in a few folders, so each folder is listed only once.
    """

    def __init__(self, lake: str) -> None:
        self._lake = "" if "://" in lake else lake
        self._found: dict[str, frozenset[str]] = {}

    @cached_property
    def exist(self) -> bool:
        """True if the lake's folder or one of its subfolders contains a link."""
        if not self._lake:
            return False
        try:
            with os.scandir(self._lake) as entries:
                folders = [entry.name for entry in entries if entry.is_dir()]
        except OSError:  # no lake yet
            return False
        return any(self._in(folder) for folder in ("", *folders))

    def lead(self, key: str) -> bool:
        """Return True if the path of the table *key* contains a link."""
        if not self._lake:
            return False
        folder, _, name = key.rpartition(".")
        found = self._found.get(folder)
        if found is None:
            found = self._found[folder] = self._in(folder)
        return name in found or (bool(folder) and self.lead(folder))

    def _in(self, folder: str) -> frozenset[str]:
        path = os.path.join(self._lake, *folder.split("."))  # noqa: PTH118  paths stay text
        try:
            with os.scandir(path) as entries:
                return frozenset(entry.name for entry in entries if entry.is_symlink())
        except OSError:  # no such folder yet
            return frozenset()


@dataclass(frozen=True)
class Reserved:
    """Places that the rows of one environment may not write.

    The object looks for links in a folder of the lake only once, so create one for each plan and each run.

    Attributes:
        tables: the run log's tables.
        catalog: name of the lake's catalog, "" for the session's current catalog; None if the lake is a
            folder or URL.
        lake: path or URL of the lake; "" for a catalog.
        locations: the environment's prefixes.
        folder: the project's folder.
    """

    tables: tuple[TableName, ...]
    catalog: str | None
    lake: str
    locations: Mapping[str, str]
    folder: str

    def check(self, table: str) -> None:
        """Raise DataError if *table* is a table of the run log."""
        if why := self._refusal(table):
            raise DataError(why)

    def problems(self, row: Transformation, checks: Sequence[Rule]) -> list[tuple[str, str]]:
        """Return (field, message) for each place that *row* would write or read but may not."""
        if self._is_plain(row, checks):
            return []
        quarantines = any(rule.on_fail == QUARANTINE for rule in checks)
        if row.output_problems:  # the function writes its outputs itself, in any form
            found = self._own_forms(row.outputs, quarantines=quarantines)
        else:
            whys = [self._table_refusal(t.table, quarantines=quarantines) for t in row.targets]
            found = [(f"outputs[{i}]", why) for i, why in enumerate(whys) if why]
        for i, item in enumerate(row.inputs):
            path = item.get("path") if isinstance(item, dict) else item
            if not isinstance(path, str) or is_location(path):
                texts = _texts(path)
                found += [(f"inputs[{i}]", _delta_log_refusal(t)) for t in texts if self._in_log(t)]
        return found

    def _is_plain(self, row: Transformation, checks: Sequence[Rule]) -> bool:
        """Return True if a quick look shows that *row* has no problem.

        Nearly all of the thousands of rows of a plan need no more than this.
        """
        if checks or row.output_problems or self.catalog is not None or self._links.exist:
            return False
        for target in row.targets:
            key = table_key(target.table)
            if key in self._keys or key.count(".") > 1:  # `Links.exist` checks two levels only
                return False
        for item in row.inputs:
            if not isinstance(item, str):
                return False
            if is_location(item) and (self._odd_prefixes or _looks_like_log(item)):
                return False
        return True

    @cached_property
    def _odd_prefixes(self) -> bool:
        """True if a prefix of the environment alone may lead to a Delta log."""
        return any(map(_looks_like_log, (*self.locations.values(), self.folder)))

    def _own_forms(self, outputs: Sequence[Any], *, quarantines: bool) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        for i, raw in enumerate(outputs):
            table = raw.get("table") if isinstance(raw, dict) else raw
            whys = [self._location_refusal(text) for text in _texts(raw)]
            if isinstance(table, str) and not is_location(table):
                whys.insert(0, self._table_refusal(table, quarantines=quarantines))
            found += [(f"outputs[{i}]", why) for why in whys if why]
        return found

    def _table_refusal(self, table: str, *, quarantines: bool) -> str:
        why = self._refusal(table)
        with contextlib.suppress(DataError):  # not a table's name, which another check reports
            return why or (self._refusal(quarantine_of(table)) if quarantines else "")
        return ""

    def _in_log(self, text: str) -> bool:
        return _is_delta_log(locate(text, self.locations, self.folder))

    def _refusal(self, table: str) -> str:
        """Return the reason why a row may not write *table*; "" if it may."""
        try:
            key = table_key(table) if self.catalog is None else self._key(TableName.parse(table))
        except DataError:
            return ""  # not a table's name, which another check reports
        if key not in self._keys and not (self._links.lead(key) and self._leads_to_log(key)):
            return ""
        return (
            f"{table}: is a table of the run log, which rows may read but not write: choose another "
            "table, or another 'run_log' in the manifest"
        )

    @cached_property
    def _keys(self) -> frozenset[str]:
        return frozenset(map(self._key, self.tables))

    @cached_property
    def _links(self) -> Links:
        return Links(self.lake)

    def _leads_to_log(self, key: str) -> bool:
        """Return True if links in the lake lead from the table *key* to a table of the run log."""
        path = os.path.join(self.lake, *key.split("."))  # noqa: PTH118  paths stay text
        return any(_is_below(path, f"{self.lake}/{table.path}") for table in self.tables)

    def _key(self, table: TableName) -> str:
        """Return the key of *table* without its catalog if that is the lake's catalog.

        A name with the lake's catalog then equals the same name without a catalog.
        """
        first, *rest = table.parts
        in_own = self.catalog is not None and self.catalog.lower() in {"", first.lower()}
        return TableName(tuple(rest)).key if in_own and len(rest) > 1 else table.key

    def _location_refusal(self, text: str) -> str:
        real = locate(text, self.locations, self.folder)
        if _is_delta_log(real):
            return _delta_log_refusal(text)
        for table in self.tables if self.lake else ():
            if _is_below(real, f"{self.lake.rstrip('/')}/{table.path}"):
                return (
                    f"{redact_text(text)}: is a place of the run log's table {table}, which rows may "
                    "read but not write: choose another place, or another 'run_log' in the manifest"
                )
        return ""


def reserved_in(manifest: ProjectManifest, config: EnvironmentConfig) -> Reserved:
    """Return the places that rows of the environment may not write."""
    tables: tuple[TableName, ...] = ()
    with contextlib.suppress(DataError):  # the code that opens the run log raises it
        tables = own_tables(config.run_log)
    lake = config.lake or DEFAULT_LAKE
    word, _, name = lake.partition(":")
    is_catalog = word == _CATALOG and not name.startswith("//")
    return Reserved(
        tables=tables,
        catalog=name.strip() if is_catalog else None,
        lake="" if is_catalog else locate(lake, {}, str(manifest.folder)),
        locations=config.locations,
        folder=str(manifest.folder),
    )


def _delta_log_refusal(text: str) -> str:
    return (
        f"{redact_text(text)}: {DELTA_LOG} belongs to Delta alone: name the table, or another place"
    )


def _texts(raw: Any) -> list[str]:
    """Return the texts at any depth of *raw* that name a file or folder."""
    found: list[str] = []
    level = [raw]
    while level:
        item = level.pop()
        if isinstance(item, str):
            if is_location(item):
                found.append(item)
        elif isinstance(item, dict):
            level += item.values()
        elif isinstance(item, (list, tuple)):
            level += item
    return found[::-1]


def _is_delta_log(location: str) -> bool:
    """Return True if *location* is a Delta table's log or inside one, in any spelling."""
    return _looks_like_log(location) and any(
        part.strip(" .").casefold() == DELTA_LOG
        for reading in decoded(location)
        for part in _SEPARATOR.split(reading)
    )


def _looks_like_log(location: str) -> bool:
    return "%" in location or DELTA_LOG in location.casefold()


def _is_below(location: str, root: str) -> bool:
    """Return True if *location* is *root* or below it, in any spelling, with links resolved."""
    top = _plain(root)
    return any(path == top or path.startswith(f"{top}/") for path in map(_plain, decoded(location)))


def _plain(location: str) -> str:
    """Return *location* with dots and links resolved, and the case folded."""
    scheme, found, rest = location.replace("\\", "/").partition("://")
    if not found:
        return os.path.realpath(location).replace(os.sep, "/").casefold()
    if scheme.lower() in {"file", "local"}:
        return _plain("/" + rest.partition("/")[2])
    return f"{scheme}://{posixpath.normpath(rest)}".casefold()
