"""%odibi in a real kernel: the live display, and the contents of a saved notebook."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbconvert import HTMLExporter
from notebook_cells import displayed, execute
from pages import without_our_script
from real_project import FUNCTIONS, default_rows, make_project, registry_row

pytestmark = pytest.mark.usefixtures("warm_kernels")
PLOTLY = "application/vnd.plotly.v1+json"


@pytest.fixture
def cold_kernels(warm_kernels, monkeypatch):
    """Kernels that have imported nothing."""
    monkeypatch.delenv("JUPYTER_PATH")


@pytest.mark.parametrize("ui", ["auto", "html", "widgets", "plotly"])
def test_a_run_ends_as_a_picture_and_a_table(tmp_path, ui):
    """Every kind of picture has summary, Gantt chart as Plotly and SVG, and table once each, in the
    cell that ran the run.
    """
    make_project(tmp_path)
    _, run, again, _ = execute(
        tmp_path,
        "%load_ext odibi_nb",
        f'%odibi run "Plant One" --env qat --ui {ui}',
        f'%odibi run "Plant One" --env qat --ui {ui}',
        "result = _\nresult",
    )
    for outputs in (run, again):
        summary, picture, table, *_ = displayed(outputs, "text/html")
        assert "role='img' aria-label='Gantt chart of Plant One: 2 success'" in picture
        assert "2 of 2 done" in summary
        assert table.count("SUCCESS</b>") == 2
        assert "<script" not in without_our_script(picture + table)
        (figure,) = displayed(outputs, PLOTLY)
        expected = [] if outputs is run else ["expected"]  # the second run has a history
        words = [
            name for t in figure["data"] for name in ("expected", "success") if name in t["name"]
        ]
        assert words == [*expected, "success"]
        assert displayed(outputs, "text/plain")[0].startswith("Plant One (env=qat) success")
        assert not displayed(outputs, "application/vnd.jupyter.widget-view+json")


def test_nbconvert_shows_picture_and_table(tmp_path):
    """A notebook that ran without a front end becomes HTML with the SVG and the table."""
    make_project(tmp_path)
    outputs = execute(tmp_path, "%load_ext odibi_nb", '%odibi run "Plant One"')[1]
    cell = nbformat.v4.new_code_cell("", outputs=outputs)
    page, _ = HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    assert "Gantt chart of Plant One: 2 success" in page
    assert page.count("SUCCESS</b>") == 2


def test_each_row_keeps_its_log_and_traceback(tmp_path):
    """After the run, a row's output unfolds below it, and the traceback of a failed row."""
    rows = [*default_rows(), registry_row("S2", "Silver_1", "broken")]
    make_project(tmp_path, rows=rows)
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell('%load_ext odibi_nb\n%odibi run "Plant One" --retries 0')]
    )
    resources = {"metadata": {"path": tmp_path}}
    with pytest.raises(CellExecutionError):
        NotebookClient(notebook, kernel_name="python3", resources=resources).execute()
    *_, table = displayed(notebook.cells[0]["outputs"], "text/html")
    assert "<summary>log</summary><pre>loading 3" in table
    assert "<summary>traceback</summary><pre>Traceback" in table
    assert "plant_functions.py" in table
    assert "&lt;script&gt;" in table
    assert "<script" not in without_our_script(table)


def test_a_broken_picture_does_not_fail_the_run(tmp_path):
    """If widgets cannot be made, the run is shown as HTML and succeeds."""
    make_project(tmp_path)
    broken = "import ipywidgets\ndef no(*a, **k): raise OSError('no widgets')\nipywidgets.HTML = no"
    _, outputs = execute(
        tmp_path, f"%load_ext odibi_nb\n{broken}", '%odibi run "Plant One" --ui widgets'
    )
    _, picture, table, _ = displayed(outputs, "text/html")
    assert "2 success" in picture
    assert table.count("SUCCESS</b>") == 2


@pytest.mark.parametrize(("count", "limit"), [(20, 100_000), (2_000, 300_000)])
def test_a_saved_notebook_is_small(tmp_path, count, limit):
    """A saved run takes 100 kB for 20 rows and 300 kB for 2,000, without the PNG that JupyterLab adds."""
    functions = "def nothing():\n    pass\n"
    rows = [registry_row(f"SILVER_{i:04}", "Silver_1", "nothing") for i in range(count)]
    make_project(tmp_path, functions=functions, rows=rows)
    code = '%load_ext odibi_nb\nr = %odibi run "Plant One" --ui widgets'
    outputs = execute(tmp_path, code)
    cell = nbformat.v4.new_code_cell(code, outputs=outputs[0])
    assert len(nbformat.writes(nbformat.v4.new_notebook(cells=[cell]))) < limit


def test_a_failed_run_fails_an_unattended_notebook(tmp_path):
    """Without a user, a failed run raises after it has shown its table."""
    make_project(tmp_path, rows=[*default_rows(), registry_row("S2", "Silver_1", "broken")])
    with pytest.raises(CellExecutionError, match="RunFailedError"):
        execute(tmp_path, "%load_ext odibi_nb", '%odibi run "Plant One"')


