"""%odibi run --background runs beside the cells."""

from __future__ import annotations

import sys
import threading

import pytest
from fakes import row
from nbclient.exceptions import CellExecutionError
from notebook_cells import displayed, execute, printed
from pages import without_our_script
from real_project import make_project, registry_row

from odibi_nb.errors import PlanError, RunLockedError
from odibi_nb.notebook.live.background import BackgroundRun

FUNCTIONS = """
import pathlib, time

def until_told(context, constants):
    print("waiting for the file")
    while not pathlib.Path(constants["file"]).exists():
        context.cancelled and 1 / 0
        time.sleep(0.02)

def bad():
    raise KeyError("no column <script>")
"""


class Gate:
    """A transformation that runs until the test ends it, or until it is cancelled."""

    def __init__(self):
        self.entered, self.go = threading.Event(), threading.Event()

    def __call__(self, context):
        self.entered.set()
        while not self.go.wait(0.01):
            if context.cancelled:
                raise InterruptedError("told to end")


def background(project, **options):
    """A run of a fake project on a thread of its own, not started yet."""
    return BackgroundRun(project.orchestrator, lambda p: p.run(**options), "P (env=qat)")


def test_it_goes_on_while_its_starter_does_something_else(project):
    """start() returns during the run. wait() gives the result, and running and result agree."""
    gate = Gate()
    run = background(project(row("A", gate))).start()
    assert gate.entered.wait(10)
    assert (run.running, run.result, run.error) == (True, None, "")
    with pytest.raises(TimeoutError, match=r"P \(env=qat\) is still in progress"):
        run.wait(0)
    gate.go.set()
    assert run.wait(10)["status"] == "success"
    assert (run.running, run.result) == (False, run.wait())


def test_its_repr_says_what_goes_on_and_how_to_end_it(project):
    """Its repr has the progress and the command to cancel the run, and later the result."""
    gate = Gate()
    run = background(project(row("A", gate))).start()
    assert gate.entered.wait(10)
    run_id = run._state.snapshot().run_id
    for text in (repr(run), run._repr_mimebundle_()["text/html"]):
        assert "0 of 1 done, 1 running" in text
        assert f"To cancel the run: %odibi cancel {run_id}" in text
    gate.go.set()
    run.wait(10)
    assert f"run {run_id} of 'P' env qat success: 1 success" in repr(run)
    assert "Gantt chart of P: 1 success" in run._repr_mimebundle_()["text/html"]


def test_the_requests_to_end_get_harder(project):
    """The first cancel lets running rows end, the second revokes them. More than three have no further effect."""
    gate = Gate()
    run = background(project(row("A", gate), row("B", Gate())), max_workers=1).start()
    assert gate.entered.wait(10)
    run.cancel()
    run.cancel()
    assert run.wait(10).counts() == {"CANCELLED": 2}
    assert run.requests == 2
    run.cancel()
    assert run.requests == 2


def test_one_transformation_can_be_cancelled(project):
    """cancel(id) ends that run, and the others continue."""
    gate = Gate()
    run = background(project(row("A", gate), row("B", lambda: None))).start()
    assert gate.entered.wait(10)
    run.cancel("A")
    assert run.wait(10).counts() == {"CANCELLED": 1, "SUCCESS": 1}
    assert run.requests == 0


def test_a_request_before_the_run_begins_is_heard(project):
    """A Cancel during the reading of manifest and registry takes effect."""
    planning, asked = threading.Event(), threading.Event()
    fake = project(row("A", lambda: None))

    def slow_to_open():
        planning.set()
        assert asked.wait(10)
        return fake.orchestrator()

    run = BackgroundRun(slow_to_open, lambda p: p.run(), "P (env=qat)").start()
    assert planning.wait(10)
    run.cancel()
    asked.set()
    assert run.wait(10).counts() == {"CANCELLED": 1}


def test_what_is_wrong_is_kept_as_one_message(project):
    """For a plan with problems, `error` has the text, wait() raises it, and nothing has run."""
    run = background(project(row("A", None, function="nope"))).start()
    with pytest.raises(PlanError, match="no module 'fake_functions'"):
        run.wait(10)
    assert run.error.startswith("a list: ")
    assert "Traceback" not in repr(run) + run.error
    assert run.result is None
    assert "no module &#x27;fake_functions&#x27;" in run._repr_mimebundle_()["text/html"]


def test_a_failure_of_ours_does_not_vanish_in_the_thread():
    """An unexpected error is kept, too, with its class and message."""

    def broken():
        raise ZeroDivisionError("oh")

    run = BackgroundRun(broken, lambda p: p.run(), "P (env=qat)").start()
    with pytest.raises(ZeroDivisionError):
        run.wait(10)
    assert run.error == "ZeroDivisionError: oh"


def test_a_second_run_is_refused_while_it_goes_on(project):
    """A project and environment has one run at a time: the message of the lock names the running one."""
    gate = Gate()
    fake = project(row("A", gate))
    run = background(fake).start()
    assert gate.entered.wait(10)
    with pytest.raises(
        RunLockedError, match="is in progress; wait for it, or end it: odibi cancel"
    ):
        fake.run()
    gate.go.set()
    assert run.wait(10)["status"] == "success"


