"""Delta tables through delta-rs, with rows of plain values, for the registry and the run log."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi_nb.core.text.redaction import redact_text
from odibi_nb.core.text.sql_text import double_quoted, literal
from odibi_nb.errors import DataError, EngineNotAvailableError, TableNotFoundError
from odibi_nb.storage.delta_upkeep import checkpoint, compact, no_hooks, tidy
from odibi_nb.storage.local_renames import why_not_moved
from odibi_nb.storage.row_table import ALL_ROWS, RowQuery, RowTable, chosen, spelling, tries
from odibi_nb.storage.row_values import restored_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from odibi_nb.core.protocols import Row
    from odibi_nb.storage.row_table import Choice, Merge, TextMerge
    from odibi_nb.storage.row_values import Columns

COMMIT_TRIES = 50
_GONE = "odibi_gone"
"""Column of a merge's source that marks the rows to delete."""

_logger = logging.getLogger(__name__)


class DeltaRowTable(RowTable):
    """A Delta table at a path or URL that delta-rs can reach.

    Every write is one commit. A write adds columns that the table lacks, as the seed's table does.
    Columns of other types keep their types.
    """

    def __init__(
        self,
        uri: str,
        storage_options: Mapping[str, str] | None = None,
        shown: str = "",
        *,
        keep_open: bool = False,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        """Store the arguments. Nothing is read yet.

        Args:
            uri: the path or URL of the table.
            storage_options: for *uri*, in the form that its storage expects.
            shown: the table's name in messages; empty if a caller adds it.
            keep_open: keep the loaded table, and read only new commits of its log the next time. Use it
                from one thread, and for a table that is not removed in between.
            properties: table properties of a table that this object creates.
        """
        self._uri = uri
        self._options = dict(storage_options or {}) or None
        self._shown = shown
        self._keep_open = keep_open
        self._properties = dict(properties or {}) or None
        self._opened: Any = None

    def types(self) -> Mapping[str, str] | None:
        with self._as_data_errors("read"):
            table = self._open()
            return None if table is None else _types_of(table)

    def select(self, columns: Columns | Choice, query: RowQuery = ALL_ROWS) -> list[Row]:
        with self._as_data_errors("read"):
            return _rows_of(self._existing(), columns, query)

    def grouped(
        self, by: str, columns: Columns, equal: Mapping[str, Sequence[str]]
    ) -> list[tuple[str, list[list[Any]]]]:
        """Return lists from the database, because rows of Python objects take ten times as long."""
        with self._as_data_errors("read"):
            table = self._existing()
            types = _types_of(table)
            names = spelling((by, *(name for name, _ in columns)), types)
            query = RowQuery(equal=equal).spelled(types)
            if query is None or len(names) <= len(columns):
                return super().grouped(by, columns, equal)
            key, *lists = map(double_quoted, names.values())
            wanted = ", ".join((key, *(f"array_agg({name})" for name in lists)))
            sql = f"SELECT {wanted} FROM rows {_where(query.equal)} GROUP BY {key}"
            kinds = [kind for _, kind in columns]
            return [
                (name, [*map(restored_values, found, kinds)])
                for name, *found in _queried(table, sql)
            ]

    def append(self, rows: Sequence[Row], columns: Columns) -> None:
        with self._as_data_errors("written"):
            tries(_came_second)(self._append_once, rows, columns)

    def merge(
        self, columns: Columns | Choice, decide: Callable[[Sequence[Row]], Merge | None]
    ) -> None:
        with self._as_data_errors("written"):
            from deltalake.exceptions import CommitFailedError

            for attempt in tries(lambda exc: isinstance(exc, CommitFailedError)):
                with attempt:
                    table = self._existing()
                    merge = decide(_rows_of(table, columns, ALL_ROWS))
                    if merge is not None:
                        _merge(table, merge.spelled(_types_of(table)).as_text())

    def compact(self) -> None:
        """Compact small files. A failure leaves the table unchanged, and is only logged."""
        self._maintain(compact, "compacted", "%s was not compacted; its data is complete")

    def tidy(self) -> None:
        """Write a checkpoint, and remove expired log files and the data files of earlier versions."""
        self._maintain(tidy, "tidied", "%s could not be tidied, but it is whole")

    def _maintain(self, maintain: Callable[[Any], None], verb: str, failed: str) -> None:
        try:
            with self._as_data_errors(verb):
                table = self._open()
                if table is not None:
                    maintain(table)
        except DataError:
            _logger.warning(failed, self._shown or self._uri, exc_info=True)

    def _append_once(self, rows: Sequence[Row], columns: Columns) -> None:
        import pyarrow as pa
        from deltalake import CommitProperties, write_deltalake

        table = self._open()
        before = table.version() if table is not None else 0
        types = {} if table is None else _arrow_types(pa, table)
        write_deltalake(
            self._uri if table is None else table,
            _arrow(rows, columns, types),
            mode="append",
            schema_mode="merge",
            storage_options=self._options,
            configuration=self._properties if table is None else None,
            commit_properties=CommitProperties(max_commit_retries=COMMIT_TRIES),
            post_commithook_properties=no_hooks(),
        )
        if table is not None:
            checkpoint(table, before)

    def _existing(self) -> Any:
        table = self._open()
        if table is None:
            raise TableNotFoundError(self._shown or self._uri, "the table does not exist")
        return table

    def _open(self) -> Any:
        """Return the DeltaTable, or None if the table does not exist."""
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError as NoDeltaTable

        # To read a table's log takes long. A table that was opened before only reads its new commits.
        table, self._opened = self._opened, None
        if table is None and "://" not in self._uri and _is_absent(Path(self._uri)):
            return None  # delta-rs 1.1.0 would create the folder
        try:
            if table is None:
                table = DeltaTable(self._uri, storage_options=self._options)
            elif not self._is_newest(table):
                table.update_incremental()
        except NoDeltaTable:
            return None
        if self._keep_open:
            self._opened = table
        return table

    def _is_newest(self, table: Any) -> bool:
        """Return True if a look at the disk shows no commit after the loaded version.

        delta-rs lists the whole log, with a look at each of its files. On a mount each look is a request.
        """
        log = Path(self._uri) / "_delta_log"
        following = log / f"{table.version() + 1:020}.json"
        return "://" not in self._uri and log.is_dir() and not following.exists()

    @contextlib.contextmanager
    def _as_data_errors(self, verb: str) -> Iterator[None]:
        """Convert the libraries' errors to DataError, with the reason in one line."""
        try:
            import pyarrow as pa
            from deltalake.exceptions import DeltaError
        except ImportError as exc:
            name = f"the {self._shown}" if self._shown else "a table of the lake"
            raise EngineNotAvailableError(name, "pandas", exc.name) from exc
        try:
            yield
        except BaseException as exc:
            ours = isinstance(exc, (DeltaError, OSError, ValueError, pa.ArrowException))
            # The queries of delta-rs raise plain Exceptions. A panic of Rust code is no Exception, and would
            # end the thread of the run log.
            if not ours and type(exc) is not Exception and type(exc).__name__ != "PanicException":
                raise
            explained = "; ".join(why_not_moved(str(exc)) or ())
            reason = explained or redact_text(" ".join(str(exc).split()))[:500]
            raise DataError(f"{self._shown} cannot be {verb}: {reason}".lstrip()) from exc


def _is_absent(path: Path) -> bool:
    try:
        path.stat()
    except OSError as exc:  # delta-rs gives the reason of any other error
        return isinstance(exc, FileNotFoundError)
    return False


def _came_second(exc: BaseException) -> bool:
    """Return True if another process created or changed the table first, so that the write must start over."""
    from deltalake.exceptions import CommitFailedError, DeltaError

    made = isinstance(exc, DeltaError) and "already exists" in str(exc)
    return made or isinstance(exc, CommitFailedError)


def _types_of(table: Any) -> dict[str, str]:
    return {field.name: str(field.type) for field in table.schema().fields}


def _rows_of(table: Any, columns: Columns | Choice, query: RowQuery) -> list[Row]:
    """Return the rows of the version that *table* has loaded, with the *columns* that it has."""
    types = _types_of(table)
    names = spelling([name for name, _ in chosen(columns, types)], types)
    spelled = query.spelled(types)
    if not names or spelled is None:
        return []
    direction = "DESC NULLS LAST" if query.descending else "ASC NULLS FIRST"
    order = ", ".join(f"{double_quoted(name)} {direction}" for name in spelled.order)
    wanted = ", ".join(map(double_quoted, names.values()))
    sql = f"SELECT {wanted} FROM rows {_where(spelled.equal)}"
    sql += f" ORDER BY {order}" if order else ""
    sql += "" if query.limit is None else f" LIMIT {int(query.limit)}"
    return query.folded_rows(dict(zip(names, row, strict=True)) for row in _queried(table, sql))


def _queried(table: Any, sql: str) -> Iterator[tuple[Any, ...]]:
    from deltalake import QueryBuilder

    # Not to_pandas or to_pyarrow_table: a process that uses them may abort when it ends.
    found = QueryBuilder().register("rows", table).execute(sql).read_all()
    return zip(*(column.to_pylist() for column in found.columns), strict=True)


def _where(equal: Mapping[str, Sequence[str]]) -> str:
    conditions = [
        f"{double_quoted(name)} IN ({', '.join(map(literal, texts))})"
        for name, texts in equal.items()
    ]
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""


def _merge(table: Any, merge: TextMerge) -> None:
    """Commit *merge* as the version right after the loaded one, or fail."""
    import pyarrow as pa
    from deltalake import CommitProperties

    columns = [(name, "string") for name in (*merge.columns, _GONE)]
    rows = [row for _, row in merge.upserts]
    rows += [{**row, _GONE: "1"} for row in merge.deletes]
    names = [double_quoted(name) for name in merge.columns]
    sets = {name: f"s.{name}" for name in names}
    same = " AND ".join(f"t.{double_quoted(key)} = s.{double_quoted(key)}" for key in merge.keys)
    merger = table.merge(
        _arrow(rows, columns, _arrow_types(pa, table)),
        same,
        source_alias="s",
        target_alias="t",
        # No retries by delta-rs: it would commit on top of another writer's rows without reading them.
        commit_properties=CommitProperties(max_commit_retries=0),
    )
    if merge.deletes:
        merger = merger.when_matched_delete(f"s.{_GONE} IS NOT NULL")
    merger.when_matched_update(sets).when_not_matched_insert(sets).execute()


def _arrow_types(pa: Any, table: Any) -> dict[str, Any]:
    return {field.name: field.type for field in pa.schema(table.schema().to_arrow())}


def _arrow(rows: Sequence[Row], columns: Columns, types: Mapping[str, Any]) -> Any:
    """Return *rows* as an Arrow table, with the stored table's spelling and *types* for its columns."""
    import pyarrow as pa

    kinds = {
        "string": pa.string(),
        "timestamp": pa.timestamp("us", tz="UTC"),
        "double": pa.float64(),
        "int": pa.int64(),
    }
    arrow = pa.Table.from_pylist(
        list(rows), schema=pa.schema([(name, kinds[kind]) for name, kind in columns])
    )
    names = spelling(arrow.schema.names, types)
    fields = [(names.get(field.name, field.name), field.type) for field in arrow.schema]
    return arrow.rename_columns([name for name, _ in fields]).cast(
        pa.schema([(name, types.get(name, type_)) for name, type_ in fields])
    )
