"""The versions of each Databricks LTS runtime: the package installs beside them, and works."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from environments.environment import ENVIRONMENTS

pytestmark = pytest.mark.environments
EVERYWHERE = (
    "tests/engines",
    "tests/sinks/test_delta.py",
    "tests/views",
    "tests/notebook/test_environment.py",
    "tests/notebook/test_live.py",
    "tests/notebook/test_magic.py",
)
A_KERNEL = "tests/notebook/test_kernel.py::test_a_run_ends_as_a_picture_and_a_table"
SOME = (*EVERYWHERE, f"{A_KERNEL}[widgets]", f"{A_KERNEL}[html]")
ALL = ("tests/commands", "tests/core", "tests/notebook", *EVERYWHERE[:3])
TESTS = {"dbr-14.3": ALL, "dbr-15.4": SOME, "dbr-16.4": SOME, "dbr-17.3": ALL}
"""Oldest and newest run everything that has to do with kernels; what differs between the others is less."""


@pytest.fixture(scope="module")
def runs(request):
    """The tests of the environments that are asked for, started: two at a time, the long ones first."""
    items = [item for item in request.session.items if item.path == request.path]
    names = {item.callspec.params["name"] for item in items}
    with ThreadPoolExecutor(2) as pool:
        yield {n: pool.submit(run, n) for n in sorted(names, key=lambda n: TESTS[n] is not ALL)}


def run(name):
    return ENVIRONMENTS[name].build().pytest(*TESTS[name])


@pytest.mark.parametrize("name", TESTS)
def test_the_runtimes_versions_will_do(name, runs, capsys):
    """No version that the runtime comes with changes, and the tests of core and notebook pass on them."""
    done = runs[name].result()
    with capsys.disabled():
        print(f"\n{name} (Python {ENVIRONMENTS[name].version}): {done.stdout.splitlines()[-1]}")
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    assert re.search(r"\d{3} passed", done.stdout)
