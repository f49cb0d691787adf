"""Read only the data files that two versions of a Delta table do not share.

A file that both versions have with the same deletion vector holds the same rows in both, if both schemas
read its columns alike. These rows cancel out in a comparison, so they need not be read.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import tempfile
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from odibi_nb.engines.delta.log import DeltaLog, local_folder
from odibi_nb.engines.delta.row_counts import total
from odibi_nb.engines.delta.schema import schema_of, type_name
from odibi_nb.engines.delta.tables import as_stored, open_table, query_builder
from odibi_nb.engines.delta.versions import table_at
from odibi_nb.engines.optional_imports import reason, require
from odibi_nb.engines.pandas.frames import plain, pyarrow
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

_PLAIN_FEATURES = frozenset({"timestampNtz"})
"""Reader features with which pyarrow reads the files as Delta does."""
_DELETION_VECTORS = "deletionVectors"
_BATCH_ROWS = 65_536
_READ_AHEAD = 2
_MOST_FOOTERS = 200
"""Most files whose footers are read to see if they have the table's columns."""
_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_UUID_CHARACTERS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionFiles:
    """Files of one version of a table: all of them, or the files that the other version does not have.

    Attributes:
        name: name of the table.
        table: the delta-rs table at that version.
        uri: path or URL of the table.
        storage_options: delta-rs's options for *uri*.
        files: paths of the files to read, not URL-encoded; None for all.
        total: number of files of the version.
        size: bytes of the files to read.
        rows: number of rows in the files to read, if it is known.
        adds: with deletion vectors or column mapping, the log's entries of the files to read.
    """

    name: str
    table: Any
    uri: str
    storage_options: Mapping[str, str] = field(repr=False)  # it has secrets
    files: frozenset[str] | None
    total: int
    size: int
    rows: int | None
    adds: Mapping[str, Any] | None = None

    @property
    def version(self) -> int:
        """Number of the version."""
        return int(self.table.version())

    @property
    def is_empty(self) -> bool:
        """True if no file must be read."""
        return self.total == 0 or (self.files is not None and not self.files)

    def types(self) -> dict[str, str]:
        """Map each column to the name of its type."""
        return {field.name: type_name(field.type) for field in schema_of(self.table)}

    def parquet_files(self) -> list[str] | None:
        """Return the local paths of the files to read if any Parquet reader gets the table's rows from them.

        Return None if the rows also depend on the log, such as values of partition columns, or if a file has
        other columns or types than the table, such as Spark's INT96 times.
        """
        folder = local_folder(self.uri)
        if folder is None or self.files is None or self.adds is not None:
            return None
        if len(self.files) > _MOST_FOOTERS or self.table.metadata().partition_columns:
            return None
        schema_in = require("pyarrow.parquet", "comparing versions").read_schema
        root = folder.absolute()  # DuckDB would read a first ~ as the home folder
        paths = [str(root / file) for file in sorted(self.files)]
        table_types = _stored_types(pyarrow().schema(self.table.schema().to_arrow()))
        alike = all(_stored_types(schema_in(path)) == table_types for path in paths)
        return paths if alike else None

    @contextlib.contextmanager
    def opened(self) -> Iterator[Any]:
        """Open the rows for one pass, and yield an Arrow reader."""
        if self.files is None:
            yield self._stream(self.table)
        elif self.adds is not None:
            with tempfile.TemporaryDirectory(prefix="odibi-diff-") as folder:
                yield self._stream(self._log_of_files(Path(folder)))
        else:
            yield self._scanner().to_reader()

    def _stream(self, table: Any) -> Any:
        """Return a reader of all rows of *table*, batch by batch."""
        pa = pyarrow()
        schema = self.table.schema().to_arrow()
        found = query_builder(table).execute("SELECT * FROM t")
        batches = (part for batch in found for part in as_stored(batch, schema).to_batches())
        return pa.RecordBatchReader.from_batches(
            plain(pa.schema(schema).empty_table()).schema, batches
        )

    def _scanner(self) -> Any:
        dataset = require("pyarrow.dataset", "comparing versions")
        # For Spark's INT96 times; see `query_builder`.
        whole = self.table.to_pyarrow_dataset(
            parquet_read_options=dataset.ParquetReadOptions(coerce_int96_timestamp_unit="us")
        )
        assert self.files is not None
        chosen = [f for f in whole.get_fragments() if f.path in self.files]
        if len(chosen) != len(self.files):
            raise LookupError("files of the log are not in the table's dataset")
        part = dataset.FileSystemDataset(chosen, whole.schema, whole.format, whole.filesystem)
        return part.scanner(
            batch_size=_BATCH_ROWS, batch_readahead=_READ_AHEAD, fragment_readahead=1
        )

    def _log_of_files(self, folder: Path) -> Any:
        """Write the log of a table that has only these files, where they are, and open it."""
        protocol, metadata = self.table.protocol(), self.table.metadata()
        entries: list[dict[str, Any]] = [
            {
                "protocol": {
                    "minReaderVersion": protocol.min_reader_version,
                    "minWriterVersion": protocol.min_writer_version,
                    **({"readerFeatures": f} if (f := protocol.reader_features) else {}),
                    **({"writerFeatures": w} if (w := protocol.writer_features) else {}),
                }
            },
            {
                "metaData": {
                    "id": metadata.id,
                    "format": {"provider": "parquet", "options": {}},
                    "schemaString": self.table.schema().to_json(),
                    "partitionColumns": [*metadata.partition_columns],
                    "configuration": dict(metadata.configuration),
                }
            },
        ]
        assert self.adds is not None
        entries += [{"add": _absolute(add, Path(self.uri))} for add in self.adds.values()]
        log = folder / "_delta_log" / f"{0:020}.json"
        log.parent.mkdir()
        log.write_text("\n".join(map(json.dumps, entries)), encoding="utf-8")
        return open_table(str(folder), "files of a version", {})


