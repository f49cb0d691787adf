"""Work in libraries that ignore Python's signals ends with the attempt, and with the process."""

import subprocess
import sys
import threading
import time

import pandas as pd
import pytest
from real_project import make_project, registry_row

from odibi_nb import run_project
from odibi_nb.core.model.attempt_control import AttemptControl
from odibi_nb.core.model.engine import Engine
from odibi_nb.core.model.tables import TableName
from odibi_nb.core.model.transformation import Output
from odibi_nb.core.protocols import WriteInfo
from odibi_nb.core.running import stopping
from odibi_nb.core.running.context import ExecutionContext, current_context
from odibi_nb.core.running.stopping import stoppable
from odibi_nb.engines.pandas.engine import PandasEngine
from odibi_nb.engines.pandas.query import Limits
from odibi_nb.errors import DataError, RevokedError

ENDLESS = (
    "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range * b.range % 7 = 3"
)
INFO = WriteInfo(run_id="r", transformation_id="T", attempt=1)


@pytest.fixture
def engine(tmp_path):
    """The embedded engine over an empty lake."""
    return PandasEngine(str(tmp_path / "lake"))


@pytest.fixture
def context(engine):
    """The context of an attempt."""
    return ExecutionContext(engine=Engine.PANDAS, project="P", env="e", tables=engine)


def test_a_query_ends_when_its_attempt_is_revoked(engine, context):
    """A revocation interrupts DuckDB at work. The error is the attempt's."""
    threading.Timer(0.3, context.control.revoke, ["timed out after 0.3 s"]).start()
    with current_context(context), pytest.raises(RevokedError, match=r"timed out after 0\.3 s"):
        engine.query(ENDLESS)
    assert engine.query("SELECT 1 AS x")["x"][0] == 1


def test_a_scan_ends_when_its_attempt_is_revoked(engine, context):
    """A Delta table is read batch by batch."""
    engine.write(pd.DataFrame({"k": range(100_000)}), Output(table="silver.t"), INFO)
    context.control.revoke("cancelled")
    with current_context(context), pytest.raises(RevokedError, match="cancelled"):
        engine.read(TableName.parse("silver.t"))


def test_a_query_has_bounded_memory_and_threads(engine):
    """DuckDB's memory and the result's size are limited by the setting that the message names."""
    engine.limits = Limits(64 * 2**20, 2)
    assert engine.query("SELECT current_setting('threads') AS n")["n"][0] == 2
    for sql in (
        "SELECT * FROM range(1000000000) a",
        "SELECT list(range) FROM range(100000000)",
    ):
        with pytest.raises(
            DataError, match=r"more than 64 MB.*query_memory_mb.*in: SELECT|result needs"
        ):
            engine.query(sql)


def test_what_ended_is_not_stopped(context):
    """The stop of an ended block is never called, and a control drops it."""
    calls = []
    with current_context(context):
        for _ in range(3):
            with stoppable(lambda: calls.append(1)):
                pass
    context.control.revoke("late")
    assert calls == []
    assert context.control._callbacks == []


def test_a_forgotten_listener_is_not_told():
    """`forget` removes a callback of `on_revoke`, and ignores an unknown one."""
    control, told = AttemptControl(), []
    control.on_revoke(tell := lambda: told.append(1))
    control.forget(tell)
    control.forget(tell)
    control.revoke("over")
    assert told == []


def test_a_process_can_end_while_a_query_runs(tmp_path):
    """At exit, work on daemon threads is stopped first, without an abort and without waiting for its end."""
    code = f"""
import threading
import time
from odibi_nb.core.running import stopping
from odibi_nb.engines.pandas.engine import PandasEngine
engine = PandasEngine({str(tmp_path)!r})
started = threading.Event()
def work():
    started.set()
    engine.query({ENDLESS!r})
threading.Thread(target=work, daemon=True).start()
started.wait()
while not stopping._running:
    pass
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_a_query_does_not_outlive_its_rows_timeout(tmp_path, monkeypatch):
    """In a run, the row fails by its timeout, and soon its query is over."""
    row = registry_row("A", "Bronze", "double", [{"sql": ENDLESS}], {}, ["bronze.a"])
    row["constants"] = {"timeout_seconds": 0.5, "retry": {"max_retries": 0}}
    home = make_project(tmp_path, [row])
    monkeypatch.chdir(tmp_path)
    path = home / "manifest.json"
    result = run_project("Plant One", "qat", manifest_path=path, log_level="ERROR")
    assert result.transformations["A"].status == "FAILED"
    assert "timed out" in result.transformations["A"].error_message.lower() or (
        "timeout" in result.transformations["A"].error_type.lower()
    )
    deadline = time.monotonic() + 30
    while stopping._running and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not stopping._running
