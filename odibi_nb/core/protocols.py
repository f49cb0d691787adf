"""All extension points on one page.

The core calls these interfaces and imports none of their implementations. ``DataFrame`` is the
frame type of the engine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from odibi_nb.core.model.attempt_control import AttemptControl
    from odibi_nb.core.model.checks import Rule
    from odibi_nb.core.model.events import RunEvent
    from odibi_nb.core.model.manifest import EnvironmentConfig, ProjectManifest
    from odibi_nb.core.model.provenance import (
        FileRead,
        OutputWritten,
        TableCommit,
        TableVersion,
        UnversionedTable,
    )
    from odibi_nb.core.model.rollback import Outlook
    from odibi_nb.core.model.table_change import TableChange
    from odibi_nb.core.model.table_diff import TableDiff
    from odibi_nb.core.model.tables import TableName
    from odibi_nb.core.model.transformation import Output
    from odibi_nb.core.planning.plan import RunPlan

DataFrame = Any
Row = dict[str, Any]


class DataType(str, Enum):
    """Kinds of data that a run can request from a seed-style provider, under the seed's names."""

    CSV = "csv"
    JSON = "json"
    AVRO = "avro"
    PARQUET = "parquet"
    DELTA = "delta"
    CLOUDFILES = "cloudFiles"
    SQL = "sql"
    API = "api"


class Hook(Protocol):
    """Listener that receives the payload of each event."""

    def __call__(self, payload: dict[str, Any], /) -> object:
        """Handle one event; the return value is ignored."""


class SqlProvider(Protocol):
    """The ``sql_provider`` that ``auth_provider`` returns, as in the seed."""

    def read(
        self, *, data_type: Any, container: str, path_prefix: str, object_name: str, spark: Any
    ) -> Any:
        """Run the query in *object_name*, and return a Spark or pandas DataFrame, or rows."""


class RegistrySource(Protocol):
    """Source of the rows of the TransformationRegistry."""

    @property
    def name(self) -> str:
        """Name of the source in messages, without a password."""

    def fetch(self, project: str, env: str) -> Iterable[Mapping[str, Any]]:
        """Return the rows of *project* (case-insensitive) and *env*, both enabled and disabled.

        Raises:
            RegistryError: if the registry cannot be read.
        """

    def census(self) -> list[tuple[str, str, int]]:
        """Return (project, environment, number of enabled rows) for messages; empty if unknown."""


class EditableRegistry(RegistrySource, Protocol):
    """Registry whose rows the commands can write. Each method may raise RegistryError."""

    def export(self, project: str | None = None, env: str | None = None) -> list[Row]:
        """Return the stored rows of one or all projects and environments, sorted."""

    def create(self, all_columns: bool = False) -> list[str]:
        """Create the table or add its missing columns, and return one line for each action."""

    def upsert(self, rows: Iterable[Mapping[str, Any]]) -> tuple[int, int, int]:
        """Insert or update all *rows* or none, and return the counts (inserted, updated, unchanged)."""

    def change(self, edit: Any, *, write: bool = True) -> Any:
        """Apply all of an `odibi_nb.sources.upsert.Edit` or nothing, and return its `Changes`.

        If *write* is False, compute the changes without writing them.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteInfo:
    """Origin of a write, which the engine stores in the table's commit.

    Attributes:
        repairs: runs that this run repairs. Its appends replace the rows that they appended for the
            same transformation.
        check: function to call right before the commit. It raises RevokedError if the attempt was
            revoked.
        rolls_back: the run whose commits this one takes back; "" for a usual write.
        content_hash: hash of the rows to write, from `ComparingEngine.same_content`; "" without one.
        wrote: function to call after each commit, with the table, its version after the commit, and
            the version before it.
    """

    run_id: str
    transformation_id: str
    attempt: int
    repairs: tuple[str, ...] = ()
    rolls_back: str = ""
    content_hash: str = ""
    check: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)
    wrote: Callable[[OutputWritten], None] = field(
        default=lambda _written: None, repr=False, compare=False
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Measurements that decide whether a data check's rule holds.

    Attributes:
        total: number of rows in the frame.
        failed: number of rows that break the rule, for rules about rows.
        samples: a few values that break the rule, as text.
        newest: the latest time (UTC) in the rule's column, for ``fresh``.
    """

    total: int
    failed: int = 0
    samples: tuple[str, ...] = ()
    newest: dt.datetime | None = None


