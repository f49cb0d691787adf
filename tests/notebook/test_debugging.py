"""From a red bar to a fixed function: in a shell, and in kernels with and without a user who can answer."""

from __future__ import annotations

import html
import re
import shutil

import pytest
from IPython.utils.capture import capture_output
from jupyter_client.manager import start_new_kernel
from nbclient.exceptions import CellExecutionError
from notebook_cells import execute
from real_project import make_project, registry_row

from odibi_nb import GenericProjectOrchestrator
from odibi_nb.core.running.kept_failures import FAILURES

FUNCTIONS = """
import pandas as pd


def load():
    print("loading")
    return pd.DataFrame({"id": [1, 2, 3], "api_key": "s3cret", "x": 1.0})


def halve(inputs, context, constants):
    frame = context.read(inputs[0])
    print("halving", len(frame))
    return frame.assign(x=frame["y"] / 2)
"""
FIXED = """def halve(inputs, context, constants):
    frame = context.read(inputs[0])
    return frame.assign(x=frame["x"] / 2)
"""
ROWS = [
    registry_row("B1", "Bronze", "load", outputs=["bronze.x"]),
    {
        **registry_row("S1", "Silver_1", "halve", ["bronze.x"], {"retry": 0}),
        "outputs": [{"table": "silver.x", "keys": ["id"]}],
    },
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a project whose S1 has failed."""
    folder = tmp_path_factory.mktemp("made")
    home = make_project(folder, rows=ROWS, functions=FUNCTIONS)
    result = GenericProjectOrchestrator(
        "Plant One", manifest_path=home / "manifest.json", log_level="CRITICAL"
    ).run()
    assert result["status"] == "failed"
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """A copy of the folder for this test."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def shell(folder, monkeypatch, ipython):
    """A terminal's shell with the extension, in that folder, without a user."""
    monkeypatch.chdir(folder)
    ipython.run_line_magic("load_ext", "odibi_nb")
    yield ipython
    ipython.run_line_magic("unload_ext", "odibi_nb")
    ipython.reset(new_session=False)


def run(shell, code):
    """Run a cell as a user does. Return its value and its output."""
    with capture_output() as io:
        done = shell.run_cell(code, store_history=True)
    return done.result, io.stdout + io.stderr


def test_load_names_the_users_variables_that_it_replaces(shell):
    """`load` warns about a variable of the user that it replaces, with the alternative. A second load is quiet."""
    run(shell, "row = 'mine'\nx = 5\nother = 1")
    _, printed = run(shell, "%odibi load S1")
    said = (
        "⚠️ replaced your variables x, row: --as NAME puts all of it into one variable of that name"
    )
    assert said in printed
    assert "replaced" not in run(shell, "%odibi load S1")[1]
    run(shell, "x = x.head(1)")
    assert "replaced your variable x:" in run(shell, "%odibi load S1")[1]
    _, printed = run(shell, "%odibi load S1 --as other")
    assert "replaced your variable other: another name after --as" in printed
    assert shell.user_ns["other"].row.transformation_id == "S1"
    assert "replaced" not in run(shell, "%odibi load S1 --as fresh")[1]


def test_what_failed_functions_hold_is_said_and_can_be_let_go(shell, monkeypatch):
    """`debug` mentions a large frame that a failed function holds, and `%odibi debug --forget` frees it."""
    from odibi_nb.notebook import debugger

    monkeypatch.setattr(debugger, "WORTH_SAYING", 1)
    cell = (
        "%%odibi try S1\n"
        "import numpy as np\n"
        "def halve(inputs, context, constants):\n"
        "    big = np.zeros(2_000_000)\n"
        "    raise KeyError('y')\n"
    )
    _, printed = run(shell, cell)
    assert "failed functions' variables (about 16 MB) stay in memory for %odibi debug" in printed
    report, printed = run(shell, "%odibi debug S1")
    assert (
        "its variables (about 16 MB) stay in memory until the row succeeds"
        in f"{report!r}{printed}"
    )
    _, printed = run(shell, "%odibi debug --forget")
    assert "released 1 failure, about 16 MB" in printed
    assert FAILURES.newest_first() == []


def test_load_fills_the_namespace_and_prints_the_source(shell):
    """If no cell can be inserted, the function's source is printed for copying."""
    _, printed = run(shell, "%odibi load S1")
    names = shell.user_ns
    assert list(names["x"]["id"]) == [1, 2, 3]
    assert list(names["inputs"]) == ["bronze.x"]
    assert names["row"].transformation_id == "S1"
    assert names["constants"] == {"retry": 0}
    assert names["outputs"] == [{"table": "silver.x", "keys": ["id"]}]
    assert printed.splitlines()[0] == (
        "S1 loaded: x (3 rows × 3 columns), inputs, constants, outputs, context, fn, row; "
        "writes through context are captured"
    )
    assert "\n%%odibi try S1\ndef halve(" in printed


def test_load_as_takes_one_name(shell):
    """--as puts everything under one variable, and touches no other."""
    run(shell, "%odibi load S1 --as s --limit 2")
    assert len(shell.user_ns["s"].inputs["bronze.x"]) == 2
    assert "inputs" not in shell.user_ns
    _, printed = run(shell, "%odibi load S1 --as 2x")
    assert "UsageError: %odibi load: --as '2x' is not a variable's name" in printed


def test_try_shows_and_returns_the_trial(shell, folder):
    """The trial shows its difference as text, and Python can use it."""
    trial, printed = run(shell, f"%%odibi try S1 --sample 1\n{FIXED}")
    assert trial.succeeded
    assert list(trial.outputs["silver.x"]["x"]) == [0.5, 0.5, 0.5]
    assert "silver.x: would be a new table with 3 rows" in printed
    assert "the change to make in the module's file" in printed
    assert '-    return frame.assign(x=frame["y"] / 2)' in printed
    assert "s3cret" not in printed
    assert not (folder / "projects" / "plant_one" / "lake" / "silver").exists()


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("%%odibi try S1\n\ndef halve(inputs:\n    pass", "line 3 of the cell: SyntaxError"),
        ("%%odibi try S1\nx = 1", "the cell defines no function; expected def halve(...)"),
        ("%odibi load S2", "no transformation 'S2'"),
        ("%odibi load", "the following arguments are required: ID"),
        ("%odibi load S1 --sample 2", "expected a share between 0 and 1, found 2"),
        ("%odibi debug B1", "its last attempt, in run"),
        ("%odibi debug NOPE", "no attempt of 'NOPE'"),
        ("%odibi log NOPE", "no attempt of 'NOPE'"),
        ("%odibi log B1 --run nope", "no attempt of 'B1' in run nope"),
        ("%%odibi explain S1\nx", "only run, plan, retry, try and register take"),
    ],
)
def test_a_mistake_is_one_message(shell, cell, message):
    """A mistake in the line gives one message without a traceback."""
    _, printed = run(shell, cell)
    assert message in printed
    assert "UsageError" in printed
    assert "Traceback" not in printed


