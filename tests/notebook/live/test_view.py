"""The live view's thread, also when painting fails, or when the run's end is never reported."""

from __future__ import annotations

import sys
import threading
import types
from typing import ClassVar

import pytest
from fakes import row

from odibi_nb.core.model.events import Progress
from odibi_nb.notebook.environment import HTML, PLOTLY
from odibi_nb.notebook.live import libraries, pictures
from odibi_nb.notebook.live import view as live
from odibi_nb.notebook.live.view import LiveView


class Recorder:
    """A picture that keeps a list of its calls."""

    made: ClassVar = []
    one_is_made = threading.Event()

    def __init__(self, surface, cancelling, state_dir):
        self.calls, self.threads, self.painted = [], [], threading.Event()
        Recorder.made.append(self)
        Recorder.one_is_made.set()

    def show(self, snapshot):
        self._call("show", snapshot)

    def paint(self, snapshot):
        self._call("paint", snapshot)
        self.painted.set()

    def end(self, snapshot):
        self._call("end", snapshot)

    def _call(self, name, snapshot):
        self.calls.append((name, snapshot.status))
        self.threads.append(threading.current_thread().name)


class Words:
    """A surface that records its calls."""

    def __init__(self):
        self.calls = []

    def announce(self, text):
        self.calls.append(("announce", text, threading.current_thread().name))

    def reserve(self, text):
        self.calls.append(("reserve", text, threading.current_thread().name))


class Broken(Recorder):
    """A picture that cannot paint."""

    def paint(self, snapshot):
        self.painted.set()
        raise OSError("no more paint")


@pytest.fixture
def recorder(monkeypatch):
    monkeypatch.setattr(live, "PAINT_SECONDS", 0.001)
    monkeypatch.setattr(live, "FIRST_SECONDS", 0.0)
    Recorder.made.clear()
    Recorder.one_is_made.clear()
    monkeypatch.setitem(pictures.PICTURES, "recorder", Recorder)
    monkeypatch.setitem(pictures.PICTURES, "broken", Broken)


def wait_for_paint():
    assert Recorder.one_is_made.wait(10)
    assert Recorder.made[0].painted.wait(10)


def test_the_painter_asks_how_far_a_row_is(project, recorder, monkeypatch):
    """The picture has the row's progress from the engine, read on the painter's thread."""
    threads, painted = [], threading.Event()

    def measure():
        threads.append(threading.current_thread().name)
        return Progress(1, 2)

    def slow(context):
        context.control.measure_progress(measure)
        assert painted.wait(10)

    def paint(self, snapshot):
        if snapshot.rows[0].bars and snapshot.rows[0].bars[-1].progress == Progress(1, 2):
            painted.set()

    monkeypatch.setattr(Recorder, "paint", paint)
    project(row("A", slow)).run(views=[LiveView(lambda _: "recorder")]).raise_for_status()
    assert set(threads) == {"odibi-painter"}


def test_one_thread_paints_and_the_end_is_always_drawn(project, recorder):
    """The view is shown and painted on one thread, and ended on the run's own. The last picture is the end."""
    asked = []
    view = LiveView(lambda rows: asked.append(rows) or "recorder")
    project(row("A", wait_for_paint), row("B", lambda: None)).run(views=[view])
    (picture,) = Recorder.made
    assert asked == [2]
    assert picture.calls[0][0] == "show"
    assert picture.calls[-1] == ("end", "success")
    assert {name for name, _ in picture.calls[1:-1]} == {"paint"}
    assert picture.threads[-1] == threading.current_thread().name
    assert set(picture.threads[:-1]) == {"odibi-painter"}
    assert not any(t.name == "odibi-painter" for t in threading.enumerate())