def files_at(
    uri: str, name: str, version: int | None, storage_options: Mapping[str, str]
) -> VersionFiles | None:
    """Return all files of the table at *uri* at a version, or at the newest; None if it does not exist.

    Raises:
        DataError: if the version does not exist.
    """
    if version is None:
        table = open_table(uri, name, storage_options)
    else:
        table = table_at(uri, name, version, storage_options)
    if table is None:
        return None
    try:
        listed = _listed(table)
    except Exception as exc:
        raise DataError(f"{name}: its files cannot be listed: {reason(exc)}") from exc
    return VersionFiles(
        name=name,
        table=table,
        uri=uri,
        storage_options=storage_options,
        files=None,
        total=len(listed),
        size=sum(file.size for file in listed.values()),
        rows=_rows_in(listed.values(), table),
    )


def unshared(before: VersionFiles, after: VersionFiles) -> tuple[VersionFiles, VersionFiles]:
    """Reduce two versions of one table to the files that the other version does not have.

    If the shared files cannot be found, or cannot be left out, return both versions unchanged.
    """
    sides = (before, after)
    plain = all(_is_plain(side.table) for side in sides)
    if not _columns_alike(before.table, after.table) or (not plain and "://" in after.uri):
        return sides
    log = DeltaLog(after.uri, after.storage_options)
    touched: set[str] = set()
    if any(_has_deletion_vectors(side.table) for side in sides):
        low, high = sorted(side.version for side in sides)
        commits = list(itertools.islice(log.commits(high), high - low))
        if len(commits) != high - low:
            return sides
        touched = {unquote(path) for commit in commits for path in commit.added}
    listed = [_listed(side.table) for side in sides]
    shared = (listed[0].keys() & listed[1].keys()) - touched
    found = []
    for side, files in zip(sides, listed, strict=True):
        own = {path: file for path, file in files.items() if path not in shared}
        adds = None if plain else _adds(log, side.version, own.keys())
        if not plain and adds is None:
            return sides
        part = replace(
            side,
            files=frozenset(own),
            size=sum(file.size for file in own.values()),
            rows=_rows_in(own.values(), side.table),
            adds=adds,
        )
        found.append(part)
    return found[0], found[1]


