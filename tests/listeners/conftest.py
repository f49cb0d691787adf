"""An installed package as Python sees one, runs to cancel, and two runs at one time."""

from __future__ import annotations

import threading

import pytest
from fakes import FakeProject, row

from odibi_nb.core.runlog.journal import live_runs, request_cancel


@pytest.fixture
def entry_point(tmp_path, monkeypatch):
    """Declare an entry point of the group odibi_nb.hooks: entry_point("module:function")."""

    def declare(value):
        folder = tmp_path / "site" / "some_plugin-1.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: some-plugin\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[odibi_nb.hooks]\nplugin = {value}\n")
        monkeypatch.syspath_prepend(tmp_path / "site")

    return declare


@pytest.fixture
def cancelled_run(project):
    """Run the row A with these hooks, and cancel it this many times while it runs."""
    hold = threading.Event()

    def run(hooks, times):
        def stubborn(context):
            while not context.should_stop() and not hold.wait(0.01):
                pass
            if times > 2:
                hold.wait(20)
            context.write([1], "t.late")

        def cancel(payload):
            for _ in range(times):
                request_cancel(live_runs(p.state_dir)[0])

        p = project(row("A", stubborn), row("B", lambda: None, inputs=["t.x"], layer="Gold_1"))
        hooks.register("transform_start", cancel)
        return p.run(hooks=hooks)

    yield run
    hold.set()


@pytest.fixture
def simultaneous_runs(tmp_path):
    """Run two projects with these hooks. Neither ends before both have started."""
    both = threading.Barrier(2)

    def run(hooks):
        results = {}

        def start(name):
            rows = [row(f"{name}1", lambda: both.wait(10)), row(f"{name}2", lambda: both.wait(10))]
            one = FakeProject(tmp_path / name, rows)
            results[name] = one.run(hooks=hooks, max_workers=1)

        threads = [threading.Thread(target=start, args=(name,)) for name in ("A", "B")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    return run
