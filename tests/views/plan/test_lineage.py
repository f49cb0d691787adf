"""The text of a lineage: the rows layer by layer, with what each of them waits for."""

from __future__ import annotations

from views.plans import planned, task

from odibi_nb.views.plan.lineage import Lineage


def test_a_status_of_a_newer_version_looks_like_a_waiting_row(tmp_path):
    """The run log may have been written by a newer version, whose statuses are shown as their words."""
    plan = planned(tmp_path, task("A"), task("B", "Silver_1", ["A"]))
    text = repr(Lineage(title="+B", plan=plan, states={"A": "PAUSED", "B": "SUCCESS"}))
    first, second = (line for line in text.splitlines() if "(" in line)
    assert first.split()[1:] == ["A", "(PAUSED)"]
    assert second.split()[1:] == ["B", "←", "A", "(SUCCESS)"]
