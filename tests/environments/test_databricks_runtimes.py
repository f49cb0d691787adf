"""The versions of each Databricks LTS runtime: the package installs beside them, and works.

The whole suite runs on the newest of everything. Tests run again here if other versions can change their
outcome, and only once for each set of versions:

- dbr-14.3 is the oldest Python and the oldest of each library: core, views, tables and notebook.
- dbr-17.3 is the newest Python and a pandas between the oldest and the newest: tables, the run log on Delta,
  the notebook, and of the core what plans and runs a project.
- dbr-15.4 and dbr-16.4 have the pandas of dbr-14.3 and ipywidgets as old, beside another Python, IPython and
  pyarrow: the notebook, and of the core what plans and runs a project.

No environment has Spark. Each starts pytest once. A kernel costs seconds: dbr-17.3 runs all of
test_kernel.py on its ipykernel, the others one test, which shows whether a kernel draws a run at all.
"""

from __future__ import annotations

import pytest
from environments.environment import ENVIRONMENTS, ROOT

pytestmark = pytest.mark.environments

HEART = (
    "tests/core/model/test_manifest.py",
    "tests/core/planning/test_plan.py",
    "tests/core/running/test_coordinator.py",
    "tests/core/running/test_orchestrator.py",
)
NOTEBOOK = tuple(
    sorted(
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests" / "notebook").rglob("test_*.py")
        if path.stem
        not in ("test_background", "test_debugging", "test_debugging_notebook", "test_kernel")
    )
)
"""The notebook's tests without those that start many kernels."""
KERNELS = "tests/notebook/test_kernel.py"
A_KERNEL = f"{KERNELS}::test_a_run_ends_as_a_picture_and_a_table[widgets]"
TABLES = ("tests/engines", "--ignore=tests/engines/spark", "tests/sinks/test_delta.py")
TESTS = {
    "dbr-14.3": ("tests/core", "tests/views", *TABLES, *NOTEBOOK, A_KERNEL),
    "dbr-17.3": (*HEART, *TABLES, *NOTEBOOK, KERNELS),
    "dbr-16.4": (*HEART, *NOTEBOOK, A_KERNEL),
    "dbr-15.4": (*HEART, *NOTEBOOK, A_KERNEL),
}
"""Environment to what it runs; the longest first, so that two processes begin with the two longest."""


@pytest.mark.parametrize("name", TESTS)
def test_the_runtimes_versions_will_do(name, record_property):
    """No version that the runtime comes with changes, and the tests of core and notebook pass on them."""
    environment = ENVIRONMENTS[name].build()
    done = environment.pytest(*TESTS[name])
    ends = [line for line in done.stdout.splitlines() if " passed" in line or " failed" in line]
    record_property("environment", f"{name} (Python {environment.version}): {'; '.join(ends)}")
    assert done.returncode == 0, done.stdout