def test_nothing_heavy_is_imported_until_it_is_used(tmp_path, cold_kernels):
    """%load_ext imports neither pandas, deltalake, SQLAlchemy nor plotly."""
    make_project(tmp_path)
    code = (
        "%load_ext odibi_nb\nimport sys\n"
        "print({'pandas', 'deltalake', 'sqlalchemy', 'plotly', 'pyspark', 'duckdb'} & set(sys.modules))"
    )
    (outputs,) = execute(tmp_path, code)
    assert outputs[0]["text"].strip() == "set()"


def test_what_transformations_print_is_not_in_the_cell(tmp_path):
    """The cell shows only the table, without the output of transformations. The result keeps their log."""
    make_project(tmp_path)
    _, outputs = execute(
        tmp_path,
        "%load_ext odibi_nb",
        'r = %odibi run "Plant One"\nprint("LOG:", r.transformations["B1"].log)',
    )
    text = "".join(o["text"] for o in outputs if o["output_type"] == "stream")
    assert text.startswith("LOG: loading 3")


def test_the_magic_is_there_without_loading_it(tmp_path, cold_kernels):
    """The installed start-up file makes %odibi work in a new kernel, and imports nothing before its use."""
    make_project(tmp_path)
    before, after = execute(
        tmp_path,
        "import sys\nprint('odibi_nb' in sys.modules)",
        '%odibi registry list "Plant One"',
    )
    assert before[0]["text"].strip() == "False"
    assert "B1" in displayed(after, "text/plain")[0]


def test_a_run_in_one_cell_can_be_cancelled_from_a_thread_of_another(tmp_path):
    """%odibi cancel ends a run of the same kernel, asked from another thread."""
    functions = (
        "import pathlib, time\ndef load():\n    while not pathlib.Path('asked').exists():\n"
        "        time.sleep(0.01)\ndef double():\n    pass\n"
    )
    make_project(tmp_path, functions=functions)
    _, _, outputs = execute(
        tmp_path,
        "%load_ext odibi_nb\nimport pathlib, threading",
        "def ask(payload):\n    get_ipython().run_line_magic('odibi', 'cancel')\n"
        "from odibi_nb import HookManager, run_project\nhooks = HookManager()\n"
        "hooks.register('transform_start', lambda p: threading.Thread(target=ask, args=(p,)).start())\n"
        "hooks.register('run_cancel_requested', lambda p: pathlib.Path('asked').touch())",
        "r = run_project('Plant One', hooks=hooks)\nprint(r['status'], r.counts())",
    )
    text = "".join(o["text"] for o in outputs if o["output_type"] == "stream")
    assert "cancelled {'SUCCESS': 1, 'CANCELLED': 1}" in text


def test_retry_in_a_new_kernel_goes_on_from_one_that_died(tmp_path):
    """After the kernel dies during a run, a new one retries the rest, and its picture names the run."""
    functions = FUNCTIONS.replace(
        "    frame = context.read(inputs[0])\n",
        "    import os, pathlib\n"
        "    if pathlib.Path('dies').exists():\n"
        "        os._exit(9)\n"
        "    frame = context.read(inputs[0])\n",
    )
    make_project(tmp_path, functions=functions)
    (tmp_path / "dies").touch()
    with pytest.raises(DeadKernelError):
        execute(tmp_path, "%load_ext odibi_nb", '%odibi run "Plant One"')
    (tmp_path / "dies").unlink()
    _, retry, history, nothing = execute(
        tmp_path,
        "%load_ext odibi_nb",
        "%odibi retry",
        "h = %odibi history\nh['retry_of'][0] == h['run_id'][1], h['status'].tolist()",
        "%odibi retry",
    )
    summary, _, table = displayed(retry, "text/html")
    assert "1 of 1 done" in summary
    assert "retry of 20" in summary
    assert table.count("<tbody") == 1
    assert displayed(history, "text/plain") == ["(True, ['success', 'failed'])"]
    words, said = nothing
    assert words["data"]["text/plain"] == ""  # the words before the plan are gone
    assert "nothing to retry: all 2 transformations" in said["text"]


@pytest.mark.parametrize("options", ["--ui html", "--ui widgets", "--ui plotly", "--background"])
def test_an_ended_run_is_not_kept_in_memory(tmp_path, options):
    """After its end, no widget and no command of the kernel keeps the run's project, plan or view alive."""
    make_project(tmp_path)
    wait = "r.wait()" if options == "--background" else ""
    run = f'r = %odibi run "Plant One" {options}\n{wait}'
    *_, counted = execute(
        tmp_path,
        "%load_ext odibi_nb",
        run,
        run,
        "r = None",
        """
import gc
import time
from odibi_nb.api import GenericProjectOrchestrator
from odibi_nb.notebook.live.view import LiveView

def alive():
    gc.collect()
    kept = (LiveView, GenericProjectOrchestrator)
    return sum(isinstance(one, kept) for one in gc.get_objects())

until = time.monotonic() + 20
while alive() and time.monotonic() < until:  # a thread of the run may still be about to end
    time.sleep(0.05)
print("alive:", alive())
""",
    )
    assert "".join(output.get("text", "") for output in counted) == "alive: 0\n"
