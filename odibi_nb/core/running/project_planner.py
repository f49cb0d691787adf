"""The plan of a project: from its registry rows, code and run log to the rows that a run executes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from odibi_nb.core.functions import spark_limits
from odibi_nb.core.functions.code_store import CodeStore
from odibi_nb.core.functions.modules import reloaded_text
from odibi_nb.core.functions.registry import resolving_with_session
from odibi_nb.core.model.engine import Engine
from odibi_nb.core.model.options import RunOptions, default_workers
from odibi_nb.core.model.readable_places import Reach, allowed_places
from odibi_nb.core.model.reserved_places import reserved_in
from odibi_nb.core.model.transformation import enabled_from, parse_columns, row_columns
from odibi_nb.core.planning.freshness import writers_of
from odibi_nb.core.planning.make_plan import make_plan, no_rows_message
from odibi_nb.core.planning.plan import PlanRequest
from odibi_nb.core.planning.stale_plan import stale_part
from odibi_nb.core.runlog.history import RunChain, expected_seconds, run_chain
from odibi_nb.core.runlog.past_attempts import past_of_rows
from odibi_nb.core.runlog.recovery import dead_runs
from odibi_nb.core.running.freshness_reader import FreshnessReader, RowCode
from odibi_nb.core.text.redaction import error_message
from odibi_nb.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from odibi_nb.core.functions.code_hash import CodeReader
    from odibi_nb.core.functions.registry import ProjectModules
    from odibi_nb.core.model.transformation import Transformation
    from odibi_nb.core.planning.plan import PlannedRow, RunPlan
    from odibi_nb.core.planning.row_freshness import Freshness
    from odibi_nb.core.protocols import BaseLogSink, Place, RegistrySource, Row, TableEngine
    from odibi_nb.core.runlog.retry_run import Repair


@dataclass(eq=False, repr=False, kw_only=True)
class ProjectPlanner:
    """Plans the rows of a project, and keeps what the run of its last plan needs.

    Attributes:
        place: returns the project's place, with its session.
        registry: returns the registry of a place.
        modules: the modules beside the manifest.
        tables: returns the table engine of a name.
        sinks: returns the sinks of the run log.
        say: shows a message with its level.
        freshness: reader of the facts that chose the last plan's stale rows; None if the plan has all rows.
        reloaded: modules that the last plan imported again, because their files had changed.
    """

    place: Callable[[], Place]
    registry: Callable[[Place], RegistrySource]
    modules: ProjectModules
    tables: Callable[[str], TableEngine]
    sinks: Callable[[], Sequence[BaseLogSink]]
    say: Callable[[str, str], None]
    freshness: FreshnessReader | None = field(default=None, init=False)
    reloaded: tuple[str, ...] = field(default=(), init=False)
    _reloaded_for_run: dict[str, None] = field(default_factory=dict, init=False)
    """In order, without twins: a run may be planned twice."""
    _code: RowCode | None = field(default=None, init=False)

    @property
    def code(self) -> RowCode:
        """Code and configuration of the last plan's rows."""
        if self._code is None:
            self._code = _row_code(self.place(), self.modules)
        return self._code

    def plan(
        self,
        options: RunOptions,
        repair: Repair | None = None,
        change: Callable[[list[Row]], list[Row]] | None = None,
    ) -> RunPlan:
        """Return the plan of *options*.

        *repair* is what a retry runs again. *change* takes the registry's rows, and returns the rows to plan.

        Raises:
            ConfigurationError: if the registry cannot be read or has no row. Problems of rows are in the
                plan and are not raised.
        """
        place = self.place()
        source = self.registry(place)
        rows: Sequence[Mapping[str, Any]] = [*source.fetch(place.manifest.project, place.env)]
        if change is not None:
            rows = change([dict(row) for row in rows])
        if not rows:
            text = no_rows_message(place.manifest.project, place.env, source.census())
            raise PlanError(source.name, [text])
        expected, notices = self._expected(place)
        request = self._request(options, place, source.name, repair, expected)
        with self.modules.importing() as reloaded:
            self.reloaded = tuple(reloaded)
            if reloaded:
                self._reloaded_for_run.update(dict.fromkeys(reloaded))
                self.say("INFO", reloaded_text(reloaded))
            plan = make_plan(place.manifest, rows, request)
        notices = [*notices, *self.modules.notices()]
        self._code = None
        self.freshness = None
        if options.stale and not plan.problems:
            self.freshness = self._freshness_reader(plan, rows)
            plan = stale_part(plan, self.freshness.judge())
        return replace(
            plan,
            notices=(*plan.notices, *notices, *_spark_notices(plan, place)),
            workers=options.max_workers or default_workers(place.engine),
            layer_workers={
                layer: config.max_workers
                for layer, config in place.manifest.layers.items()
                if config.max_workers is not None
            },
            schedule=options.schedule,
        )

    def judged(self, options: RunOptions) -> tuple[RunPlan, FreshnessReader]:
        """Return the plan of *options*, and the reader of the facts about its rows."""
        registry: list[Mapping[str, Any]] = []

        def keep(rows: list[Row]) -> list[Row]:
            registry.extend(rows)
            return rows

        plan = self.plan(options, change=keep)
        return plan, self._freshness_reader(plan, registry)

    def chain(self, run: str, *, to_its_end: bool = False) -> RunChain:
        """Return the records of *run* from the log, and from the journals of runs that died.

        Raises:
            LookupError: if there is no such run.
        """
        place = self.place()
        where = self.sinks(), place.manifest.project, place.env, run
        return run_chain(*where, to_its_end=to_its_end, dead=_dead_runs(place))

    def has_code_of(self, row: PlannedRow, record: Mapping[str, Any]) -> bool:
        """Return True if *row* of the last plan has the code and configuration of the attempt with *record*."""
        if record.get("config_hash") != row.transformation.config_hash() or row.fn is None:
            return False
        return record.get("code_hash") == self.code.read(row).digest != ""

    def close(self) -> None:
        """Write the texts of code that are not stored yet."""
        if self._code is not None:
            self._code.store.flush()

    def take_reloaded(self) -> list[str]:
        """Return the modules that were imported again since the last run, and forget them."""
        taken = [*self._reloaded_for_run]
        self._reloaded_for_run.clear()
        return taken

    def _request(
        self,
        options: RunOptions,
        place: Place,
        source: str,
        repair: Repair | None,
        expected: Mapping[str, float],
    ) -> PlanRequest:
        return PlanRequest(
            env=place.env,
            engine=place.engine,
            source=source,
            layers=place.manifest.select_layers(options.target_layers),
            reach=_reach(place, allowed_places(place.manifest, place.config)),
            reserved=reserved_in(place.manifest, place.config),
            resolve=resolving_with_session(lambda: self.tables("spark").spark_session()),
            retry=options.retry,
            timeout_seconds=options.timeout_seconds,
            overrides=options.overrides,
            expected=expected,
            select=tuple(options.select),
            exclude=tuple(options.exclude),
            within=repair.within if repair else (),
            states=lru_cache(lambda run: self.chain(run).states()),
            freshness=lru_cache(lambda: self._freshness_of_all(options)),
            lenient=repair is not None,
        )

    def _expected(self, place: Place) -> tuple[dict[str, float], list[str]]:
        """Return the expected durations from past runs. If the log cannot be read, return a notice."""
        try:
            return expected_seconds(self.sinks(), place.manifest.project, place.env), []
        except Exception as exc:  # noqa: BLE001  a plan does not need the log
            return {}, [f"no durations of past runs: {error_message(exc)}"]

    def _freshness_of_all(self, options: RunOptions) -> dict[str, Freshness]:
        """Return the verdict on each row of the project, for a selection by ``state:``."""
        _, reader = self.judged(RunOptions(overrides=options.overrides))
        return reader.judge()

    def _freshness_reader(
        self, plan: RunPlan, registry: Sequence[Mapping[str, Any]]
    ) -> FreshnessReader:
        place = self.place()
        where = self.sinks(), place.manifest.project, place.env
        return FreshnessReader(
            plan.rows,
            lru_cache(lambda: writers_of(_enabled_rows(registry))),
            past_of_rows(*where, plan.rows, _dead_runs(place)),
            self.code,
            self.tables,
            _reach(place, None).locate,
        )


