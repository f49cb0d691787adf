"""The versions of each Databricks LTS runtime: the package installs beside them, and works.

The whole suite runs on the newest of everything. Tests run again here if other versions can change their
outcome, and only once for each set of versions:

- dbr-14.3 is the oldest Python and the oldest of each library: core, views, tables and notebook.
- dbr-17.3 is the newest Python and a pandas between the oldest and the newest: tables, the run log on Delta,
  the notebook, and of the core what plans and runs a project.
- dbr-16.4 has the pandas and the ipywidgets of dbr-14.3, and Python as the whole suite, beside another
  IPython, traitlets and ipykernel: the notebook.
- dbr-15.4 has the versions of dbr-14.3 but for the last figure, and Python as the whole suite: that the
  package installs beside them, the magic, and a kernel.

No environment has Spark. Each starts pytest once, and tries properties on few examples. A kernel costs
seconds: dbr-17.3 runs those tests of test_kernel.py that depend on the kernel's messages, the others one,
which shows whether a kernel draws a run at all.
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
TABLES = ("tests/engines", "--ignore=tests/engines/spark", "tests/sinks/test_delta.py")
TESTS = {
    "dbr-14.3": ("tests/core", "tests/views", *TABLES, *NOTEBOOK, A_KERNEL),
    "dbr-17.3": (*HEART, *TABLES, *NOTEBOOK, *KERNELS),
    "dbr-16.4": (*NOTEBOOK, A_KERNEL),
    "dbr-15.4": ("tests/notebook/test_magic.py", A_KERNEL),
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
