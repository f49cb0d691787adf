"""Provenance of an attempt: the versions of the data that it read, and the versions that it wrote.

The run log stores both as JSON text, in its columns ``inputs_read`` and ``outputs_written``. The structs
of this module define the forms. A key without a value is left out.
"""

from __future__ import annotations

import datetime as dt

import msgspec

BEFORE_CREATION = -1
"""The time before a table existed, in the place of a version to restore."""


class TableVersion(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One version of a table.

    Attributes:
        table: key of the table, ``schema.table`` in lower case.
        version: number of the version that was read.
        data_version: number of the newest commit up to *version* that changed data. A commit that only
            compacts files, and a VACUUM, change no data.
        table_id: the ``id`` of the table's Delta metadata. A table that was dropped and created
            again has another id, so equal versions do not mean equal data.
    """

    table: str
    version: int
    data_version: int | None = None
    table_id: str = ""


class UnversionedTable(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A table that was read, whose version is unknown: a view, or a table of another format.

    Attributes:
        table: key of the table, ``schema.table`` in lower case.
    """

    table: str


class FileRead(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Fingerprint of a file that was read, or of all files of a folder or pattern.

    Attributes:
        file: location as the row spells it, without secrets.
        size: size in bytes; of a folder or pattern, the sum of all its files.
        modified: time of the last change in nanoseconds since 1970 (UTC); of a folder or pattern, that
            of its newest file. None if the storage reports no time.
        etag: entity tag of an object store's object, or on a local disk inode and time of the last
            change of the file's entry. Both change if a file is replaced by one of equal size and time.
        count: number of files of a folder or pattern; None for a single file.
        listing: hash of the names, sizes and times of all files of a folder or pattern.
    """

    file: str
    size: int | None = None
    modified: int | None = None
    etag: str = ""
    count: int | None = None
    listing: str = ""


class QueryRead(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A query that was read, with the versions of its tables.

    Attributes:
        query: name of the query in the row; ``query`` if it has none.
        sql_hash: hash of the query's text.
        tables: the tables that the query read, each with its version.
    """

    query: str
    sql_hash: str
    tables: tuple[TableVersion | UnversionedTable, ...] = ()


class ConnectionRead(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A read from a database, which has no versions.

    Attributes:
        connection: name of the connection in the manifest, or the URL without secrets.
        table: table that was read.
        query_hash: hash of the query's text, if a query was read.
    """

    connection: str
    table: str = ""
    query_hash: str = ""


InputRead = TableVersion | UnversionedTable | FileRead | QueryRead | ConnectionRead
"""One input of an attempt. Its first key names its kind: table, file, query or connection."""


class OutputWritten(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One table that an attempt wrote.

    Attributes:
        table: key of the table, ``schema.table`` in lower case.
        mode: mode of the write: ``overwrite``, ``append`` or ``merge``; ``restore`` in a rollback.
        version: version of the table after the attempt's last write.
        previous_version: version of the table before the attempt's first write; None if the attempt
            created the table.
        rows: number of written rows, if it is known.
        table_id: see `TableVersion`.
        unchanged: True if the frame was equal to the table, so that nothing was committed.
        added: number of rows that the attempt's commits added, if it is known from their metrics.
        changed: number of rows that a merge updated. None for an overwrite, whose metrics lack this
            number.
        removed: number of rows that the commits removed, if it is known; for an overwrite, all rows of
            the table before it.
    """

    table: str
    mode: str
    version: int | None = None
    previous_version: int | None = None
    rows: int | None = None
    table_id: str = ""
    unchanged: bool = False
    added: int | None = None
    changed: int | None = None
    removed: int | None = None


class TableCommit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One commit of a table, from its history.

    Attributes:
        table: key of the table.
        version: version of the table after the commit.
        at: time of the commit (UTC), if it is known.
        operation: operation that made the commit, as Delta names it: ``WRITE``, ``MERGE``, ``RESTORE``.
        changes_data: False if the commit only rewrites files (OPTIMIZE, compaction) or removes old ones
            (VACUUM).
        run_id: run that made the commit; "" if no run of ours made it.
        transformation_id: transformation that made the commit; "" if unknown.
        attempt: number of the attempt that made the commit; 0 if unknown.
        rows_added: number of rows in the files that the commit added, if it is known.
        rows_removed: number of rows in the files that the commit removed, if it is known.
        restores: version whose rows the commit restored; `BEFORE_CREATION` if a rollback removed all
            rows; None if the commit restored no version, or an unknown one.
        rolls_back: run whose commits the commit took back; "" if it was no rollback.
    """

    table: str
    version: int
    at: dt.datetime | None = None
    operation: str = ""
    changes_data: bool = True
    run_id: str = ""
    transformation_id: str = ""
    attempt: int = 0
    rows_added: int | None = None
    rows_removed: int | None = None
    restores: int | None = None
    rolls_back: str = ""
