"""A run as lineage events."""

from __future__ import annotations

import http.server
import json
import os
import sys
import threading
from collections import Counter

import pandas as pd
import pytest
from fakes import row

from odibi_nb.core.running.hooks import HookManager
from odibi_nb.engines.pandas.engine import PandasEngine
from odibi_nb.errors import EngineNotAvailableError
from odibi_nb.listeners import openlineage
from odibi_nb.listeners.openlineage import lineage_run_id

pytest.importorskip("openlineage.client", reason="openlineage-python is not installed")

from openlineage.client import OpenLineageClient
from openlineage.client.transport import Transport
from openlineage.client.transport.file import FileConfig, FileTransport


@pytest.fixture(autouse=True)
def _own_configuration(monkeypatch, tmp_path):
    """Keep the user's OpenLineage configuration away from the tests."""
    for name in list(os.environ):
        if name.startswith("OPENLINEAGE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


class Lineage:
    """Hooks with the listener, and the events it has written to a file."""

    def __init__(self, path, **keywords):
        self.path = path
        transport = FileTransport(FileConfig(log_file_path=str(path), append=True))
        self.client = OpenLineageClient(transport=transport)
        self.hooks = HookManager()
        openlineage.register(self.hooks, client=self.client, **keywords)

    @property
    def events(self):
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def of(self, job):
        return [event for event in self.events if event["job"]["name"] == job]

    def told(self, job):
        return [event["eventType"] for event in self.of(job)]


@pytest.fixture
def lineage(tmp_path):
    return Lineage(tmp_path / "lineage.jsonl")


def bad():
    raise ValueError("no such sensor")


def out(*names):
    return [{"table": name} for name in names]


def tags(event):
    return {tag["key"]: tag["value"] for tag in event["run"]["facets"]["tags"]["tags"]}


def test_each_transformation_is_a_job_below_the_run(project, lineage):
    """START and COMPLETE for the run and for each row, in order, with the run as the rows' parent."""
    p = project(row("B1", lambda: None, layer="Bronze"), row("S1", lambda: None))
    result = p.run(hooks=lineage.hooks)
    assert result.warnings == []
    assert [(e["eventType"], e["job"]["name"]) for e in lineage.events] == [
        ("START", "P"),
        ("START", "P.Bronze.B1"),
        ("COMPLETE", "P.Bronze.B1"),
        ("START", "P.Silver_1.S1"),
        ("COMPLETE", "P.Silver_1.S1"),
        ("COMPLETE", "P"),
    ]
    assert {e["job"]["namespace"] for e in lineage.events} == {"odibi"}
    run_uuid = lineage_run_id(result.run_id)
    assert {e["run"]["runId"] for e in lineage.of("P")} == {run_uuid}
    for event in lineage.of("P.Bronze.B1") + lineage.of("P.Silver_1.S1"):
        parent = event["run"]["facets"]["parent"]
        assert parent["run"]["runId"] == run_uuid
        assert (parent["job"]["namespace"], parent["job"]["name"]) == ("odibi", "P")


def test_run_ids_follow_from_the_run_log(project, lineage):
    """The lineage's run id follows from run, row and attempt, and its tags name these."""
    result = project(row("A", lambda: None)).run(hooks=lineage.hooks)
    start, complete = lineage.of("P.Silver_1.A")
    run_uuid = lineage_run_id(result.run_id, "A", 1)
    assert start["run"]["runId"] == complete["run"]["runId"] == run_uuid
    assert len({lineage_run_id("r"), lineage_run_id("r", "A", 1), lineage_run_id("r", "A", 2)}) == 3
    assert (
        tags(complete).items()
        >= {
            "run_id": result.run_id,
            "env": "qat",
            "engine": "pandas",
            "attempt": "1",
        }.items()
    )


def test_times_are_those_of_the_events(project, lineage):
    """An attempt's events have the times at which it started and ended."""
    said = {}
    lineage.hooks.register("*", lambda p: said.setdefault(p["event"], p))
    project(row("A", lambda: None)).run(hooks=lineage.hooks)
    start, complete = lineage.of("P.Silver_1.A")
    assert start["eventTime"] == said["transform_start"]["timestamp"].isoformat()
    assert complete["eventTime"] == said["transform_success"]["end_time"].isoformat()


def test_a_retry_is_a_run_of_its_own(project, lineage):
    """The attempt that failed is a FAIL with its error, the next one a run with another id."""
    calls = []

    def flaky():
        calls.append(1)
        if len(calls) == 1:
            raise OSError("the link is down")

    retry = {"retry": {"max_retries": 2, "base_delay": 0}}
    project(row("A", flaky, constants=retry)).run(hooks=lineage.hooks)
    events = lineage.of("P.Silver_1.A")
    assert lineage.told("P.Silver_1.A") == ["START", "FAIL", "START", "COMPLETE"]
    ids = [event["run"]["runId"] for event in events]
    assert ids[0] == ids[1] != ids[2] == ids[3]
    errors = [event["run"]["facets"].get("errorMessage") for event in events]
    assert errors[0] is errors[2] is errors[3] is None
    assert errors[1]["message"] == "OSError: the link is down"
    assert errors[1]["programmingLanguage"] == "PYTHON"
    assert lineage.told("P") == ["START", "COMPLETE"]


def test_a_failure_fails_the_run_and_what_was_skipped_is_not_told(project, lineage):
    """FAIL for the row and the run; a row that never started has no events."""
    p = project(
        row("B1", bad, layer="Bronze", outputs=out("t.b")),
        row("S1", lambda: None, inputs=["t.b"]),
    )
    p.run(hooks=lineage.hooks)
    assert lineage.told("P.Bronze.B1") == ["START", "FAIL"]
    assert lineage.told("P.Silver_1.S1") == []
    assert lineage.told("P") == ["START", "FAIL"]
    assert lineage.of("P")[1]["run"]["facets"]["errorMessage"]["message"] == "1 FAILED, 1 SKIPPED"


@pytest.mark.parametrize("times", [2, 3])
def test_what_was_cancelled_or_abandoned_is_an_abort(cancelled_run, lineage, times):
    """A cancelled and an abandoned attempt are an ABORT with the reason, and so is their run."""
    cancelled_run(lineage.hooks, times)
    assert lineage.told("P.Silver_1.A") == ["START", "ABORT"]
    message = lineage.of("P.Silver_1.A")[1]["run"]["facets"]["errorMessage"]["message"]
    assert ("cancelled" if times == 2 else "abandoned") in message
    assert lineage.told("P") == ["START", "ABORT"]


def test_attempts_without_an_end_are_aborted_with_the_run(lineage):
    """If the event of an attempt's end is missing, the run's end aborts it."""
    from odibi_nb.core.text.clock import utc_now

    facts = {"run_id": "r", "project": "P", "env": "qat", "engine": "pandas", "layer": "L"}
    row_facts = {"transformation_id": "A", "error_type": None, "error_message": None}
    for event in ("run_start", "transform_start", "run_end"):
        payload = {**facts, **row_facts, "event": event, "timestamp": utc_now(), "attempt": 1}
        lineage.hooks.emit(event, {**payload, "status": "cancelled", "rows_out": None})
    assert lineage.told("P.L.A") == ["START", "ABORT"]


def test_datasets_are_the_rows_tables(project, lineage):
    """One row's output and another's input are one dataset in any spelling."""
    p = project(
        row("B1", lambda: [1, 2], layer="Bronze", outputs=out("Bronze.Raw")),
        row("S1", lambda: None, inputs=["bronze.raw", "bronze.RAW"]),
    )
    p.run(hooks=lineage.hooks)
    raw = {"namespace": "odibi", "name": "bronze.raw"}
    for event in lineage.of("P.Bronze.B1"):
        assert event["inputs"] == []
        assert [{k: d[k] for k in raw} for d in event["outputs"]] == [raw]
    for event in lineage.of("P.Silver_1.S1"):
        assert [{k: d[k] for k in raw} for d in event["inputs"]] == [raw]
        assert event["outputs"] == []
    assert all(event["inputs"] == event["outputs"] == [] for event in lineage.of("P"))


def test_rows_written_are_told_where_it_is_clear_whose_they_are(project, lineage):
    """The number of rows is reported for a single written output, and never for several."""
    p = project(
        row("A", lambda: [1, 2], outputs=out("t.a")),
        row("B", lambda: {"t.b": [1], "t.c": [2]}, outputs=out("t.b", "t.c")),
    )
    p.run(hooks=lineage.hooks)
    start, complete = lineage.of("P.Silver_1.A")
    assert start["outputs"][0]["outputFacets"] == {}
    assert complete["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 2
    two = lineage.of("P.Silver_1.B")[1]["outputs"]
    assert [(d["name"], d["outputFacets"]) for d in two] == [("t.b", {}), ("t.c", {})]


def test_versions_of_the_tables_are_told(project, lineage, tmp_path):
    """At the end of an attempt, each of its tables has the version that it read or wrote."""
    p = project(
        row("B1", lambda: pd.DataFrame({"x": [1]}), layer="Bronze", outputs=out("bronze.raw")),
        row(
            "S1",
            lambda context: context.read("bronze.raw"),
            inputs=["Bronze.raw"],
            outputs=out("silver.x"),
        ),
    )
    p.tables = PandasEngine(str(tmp_path / "lake"))
    p.run(hooks=lineage.hooks)
    p.run(hooks=lineage.hooks)
    start, complete = lineage.of("P.Silver_1.S1")[2:]
    (read,), (written,) = complete["inputs"], complete["outputs"]
    assert read["facets"]["version"]["datasetVersion"] == "1"
    assert written["facets"]["version"]["datasetVersion"] == "1"
    assert start["inputs"][0]["facets"] == start["outputs"][0]["facets"] == {}


def test_the_namespace_can_be_set(project, tmp_path, monkeypatch):
    """The namespace comes from the argument, else from OpenLineage's variable. Jobs, parents and tables are in it."""
    monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "from-the-environment")
    by_variable = Lineage(tmp_path / "1.jsonl")
    by_argument = Lineage(tmp_path / "2.jsonl", namespace="lakehouse-prod")
    p = project(row("A", lambda: [1], outputs=out("t.a")))
    for lineage, expected in (
        (by_variable, "from-the-environment"),
        (by_argument, "lakehouse-prod"),
    ):
        p.run(hooks=lineage.hooks)
        text = lineage.path.read_text()
        assert text.count('"namespace": ') == text.count(f'"namespace": "{expected}"') > 6


def test_runs_at_the_same_time_do_not_mix(simultaneous_runs, lineage):
    """Two runs that share one HookManager have their own ids, parents and ends."""
    results = simultaneous_runs(lineage.hooks)
    for name, result in results.items():
        run_uuid = lineage_run_id(result.run_id)
        mine = [e for e in lineage.events if tags(e)["run_id"] == result.run_id]
        children = [e for e in mine if "parent" in e["run"]["facets"]]
        assert {e["run"]["facets"]["parent"]["run"]["runId"] for e in children} == {run_uuid}
        assert Counter((e["job"]["name"], e["eventType"]) for e in mine) == {
            (job, state): 1
            for job in ("P", f"P.Silver_1.{name}1", f"P.Silver_1.{name}2")
            for state in ("START", "COMPLETE")
        }


def test_events_of_unknown_runs_are_not_told(lineage):
    """A listener that is registered during a run, or an event without a listener's start, does no harm."""
    raised = []
    for event in ("transform_start", "transform_success", "run_end"):
        lineage.hooks.emit(event, {"event": event}, lambda *what: raised.append(what))
    assert raised == []
    assert not lineage.path.exists()


class Broken(Transport):
    kind = "broken"

    def emit(self, event):
        raise ConnectionError("the server at http://me:secret@there is gone")


def test_a_collector_that_raises_does_not_change_the_run(project):
    """If no event can be sent, the run succeeds with one warning, which shows no password."""
    hooks = HookManager()
    openlineage.register(hooks, client=OpenLineageClient(transport=Broken()))
    result = project(row("A", lambda: None), row("B", lambda: None)).run(hooks=hooks)
    assert result["status"] == "success"
    (warning,) = result.warnings
    assert "OpenLineage on '*' raised OdibiError: 6 of 6 lineage events were not sent: " in warning
    assert "ConnectionError: the server at http://me:***@there is gone" in warning


def test_a_slow_server_does_not_hold_up_the_run(project):
    """Transformations continue while the first event is being sent. At the end all are sent."""
    done, sent = threading.Event(), []

    class Slow(Transport):
        kind = "slow"

        def emit(self, event):
            sent.append(done.wait(10))

    hooks = HookManager()
    openlineage.register(hooks, client=OpenLineageClient(transport=Slow()))
    p = project(row("A", lambda: None), row("B", done.set, layer="Gold_1"))
    assert p.run(hooks=hooks).warnings == []
    assert sent == [True] * 6


def test_a_configuration_that_cannot_be_used_is_a_warning(project, monkeypatch):
    """The run succeeds without lineage, and a warning has the fault of the configuration."""
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "http")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__URL", "nonsense")
    hooks = HookManager()
    openlineage.register(hooks)
    result = project(row("A", lambda: None)).run(hooks=hooks)
    assert result["status"] == "success"
    (warning,) = result.warnings
    assert "OpenLineage: its configuration cannot be used: ValueError: Need valid url" in warning


