"""Every extension point, on one page.

The core calls these and knows nothing about who implements them. ``DataFrame`` stands for
whatever the engine's frames are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from odibi_nb.core.model.attempt_control import AttemptControl
    from odibi_nb.core.model.checks import Rule
    from odibi_nb.core.model.events import RunEvent
    from odibi_nb.core.model.manifest import EnvironmentConfig, ProjectManifest
    from odibi_nb.core.model.table_change import TableChange
    from odibi_nb.core.model.tables import TableName
    from odibi_nb.core.model.transformation import Output
    from odibi_nb.core.planning.plan import RunPlan

DataFrame = Any
Row = dict[str, Any]


class DataType(str, Enum):
    """The kinds of data a seed-style provider is asked for, by the seed's names."""

    CSV = "csv"
    JSON = "json"
    AVRO = "avro"
    PARQUET = "parquet"
    DELTA = "delta"
    CLOUDFILES = "cloudFiles"
    SQL = "sql"
    API = "api"


class Hook(Protocol):
    """A listener: gets the payload of one event."""

    def __call__(self, payload: dict[str, Any], /) -> object:
        """Something happened; what is returned is not looked at."""


class SqlProvider(Protocol):
    """What ``auth_provider`` hands over as ``sql_provider``, as in the seed."""

    def read(
        self, *, data_type: Any, container: str, path_prefix: str, object_name: str, spark: Any
    ) -> Any:
        """Run the query in *object_name*; a Spark or pandas DataFrame, or rows."""


class RegistrySource(Protocol):
    """Where the rows of the TransformationRegistry come from."""

    @property
    def name(self) -> str:
        """What messages call it; no password in it."""

    def fetch(self, project: str, env: str) -> Iterable[Mapping[str, Any]]:
        """Rows of *project* (compared without case) and *env*, enabled or not.

        Raises:
            RegistryError: if they cannot be read.
        """

    def census(self) -> list[tuple[str, str, int]]:
        """(project, environment, number of enabled rows), for messages; empty if unknown."""


