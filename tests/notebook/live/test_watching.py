"""A run of another kernel or process in a cell's outputs."""

from __future__ import annotations

import threading

import pytest
from fakes import FakeProject, row

from odibi_nb.core.runlog.followed_run import FollowedRun
from odibi_nb.core.runlog.journal import live_runs
from odibi_nb.notebook.environment import HTML
from odibi_nb.notebook.live import watching


class Shown:
    """A surface that records its contents."""

    def __init__(self):
        self.bundles, self.table = [], {}

    def announce(self, text):
        pass

    def reserve(self, text):
        pass

    def keep(self, bundle):
        pass

    def show(self, bundles):
        self.bundles = list(bundles)

    def show_table(self, bundle):
        self.table = bundle


@pytest.fixture
def shown(monkeypatch):
    surface = Shown()
    monkeypatch.setattr(watching, "reserved_html", lambda: surface)
    return surface


@pytest.fixture
def held(tmp_path):
    """A run that goes on until `go` is set: (folder of the run, go)."""
    started, go = threading.Event(), threading.Event()

    def work():
        print("a word")
        started.set()
        assert go.wait(20)
        return [1]

    project = FakeProject(tmp_path, [row("A", work, outputs=[{"table": "s.a"}])])
    thread = threading.Thread(target=project.run)
    thread.start()
    assert started.wait(20)
    (folder,) = live_runs(project.state_dir)
    yield folder, go
    go.set()
    thread.join()


def test_a_watched_run_is_shown_to_its_end_with_its_logs(held, shown):
    """The end is shown like in the run's own cell: summary, chart, table, and the logs of its rows."""
    folder, go = held
    threading.Timer(0.2, go.set).start()
    assert watching.watch_in_cell(FollowedRun(folder), lambda _rows: HTML) == "success"
    assert "1 of 1 done" in shown.bundles[0]["text/html"]
    assert "a word" in shown.table["text/html"]


def test_an_interrupt_ends_the_watching_and_not_the_run(held, shown, monkeypatch):
    """The cell keeps the state of the run, which continues: watching neither interrupts nor cancels it."""
    folder, _ = held
    run = FollowedRun(folder)

    def interrupted(_wait):
        run.read()
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "follow", interrupted)
    with pytest.raises(KeyboardInterrupt):
        watching.watch_in_cell(run, lambda _rows: HTML)
    assert "running" in shown.bundles[0]["text/html"]
    assert "interrupted" not in shown.bundles[0]["text/html"]
    assert folder in live_runs(folder.parent.parent)
