"""The versions of each Databricks LTS runtime: the package installs beside them, and works."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from environments.environment import ENVIRONMENTS

pytestmark = pytest.mark.environments
CORE = ("tests/core", "tests/engines", "tests/sinks/test_delta.py", "tests/views")
NOTEBOOK = "tests/notebook"
A_KERNEL = f"{NOTEBOOK}/test_kernel.py::test_a_run_ends_as_a_picture_and_a_table[widgets]"
ALL = (*CORE, NOTEBOOK)
SOME = (*CORE, f"--ignore={NOTEBOOK}/test_kernel.py", NOTEBOOK)
TESTS = {
    "dbr-14.3": [(*ALL, "tests/commands")],
    "dbr-15.4": [SOME, (A_KERNEL,)],
    "dbr-16.4": [SOME, (A_KERNEL,)],
    "dbr-17.3": [ALL],
}
"""Every kernel test takes seconds: the oldest and the newest run all of them, the others one."""


@pytest.fixture(scope="module")
def runs(request):
    """The tests of the environments that are asked for, started: two at a time, the long ones first."""
    items = [item for item in request.session.items if item.path == request.path]
    names = {item.callspec.params["name"] for item in items}
    with ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(run, name) for name in sorted(names, key=lambda n: len(TESTS[n]))}


def run(name):
    """Each call of pytest, as it ended."""
    environment = ENVIRONMENTS[name].build()
    return [environment.pytest(*tests) for tests in TESTS[name]]


@pytest.mark.parametrize("name", TESTS)
def test_the_runtimes_versions_will_do(name, runs, capsys):
    """No version that the runtime comes with changes, and the tests of core and notebook pass on them."""
    for done in runs[name].result():
        with capsys.disabled():
            print(f"\n{name} (Python {ENVIRONMENTS[name].version}): {done.stdout.splitlines()[-1]}")
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"
