"""The context of a transformation: tables, files, a logger, and requests to stop."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from odibi_nb.core.functions.current_context import CURRENT
from odibi_nb.core.model.attempt_control import AttemptControl
from odibi_nb.core.model.engine import Engine
from odibi_nb.core.model.file_formats import format_of
from odibi_nb.core.model.provenance import FileRead, OutputWritten, UnversionedTable
from odibi_nb.core.model.query_tables import DIALECTS, tables_in
from odibi_nb.core.model.readable_places import Reach, storage_refusal
from odibi_nb.core.model.tables import TableName, is_location
from odibi_nb.core.model.transformation import Output, check_output
from odibi_nb.core.protocols import WriteInfo, native_frame
from odibi_nb.core.running.check_evaluation import judge, quarantine_output, raise_for_failed
from odibi_nb.core.running.provenance import Provenance
from odibi_nb.core.text.json import own_copy
from odibi_nb.core.text.redaction import error_message, redact_text, shown
from odibi_nb.core.text.structs import decode_struct
from odibi_nb.errors import DataError, Problem, TableNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from odibi_nb.core.model.check_result import CheckResult
    from odibi_nb.core.model.checks import Rule
    from odibi_nb.core.model.provenance import TableVersion
    from odibi_nb.core.model.reserved_places import Reserved
    from odibi_nb.core.protocols import DataFrame, TableEngine
    from odibi_nb.core.running.hooks import HookManager


class TransformationLogger(logging.LoggerAdapter):  # type: ignore[type-arg]  # not generic on 3.10
    """A standard logger that also accepts the seed's ``logger.log("info", message)``."""

    def log(self, level: int | str, msg: object, *args: object, **kwargs: Any) -> None:
        """Log at *level*, a number or a name in any case."""
        number = getattr(logging, level.upper(), logging.INFO) if isinstance(level, str) else level
        super().log(number, msg, *args, **kwargs)


def transformation_logger(transformation_id: str) -> TransformationLogger:
    """Return the logger of a transformation, for `ExecutionContext.logger`."""
    return TransformationLogger(
        logging.getLogger("odibi_nb.transformation"), {"id": transformation_id}
    )


@dataclass(slots=True)
class TableUse:
    """A read or write of one table or file by an attempt."""

    name: str
    rows: int | None
    columns: dict[str, str]


