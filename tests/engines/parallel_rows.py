"""Several rows at once on one Spark session with jobs: their progress, and cancelling exactly one."""

import dataclasses
import threading
import time

import pytest
from engines.contract import INFO, table
from fakes import FakeProject, row, statuses
from spark_sessions import make, rows_of

from odibi_nb.core.model.transformation import Output
from odibi_nb.core.running.hooks import HookManager
from odibi_nb.engines.pandas.engine import PandasEngine
from odibi_nb.views.run.gantt import gantt_of
from odibi_nb.views.run.gantt_svg import gantt_svg
from odibi_nb.views.run.state import RunState

PATIENCE = 60


def long_job(spark, tasks=800):
    """A frame of many short tasks that need no CPU: 800 take minutes."""
    return spark.range(0, 10 * tasks, 1, tasks).selectExpr(
        "java_method('java.lang.Thread', 'sleep', 5L) AS s"
    )


def until(condition):
    """Wait until *condition* holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def small(name, started=None):
    """A row that writes two rows, after *started* was set."""

    def work(spark):
        if started is not None:
            assert started.wait(PATIENCE)
        return make(spark, [{"k": 1}, {"k": 2}])

    return row(name, work, outputs=[{"table": f"silver.{name.lower()}"}])


class Watch(RunState):
    """A view that asks for a row's progress."""

    def bar(self, name):
        """The row's last attempt."""
        self.update_progress()
        bars = {row.id: row.bars for row in self.snapshot().rows}.get(name)
        return bars[-1] if bars else None

    def is_under_way(self, name):
        """Return True if tasks of the row's jobs are done."""
        bar = self.bar(name)
        return bar is not None and bar.progress is not None and bar.progress.done > 0


def runs(engine, folder):
    """Return the function that runs rows on Spark: start(row(...), ..., **options), with engines by row.

    *during* gets the orchestrator and a `Watch`, on a thread of its own.
    """

    def start(*rows, during=None, manifest=None, hooks=None, log_level="CRITICAL", **options):
        project = FakeProject(folder, list(rows), manifest=manifest)
        engines = {"spark": engine, "pandas": PandasEngine(engine._lake.root)}
        adapters = dataclasses.replace(project.adapters(), engine=lambda name, place: engines[name])
        project.adapters = lambda: adapters
        watch = Watch()
        orchestrator = project.orchestrator(
            engine="spark", hooks=hooks or HookManager(), views=[watch], log_level=log_level
        )
        if during is not None:
            threading.Thread(target=during, args=(orchestrator, watch), daemon=True).start()
        return orchestrator.run(**options)

    return start


class ParallelRows:
    """The tests; a subclass' module gives `connection` and `engine`."""

    @pytest.fixture
    def run(self, engine, tmp_path):
        """Runs rows; see `runs`."""
        return runs(engine, tmp_path)

    def running(self, spark):
        """Return the running jobs of the session, which must be none when no row runs."""
        raise NotImplementedError

    @pytest.fixture
    def spark(self, connection):
        """The session."""
        return connection.spark

    def test_one_of_four_is_cancelled_and_the_others_succeed(self, run, engine, spark):
        """A row cancelled in the middle of its write ends within two seconds, and its table does not change.

        No job of it runs on, and its thread is free for others.
        """
        started, cancelled = threading.Event(), threading.Event()
        in_time = []
        hooks = HookManager()
        hooks.register("transform_cancelled", lambda _: cancelled.set())
        engine.write(make(spark, [{"s": "old"}]), Output(table="silver.long"), INFO)

        def during(project, watch):
            until(lambda: watch.is_under_way("LONG"))
            project.cancel("LONG")
            in_time.append(cancelled.wait(2))
            started.set()

        result = run(
            row("LONG", long_job, outputs=[{"table": "silver.long"}]),
            *(small(name, started) for name in ("A", "B", "C")),
            during=during,
            hooks=hooks,
            max_workers=4,
        )
        succeeded = dict.fromkeys("ABC", "SUCCESS")
        assert statuses(result) == {"LONG": "CANCELLED", **succeeded}
        assert in_time == [True]
        assert result.leaked_threads == 0
        assert rows_of(engine.read(table("silver.long"))) == [{"s": "old"}]
        assert self.running(spark) == []
        assert rows_of(engine.read(table("silver.a"))) == [{"k": 1}, {"k": 2}]

    def test_what_a_cancelled_row_does_next_is_cancelled_too(self, run, spark):
        """A function that continues after its job was cancelled makes no progress: each new job ends as well."""
        started, tries = threading.Event(), []

        def stubborn(spark):
            for _ in range(3):
                tries.append(1)
                started.set()
                try:
                    long_job(spark).collect()
                except Exception:
                    continue
            return make(spark, [{"k": 1}])

        def during(project, watch):
            assert started.wait(PATIENCE)
            project.cancel("A")

        result = run(row("A", stubborn, outputs=[{"table": "silver.a"}]), during=during)
        assert statuses(result) == {"A": "CANCELLED"}
        assert len(tries) == 3
        assert self.running(spark) == []

    def test_a_timeout_ends_the_jobs(self, run, spark):
        """A row that exceeds its timeout fails. Its jobs end, and also jobs that it begins later."""
        ended = []

        def stubborn(spark):
            for _ in range(2):
                try:
                    long_job(spark).collect()
                except Exception as exc:
                    ended.append(exc)

        hasty = {"timeout_seconds": 0.5, "retry": 0}
        result = run(row("A", stubborn, constants=hasty), small("B"))
        assert statuses(result) == {"A": "FAILED", "B": "SUCCESS"}
        assert "timeout_seconds" in result.transformations["A"].error_message
        until(lambda: len(ended) == 2)
        assert self.running(spark) == []

    def test_a_cancelled_run_ends_all_that_runs(self, run, spark):
        """The second request for the run cancels the jobs of every row that runs."""
        both = threading.Barrier(3)

        def work(spark):
            both.wait(PATIENCE)
            long_job(spark).collect()

        def during(project, watch):
            both.wait(PATIENCE)
            project.cancel()
            project.cancel()

        result = run(row("A", work), row("B", work), small("C"), during=during, max_workers=2)
        assert {statuses(result)[name] for name in "AB"} == {"CANCELLED"}
        assert result.status == "cancelled"
        assert self.running(spark) == []

    def test_a_row_says_how_far_its_jobs_are(self, run):
        """While a row's tasks run, its progress is their share, and the picture shows it as text.
        Afterwards it has none.
        """
        shares, pictures, enough = [], [], threading.Event()

        def during(project, watch):
            until(lambda: watch.is_under_way("A"))
            shares.append(watch.bar("A").progress.share)
            pictures.append(gantt_svg(gantt_of(watch.snapshot())))
            project.cancel("A")
            until(lambda: watch.bar("A").end is not None)
            shares.append(watch.bar("A").progress)
            enough.set()

        run(row("A", lambda spark: long_job(spark).collect()), during=during)
        assert enough.wait(PATIENCE)
        share, after = shares
        assert 0 < share < 1
        assert f">{int(100 * share)} %</text>" in pictures[0]
        assert after is None
