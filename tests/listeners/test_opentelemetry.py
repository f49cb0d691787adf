"""A run as a trace."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter

import pytest
from fakes import row

from odibi_nb.core.running.hooks import HookManager
from odibi_nb.errors import EngineNotAvailableError
from odibi_nb.listeners import opentelemetry, sending

pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")

from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode


class Traced:
    """Hooks with the listener, and the spans that ended, by name."""

    def __init__(self):
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.hooks = HookManager()
        opentelemetry.register(self.hooks, tracer_provider=self.provider)

    @property
    def spans(self):
        return self.exporter.get_finished_spans()

    def named(self, name):
        return [span for span in self.spans if span.name == name]

    def one(self, name):
        (span,) = self.named(name)
        return span

    def parent(self, span):
        if span.parent is None:
            return None
        (name,) = (s.name for s in self.spans if s.context.span_id == span.parent.span_id)
        return name


@pytest.fixture
def traced():
    return Traced()


def bad():
    raise ValueError("no such sensor")


def out(name):
    return [{"table": f"t.{name}"}]


def test_a_run_is_a_tree_of_spans(project, traced):
    """One trace has a span for the run, below it one for each layer, and below these one for each attempt."""
    p = project(
        row("B1", lambda: [1], layer="Bronze", outputs=out("b")),
        row("S1", lambda: None, inputs=["t.b"]),
        row("S2", lambda: None),
        row("G1", lambda: None, layer="Gold_1"),
    )
    p.run(hooks=traced.hooks)
    assert {span.name: traced.parent(span) for span in traced.spans} == {
        "run P": None,
        "layer Bronze": "run P",
        "layer Silver_1": "run P",
        "layer Gold_1": "run P",
        "transform B1": "layer Bronze",
        "transform S1": "layer Silver_1",
        "transform S2": "layer Silver_1",
        "transform G1": "layer Gold_1",
    }
    assert len({span.context.trace_id for span in traced.spans}) == 1
    assert {span.status.status_code for span in traced.spans} == {StatusCode.UNSET}


def test_times_are_those_of_the_events(project, traced):
    """Spans have the events' times to the microsecond, and lie inside their parents."""
    said = {}
    traced.hooks.register("*", lambda p: said.setdefault(p["event"], p))
    project(row("A", lambda: None)).run(hooks=traced.hooks)
    run, layer, attempt = (traced.one(n) for n in ("run P", "layer Silver_1", "transform A"))
    assert run.start_time < layer.start_time < attempt.start_time
    assert attempt.start_time <= attempt.end_time < layer.end_time < run.end_time
    assert run.start_time % 10**9 // 1000 == said["run_start"]["timestamp"].microsecond
    assert attempt.end_time % 10**9 // 1000 == said["transform_success"]["end_time"].microsecond
    assert attempt.end_time // 10**9 == int(said["transform_success"]["end_time"].timestamp())


def test_attributes_say_what_ran(project, traced):
    """An attempt's span has its row, place, engine, and numbers of rows."""

    def fn(context):
        context.write([*context.read("t.b"), 3], "t.s")

    p = project(
        row("B1", lambda: [1, 2], layer="Bronze", outputs=out("b")),
        row("S1", fn, inputs=["t.b"], outputs=out("s"), entity_1="Plant_A", entity_2="Dryer_1"),
    )
    result = p.run(hooks=traced.hooks)
    of_the_run = {
        "odibi.project": "P",
        "odibi.env": "qat",
        "odibi.run_id": result.run_id,
        "odibi.engine": "pandas",
    }
    assert traced.one("run P").attributes == {**of_the_run, "odibi.status": "success"}
    assert traced.one("layer Silver_1").attributes == {
        **of_the_run,
        "odibi.layer": "Silver_1",
        "odibi.status": "success",
    }
    assert traced.one("transform S1").attributes == {
        **of_the_run,
        "odibi.layer": "Silver_1",
        "odibi.transformation_id": "S1",
        "odibi.attempt": 1,
        "odibi.module": "fake_functions",
        "odibi.function": "S1",
        "odibi.plant": "Plant_A",
        "odibi.asset": "Dryer_1",
        "odibi.status": "SUCCESS",
        "odibi.rows_in": 2,
        "odibi.rows_out": 3,
    }


