"""A Delta table of the registry, through delta-rs."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import tenacity

from odibi_nb.core.text.redaction import redact_text
from odibi_nb.errors import DataError, EngineNotAvailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from odibi_nb.core.protocols import Row
    from odibi_nb.storage.row_table import Columns, Merge

CONFLICT_TRIES = 20
_GONE = "odibi_gone"
"""Column of a merge's source: set for rows to delete."""


class LakeTable:
    """A `Table` at a path or URL that delta-rs reaches."""

    def __init__(self, uri: str, storage_options: Mapping[str, str] | None = None) -> None:
        """Nothing is looked at yet.

        Args:
            uri: where it stands.
            storage_options: for *uri*, as its storage wants them.
        """
        self._uri = uri
        self._options = dict(storage_options or {}) or None

    def types(self) -> Mapping[str, str] | None:
        """Column to the name of its type; None if there is no table."""
        with _clear("read"):
            table = self._open()
            if table is None:
                return None
            return {field.name: str(field.type) for field in table.schema().fields}

    def select(
        self, columns: Columns, refine: Callable[[Any], Any] = lambda frame: frame
    ) -> list[Row]:
        """Rows with *columns*; all of them, whatever *refine* says."""
        del refine
        with _clear("read"):
            table = self._open()
            if table is None:
                return []
            return _rows_of(table, columns)

    def append(self, rows: Sequence[Row], columns: Columns) -> None:
        """Append *rows*; the table is made, or gets the columns that it lacks, also without rows."""
        with _clear("written"):
            from deltalake import write_deltalake

            write_deltalake(
                self._uri,
                _arrow(rows, columns, {}),
                mode="append",
                schema_mode="merge",
                storage_options=self._options,
            )

    def merge(self, columns: Columns, decide: Callable[[Sequence[Row]], Merge | None]) -> None:
        """Read the rows, let *decide* say what to do to them, and do it in one commit."""
        with _clear("written"):
            from deltalake.exceptions import CommitFailedError

            for attempt in tenacity.Retrying(
                stop=tenacity.stop_after_attempt(CONFLICT_TRIES),
                wait=tenacity.wait_random_exponential(multiplier=0.05, max=1),
                retry=tenacity.retry_if_exception_type(CommitFailedError),
                reraise=True,
            ):
                with attempt:
                    table = self._open()
                    merge = decide(_rows_of(table, columns))
                    if merge is not None:
                        _merge(table, merge)

    def _open(self) -> Any:
        """The DeltaTable, or None if there is none."""
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        try:
            return DeltaTable(self._uri, storage_options=self._options)
        except TableNotFoundError:
            return None


def _rows_of(table: Any, columns: Columns) -> list[Row]:
    """The rows of the version that *table* has loaded, with those of *columns* that it has."""
    from deltalake import QueryBuilder

    known = {field.name for field in table.schema().fields}
    names = [name for name, _ in columns if name in known]
    # Not to_pandas or to_pyarrow_table: a process that ends after those may abort.
    query = f"SELECT {', '.join(map(_quoted, names))} FROM registry"
    found = QueryBuilder().register("registry", table).execute(query).read_all()
    values = zip(*(column.to_pylist() for column in found.columns), strict=True)
    return [dict(zip(names, row, strict=True)) for row in values]


def _merge(table: Any, merge: Merge) -> None:
    """Commit *merge* as the version after the one that *table* has loaded, or not at all."""
    import pyarrow as pa
    from deltalake import CommitProperties

    types = {field.name: field.type for field in pa.schema(table.schema().to_arrow())}
    columns = [(name, "string") for name in merge.columns]
    rows = [{**row, _GONE: None} for _, row in merge.upserts]
    rows += [{**row, _GONE: "1"} for row in merge.deletes]
    names = [_quoted(name) for name in merge.columns]
    sets = {name: f"s.{name}" for name in names}
    same = " AND ".join(f"t.{_quoted(key)} = s.{_quoted(key)}" for key in merge.keys)
    merger = table.merge(
        _arrow(rows, [*columns, (_GONE, "string")], types),
        same,
        source_alias="s",
        target_alias="t",
        # Without tries of its own: it would put the rows on top of another writer's, unread.
        commit_properties=CommitProperties(max_commit_retries=0),
    )
    if merge.deletes:
        merger = merger.when_matched_delete(f"s.{_GONE} IS NOT NULL")
    merger.when_matched_update(sets).when_not_matched_insert(sets).execute()


def _arrow(rows: Sequence[Row], columns: Columns, types: Mapping[str, Any]) -> Any:
    """*rows* with the table's *types* where it has the columns."""
    import pyarrow as pa

    kinds = {"string": pa.string(), "timestamp": pa.timestamp("us", tz="UTC"), "int": pa.int64()}
    arrow = pa.Table.from_pylist(
        list(rows), schema=pa.schema([(name, kinds[kind]) for name, kind in columns])
    )
    return arrow.cast(pa.schema([(f.name, types.get(f.name, f.type)) for f in arrow.schema]))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextlib.contextmanager
def _clear(verb: str) -> Iterator[None]:
    """Turn what the libraries raise into one message."""
    try:
        import pyarrow as pa
        from deltalake.exceptions import DeltaError
    except ImportError as exc:
        raise EngineNotAvailableError("a registry in the lake", "pandas", exc.name) from exc
    try:
        yield
    except (DeltaError, OSError, ValueError, pa.ArrowException) as exc:
        reason = redact_text(" ".join(str(exc).split()))[:500]
        raise DataError(f"cannot be {verb}: {reason}") from exc