class EditableRegistry(RegistrySource, Protocol):
    """A registry whose rows the commands can write; all of these raise RegistryError."""

    def export(self, project: str | None = None, env: str | None = None) -> list[Row]:
        """Rows as they are stored, of one or all projects and environments, ordered."""

    def create(self, all_columns: bool = False) -> list[str]:
        """Create the table, or add the columns it lacks; what was done, one line each."""

    def upsert(self, rows: Iterable[Mapping[str, Any]]) -> tuple[int, int, int]:
        """Insert or update *rows*, all or none; (inserted, updated, unchanged)."""

    def change(self, edit: Any, *, write: bool = True) -> Any:
        """Apply an `odibi_nb.sources.upsert.Edit`, all or nothing; return its `Changes`.

        Without *write*, only work out what it would change.
        """


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteInfo:
    """Who writes: kept in the table's commit.

    Attributes:
        repairs: runs whose work this one redoes: what they appended for the same row is replaced.
        check: to be called right before the commit; raises RevokedError if nobody waits for it.
    """

    run_id: str
    transformation_id: str
    attempt: int
    repairs: tuple[str, ...] = ()
    check: Callable[[], None] = field(default=_nothing, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What a data check's rule is judged by.

    Attributes:
        total: rows of the frame.
        failed: rows that break the rule, for rules about rows.
        samples: a few values that break it, as text.
        newest: the greatest time (UTC) of the rule's column, for ``fresh``.
    """

    total: int
    failed: int = 0
    samples: tuple[str, ...] = ()
    newest: dt.datetime | None = None


class TableEngine(Protocol):
    """Reads and writes tables and files for transformations; called from several threads.

    Attributes:
        name: what rows call it.
    """

    name: str

    @property
    def cannot_cache(self) -> str:
        """Why `cache` is not to be called here; empty where it may be, or nobody knows before a session."""

    def spark_session(self) -> Any:
        """The Spark session that transformations get, started if need be; None without Spark.

        Raises:
            EngineError: if there should be one and it cannot be had; says what to do.
        """

    def attempt_scope(
        self, info: WriteInfo, tables: Sequence[str], control: AttemptControl
    ) -> AbstractContextManager[None]:
        """Surrounds an attempt, on its thread; what it begins there ends when *control* is revoked.

        Args:
            info: whose attempt it is.
            tables: the names of the row's input and output tables.
            control: tells when nobody waits for the attempt any more.
        """

    def read(self, table: TableName) -> DataFrame:
        """All of *table*.

        Raises:
            TableNotFoundError: if it does not exist.
        """

    def query(self, sql: str) -> DataFrame:
        """The rows of a SELECT over the lake's tables.

        Raises:
            DataError: if the query is wrong, with the engine's reason.
        """

    def read_file(
        self,
        location: str,
        *,
        format: str,
        schema: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> DataFrame:
        """The rows of a file or folder, with *schema*'s types (column to type name).

        Raises:
            DataError: if it is missing or malformed.
        """

    def write(self, frame: DataFrame, output: Output, info: WriteInfo) -> int | None:
        """Write *frame* as *output* says, in one commit; the rows written, where known.

        Several appends of one attempt all count. The first append of a later attempt of the same
        row, in this run or one that repairs it, takes the place of those of the attempts before.

        Raises:
            DataError: if the table cannot take the frame; the table is as it was.
            RevokedError: if nobody waits for the write any more.
        """

    def exists(self, table: TableName) -> bool:
        """Whether *table* is there."""

    def check_writable(self) -> None:
        """Make sure, before a run begins, that tables can be written; writes nothing itself.

        Raises:
            DataError: if they cannot.
        """

    def is_frame(self, value: object) -> bool:
        """Whether *value* is a frame of the engine, or one that its `native` makes one of."""

    def row_count(self, frame: DataFrame) -> int | None:
        """How many rows *frame* has, or None where counting would cost a pass over the data."""

    def schema(self, frame: DataFrame) -> dict[str, str]:
        """Column to type name."""

    def measure(self, frame: DataFrame, rules: Sequence[Rule]) -> list[Measure]:
        """What each of *rules* (none of kind ``call``) is judged by; their columns are there.

        Raises:
            DataError: if a rule cannot be evaluated on its columns.
        """

    def split(self, frame: DataFrame, rules: Sequence[Rule]) -> tuple[DataFrame, DataFrame]:
        """The rows that keep all of *rules*, and those that break one.

        The latter have two more columns: ``_failed_checks``, which rules, and ``_quarantined_at``.
        """

    def cache(self, table: TableName, *, keep: bool = False) -> None:
        """Keep *table* at hand for later reads; a write to it ends that.

        With *keep* also for whoever uses the session after `close`, where one stays.
        """

    def close(self) -> None:
        """Give back what the run holds; called once, at its end."""


class Change(Enum):
    """What has become of a table since an engine began to watch it."""

    WRITTEN = "written"
    SAME = "same"
    ABSENT = "absent"
    REMOVED = "removed"
    UNKNOWN = "unknown"


Watch = Callable[["TableName"], Change]
"""Tells what has become of a table since it is watched."""


class WatchingEngine(Protocol):
    """What an engine may have besides: it notices what others write to its tables."""

    def watch(self, tables: Sequence[TableName]) -> Watch:
        """Watch *tables* from now on; before each attempt, so it must cost next to nothing.

        What is returned may take its time: the runner only asks about outputs that it has not written.
        """


def watch_tables(engine: TableEngine, tables: Sequence[TableName]) -> Watch:
    """Let *engine* watch *tables*, if it can."""
    begin = getattr(engine, "watch", None)
    found: Watch = (lambda _: Change.UNKNOWN) if begin is None else begin(tables)
    return found


class RetryingEngine(Protocol):
    """What an engine may have besides: it removes what failed attempts have appended."""

    def take_back(self, output: Output, info: WriteInfo) -> None:
        """Remove from the table what earlier attempts of the row appended to it, if anything.

        Raises:
            DataError: if their rows cannot be told from others'; nothing was written.
            RevokedError: if nobody waits for the attempt any more.
        """


class ListingEngine(Protocol):
    """What an engine may have besides: it knows which tables there are."""

    def tables(self) -> list[TableName]:
        """Every table of the lake; none where finding them costs requests."""


class ConvertingEngine(Protocol):
    """What an engine may have besides: it takes frames of other libraries; `is_frame` says which."""

    def native(self, frame: DataFrame, name: str) -> DataFrame:
        """*frame* as one of the engine's own, with the same values and types.

        Raises:
            DataError: naming *name*, what cannot be converted, and what to do.
        """


def native_frame(engine: TableEngine, frame: DataFrame, name: str) -> DataFrame:
    """*frame*, which `is_frame` knows, as one of the *engine*'s own."""
    convert = getattr(engine, "native", None)
    return frame if convert is None else convert(frame, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """A part of a table, to try things on: at most *limit* rows, or each row with chance *fraction*.

    Both together are a sample of at most *limit* rows. The same table gives the same sample.
    """

    limit: int | None = None
    fraction: float | None = None

    def __bool__(self) -> bool:
        """Whether it is less than everything."""
        return self.limit is not None or self.fraction is not None

    def __str__(self) -> str:
        parts = [f"{self.fraction:.3g} of the rows"] if self.fraction is not None else []
        parts += [f"at most {self.limit:,} rows"] if self.limit is not None else []
        return ", ".join(parts) or "all rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDetails:
    """What a table's metadata say, without reading its rows.

    Attributes:
        rows: how many it has, where that is known.
        columns: column to type name.
        version: of the table, where that is known.
        modified_at: when it was written last (UTC).
        run_id: of the run that did so, if one did.
        transformation_id: which of its transformations.
    """

    rows: int | None
    columns: dict[str, str]
    version: int | None
    modified_at: dt.datetime | None = None
    run_id: str | None = None
    transformation_id: str | None = None


@runtime_checkable
class RehearsingEngine(TableEngine, Protocol):
    """What ``load``, ``try`` and ``explain`` need of an engine besides; nothing here writes."""

    def read_portion(self, table: TableName, portion: Portion) -> DataFrame:
        """*portion* of *table*, reading no more than it takes.

        Raises:
            TableNotFoundError: if it does not exist.
        """

    def take(self, frame: DataFrame, portion: Portion) -> DataFrame:
        """*portion* of *frame*; what is done to it later does not touch *frame*."""

    def prepared(self, frame: DataFrame, output: Output) -> DataFrame:
        """A copy of *frame* as *output*'s table would give it back.

        Raises:
            DataError: if `write` would: the table cannot take it.
        """

    def combined(self, before: DataFrame, frame: DataFrame, output: Output) -> DataFrame:
        """What a table that holds *before* holds after an append or merge of *frame*."""

    def changes(self, frame: DataFrame, output: Output, *, partial: bool) -> TableChange:
        """What a `write` of the prepared *frame* would change in *output*'s table.

        Args:
            frame: from `prepared`.
            output: where and how.
            partial: the frame was made of parts of its inputs: what it lacks is not removed.
        """

    def details(self, table: TableName) -> TableDetails | None:
        """What the metadata of *table* say; None if it does not exist."""


class BaseLogSink(ABC):
    """Where run log records go. Subclass it, write `write`, and pass it as ``log_sink``.

    Called from one thread; may raise (the batch is tried again, then kept in the journal).
    """

    name: str = ""

    @abstractmethod
    def write(self, records: list[Row]) -> None:
        """Append *records*, one per ended attempt: the seed's ten columns, then ours."""

    def write_run(self, record: Row) -> None:  # noqa: B027  optional on purpose
        """Append the record of a run that ended."""

    def written(self, run_id: str) -> set[tuple[str, int]]:
        """(transformation_id, attempt) already kept for *run_id*, asked before a batch is repeated."""
        del run_id
        return set()

    def runs(self, limit: int) -> list[Row]:
        """The newest *limit* runs, newest first; empty where this sink cannot be read."""
        del limit
        return []

    def attempts(self, run_ids: Sequence[str]) -> list[Row]:
        """The records of the given runs; empty where this sink cannot be read."""
        del run_ids
        return []

    def durations(self, run_ids: Sequence[str]) -> list[tuple[str, float]]:
        """(transformation_id, seconds) of the successes in these runs, for every plan."""
        return [
            (record["transformation_id"], record["duration_seconds"])
            for record in self.attempts(run_ids)
            if record["status"] == "SUCCESS" and record["duration_seconds"] is not None
        ]

    def close(self) -> None:  # noqa: B027  optional on purpose
        """Give back what the run holds."""


class View(Protocol):
    """Something that shows a run while it goes on; called from the coordinator's thread only."""

    def on_plan(self, plan: RunPlan) -> None:
        """The run is about to start; before its first event."""

    def on_event(self, event: RunEvent) -> None:
        """Something happened."""

    def on_output(self, transformation_id: str, line: str) -> None:
        """A transformation printed or logged *line*."""

    def on_message(self, level: str, text: str) -> None:
        """The run has something to say that is no event; *level* is a logging level's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a run was bootstrapped with: as in the seed, a Spark session and an SQL provider."""

    spark: Any = None
    sql_provider: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Everything an adapter needs to know about where it is; *engine* is the run's, if there is one."""

    manifest: ProjectManifest
    env: str
    config: EnvironmentConfig
    state_dir: Path
    session: Session
    engine: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters:
    """How the core gets its implementations; one factory each, called when first needed."""

    engine: Callable[[str, Place], TableEngine]
    registry: Callable[[Place], RegistrySource]
    sinks: Callable[[Place], Sequence[BaseLogSink]]
    console: Callable[[str], View]
    frame: Callable[[Sequence[str], Sequence[Row]], DataFrame]