def test_a_retry_is_a_span_of_its_own(project, traced):
    """The attempt that failed has an ERROR and its exception; the next one has neither."""
    calls = []

    def flaky():
        calls.append(1)
        if len(calls) == 1:
            raise OSError("the link is down")

    p = project(row("A", flaky, constants={"retry": {"max_retries": 2, "base_delay": 0}}))
    p.run(hooks=traced.hooks)
    first, second = traced.named("transform A")
    assert (first.attributes["odibi.attempt"], second.attributes["odibi.attempt"]) == (1, 2)
    assert first.end_time <= second.start_time
    assert first.status.status_code is StatusCode.ERROR
    assert first.status.description == "OSError: the link is down"
    (event,) = first.events
    assert event.name == "exception"
    assert event.timestamp == first.end_time
    assert event.attributes == {
        "exception.type": "OSError",
        "exception.message": "the link is down",
    }
    assert second.status.status_code is StatusCode.UNSET
    assert second.events == ()
    assert traced.one("run P").status.status_code is StatusCode.UNSET


def test_a_failure_marks_attempt_layer_and_run(project, traced):
    """A failed attempt has the status ERROR, and so have its layer and its run, with the number of failures."""
    project(row("A", bad), row("B", lambda: None)).run(hooks=traced.hooks)
    described = {
        span.name: span.status.description
        for span in traced.spans
        if span.status.status_code is StatusCode.ERROR
    }
    assert described == {
        "transform A": "ValueError: no such sensor",
        "layer Silver_1": "1 of 2 transformations did not succeed",
        "run P": "1 SUCCESS, 1 FAILED",
    }


def test_skipped_rows_are_events_of_their_layer(project, traced):
    """A row that never started has no span. Its layer's span has its id and the reason."""
    p = project(
        row("B1", bad, layer="Bronze", outputs=out("b")),
        row("S1", lambda: None, inputs=["t.b"], outputs=out("s")),
        row("S2", lambda: None),
        row("G1", lambda: None, inputs=["t.s"], layer="Gold_1"),
    )
    p.run(hooks=traced.hooks)
    assert not traced.named("transform S1")
    (event,) = traced.one("layer Silver_1").events
    assert event.name == "transform_skipped"
    assert event.attributes["odibi.transformation_id"] == "S1"
    assert event.attributes["odibi.reason"] == "upstream B1 failed"
    silver, attempt = traced.one("layer Silver_1"), traced.one("transform S2")
    assert silver.start_time <= event.timestamp <= attempt.start_time <= silver.end_time
    gold = traced.one("layer Gold_1")
    assert [e.attributes["odibi.transformation_id"] for e in gold.events] == ["G1"]
    assert gold.end_time == gold.start_time, "nothing of it ran"


def test_what_a_transformation_traces_is_below_its_attempt(project, traced):
    """Spans made inside a function, or by a library that it calls, are children of the attempt."""
    tracer = trace.get_tracer("mine", tracer_provider=traced.provider)

    def make(name):
        def fn():
            with tracer.start_as_current_span(f"query of {name}"):
                pass

        return fn

    names = [f"A{i}" for i in range(8)]
    project(*(row(name, make(name)) for name in names)).run(hooks=traced.hooks, max_workers=3)
    for name in names:
        assert traced.parent(traced.one(f"query of {name}")) == f"transform {name}"


def test_the_run_is_below_the_callers_span(project, traced):
    """A run inside a span is its child, and the span stays the current one."""
    tracer = trace.get_tracer("mine", tracer_provider=traced.provider)
    current = []
    with tracer.start_as_current_span("nightly") as nightly:
        traced.hooks.register("layer_end", lambda p: current.append(trace.get_current_span()))
        project(row("A", lambda: None)).run(hooks=traced.hooks)
        current.append(trace.get_current_span())
    assert traced.parent(traced.one("run P")) == "nightly"
    assert set(current) == {nightly}


