"""The versions of each Databricks runtime: the package installs beside them, and works.

The whole suite runs on the newest of everything. What an installation would replace is asked of the resolver
for every runtime, which takes a second each. Tests run again where other versions can change their outcome,
each pair of a subject and a version once:

- dbr-14.3 has the oldest Python, pandas, plotly, IPython and ipywidgets: core, tables of pandas, notebook, a
  kernel. Its delta-rs is the newest.
- dbr-18 has the oldest delta-rs (1.1.4) and the ipywidgets of all runtimes between (7.8): tables, kernels.
  Its libraries are those of serverless environment 5.
- dbr-19 has a delta-rs between, no plotly, and a filelock (3.29) that removes the files of its locks: locks
  and journals, tables of delta-rs, magics and live views, a kernel. Its Python is dbr-18's. Its pandas, IPython and ipywidgets lie
  between the other environments' and the newest. Its libraries are those of serverless environment 6, except
  for ipywidgets, which is dbr-18's there.

The other runtimes lie between these three in every library: with ``ODIBI_TEST_THOROUGH=1`` all of them run
tables, notebook and a kernel, and the three run the whole of core and views.

What runs nowhere but on the newest versions by default, and why nothing is missed:

- dbr-14.3 leaves out the parts of core that take seconds because they wait, race or try many cases, and whose
  imports and calls of the standard library the other parts of core share (`WAITING`).
- Views are text from records: they import nothing that a runtime brings. Pictures by plotly are the exception.
- No environment has Spark: runtimes have Databricks' own, which no package index has.
"""

from __future__ import annotations

import pytest
from environments.environment import ENVIRONMENTS, ROOT
from thorough import THOROUGH

pytestmark = pytest.mark.environments

EXTRAS = {
    "databricks": {"msgspec", "sqlglot", "tomli"},
    "databricks-pandas,sql": {
        *("arro3-core", "deltalake", "deprecated", "duckdb", "fsspec", "greenlet", "msgspec"),
        *("sqlalchemy", "sqlglot", "tomli", "typing-extensions", "wrapt"),
    },
}
"""Extras of an install line, and every library that they may add to a runtime."""
LACKED = {"filelock"}
"""Serverless environments 3 and 4 do not have it."""
REPLACED = {"deprecated", "wrapt", "typing-extensions"}
"""Small libraries without a part in the runtime, of which deltalake or SQLAlchemy want a newer one."""

WAITING = (
    "planning/test_forecast.py",
    "planning/test_selection.py",
    "running/test_coordinator.py",
    "running/test_coordinator_properties.py",
    "running/test_timeouts.py",
    "runlog/test_recovery.py",
    "text/test_counts.py",
)
PLOTLY = ("tests/views/run/test_gantt_plotly.py", "tests/views/run/test_run_page.py")
NOTEBOOK = tuple(
    sorted(
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests" / "notebook").rglob("test_*.py")
        if path.stem
        not in ("test_background", "test_debugging", "test_debugging_notebook", "test_kernel")
    )
)
"""The notebook's tests without those that start many kernels."""
KERNEL_TESTS = "tests/notebook/test_kernel.py"
A_KERNEL = f"{KERNEL_TESTS}::test_a_run_ends_as_a_picture_and_a_table[widgets]"
KERNELS = (
    A_KERNEL,
    f"{KERNEL_TESTS}::test_a_run_ends_as_a_picture_and_a_table[auto]",
    f"{KERNEL_TESTS}::test_a_broken_picture_does_not_fail_the_run",
    f"{KERNEL_TESTS}::test_what_transformations_print_is_not_in_the_cell",
    f"{KERNEL_TESTS}::test_the_magic_is_there_without_loading_it",
    f"{KERNEL_TESTS}::test_a_run_in_one_cell_can_be_cancelled_from_a_thread_of_another",
)
PANDAS = ("tests/engines/pandas", "tests/engines/test_far_times.py")
DELTA = ("tests/engines/delta", "tests/sinks/test_delta.py")
LOCKS = (
    "tests/core/process",
    "tests/core/runlog/test_recovery.py",
    "tests/core/runlog/test_run_lock.py",
    "tests/core/running/test_orchestrator.py",
    "tests/faults/test_other_processes.py::test_cancel_reaches_a_run_in_another_process",
)
NO_PLOTLY = ("tests/notebook/live", "tests/notebook/test_magic.py")
WITHOUT_WAITING = tuple(f"--ignore=tests/core/{path}" for path in WAITING)
TESTS = {
    "dbr-14.3": ("tests/core", *WITHOUT_WAITING, *PLOTLY, *PANDAS, *NOTEBOOK, A_KERNEL),
    "dbr-18": (*PANDAS, *DELTA, *KERNELS),
    "dbr-19": (*LOCKS, *DELTA, *(t for t in NOTEBOOK if t.startswith(NO_PLOTLY)), A_KERNEL),
}
"""Environment to what it runs; the longest first, so that two processes begin with the two longest."""
if THOROUGH:
    TESTS = {
        name: (
            *(("tests/core", "tests/views") if name in TESTS else ()),
            *PANDAS,
            *DELTA,
            *NOTEBOOK,
            A_KERNEL,
        )
        for name in ENVIRONMENTS
    }


@pytest.mark.parametrize("name", TESTS)
def test_the_runtimes_versions_will_do(name, record_property):
    """An installation changes no version of the runtime, and the tests pass on them."""
    environment = ENVIRONMENTS[name].build()
    done = environment.pytest(*TESTS[name])
    ends = [line for line in done.stdout.splitlines() if " passed" in line or " failed" in line]
    record_property("environment", f"{name} (Python {environment.version}): {'; '.join(ends)}")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "extras"),
    [
        *((name, "databricks-pandas,sql") for name in ENVIRONMENTS),
        *((name, "databricks") for name in (ENVIRONMENTS if THOROUGH else ("dbr-14.3", "dbr-19"))),
    ],
)
def test_an_installation_replaces_nothing_that_matters(name, extras, tmp_path):
    """On every runtime the extras for Databricks leave its libraries unchanged, and add few others."""
    environment = ENVIRONMENTS[name]
    before = {**environment.replaced_anyway, **environment.versions}
    after = environment.install_line(extras.split(","), tmp_path)
    replaced = {
        library for library in after if before.get(library, after[library]) != after[library]
    }
    assert replaced <= REPLACED
    assert after.keys() - before.keys() <= EXTRAS[extras] | LACKED