def _stored_types(schema: Any) -> list[tuple[str, Any]]:
    """Return name and type of each column, with one type for all texts and one for all bytes."""
    pa = pyarrow()
    narrow = {pa.large_string(): pa.string(), pa.large_binary(): pa.binary()}
    for name in ("string", "binary"):
        if hasattr(pa, f"{name}_view"):  # pyarrow 16 and later
            narrow[getattr(pa, f"{name}_view")()] = getattr(pa, name)()
    return [(field.name, narrow.get(field.type, field.type)) for field in schema]


class _File(NamedTuple):
    """Size in bytes and number of rows of a file; None if its statistics lack the number."""

    size: int
    rows: int | None


def _listed(table: Any) -> dict[str, _File]:
    """Return the files of the delta-rs *table* by path, not URL-encoded."""
    actions = pyarrow().table(table.get_add_actions(flatten=True))
    count = actions.num_rows
    if not count:
        return {}
    known = "num_records" in actions.column_names
    rows = actions["num_records"].to_pylist() if known else [None] * count
    columns = (actions["path"].to_pylist(), actions["size_bytes"].to_pylist(), rows)
    return {unquote(path): _File(size or 0, n) for path, size, n in zip(*columns, strict=True)}


def _rows_in(files: Iterable[_File], table: Any) -> int | None:
    """Sum the rows; None if a number is unknown, or deletion vectors may hide rows."""
    return None if _has_deletion_vectors(table) else total(file.rows for file in files)


def _is_plain(table: Any) -> bool:
    protocol = table.protocol()
    features = set(protocol.reader_features or ())
    return protocol.min_reader_version == 1 or (
        protocol.min_reader_version > 2 and features <= _PLAIN_FEATURES  # noqa: PLR2004  2: column mapping
    )


def _has_deletion_vectors(table: Any) -> bool:
    return _DELETION_VECTORS in (table.protocol().reader_features or ())


def _columns_alike(before: Any, after: Any) -> bool:
    """Return True if both versions read the columns that they share from files in the same way.

    With column mapping, a column that was dropped and added again has the same name and other data.
    """
    old, new = (
        {field["name"]: field for field in json.loads(table.schema().to_json())["fields"]}
        for table in (before, after)
    )
    return all(_physical(old[name]) == _physical(new[name]) for name in old.keys() & new.keys())


def _physical(field: Any) -> Any:
    """Return the parts of a field of a schema that decide how files are read."""
    if isinstance(field, list):
        return [_physical(item) for item in field]
    if not isinstance(field, dict):
        return field
    kept = {k: _physical(v) for k, v in field.items() if k not in ("metadata", "nullable")}
    mapping = field.get("metadata") or {}
    kept["mapping"] = {k: v for k, v in mapping.items() if k.startswith("delta.columnMapping")}
    return kept


def _adds(log: DeltaLog, version: int, paths: Collection[str]) -> dict[str, Any] | None:
    """Return the newest entry up to *version* of each file in *paths*; None if the log lacks one."""
    found: dict[str, Any] = {}
    for actions in log.actions(version) if paths else ():
        for action in actions:
            add = action.get("add")
            if add is not None and unquote(add["path"]) in paths:
                found.setdefault(unquote(add["path"]), add)
        if len(found) == len(paths):
            return found
    return found if len(found) == len(paths) else None


def _absolute(add: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """Return a log's entry of a file with absolute locations."""
    path = add["path"] if "://" in add["path"] else f"{root.as_uri()}/{add['path']}"
    vector = add.get("deletionVector")
    if not vector or vector["storageType"] != "u":
        return {**add, "path": path}
    text = vector["pathOrInlineDv"]
    prefix, encoded = text[:-_UUID_CHARACTERS], text[-_UUID_CHARACTERS:]
    name = f"deletion_vector_{uuid.UUID(bytes=_from_z85(encoded))}.bin"
    place = "/".join(part for part in (root.as_uri(), prefix, name) if part)
    return {
        **add,
        "path": path,
        "deletionVector": {**vector, "storageType": "p", "pathOrInlineDv": place},
    }


def _from_z85(text: str) -> bytes:
    """Decode Z85 (ZeroMQ's base 85), in which Delta writes the ids of deletion vectors."""
    words = []
    for i in range(0, len(text), 5):
        number = 0
        for character in text[i : i + 5]:
            number = number * 85 + _Z85.index(character)
        words.append(number.to_bytes(4, "big"))
    return b"".join(words)