def test_a_cancelled_run_is_no_error(cancelled_run, traced):
    """A cancelled attempt has its reason and no ERROR. A row that never started is an event."""
    result = cancelled_run(traced.hooks, times=2)
    assert result["status"] == "cancelled"
    attempt, run = traced.one("transform A"), traced.one("run P")
    assert attempt.attributes["odibi.status"] == "CANCELLED"
    assert attempt.attributes["odibi.reason"] == "the run was cancelled"
    assert attempt.status.status_code is StatusCode.UNSET
    assert run.attributes["odibi.status"] == "cancelled"
    assert run.status.status_code is StatusCode.UNSET
    (event,) = traced.one("layer Gold_1").events
    assert event.name == "transform_cancelled"


def test_an_abandoned_run_leaves_no_span_open(cancelled_run, traced):
    """The layers of an abandoned run end as failed, before the run. The hanging attempt is an ERROR."""
    result = cancelled_run(traced.hooks, times=3)
    assert result.transformations["A"].status.value == "ABANDONED"
    assert traced.one("transform A").status.status_code is StatusCode.ERROR
    layer, run = traced.one("layer Silver_1"), traced.one("run P")
    assert layer.status.status_code is StatusCode.ERROR
    assert layer.start_time < layer.end_time <= run.end_time
    assert {span.name for span in traced.spans} == {
        "run P",
        "layer Bronze",
        "layer Silver_1",
        "transform A",
        "layer Gold_1",
    }


def test_attempts_without_an_end_are_ended_with_the_run(traced):
    """If the events of an attempt's and its layer's end are missing, the run's end ends their spans."""
    from odibi_nb.core.text.clock import utc_now

    facts = {"run_id": "r", "project": "P", "env": "qat", "engine": "pandas", "layer": "L"}
    for event in ("run_start", "transform_skipped", "layer_start", "transform_start", "run_end"):
        payload = {**facts, "event": event, "timestamp": utc_now(), "transformation_id": "A"}
        payload |= {"attempt": 1, "status": "cancelled", "error_message": None}
        traced.hooks.emit(event, payload)
    attempt, layer, run = traced.spans
    assert (attempt.name, layer.name, run.name) == ("transform A", "layer L", "run P")
    assert attempt.attributes["odibi.status"] == "ABANDONED"
    assert attempt.end_time == layer.end_time == run.end_time
    assert [event.name for event in layer.events] == ["transform_skipped"]


def test_events_of_unknown_runs_are_not_traced(traced):
    """A listener that is registered during a run, or an event without a listener's start, does no harm."""
    raised = []
    for event in ("layer_start", "transform_success", "run_end"):
        traced.hooks.emit(event, {"event": event}, lambda *what: raised.append(what))
    assert raised == []
    assert traced.spans == ()


def test_runs_at_the_same_time_do_not_mix(simultaneous_runs, traced):
    """Two runs that share one HookManager are two traces, each with its own rows."""
    results = simultaneous_runs(traced.hooks)
    assert Counter(span.name for span in traced.spans)["run P"] == 2
    for name, result in results.items():
        mine = [s for s in traced.spans if s.attributes["odibi.run_id"] == result.run_id]
        assert len({span.context.trace_id for span in mine}) == 1
        assert {s.name for s in mine if s.name.startswith("transform")} == {
            f"transform {name}1",
            f"transform {name}2",
        }