def test_what_listeners_print_goes_to_its_log(project, capsys):
    """The run keeps its printed lines: on a thread, print would write into the cell that ran last."""
    from odibi_nb.core.running.hooks import HookManager

    hooks = HookManager()
    hooks.register("run_start", lambda p: print("a listener", file=sys.stdout))
    fake = project(row("A", lambda: print("a transformation")))
    run = BackgroundRun(
        lambda: fake.orchestrator(hooks=hooks), lambda p: p.run(), "P (env=qat)"
    ).start()
    result = run.wait(10)
    assert "a listener" in run.log.splitlines()
    assert "🚀 Starting pipeline: P (env=qat)" in run.log.splitlines()
    assert result.transformations["A"].log == "a transformation"
    assert capsys.readouterr() == ("", "")


# -- in a real kernel --------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """A project whose one row waits for the file `go`."""
    constants = {"file": str(tmp_path / "go"), "retry": 0}
    rows = [registry_row("WAIT", "Bronze", "until_told", constants=constants)]
    make_project(tmp_path, rows=rows, functions=FUNCTIONS)
    return tmp_path


START = "%load_ext odibi_nb\nfrom pathlib import Path"


@pytest.mark.parametrize("ui", ["html", "widgets", "plotly"])
@pytest.mark.usefixtures("warm_kernels")
def test_the_magic_returns_at_once(folder, ui):
    """The cell ends during the run, and the next ones run. The end is drawn in the first cell."""
    _, start, other, wait = execute(
        folder,
        START,
        f'h = %odibi run "Plant One" --background --ui {ui}',
        "print(h.running)",
        'Path("go").touch()\nprint(h.wait()["status"])',
    )
    assert printed(other) == "True\n"
    assert printed(wait).startswith("success\n")
    summary, picture, table = displayed(start, "text/html")
    assert "1 of 1 done" in summary
    assert "Gantt chart of Plant One: 1 success" in picture
    assert without_our_script(table).count("✔ SUCCESS") == 1
    assert not printed(start)


@pytest.mark.usefixtures("warm_kernels")
def test_the_log_of_a_row_is_shown_while_it_runs(folder):
    """The log of a row that is selected during the run is in the output of the run's cell, and open in the kept page."""
    _, start, chosen, unknown, _ = execute(
        folder,
        f"{START}\nimport time",
        'h = %odibi run "Plant One" --background --ui widgets',
        "while getattr(h._view.picture, '_pane', None) is None: time.sleep(0.01)\n"
        "pane = h._view.picture._pane\npane.choose('WAIT')\n"
        "while 'waiting for the file' not in pane._text.value: time.sleep(0.01)\n"
        "print(pane.widget in h._view.picture._above_table.children, '▶ running, attempt 1' in pane._text.value)",
        "pane.choose('WAITS')\n"
        "while 'waiting' in pane._text.value: time.sleep(0.01)\nprint(pane._text.value)",
        "pane.choose('WAIT')\nPath('go').touch()\nprint(h.wait()['status'])",
    )
    assert printed(chosen) == "True True\n"
    assert "&#x27;WAITS&#x27; is not in this run (did you mean &#x27;WAIT&#x27;?)" in printed(
        unknown
    )
    *_, table = displayed(start, "text/html")
    assert "<details open><summary>log</summary><pre>waiting for the file" in table


@pytest.mark.usefixtures("warm_kernels")
def test_the_handle_is_shown_once_and_stays_true(folder):
    """The run's own cell shows only the live view. A later cell shows the handle, which the run's end updates."""
    _, start, later, _ = execute(
        folder,
        START,
        '%odibi run "Plant One" --background --ui html',
        "h = _\nh",
        'Path("go").touch()\nh.wait()',
    )
    assert len(displayed(start, "text/html")) == 3
    (page,) = displayed(later, "text/html")
    assert "Gantt chart of Plant One: 1 success" in page


@pytest.mark.usefixtures("warm_kernels")
def test_a_second_run_in_another_cell_is_told_about_the_first(folder):
    """A second %odibi run during a background run ends in the lock's message."""
    with pytest.raises(CellExecutionError, match="is in progress; wait for it, or end it"):
        execute(
            folder,
            START,
            'h = %odibi run "Plant One" --background --ui html',
            "while h.running and not h._state.snapshot().run_id: pass",
            '%odibi run "Plant One"',
        )


@pytest.mark.usefixtures("warm_kernels")
def test_an_impossible_run_says_why_in_its_cell(folder):
    """The cell's output shows the problems of the plan. A mistake in the line is a UsageError there."""
    rows = [registry_row("S2", "Silver_1", "dubble")]
    make_project(folder, rows=rows, functions=FUNCTIONS)
    _, start, _ = execute(
        folder,
        START,
        'h = %odibi run "Plant One" --background --ui widgets',
        "h._thread.join(10)",
    )
    pages = displayed(start, "text/html")
    assert "has no function &#x27;dubble&#x27;" in pages[0]
    with pytest.raises(CellExecutionError, match="did you mean 'qat'"):
        execute(folder, START, '%odibi run "Plant One" --env qta --background')