def test_a_failure_of_this_session_is_shown_with_its_variables(shell):
    """Without a terminal to ask, debug shows frames, arguments and DataFrames; secrets are hidden."""
    run(shell, "r = %odibi run --log-level ERROR")
    report, printed = run(shell, "%odibi debug")
    assert report.transformation_id == "S1"
    assert "KeyError: 'y'" in printed
    assert "argument inputs = ['bronze.x']" in printed
    assert "frame = DataFrame: 3 rows × 3 columns" in printed
    assert "halving 3" in printed
    page = report._repr_html_()
    for shown in (printed, page):
        assert "s3cret" not in shown
    assert "frame[&quot;y&quot;] / 2" in page


def test_a_success_ends_the_post_mortem(shell, folder):
    """After the row's success, debug has nothing to show."""
    run(shell, "r = %odibi run --log-level ERROR")
    file = folder / "projects" / "plant_one" / "plant_functions.py"
    file.write_text(file.read_text().replace('frame["y"]', 'frame["x"]'))
    run(shell, "r = %odibi run --log-level ERROR")
    assert shell.user_ns["r"]["status"] == "success"
    assert FAILURES.newest_first() == []
    _, printed = run(shell, "%odibi debug S1")
    assert "its last attempt" in printed
    assert "is SUCCESS" in printed