def test_a_run_does_not_wait_for_its_picture(project, recorder, monkeypatch):
    """The first transformation starts while the picture is being made, which may take any time."""
    started, shown = threading.Event(), []

    class Slow(Recorder):
        def show(self, snapshot):
            shown.append(started.wait(10))
            super().show(snapshot)

    def first():
        started.set()

    monkeypatch.setitem(pictures.PICTURES, "slow", Slow)
    project(row("A", first)).run(views=[LiveView(lambda rows: "slow")]).raise_for_status()
    assert shown == [True]


def test_a_run_does_not_wait_for_the_library_of_its_picture(
    project, recorder, monkeypatch, tmp_path
):
    """The first transformation starts while the library of the picture is being imported, however long that takes."""
    (tmp_path / "held_library.py").write_text(
        "from notebook_gates import asked, started\nasked.set()\nheld = started.wait(10)\n"
    )
    gates = types.ModuleType("notebook_gates")
    gates.asked, gates.started = threading.Event(), threading.Event()
    monkeypatch.setitem(sys.modules, "notebook_gates", gates)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(libraries.MODULES, PLOTLY, "held_library")
    for name in (HTML, PLOTLY):
        monkeypatch.setitem(pictures.PICTURES, name, Recorder)

    def first():
        assert gates.asked.wait(10)
        gates.started.set()

    project(row("A", first)).run(views=[LiveView(lambda rows: PLOTLY)]).raise_for_status()
    libraries.LIBRARIES.wait()
    assert sys.modules["held_library"].held


def test_the_words_come_before_the_picture(project, recorder):
    """Before the run starts, the surface has a text and room for all parts, on the run's own thread."""
    surface = Words()
    view = LiveView(lambda rows: "recorder", surface)
    view.announce("reading …")
    project(row("A", wait_for_paint), row("B", lambda: None)).run(views=[view])
    here = threading.current_thread().name
    assert surface.calls == [
        ("announce", "reading …", here),
        ("reserve", "2 rows planned, starting", here),
    ]


def test_what_painting_raises_does_not_reach_the_run(project, recorder):
    """The run succeeds without a warning, the end is drawn, and the view reports the fault."""
    view = LiveView(lambda rows: "broken")
    result = project(row("A", wait_for_paint)).run(views=[view])
    assert (result["status"], result["warnings"]) == ("success", [])
    assert str(view.error) == "no more paint"
    assert Recorder.made[0].calls[-1] == ("end", "success")


def test_painting_goes_on_after_a_failure(project, recorder, monkeypatch):
    """A picture that fails once does not end the live view: the next one is drawn."""
    moods = iter([OSError("half imported")])

    class Moody(Recorder):
        def paint(self, snapshot):
            for error in moods:
                raise error
            super().paint(snapshot)

    monkeypatch.setitem(pictures.PICTURES, "moody", Moody)
    view = LiveView(lambda rows: "moody")
    result = project(row("A", wait_for_paint)).run(views=[view])
    assert result["status"] == "success"
    assert ("paint", "running") in Recorder.made[0].calls
    assert view.error is None


def test_a_run_that_never_says_its_end_is_shown_as_interrupted(project, recorder):
    """When the view is closed before the run's end, it draws a last picture and its thread ends."""
    view = LiveView(lambda rows: "recorder")
    view.on_plan(project(row("A", lambda: None)).orchestrator().plan())
    wait_for_paint()
    view.close()
    view.close()
    calls = Recorder.made[0].calls
    assert calls[-1] == ("end", "interrupted")
    assert calls.count(calls[-1]) == 1
    assert not any(t.name == "odibi-painter" for t in threading.enumerate())


def test_a_view_shows_one_run_after_the_other(project, recorder):
    """Each run of a view has a picture of its own, as its rows may differ."""
    view = LiveView(lambda rows: "recorder")
    for names in ("A", "AB"):
        project(*(row(name, lambda: None) for name in names)).run(views=[view])
    assert [picture.calls[-1] for picture in Recorder.made if picture.calls] == [
        ("end", "success")
    ] * 2