def test_every_record_of_the_run_log_is_a_span_or_an_event(project, traced):
    """With graph scheduling, retries, failures and skips, trace and run log agree."""

    def make(i):
        return bad if i % 4 == 1 else lambda: None

    retry = {"retry": {"max_retries": 1, "base_delay": 0}}
    layers = ("Bronze", "Silver_1", "Gold_1")
    rows = [
        row(
            f"N{i}",
            make(i),
            layer=layers[i // 6],
            inputs=[f"t.n{i - 5}"] if i > 4 else [],
            outputs=out(f"n{i}"),
            constants=retry,
        )
        for i in range(18)
    ]
    result = project(*rows).run(hooks=traced.hooks, schedule="graph", max_workers=3)
    told = {
        (s.attributes["odibi.transformation_id"], s.attributes["odibi.attempt"])
        for s in traced.spans
        if s.name.startswith("transform")
    }
    told |= {
        (e.attributes["odibi.transformation_id"], e.attributes["odibi.attempt"])
        for s in traced.spans
        if s.name.startswith("layer")
        for e in s.events
    }
    assert told == {(r["transformation_id"], r["attempt"]) for r in result.records}
    inside = {s.context.span_id: s for s in traced.spans}
    for span in traced.spans:
        if span.parent is not None:
            parent = inside[span.parent.span_id]
            assert parent.start_time <= span.start_time <= span.end_time <= parent.end_time


def test_a_collector_that_raises_does_not_change_the_run(project):
    """If OpenTelemetry itself fails, the run succeeds with one warning."""

    class Broken(SpanProcessor):
        def on_start(self, span, parent_context=None):
            raise ConnectionError("the collector is gone")

    provider, hooks = TracerProvider(), HookManager()
    provider.add_span_processor(Broken())
    opentelemetry.register(hooks, tracer_provider=provider)
    result = project(row("A", lambda: None), row("B", lambda: None)).run(hooks=hooks)
    assert result["status"] == "success"
    assert result.warnings == [
        "listener OpenTelemetry on '*' raised ConnectionError: the collector is gone"
    ]


def test_registering_again_changes_nothing_or_replaces(project, traced):
    """A second plain registration adds nothing. One with a provider replaces the first."""
    opentelemetry.register(traced.hooks)
    other = Traced()
    p = project(row("A", lambda: None))
    p.run(hooks=traced.hooks)
    assert len(traced.named("transform A")) == 1
    opentelemetry.register(traced.hooks, tracer_provider=other.provider)
    p.run(hooks=traced.hooks)
    assert (len(traced.named("transform A")), len(other.named("transform A"))) == (1, 1)


@pytest.fixture(scope="module")
def everywhere():
    """Return the global provider, which a process can set once."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


def test_as_a_plug_in(project, entry_point, everywhere):
    """As an entry point it traces every run once, with the global provider."""
    entry_point("odibi_nb.listeners.opentelemetry:register")
    hooks = HookManager()
    p = project(row("A", lambda: None))
    for _ in range(2):
        assert p.run(hooks=hooks).warnings == []
    assert p.run().warnings == []
    names = Counter(span.name for span in everywhere.get_finished_spans())
    assert set(names.values()) == {3}


def test_without_the_library(monkeypatch):
    """Without OpenTelemetry, registering names the package to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(EngineNotAvailableError, match=r"pip install 'odibi-nb\[opentelemetry\]'"):
        opentelemetry.register(HookManager())


def test_the_library_is_imported_late():
    """Importing the ready-made listeners imports neither library."""
    code = (
        "import sys\n"
        "from odibi_nb.listeners import openlineage, opentelemetry\n"
        "assert not {'openlineage', 'opentelemetry', 'attr', 'requests'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_exporter_that_waits_for_its_server(project, monkeypatch):
    """An exporter that hangs delays no transformation, and costs one warning and little time."""
    monkeypatch.setattr(sending, "SILENT_SECONDS", 0.05)
    hold = threading.Event()

    class Hangs(InMemorySpanExporter):
        def export(self, spans):
            hold.wait(30)
            return super().export(spans)

    provider, hooks = TracerProvider(), HookManager()
    provider.add_span_processor(SimpleSpanProcessor(Hangs()))
    opentelemetry.register(hooks, tracer_provider=provider)
    result = project(row("A", lambda: None), row("B", lambda: None)).run(hooks=hooks)
    assert result["status"] == "success"
    assert result.duration_seconds < 15
    (warning,) = result.warnings
    assert "spans were not sent: not done in" in warning
    hold.set()


@pytest.mark.parametrize("end", ["raise SystemExit(3)", "import sys; sys.exit()", "1 / 0"])
def test_a_plug_in_that_cannot_be_loaded(project, entry_point, tmp_path, monkeypatch, end):
    """A plug-in that ends the process at import, or when it registers, costs only a warning of the run."""
    monkeypatch.syspath_prepend(tmp_path)
    name = f"odd_plugin_{abs(hash(end))}"
    (tmp_path / f"{name}.py").write_text(f"def register(hooks):\n    {end}\n")
    entry_point(f"{name}:register")
    result = project(row("A", lambda: None)).run()
    assert result["status"] == "success"
    (warning,) = result.warnings
    assert warning.startswith("plug-in plugin failed: ")