def test_as_a_plug_in_with_the_librarys_configuration(project, entry_point, monkeypatch, tmp_path):
    """As an entry point the listener reports every run once, with OpenLineage's own variables."""
    entry_point("odibi_nb.listeners.openlineage:register")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "file")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__LOG_FILE_PATH", str(tmp_path / "out.jsonl"))
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__APPEND", "true")
    hooks = HookManager()
    p = project(row("A", lambda: None))
    for _ in range(2):
        assert p.run(hooks=hooks).warnings == []
    assert p.run().warnings == []
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert len(lines) == 3 * 4


@pytest.mark.parametrize("kind", ["http", "async_http"])
def test_a_server_gets_everything_before_the_run_returns(project, monkeypatch, kind):
    """Over HTTP, also by a transport that sends in the background, all events are sent by a run's end."""
    received = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(201)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", kind)
        monkeypatch.setenv(
            "OPENLINEAGE__TRANSPORT__URL", f"http://127.0.0.1:{server.server_address[1]}"
        )
        hooks = HookManager()
        openlineage.register(hooks)
        result = project(*(row(f"A{i}", lambda: None) for i in range(20))).run(hooks=hooks)
        server.shutdown()
    assert result.warnings == []
    assert Counter(e["eventType"] for e in received) == {"START": 21, "COMPLETE": 21}


def test_registering_again_changes_nothing_or_replaces(project, lineage, tmp_path):
    """A second plain registration adds nothing. One with a client replaces the first."""
    openlineage.register(lineage.hooks)
    other = Lineage(tmp_path / "other.jsonl")
    p = project(row("A", lambda: None))
    p.run(hooks=lineage.hooks)
    openlineage.register(lineage.hooks, client=other.client)
    p.run(hooks=lineage.hooks)
    assert (len(lineage.events), len(other.events)) == (4, 4)


def test_without_the_library(monkeypatch):
    """Without OpenLineage, registering names the package to install."""
    monkeypatch.setitem(sys.modules, "openlineage", None)
    monkeypatch.setitem(sys.modules, "openlineage.client", None)
    with pytest.raises(EngineNotAvailableError, match=r"pip install 'odibi-nb\[openlineage\]'"):
        openlineage.register(HookManager())