def _dead_runs(place: Place) -> list[tuple[Row, list[Row]]]:
    return dead_runs(place.state_dir, place.manifest.project, place.env)


def _reach(place: Place, allowed: tuple[str, ...] | None) -> Reach:
    return Reach(place.config.locations, str(place.manifest.folder), allowed)


def _row_code(place: Place, modules: ProjectModules) -> RowCode:
    def reader() -> CodeReader:
        # Late, because the first cell of a notebook does not need the parser of Python.
        from odibi_nb.core.functions.code_hash import CodeReader
        from odibi_nb.core.functions.project_sources import ProjectSources

        sources = ProjectSources(modules, place.manifest.transformation_modules)
        return CodeReader(sources, place.manifest.parameters)

    return RowCode(reader, CodeStore(place.state_dir))


def _spark_notices(plan: RunPlan, place: Place) -> list[str]:
    """Return a notice for each Spark row whose function the session would refuse."""
    spark = Engine.SPARK.value
    functions = {
        name: row.fn
        for name, row in plan.rows.items()
        if row.engine == spark and row.fn is not None
    }
    if not functions:
        return []
    limits = spark_limits.session_limits(place.config.spark.get("remote"), place.session.spark)
    return spark_limits.notices(functions, limits)


def _enabled_rows(registry: Iterable[Mapping[str, Any]]) -> Iterator[Transformation]:
    """Yield the enabled rows of the registry that can be parsed."""
    for number, raw in enumerate(registry, 1):
        columns = row_columns(raw)
        if enabled_from(columns.get("enabled")) is not False:
            row, _ = parse_columns(columns, number)
            if row is not None:
                yield row
