"""The versions of each Databricks LTS runtime: the package installs beside them, and works."""

from __future__ import annotations

import pytest
from environments.environment import ENVIRONMENTS
from environments.in_background import SKIPPED, TESTS

pytestmark = pytest.mark.environments


@pytest.mark.parametrize("name", TESTS)
def test_the_runtimes_versions_will_do(name, runs, capsys):
    """No version that the runtime comes with changes, and the tests of core and notebook pass on them."""
    code, said = runs.result(name)
    if code == SKIPPED:
        pytest.skip(said.strip())
    ends = [line for line in said.splitlines() if " passed" in line or " failed" in line]
    with capsys.disabled():
        print(f"\n{name} (Python {ENVIRONMENTS[name].version}): {'; '.join(ends)}")
    assert code == 0, said
