"""%odibi in a real kernel: what is shown live, and what a saved notebook keeps."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from real_project import default_rows, make_project, registry_row


def execute(folder, *cells):
    """Run the cells in a new kernel whose working directory is *folder*; their outputs."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": folder}}
    )
    client.execute()
    return [cell["outputs"] for cell in notebook.cells]


def displayed(outputs, kind):
    return [o["data"][kind] for o in outputs if o["output_type"] != "stream" and kind in o["data"]]


def test_a_run_ends_as_one_table_in_the_cells_output(tmp_path):
    """The live table ends with the final state, once, as HTML and as text, in the cell that ran it."""
    make_project(tmp_path)
    _, run, again, _ = execute(
        tmp_path,
        "%load_ext odibi_nb",
        '%odibi run "Plant One" --env qat',
        '%odibi run "Plant One" --env qat',
        "result = _\nresult",
    )
    for outputs in (run, again):
        pages = displayed(outputs, "text/html")
        assert len(pages) == 1
        assert pages[0].count("SUCCESS") == 2
        assert "2 of 2 done" in pages[0]
        assert displayed(outputs, "text/plain")[0].startswith("Plant One (env=qat) success")


def test_a_failed_run_fails_an_unattended_notebook(tmp_path):
    """Where nobody looks on, a failed run raises after it has shown its table."""
    make_project(tmp_path, rows=[*default_rows(), registry_row("S2", "Silver_1", "broken")])
    with pytest.raises(CellExecutionError, match="RunFailedError"):
        execute(tmp_path, "%load_ext odibi_nb", '%odibi run "Plant One"')


def test_nothing_heavy_is_imported_until_it_is_used(tmp_path):
    """%load_ext imports neither pandas, deltalake, SQLAlchemy nor plotly."""
    make_project(tmp_path)
    code = (
        "%load_ext odibi_nb\nimport sys\n"
        "print({'pandas', 'deltalake', 'sqlalchemy', 'plotly', 'pyspark', 'duckdb'} & set(sys.modules))"
    )
    (outputs,) = execute(tmp_path, code)
    assert outputs[0]["text"].strip() == "set()"


def test_what_transformations_print_is_not_in_the_cell(tmp_path):
    """Output of transformations is theirs: the cell shows the table only, the result keeps the log."""
    make_project(tmp_path)
    _, outputs = execute(
        tmp_path,
        "%load_ext odibi_nb",
        'r = %odibi run "Plant One"\nprint("LOG:", r.transformations["B1"].log)',
    )
    text = "".join(o["text"] for o in outputs if o["output_type"] == "stream")
    assert text.startswith("LOG: loading 3")


def test_the_magic_is_there_without_loading_it(tmp_path):
    """The installed start-up file makes %odibi work in a new kernel; nothing is imported before."""
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
    functions = "import time\ndef load(context):\n    time.sleep(0.2)\ndef double():\n    pass\n"
    make_project(tmp_path, functions=functions)
    _, _, outputs = execute(
        tmp_path,
        "%load_ext odibi_nb\nimport threading",
        "def ask(payload):\n    get_ipython().run_line_magic('odibi', 'cancel')\n"
        "from odibi_nb import HookManager, run_project\nhooks = HookManager()\n"
        "hooks.register('transform_start', lambda p: threading.Thread(target=ask, args=(p,)).start())",
        "r = run_project('Plant One', hooks=hooks)\nprint(r['status'], r.counts())",
    )
    text = "".join(o["text"] for o in outputs if o["output_type"] == "stream")
    assert "cancelled {'SUCCESS': 1, 'CANCELLED': 1}" in text