def test_after_a_restart_the_traceback_comes_from_the_log(shell):
    """A new kernel has no frames: debug shows the traceback and the log's end, with the reason."""
    report, printed = run(shell, "%odibi debug last")
    assert report.frames == ()
    assert "plant_functions.py" in printed
    assert "halving 3" in printed
    assert "KeyError" in printed
    assert "its variables are gone" in printed
    assert "%odibi load S1 gets its inputs" in printed
    assert f"%odibi debug S1 --run {report.run_id}" in printed


def test_a_failed_trial_can_be_debugged(shell):
    """A failure in a cell can be debugged like a failure in a run, with the cell's lines."""
    run(shell, "%%odibi try S1\ndef halve(inputs, context):\n    seen = 7\n    return 1 / 0")
    _, printed = run(shell, "%odibi debug S1")
    assert "<%%odibi try S1>:4, in halve" in printed
    assert "seen = 7" in printed


def test_log_and_explain(shell):
    """`log` shows each attempt. `explain` shows function, neighbours, runs and table."""
    _, log = run(shell, "%odibi log S1")
    assert re.search(r"S1, attempt 1 in run \S+", log)
    assert "halving 3" in log
    assert "✖ FAILED: KeyError" in log
    report, text = run(shell, "%odibi explain S1")
    assert "plant_functions.halve" in text
    assert "plant_functions.py:10" in text
    assert re.search(r"← B1 +through bronze.x", text)
    assert "does not exist yet" in text
    assert "FAILED" in text
    assert "outputs, spark, env" in text
    page = report._repr_html_()
    assert "href='projects/plant_one/plant_functions.py'" in page
    assert "max_retries" not in text


# -- in kernels --------------------------------------------------------------------------------


def shown(outputs, kind="text/plain"):
    """Return everything that a cell printed and displayed as *kind*."""
    parts = [o["text"] for o in outputs if o["output_type"] == "stream"]
    parts += [o["data"][kind] for o in outputs if kind in o.get("data", ())]
    return "\n".join(parts)


@pytest.mark.usefixtures("warm_kernels")
def test_an_unwatched_notebook_gets_useful_text(folder):
    """Under nbclient, load prints the source, try shows the difference, debug shows the frames, and none asks."""
    _, load, trial, _, debug = execute(
        folder,
        "%load_ext odibi_nb",
        "%odibi load S1",
        f"%%odibi try S1\n{FIXED}",
        "%odibi run",
        "%odibi debug last",
        failing=(3,),
    )
    assert "%%odibi try S1" in shown(load)
    assert "would be a new table with 3 rows" in shown(trial)
    assert "<details open>" in shown(trial, "text/html")
    assert "frame = DataFrame: 3 rows × 3 columns" in shown(debug)
    assert "DataFrame: 3 rows × 3 columns" in html.unescape(shown(debug, "text/html"))


@pytest.mark.usefixtures("warm_kernels")
def test_a_failed_trial_fails_an_unwatched_notebook(folder):
    """Without a user, a failed trial raises after it has shown itself."""
    with pytest.raises(CellExecutionError) as failed:
        execute(folder, "%load_ext odibi_nb", "%odibi try S1")
    assert failed.value.ename == "TrialFailedError"
    assert failed.value.evalue == "S1 failed: KeyError: 'y'"


