"""The versions of each Databricks LTS runtime: the package installs beside them, and works."""

from __future__ import annotations

import pytest
from environments.environment import ENVIRONMENTS

pytestmark = pytest.mark.environments
CORE = ("tests/core", "tests/views", "tests/engines", "tests/sinks/test_delta.py")
HEART = (
    "tests/core/model/test_manifest.py",
    "tests/core/planning/test_plan.py",
    "tests/core/running/test_coordinator.py",
    "tests/core/running/test_orchestrator.py",
)
NOTEBOOK = "tests/notebook"
A_KERNEL = f"{NOTEBOOK}/test_kernel.py::test_a_run_ends_as_a_picture_and_a_table[widgets]"
MANY_KERNELS = [
    f"--ignore={NOTEBOOK}/{name}.py"
    for name in ("live/test_background", "test_debugging", "test_debugging_notebook")
]
KERNELS = [*MANY_KERNELS, f"--ignore={NOTEBOOK}/test_kernel.py"]
TESTS = {
    "dbr-17.3": [(*CORE, *MANY_KERNELS, NOTEBOOK)],
    "dbr-14.3": [(*CORE, *KERNELS, NOTEBOOK), (A_KERNEL,)],
    "dbr-15.4": [(*HEART, *KERNELS, NOTEBOOK), (A_KERNEL,)],
    "dbr-16.4": [(*HEART, *KERNELS, NOTEBOOK), (A_KERNEL,)],
}
"""All of core and tables with the oldest and the newest: what is between has the oldest's pandas.

Every kernel takes seconds, so most run one.
"""


@pytest.mark.parametrize("name", TESTS)
def test_the_runtimes_versions_will_do(name, record_property):
    """No version that the runtime comes with changes, and the tests of core and notebook pass on them."""
    environment = ENVIRONMENTS[name].build()
    done = [environment.pytest(*tests) for tests in TESTS[name]]
    said = "".join(output.stdout for output in done)
    ends = [line for line in said.splitlines() if " passed" in line or " failed" in line]
    record_property("environment", f"{name} (Python {environment.version}): {'; '.join(ends)}")
    assert [output.returncode for output in done] == [0] * len(done), said