@dataclass(kw_only=True)
class ExecutionContext:
    """The seed's context, with access to the tables.

    Attributes:
        engine: the engine of the DataFrames that `read` returns and `write` takes.
        project: the project's name.
        env: the environment.
        spark: the Spark session, or None.
        sql_provider: the SQL provider from ``auth_provider``, or None.
        logger: a standard logger; its lines go to the log of this transformation.
        hooks: the run's HookManager.
        extras: values of ``plant``, ``asset`` and ``layer``.
        repairs: ids of the runs whose work this run redoes.
        parameters: the manifest's ``parameters``.
        tables: the engine, set by the runner or by a test.
        locations: prefixes of file locations, with their replacements.
        folder: the manifest's folder, to which paths of files are relative.
        allowed: folders and URLs below which files may be read; None allows all.
        connections: name to SQLAlchemy URL.
        reserved: tables that rows may not write; None allows all.
        checks: the rules for written data; `check_results` has the results.
        outputs: the row's outputs.
        provenance: the versions of the data that the attempt has read and written so far.
    """

    engine: Engine
    project: str
    env: str
    spark: Any = None
    sql_provider: Any = None
    logger: Any = None
    hooks: HookManager | None = None
    extras: dict[str, Any] = field(default_factory=dict)
    run_id: str = ""
    transformation_id: str = ""
    attempt: int = 1
    repairs: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tables: TableEngine | None = field(default=None, repr=False)
    locations: Mapping[str, str] = field(default_factory=dict, repr=False)
    folder: str = field(default="", repr=False)
    allowed: tuple[str, ...] | None = field(default=None, repr=False)
    connections: Mapping[str, str] = field(default_factory=dict, repr=False)
    control: AttemptControl = field(default_factory=AttemptControl, repr=False)
    reads: list[TableUse] = field(default_factory=list, repr=False)
    writes: list[TableUse] = field(default_factory=list, repr=False)
    reserved: Reserved | None = field(default=None, repr=False)
    checks: tuple[Rule, ...] = field(default=(), repr=False)
    check_results: list[CheckResult] = field(default_factory=list, repr=False)
    outputs: tuple[Output, ...] = field(default=(), repr=False)
    provenance: Provenance = field(default_factory=Provenance, repr=False)

    def __post_init__(self) -> None:
        self.engine = Engine(self.engine)
        self.parameters = own_copy(self.parameters)  # one row's change must not reach others
        if self.logger is None:
            self.logger = transformation_logger(self.transformation_id)

    @property
    def cancelled(self) -> bool:
        """Return True if the transformation was cancelled or timed out.

        Reading this property has no effect. A function that ends early for this reason must call
        `should_stop`, or raise an exception.
        """
        return self.control.reason is not None

    def should_stop(self) -> bool:
        """Return True if the function must stop now; its transformation then ends as CANCELLED.

        Use it in a long loop::

            for part in parts:
                if context.should_stop():
                    return
        """
        return self.control.stop_if_asked()

    def read(self, source: str | Mapping[str, Any]) -> DataFrame:
        """Read one input, in any form that a registry row can have.

        Every read of a table in one attempt returns the same version, even if another writer changes it. After
        the function has written the table itself, it reads what it wrote.

        Args:
            source: a table name; a file's path or URL (`locations` apply); or an object with
                ``table``, ``sql``, or ``path`` (and ``format``, ``schema``, ``options``).

        Raises:
            DataError: if the input does not exist or cannot be read.
        """
        self.control.check()
        if isinstance(source, str):
            source = {"path": source} if is_location(source) else {"table": source}
        if not isinstance(source, Mapping):
            raise DataError(f"expected a table name, a path, or an object, found {shown(source)}")
        if "table" in source:
            name = str(source["table"])
            self._say(f"  → Reading from {name}")
            frame = self._read_table(TableName.parse(name))
        elif "sql" in source:
            name = str(source.get("name") or "query")
            self._say(f"  → Reading from {name}")
            frame = self._query(name, str(source["sql"]))
        elif "path" in source:
            return self.read_file(
                str(source["path"]),
                format=source.get("format"),
                schema=source.get("schema"),
                options=source.get("options"),
            )
        else:
            raise DataError(f"an input needs 'table', 'path' or 'sql', found {shown(source)}")
        return self._note_read(name, frame)

    def _read_table(self, table: TableName) -> DataFrame:
        """Read *table* at the attempt's version of it, and record the version."""
        engine, provenance = self._engine(), self.provenance
        newest = getattr(engine, "read_newest", None)
        if newest is None:
            provenance.read(UnversionedTable(table=table.key))
            return engine.read(table)
        pinned = provenance.pinned(table.key)
        if pinned is not None:
            provenance.read(pinned)
            return engine.read_version(table, pinned.version)  # type: ignore[attr-defined]
        try:
            frame, found = newest(table)
        except TableNotFoundError:
            provenance.read(UnversionedTable(table=table.key))  # the function may go on without it
            raise
        if found is None:
            provenance.read(UnversionedTable(table=table.key))
            return frame
        pinned = provenance.pin(found)
        provenance.read(pinned)
        if pinned.version != found.version:  # another thread of the attempt was faster
            return engine.read_version(table, pinned.version)  # type: ignore[attr-defined]
        return frame

    def _query(self, name: str, sql: str) -> DataFrame:
        """Run a query over the attempt's versions of its tables, and record them."""
        engine, provenance = self._engine(), self.provenance
        newest = getattr(engine, "query_newest", None)
        if newest is None:
            provenance.read_query(name, sql, ())
            return engine.query(sql)
        try:
            frame, tables = newest(sql, provenance.pins())
        except DataError:
            provenance.read_query(name, sql, self._tables_of(sql))
            raise
        versions = [one for one in tables if not isinstance(one, UnversionedTable)]
        if any(provenance.pin(one).version != one.version for one in versions):
            frame, tables = newest(sql, provenance.pins())  # another thread was faster
        provenance.read_query(name, sql, tables)
        return frame

    def _tables_of(self, sql: str) -> tuple[TableVersion | UnversionedTable, ...]:
        """Return the tables, with their versions, of a query that failed while it read their data.

        If another writer changes a table at this moment, the version can be the next one.
        """
        engine, pins = self._engine(), self.provenance.pins()
        found, _ = tables_in(sql, DIALECTS.get(engine.name, engine.name))
        with contextlib.suppress(Exception):  # the query's own error is the one to raise
            names = [TableName.parse(".".join(parts)) for parts in sorted(found or ())]
            now = engine.versions(names)  # type: ignore[attr-defined]
            return tuple(_pinned(name.key, now.get(name.key), pins) for name in names)
        return ()

    def _fingerprint(self, location: str, name: str) -> FileRead:
        """Return a file's fingerprint before its read, so that a change during the read shows later."""
        look = getattr(self._engine(), "fingerprint", None)
        found = FileRead(file=name) if look is None else look(location)
        return msgspec.structs.replace(found, file=name)

    def read_file(
        self,
        location: str,
        *,
        format: str | None = None,
        schema: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> DataFrame:
        """Read a file. Without *format*, the format follows from its suffix.

        Raises:
            DataError: if the file is missing or malformed, or rows may not read it.
        """
        self.control.check()
        refused = storage_refusal(options) or self._reach.refusal(location)
        if refused:
            raise DataError(refused)
        name = redact_text(location)
        self._say(f"  → Reading from {name}")
        place = self.locate(location)
        self.provenance.read(self._fingerprint(place, name))
        frame = self._engine().read_file(
            place,
            format=(format or format_of(location)).lower(),
            schema=schema,
            options=options,
        )
        return self._note_read(name, frame)

    def write(self, frame: DataFrame, output: str | Mapping[str, Any] | Output) -> None:
        """Write *frame* to a table, in one commit.

        Args:
            frame: a DataFrame of the row's engine, an Arrow table, or on Spark a pandas DataFrame.
            output: a table name (overwrite), or one of the row's ``outputs``.

        Raises:
            DataError: if the table cannot take *frame*, or *output* is only the name of one of the row's
                outputs that append or merge: overwriting it would lose its rows.
            DataCheckError: if *frame* breaks a check that must hold; nothing has been written.
            RevokedError: if the transformation was cancelled or timed out.
        """
        target = as_output(output)
        if isinstance(output, str):
            self._check_name_alone(target)
        self.check_reserved(target.table)
        engine = self._engine()
        if not engine.is_frame(frame):
            raise DataError(
                f"{target.table}: expected a {self.engine.value} DataFrame, found {type(frame).__name__}"
                f"{remedy(frame)}"
            )
        self._say(f"  → Writing to {target.table}")
        frame = native_frame(engine, frame, target.table)
        frame = self._checked(frame, target, engine)
        self.control.check()
        rows = self._committed(engine, frame, target)
        self.writes.append(TableUse(target.table, rows, engine.schema(frame)))

    def _check_name_alone(self, target: Output) -> None:
        key = TableName.parse(target.table).key
        for i, declared in enumerate(self.outputs):
            if declared.mode != "overwrite" and TableName.parse(declared.table).key == key:
                raise DataError(
                    f"{target.table}: the row's output has the mode {declared.mode!r}, and a name alone "
                    f"overwrites the table: write to outputs[{i}], or to "
                    f'{{"table": "{target.table}", "mode": "overwrite"}}'
                )

    def _committed(self, engine: TableEngine, frame: DataFrame, target: Output) -> int | None:
        """Write *frame*, and record the write, even if the engine does not report versions."""
        same, digest = self._same_content(engine, frame, target)
        if same is not None:
            return self._skipped(engine, frame, target, same)
        told: list[OutputWritten] = []

        def wrote(written: OutputWritten) -> None:
            told.append(written)
            self.provenance.wrote(written)

        info = dataclasses.replace(self.write_info(), wrote=wrote, content_hash=digest)
        rows = engine.write(frame, target, info)
        if not told:
            key = TableName.parse(target.table).key
            self.provenance.wrote(OutputWritten(table=key, mode=target.mode, rows=rows))
        return rows

    def _same_content(
        self, engine: TableEngine, frame: DataFrame, target: Output
    ) -> tuple[TableVersion | None, str]:
        """Return the version of the table that holds the rows of *frame*, and their hash."""
        compare = getattr(engine, "same_content", None)
        if not target.skip_unchanged or compare is None:
            return None, ""
        try:
            found: tuple[TableVersion | None, str] = compare(frame, target)
        except Exception as exc:  # noqa: BLE001  a write that changes nothing is no harm
            self._say(f"  {target.table} cannot be compared: {error_message(exc)}")
            return None, ""
        return found

    def _skipped(
        self, engine: TableEngine, frame: DataFrame, target: Output, same: TableVersion
    ) -> int | None:
        """Record that the table already has the rows of *frame*, so that nothing was committed."""
        self._say(f"  = {target.table} is unchanged")
        rows = engine.row_count(frame)
        self.provenance.wrote(
            OutputWritten(
                table=same.table,
                mode=target.mode,
                version=same.version,
                previous_version=same.version,
                rows=rows,
                table_id=same.table_id,
                unchanged=True,
                added=0,
                changed=0,
                removed=0,
            )
        )
        return rows

    def _checked(self, frame: DataFrame, target: Output, engine: TableEngine) -> DataFrame:
        """Return the rows of *frame* that may be written to *target*. Quarantine the others."""
        results, broken = judge(frame, target, self.checks, engine)
        self.check_results += results
        raise_for_failed(results, "nothing was written to it")
        if not broken:
            return frame
        quarantine = quarantine_output(target)
        self.check_reserved(quarantine.table)
        kept, bad = engine.split(frame, broken)
        # Quarantine first: if the run dies in between, rows may be written twice, but none are lost.
        engine.write(bad, quarantine, self.write_info())
        return kept

    def check_reserved(self, table: str) -> None:
        """Raise DataError if no row may write *table*."""
        if self.reserved is not None:
            self.reserved.check(table)

    def write_info(self) -> WriteInfo:
        """Return the run, transformation and attempt of a write."""
        return WriteInfo(
            run_id=self.run_id,
            transformation_id=self.transformation_id,
            attempt=self.attempt,
            repairs=self.repairs,
            check=self.control.check,
            wrote=self.provenance.wrote,
        )

    def table_exists(self, table: str) -> bool:
        """Return True if *table* exists. The run log counts this as a read of the table."""
        engine, name = self._engine(), TableName.parse(table)
        versions = getattr(engine, "versions", None)
        found = None if versions is None else versions([name]).get(name.key)
        if found is not None:
            self.provenance.read(self.provenance.pin(found))
            return True
        self.provenance.read(UnversionedTable(table=name.key))
        return engine.exists(name)

    def locate(self, location: str) -> str:
        """Resolve *location* with the environment's `locations` and the project's folder."""
        return self._reach.locate(location)

    @property
    def _reach(self) -> Reach:
        return Reach(self.locations, self.folder, self.allowed)

    @property
    def rows_in(self) -> int | None:
        """Number of rows read so far; None if unknown, or if nothing was read."""
        return _total(self.reads)

    @property
    def rows_out(self) -> int | None:
        """Number of rows written so far; None if unknown, or if nothing was written."""
        return _total(self.writes)

    def _engine(self) -> TableEngine:
        if self.tables is None:
            raise DataError("this context has no tables: pass ExecutionContext(tables=...)")
        return self.tables

    def _note_read(self, name: str, frame: DataFrame) -> DataFrame:
        engine = self._engine()
        self.reads.append(TableUse(name, engine.row_count(frame), engine.schema(frame)))
        return frame

    def _say(self, line: str) -> None:
        self.logger.info(line)


def _pinned(
    key: str, now: TableVersion | None, pins: Mapping[str, int]
) -> TableVersion | UnversionedTable:
    """Return the version of a table that an attempt reads: its pinned version, or else the newest one."""
    if now is None:
        return UnversionedTable(table=key)
    if pins.get(key, now.version) == now.version:
        return now
    return msgspec.structs.replace(now, version=pins[key], data_version=None)


def as_output(output: str | Mapping[str, Any] | Output) -> Output:
    """Make an `Output` of any form that `ExecutionContext.write` takes.

    Raises:
        DataError: if *output* is malformed.
    """
    if isinstance(output, Output):
        decoded: Output | None = output
        problems: list[Problem] = []
    else:
        raw = {"table": output} if isinstance(output, str) else output
        decoded, problems = decode_struct(raw, Output, "output")
    if decoded is not None:
        problems = [Problem("output", wrong) for wrong in check_output(decoded)]
    if decoded is None or problems:
        raise DataError("; ".join(map(str, problems)))
    return decoded


_REMEDIES = (
    ("pyspark.pandas.", "DataFrame", "use its .to_spark()"),
    (
        "pyspark.sql.",
        "DataFrame",
        'use its .toPandas(), or set "engine": "spark" in the constants of the row',
    ),
    ("pandas.", "Series", "use its .to_frame()"),
    ("pyspark.pandas.", "Series", "use its .to_frame().to_spark()"),
    ("polars.", "LazyFrame", "use its .collect().to_arrow()"),
    ("polars.", "DataFrame", "use its .to_arrow()"),
    ("pyarrow.", "RecordBatchReader", "use its .read_all()"),
    ("pyarrow.", "Dataset", "use its .to_table()"),
    ("duckdb.", "DuckDBPyRelation", "use its .to_arrow_table()"),
    ("_duckdb.", "DuckDBPyRelation", "use its .to_arrow_table()"),
    ("builtins.", "list", "convert it to a DataFrame"),
    ("builtins.", "dict", "convert it to a DataFrame"),
)
"""Advice for objects of a class: the start of its module, a part of its name, and the advice."""


def remedy(value: object) -> str:
    """Return the advice for *value*, which is not a frame of the row's engine; "" if none is known."""
    for cls in type(value).__mro__[:-1]:
        home = f"{cls.__module__}."
        for module, name, text in _REMEDIES:
            if home.startswith(module) and name in cls.__name__:
                return f": {text}"
    for name in ("to_arrow", "to_pandas"):
        if hasattr(type(value), name):
            return f": use its .{name}()"
    return ""


def _total(uses: list[TableUse]) -> int | None:
    counts = [use.rows for use in uses]
    return None if not counts or None in counts else sum(c for c in counts if c is not None)


def get_current_context() -> ExecutionContext | None:
    """Return the context of the transformation that runs here, or None."""
    context: ExecutionContext | None = CURRENT.get()
    return context


@contextlib.contextmanager
def current_context(context: ExecutionContext) -> Iterator[ExecutionContext]:
    """Make *context* the current one inside the block, for `with_context`."""
    token = CURRENT.set(context)
    try:
        yield context
    finally:
        CURRENT.reset(token)