class Watched:
    """A kernel with a user: it answers questions with *answers*, and keeps the payloads."""

    def __init__(self, folder):
        self.manager, self.client = start_new_kernel(cwd=str(folder))

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def run(self, code, *answers):
        """Return the cell's printed text, and the payloads of its reply."""
        waiting, printed = [*answers], []

        def answer(message):
            printed.append(message["content"]["prompt"])
            self.client.input(waiting.pop(0))

        def keep(message):
            content = message["content"]
            printed.append(content.get("text", "") or content.get("data", {}).get("text/plain", ""))
            if message["msg_type"] == "error":
                printed.append(f"{content['ename']}: {content['evalue']}")

        reply = self.client.execute_interactive(
            code, timeout=60, stdin_hook=answer, output_hook=keep, allow_stdin=True
        )
        return "".join(printed), reply["content"].get("payload", [])


@pytest.fixture
def watched(folder, warm_kernels):
    kernel = Watched(folder)
    yield kernel
    kernel.close()


def test_a_watched_kernel_inserts_the_source_and_opens_the_debugger(watched):
    """Load puts the source into the next cell. Debug asks, also for a failure on a worker's thread."""
    watched.run("%load_ext odibi_nb")
    printed, payload = watched.run("%odibi load S1")
    (inserted,) = [p for p in payload if p["source"] == "set_next_input"]
    assert inserted["text"].startswith("%%odibi try S1\ndef halve(")
    assert inserted["replace"] is False
    assert "the next cell has its source" in printed
    watched.run("r = %odibi run --ui html")
    printed, _ = watched.run("%odibi debug", "p len(frame), inputs", "p constants", "q")
    assert "KeyError: 'y'" in printed
    assert "(3, ['bronze.x'])" in printed
    assert "{'retry': 0}" in printed
    assert "ipdb>" in printed
    printed, _ = watched.run("print('the kernel', 'goes on')")
    assert "the kernel goes on" in printed


STOPPING = """%%odibi try S1
def halve(inputs, context):
    frame = context.read(inputs[0])
    breakpoint()
    print("after", len(frame))
    return frame
"""


def test_a_breakpoint_in_a_tried_cell_opens_the_debugger(watched):
    """The debugger shows variables and steps through lines. Leaving it ends the trial."""
    watched.run("%load_ext odibi_nb")
    printed, _ = watched.run(STOPPING, "p len(frame), inputs", "n", "c")
    assert "(3, ['bronze.x'])" in printed
    assert "after 3" in printed
    assert "✔ S1 ran: 3 rows in, 3 rows out" in printed
    printed, _ = watched.run(STOPPING, "q")
    assert "✖ S1 was quit in the debugger" in printed
    printed, _ = watched.run("%odibi debug last", "p sorted(inputs)", "q")
    assert "KeyError: 'y'" in printed  # a trial that was left is no failure
    printed, _ = watched.run(
        "def f():\n    breakpoint()\nf()\nimport sys; print(sys.breakpointhook)"
    )
    assert "odibi" not in printed  # outside of a trial it is whose it was


@pytest.mark.usefixtures("warm_kernels")
def test_a_breakpoint_where_nobody_answers_is_passed_over(folder):
    """Without a user, and in a run, a breakpoint does not wait forever. The log has the alternative."""
    _, trial = execute(folder, "%load_ext odibi_nb", STOPPING)
    text = shown(trial)
    assert (
        "breakpoint() at <%%odibi try S1>:4 was skipped: only `%odibi try` in a notebook stops there"
        in text
    )
    assert "after 3" in text


def test_a_module_edited_in_a_living_kernel_is_used_at_once(watched, folder):
    """The next try and the next run use an edited module, and report it. The kernel does not restart."""
    watched.run("%load_ext odibi_nb\nkept = 5")
    watched.run("%odibi load S1")
    file = folder / "projects" / "plant_one" / "plant_functions.py"
    file.write_text(file.read_text().replace('frame["y"]', 'frame["x"]'))
    printed, _ = watched.run("%odibi try S1")
    assert "reloaded: plant_functions" in printed
    assert "would be a new table with 3 rows" in printed
    file.write_text(file.read_text() + "\n# edited again\n")
    printed, _ = watched.run("r = %odibi run --ui html\nprint(r['status'], kept)")
    assert "🔄 Reloading changed modules: plant_functions" in printed
    assert "success 5" in printed