class TableEngine(Protocol):
    """Engine that reads and writes tables and files for transformations, from several threads.

    Attributes:
        name: name of the engine in registry rows.
    """

    name: str

    @property
    def cannot_cache(self) -> str:
        """Reason why tables cannot be cached; empty if they can, or if no session exists yet."""

    def spark_session(self) -> Any:
        """Return the Spark session for transformations, or None without Spark; start it if necessary.

        Raises:
            EngineError: if a Spark session is needed but cannot be started. The message contains the
                remedy.
        """

    def attempt_scope(
        self, info: WriteInfo, tables: Sequence[str], control: AttemptControl
    ) -> AbstractContextManager[None]:
        """Return the context manager in which an attempt runs, on the attempt's thread.

        When *control* is revoked, the engine stops the work that the attempt began on that thread.

        Args:
            info: run, row and number of the attempt.
            tables: the names of the row's input and output tables.
            control: reports when the runner revokes the attempt.
        """

    def read(self, table: TableName) -> DataFrame:
        """Return all rows of *table*.

        Raises:
            TableNotFoundError: if the table does not exist.
        """

    def query(self, sql: str) -> DataFrame:
        """Return the rows of a SELECT over the lake's tables.

        Raises:
            DataError: if the query is wrong; contains the engine's reason.
        """

    def read_file(
        self,
        location: str,
        *,
        format: str,
        schema: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> DataFrame:
        """Return the rows of a file or folder, with *schema*'s types (column to type name).

        Raises:
            DataError: if the file or folder is missing or malformed.
        """

    def write(self, frame: DataFrame, output: Output, info: WriteInfo) -> int | None:
        """Write *frame* to *output* in one commit, and return the number of rows if it is known.

        One attempt may append several times, and all its appends remain. The first append of a later
        attempt of the same row, in this run or in a run that repairs it, replaces the rows that
        earlier attempts appended.

        Raises:
            DataError: if the table cannot accept the frame. The table is unchanged.
            RevokedError: if the attempt was revoked.
        """

    def exists(self, table: TableName) -> bool:
        """Return True if *table* exists."""

    def check_writable(self) -> None:
        """Check, before a run begins, that tables can be written. The check itself writes nothing.

        Raises:
            DataError: if tables cannot be written.
        """

    def is_frame(self, value: object) -> bool:
        """Return True if *value* is a frame of the engine, or a frame that its `native` can convert."""

    def row_count(self, frame: DataFrame) -> int | None:
        """Return the number of rows in *frame*, or None if counting needs a pass over the data."""

    def schema(self, frame: DataFrame) -> dict[str, str]:
        """Return a mapping from column to type name."""

    def measure(self, frame: DataFrame, rules: Sequence[Rule]) -> list[Measure]:
        """Return the measurements for each of *rules*.

        No rule has kind ``call``, and *frame* has all their columns.

        Raises:
            DataError: if a rule cannot be evaluated on its columns.
        """

    def split(self, frame: DataFrame, rules: Sequence[Rule]) -> tuple[DataFrame, DataFrame]:
        """Return two frames: the rows that pass all of *rules*, and the rows that break at least one.

        The second frame has two more columns: ``_failed_checks`` (the broken rules) and
        ``_quarantined_at``.
        """

    def cache(self, table: TableName, *, keep: bool = False) -> None:
        """Cache *table* for later reads, until the next write to it.

        If *keep* is True and the session outlives `close`, the table stays cached in the session.
        """

    def close(self) -> None:
        """Release the resources of the run; called once, at its end."""


class Change(Enum):
    """State of a table, compared with the time when an engine began to watch it."""

    WRITTEN = "written"
    SAME = "same"
    ABSENT = "absent"
    REMOVED = "removed"
    UNKNOWN = "unknown"


Watch = Callable[["TableName"], Change]
"""Function that returns the `Change` of a table since the engine began to watch it."""


class VersionWatch(Protocol):
    """A `Watch` that knows the versions of the tables when the engine began to watch them."""

    def __call__(self, table: TableName, /) -> Change:
        """Return the change of *table*."""

    def version_before(self, table: TableName) -> int | None:
        """Return the version of *table* at the beginning; None if it did not exist."""


class WatchingEngine(Protocol):
    """Optional methods of an engine that detects other writers' commits to its tables."""

    def watch(self, tables: Sequence[TableName]) -> Watch:
        """Watch *tables* from now on. The runner calls this before each attempt, so it must be cheap.

        The returned function may be slow, because the runner only calls it for outputs that the runner
        has not written itself.
        """


def watch_tables(engine: TableEngine, tables: Sequence[TableName]) -> Watch:
    """Let *engine* watch *tables*; if it cannot watch tables, report each change as unknown."""
    begin = getattr(engine, "watch", None)
    found: Watch = (lambda _: Change.UNKNOWN) if begin is None else begin(tables)
    return found


class CatalogEngine(Protocol):
    """Optional method of an engine whose session has a catalog that other lakes share."""

    def shadowed(self) -> list[str]:
        """Return a message for each table of the lake whose name belongs to another table in the catalog."""


def shadowed_tables(engine: TableEngine) -> list[str]:
    """Return the messages of `CatalogEngine.shadowed`; none for an engine without a catalog."""
    find = getattr(engine, "shadowed", None)
    found: list[str] = [] if find is None else find()
    return found


class RetryingEngine(Protocol):
    """Optional methods of an engine that can remove the rows that failed attempts appended."""

    def take_back(self, output: Output, info: WriteInfo) -> None:
        """Remove any rows that earlier attempts of the transformation appended to the table.

        Raises:
            DataError: if these rows cannot be distinguished from other rows. Nothing was written.
            RevokedError: if the attempt was revoked.
        """


class VersionedEngine(Protocol):
    """Optional methods of an engine whose tables keep their earlier versions."""

    def versions(self, tables: Sequence[TableName]) -> dict[str, TableVersion]:
        """Return the newest version of each of *tables*, by key, in one cheap pass.

        A table that does not exist, has no versions (a view), or cannot be read, is left out.
        """

    def committed_at(self, table: TableName, version: int) -> dt.datetime | None:
        """Return the time of a commit; None if it is not known without a request."""

    def commits(self, table: TableName, *, down_to: int = 0) -> list[TableCommit]:
        """Return the commits of *table* in its history, newest first, down to a version.

        The list is empty if the table does not exist.
        """

    def read_version(self, table: TableName, version: int) -> DataFrame:
        """Return all rows of *table* at *version*.

        Raises:
            TableNotFoundError: if the table does not exist.
            DataError: if the version does not exist, or its files were removed.
        """

    def query_versions(self, sql: str, versions: Mapping[str, int]) -> DataFrame:
        """Return the rows of a SELECT that reads each table at its number in *versions*, by key.

        A table without a number is read at its newest version.

        Raises:
            DataError: if the query is wrong, or a version cannot be read.
        """

    def read_newest(self, table: TableName) -> tuple[DataFrame, TableVersion | None]:
        """Return all rows of *table* as `read` does, and their version.

        The frame keeps that version, even if a writer changes the table before it is computed. The version
        is None if it is not known, as for a view.

        Raises:
            TableNotFoundError: if the table does not exist.
        """

    def query_newest(
        self, sql: str, versions: Mapping[str, int]
    ) -> tuple[DataFrame, tuple[TableVersion | UnversionedTable, ...]]:
        """Return the result of `query_versions` at the newest versions, and the version of each table."""

    def outlook(self, table: TableName, version: int, *, restores: int) -> Outlook:
        """Return the effect of restoring *table* to an earlier version. Writes nothing.

        Args:
            table: table to restore.
            version: newest version of the table.
            restores: version to restore, or `BEFORE_CREATION`.
        """

    def restore(self, table: TableName, restores: int, info: WriteInfo, *, expected: int) -> int:
        """Restore *table* in one commit, and return the new version's number.

        Args:
            table: table to restore.
            restores: version to restore. `BEFORE_CREATION` removes all rows.
            info: run, row and attempt to store in the commit.
            expected: newest version of the table as the caller knows it.

        Raises:
            DataError: if the newest version is not *expected*, or files of the version were removed.
                Nothing was written.
        """

    def drop(self, table: TableName, *, expected: int) -> None:
        """Delete *table* with its history.

        Raises:
            DataError: if the newest version is not *expected*, or the engine cannot delete tables.
        """


class ComparingEngine(Protocol):
    """Optional method of an engine that can find out whether a write would change nothing."""

    def same_content(self, frame: DataFrame, output: Output) -> tuple[TableVersion | None, str]:
        """Return the version of *output*'s table that holds exactly the rows of *frame*, and their hash.

        The order of rows does not count. The version is None if rows, columns or types differ, or if the
        engine cannot compare them. The hash is "" if the engine does not need it for the write.
        """


class FingerprintingEngine(Protocol):
    """Optional method of an engine that can look at files without reading them."""

    def fingerprint(self, location: str) -> FileRead:
        """Return the present fingerprint of a file, or of all files of a folder or pattern.

        Unknown facts are left out. A location that cannot be checked has only its name.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class TableAt:
    """One side of a comparison: a table at one of its versions.

    Attributes:
        engine: engine that reads the table.
        table: name of the table.
        version: number of the version; None for the newest one.
    """

    engine: TableEngine
    table: TableName
    version: int | None


class DiffingEngine(Protocol):
    """Optional methods of an engine that compares tables as they are, at any of their versions."""

    def diff(
        self, before: TableAt | None, after: TableAt | None, keys: Sequence[str] = ()
    ) -> TableDiff:
        """Return the differences between two sides, at least one of which exists. Writes nothing.

        Args:
            before: one side; None if the table does not exist there.
            after: the other side, of this engine or of one of the same kind.
            keys: columns that identify a row; without keys, whole rows are compared.

        Raises:
            TableNotFoundError: if a table does not exist.
            DataError: if a version cannot be read, or the engines are of different kinds.
        """


class ListingEngine(Protocol):
    """Optional methods of an engine that can list its tables."""

    def tables(self) -> list[TableName]:
        """Return all tables of the lake; an empty list if listing them would need requests."""


class ConvertingEngine(Protocol):
    """Optional methods of an engine that accepts frames of other libraries; see `is_frame`."""

    def native(self, frame: DataFrame, name: str) -> DataFrame:
        """Convert *frame* to a frame of the engine, with the same values and types.

        Raises:
            DataError: if a part cannot be converted. The message contains *name*, that part, and the
                remedy.
        """


def native_frame(engine: TableEngine, frame: DataFrame, name: str) -> DataFrame:
    """Convert *frame*, for which `is_frame` returned True, to a frame of *engine*."""
    convert = getattr(engine, "native", None)
    return frame if convert is None else convert(frame, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """Part of a table to experiment with: at most *limit* rows, or a random *fraction* of the rows.

    Both together give a sample of at most *limit* rows. The same table gives the same sample.
    """

    limit: int | None = None
    fraction: float | None = None

    def __bool__(self) -> bool:
        """Return True if the portion limits the table in any way."""
        return self.limit is not None or self.fraction is not None

    def __str__(self) -> str:
        parts = [f"{self.fraction:.3g} of the rows"] if self.fraction is not None else []
        parts += [f"at most {self.limit:,} rows"] if self.limit is not None else []
        return ", ".join(parts) or "all rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDetails:
    """Facts from a table's metadata, found without reading its rows.

    Attributes:
        rows: number of rows, if known.
        columns: column to type name.
        version: version of the table, if known.
        modified_at: time of the last write (UTC).
        run_id: id of the run that made the last write; None if no run made it.
        transformation_id: id of the transformation that made the last write.
    """

    rows: int | None
    columns: dict[str, str]
    version: int | None
    modified_at: dt.datetime | None = None
    run_id: str | None = None
    transformation_id: str | None = None


@runtime_checkable
class RehearsingEngine(TableEngine, Protocol):
    """Engine with the methods that ``load``, ``try`` and ``explain`` need. None of them writes."""

    def read_portion(self, table: TableName, portion: Portion) -> DataFrame:
        """Return *portion* of *table*, and read no more data than necessary.

        Raises:
            TableNotFoundError: if the table does not exist.
        """

    def take(self, frame: DataFrame, portion: Portion) -> DataFrame:
        """Return *portion* of *frame* as a copy: later changes to it do not affect *frame*."""

    def prepared(self, frame: DataFrame, output: Output) -> DataFrame:
        """Return a copy of *frame* as a read from *output*'s table would return it.

        Raises:
            DataError: if `write` would raise it because the table cannot accept the frame.
        """

    def combined(self, before: DataFrame, frame: DataFrame, output: Output) -> DataFrame:
        """Return the rows of a table that held *before*, after an append or merge of *frame*."""

    def changes(self, frame: DataFrame, output: Output, *, partial: bool) -> TableChange:
        """Return the changes that a `write` of the prepared *frame* would make to *output*'s table.

        Args:
            frame: a frame that `prepared` returned.
            output: target table and mode of the write.
            partial: True if the frame was computed from parts of its inputs. Rows that are missing
                from it then do not count as removed.
        """

    def details(self, table: TableName) -> TableDetails | None:
        """Return the facts from the metadata of *table*; None if it does not exist."""


Measures = tuple[str, list[float], list[int]]
"""The id of a transformation, with the seconds and the written rows of its successes, in any order."""
RECENT_RUNS = 1_000
"""Number of newest runs among which a run is looked for by default."""
SUCCESSES_IN = 500
"""Number of runs that `BaseLogSink.successes` searches by default."""


class BaseLogSink(ABC):
    """Base class of run log sinks. Subclass it, implement `write`, and pass the object as ``log_sink``.

    The run calls it from one thread. If `write` raises, the run retries the batch. If that fails too,
    the records stay in the journal.
    """

    name: str = ""
    in_lake: bool = False
    """True if every machine that shares the lake reads the same log."""

    @abstractmethod
    def write(self, records: list[Row]) -> None:
        """Append *records*, one for each finished attempt: the seed's ten columns, then ours."""

    def write_run(self, record: Row) -> None:  # noqa: B027  optional on purpose
        """Append the record of a finished run."""

    def write_last(self, records: list[Row], run_record: Row) -> bool:
        """Append the last batch and the record of the finished run, both at the same time.

        Return False, and write nothing, if the sink cannot do that. The run then calls `write` and
        `write_run`. After an exception it does so for the records that `written` and `runs` lack.
        """
        del records, run_record
        return False

    def written(self, run_id: str) -> set[tuple[str, int]]:
        """Return the stored (transformation_id, attempt) pairs of *run_id*.

        The run calls this before it writes a batch again.
        """
        del run_id
        return set()

    def runs(self, limit: int) -> list[Row]:
        """Return the newest *limit* runs, newest first; empty if this sink cannot be read."""
        del limit
        return []

    def has_run(self, run_id: str) -> bool:
        """Return True if the log has the record of the run *run_id*."""
        return any(known["run_id"] == run_id for known in self.runs(RECENT_RUNS))

    def attempts(self, run_ids: Sequence[str]) -> list[Row]:
        """Return the records of the given runs; empty if this sink cannot be read."""
        del run_ids
        return []

    def measures(self, run_ids: Sequence[str]) -> list[Measures]:
        """Return the `Measures` of each transformation that succeeded in these runs. Every plan calls this method."""
        found: dict[str, Measures] = {}
        for record in self.outcomes(run_ids):
            if record["status"] == "SUCCESS":
                name = record["transformation_id"]
                _, seconds, rows = found.setdefault(name, (name, [], []))
                seconds += [one for one in (record["duration_seconds"],) if one is not None]
                rows += [one for one in (record["rows_out"],) if one is not None]
        return [*found.values()]

    def outcomes(self, run_ids: Sequence[str]) -> list[Row]:
        """Return the records of the given runs, oldest first, at least with the columns `OUTCOME_COLUMNS`.

        The history and the search for unusual rows read many runs, and need few columns.
        """
        return self.attempts(run_ids)

    def successes(self, project: str, env: str, names: Collection[str]) -> list[Row]:
        """Return the records of all successes of the transformations *names* in the log.

        The freshness of a row needs it if none of the newest runs has the row.
        """
        newest = [run for run in self.runs(SUCCESSES_IN) if run["project"] == project]
        ids = [run["run_id"] for run in newest if run["env"] == env]
        return [
            record
            for record in self.attempts(ids)
            if record["status"] == "SUCCESS" and record["transformation_id"] in names
        ]

    def close(self) -> None:  # noqa: B027  optional on purpose
        """Release the resources of the run."""


class RunStateTables(Protocol):
    """Tables in which the machines that share an environment see each other's runs.

    Every method that fails raises DataError.
    """

    def lease(self, project: str, env: str) -> Row | None:
        """Return the row of `LEASE_COLUMNS` for *project* and *env*; None if it does not exist."""

    def leases(self, project: str, env: str) -> list[Row]:
        """Return the lease of *project* and *env*, and the leases of the parts of jobs that run it."""

    def change_lease(
        self, project: str, env: str, decide: Callable[[Row | None], Mapping[str, Any] | None]
    ) -> None:
        """Call *decide* with the row, and commit the columns that it returns; None for no change.

        If another machine changes the row in between, nothing is committed and *decide* is called again. An
        exception of *decide* ends the call without a write.
        """

    def tidy(self) -> None:
        """Remove the files of earlier versions of the lease. A failure is only logged."""


class View(Protocol):
    """View that shows a run in progress; called only from the coordinator's thread."""

    def on_plan(self, plan: RunPlan) -> None:
        """Show the plan of a run that is about to start; called before its first event."""

    def on_event(self, event: RunEvent) -> None:
        """Show one event."""

    def on_output(self, transformation_id: str, line: str) -> None:
        """Show a *line* that a transformation printed or logged."""

    def on_message(self, level: str, text: str) -> None:
        """Show a message that belongs to no event; *level* is the name of a logging level."""


class Notifier(View, Protocol):
    """View that sends notices of runs to people. It never delays a run."""

    def on_dead_run(self, run: Row, records: Sequence[Row]) -> None:
        """Report a run whose process died: its record, and the records of its attempts.

        This is called before the run log is completed, and may be called again for the same run.
        """

    def deliver(self) -> None:
        """Begin to send in the background what earlier processes have not sent."""

    def finish(self) -> list[str]:
        """Wait a short time until everything is sent, and return warnings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Spark session and SQL provider that a run was bootstrapped with, as in the seed."""

    spark: Any = None
    sql_provider: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Project and environment that an adapter works for; *engine* is the run's, "" without a run."""

    manifest: ProjectManifest
    env: str
    config: EnvironmentConfig
    state_dir: Path
    session: Session
    engine: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters:
    """Factories of the core's implementations, each called when its object is first needed."""

    engine: Callable[[str, Place], TableEngine]
    registry: Callable[[Place], RegistrySource]
    sinks: Callable[[Place], Sequence[BaseLogSink]]
    console: Callable[[str], View]
    frame: Callable[[Sequence[str], Sequence[Row]], DataFrame]
    notifier: Callable[[Place], Notifier] | None = None
    run_state: Callable[[Place], RunStateTables | None] = lambda _place: None
    """Makes the tables that machines share; returns None if no other machine runs the environment."""
