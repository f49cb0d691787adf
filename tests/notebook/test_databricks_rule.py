"""The outputs of a run on Databricks, which changes only the cell that runs and keeps no widgets."""

from __future__ import annotations

import pytest
from databricks_front_end import kept, run_cells
from notebook_cells import printed
from real_project import make_project, registry_row

pytestmark = pytest.mark.usefixtures("warm_kernels")
FUNCTIONS = """
import pathlib, time

def held():
    pathlib.Path("started").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.01)

def bad():
    raise KeyError("no such column")
"""
LOAD = "%load_ext odibi_nb\nimport pathlib, time\n"
STARTED = "while not pathlib.Path('started').exists(): time.sleep(0.01)\n"
BOXES = """
def shown(view):
    return " ".join(box.children[0].value for box in view.surface._boxes)
"""


@pytest.fixture
def folder(tmp_path):
    rows = [
        registry_row("HELD", "Bronze", "held"),
        registry_row("BAD", "Bronze", "bad", constants={"retry": 0}),
    ]
    make_project(tmp_path, rows=rows, functions=FUNCTIONS)
    return tmp_path


def test_a_background_run_and_its_watcher(folder):
    """Cells of live pictures say where the result will be; the widgets, `r` and `watch` have it after the end."""
    outputs, _ = run_cells(
        folder,
        f"{LOAD}r = %odibi run 'Plant One' --background",
        f"{STARTED}%odibi watch last",
        f"{BOXES}pathlib.Path('go').touch()\nr.wait()\nprint(shown(r._view))",
        "r",
        "%odibi watch last",
        serverless=True,
    )
    background, watching, ended, result, past = outputs
    for live in (background, watching):
        assert "Databricks does not keep a live picture" in " ".join(kept(live))
        fallbacks = [output["data"]["text/plain"] for output in live if "data" in output]
        assert "Starting" not in " ".join(fallbacks)
        assert all("%odibi watch last" in text for text in fallbacks)
    for text in (printed(ended), *(" ".join(kept(one)) for one in (result, past))):
        assert "no such column" in text
        assert "HELD" in text


def test_a_blocking_run_is_kept_in_its_cell(folder):
    """While the cell runs, all of its outputs can be changed, and at its end they are picture and table."""
    (folder / "go").touch()
    ((run,), ignored) = run_cells(folder, f"{LOAD}%odibi run 'Plant One'")
    assert ignored == 0
    assert "no such column" in " ".join(kept(run))
    assert len(kept(run)) == len(run)


def test_the_panel_shows_the_result_in_a_later_cell(folder):
    """After a run of the panel, the panel in one more cell has the result without widgets, too."""
    outputs, _ = run_cells(
        folder,
        f"{LOAD}p = %odibi panel 'Plant One'\np",
        "pathlib.Path('go').touch()\np.run()\np.wait()",
        "p",
    )
    assert "no such column" in " ".join(kept(outputs[-1]))


def test_a_job_has_no_widgets(folder):
    """In a job a run is HTML from the start, and a failed run fails the task."""
    (folder / "go").touch()
    outputs, ignored = run_cells(
        folder,
        f"{LOAD}%odibi doctor",
        "from odibi_nb.errors import RunFailedError\n"
        "try:\n    get_ipython().run_line_magic('odibi', \"run 'Plant One'\")\n"
        "except RunFailedError as exc:\n    print('failed:', exc)",
        job=True,
    )
    doctor, run = outputs
    assert ignored == 0
    assert "a job: its page keeps no widgets" in " ".join(kept(doctor))
    assert len(kept(run)) == len(run)
    assert "failed: run " in printed(run)
