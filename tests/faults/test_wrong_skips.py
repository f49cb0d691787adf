"""Generated changes of code, configuration and data: no row is skipped wrongly, and few run needlessly."""

from __future__ import annotations

from stale_project import StaleProject, mutations
from thorough import TIMES

FEW, MANY = 4, 320
"""Generated cases by default, and in a thorough run."""


def test_no_generated_change_leads_to_a_wrong_skip(tmp_path, clean_modules):
    """After any change, each row that would write other data runs, and hardly any other row does."""
    wrong, needless, total = mutations(StaleProject(tmp_path), FEW if TIMES == 1 else MANY)
    assert wrong == []
    assert len(needless) <= 0.05 * total, needless
