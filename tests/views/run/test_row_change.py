"""The change of a table in a few characters, and the reason why a row ran."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace as changed
from pages import without_our_script
from views.snapshots import EVIL, bar, run
from views.snapshots import row as row_of

from odibi_nb.core.model.provenance import OutputWritten
from odibi_nb.views.run.gantt import gantt_of
from odibi_nb.views.run.row_change import change_lines, change_of
from odibi_nb.views.run.table import table_html, table_parts


def outputs(*some):
    """Return outputs as in an event. A key without a value is missing."""
    return msgspec.to_builtins(
        [OutputWritten(table="silver.x", mode="merge", **one) for one in some]
    )


def counts(added, changed, removed):
    return {"added": added, "changed": changed, "removed": removed}


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ([], ""),
        ([counts(1204, 3, 0)], "+1,204 ~3 −0"),
        ([counts(12_034, None, 12_010)], "+24 net"),
        ([counts(2, None, 1_005)], "−1,003 net"),
        ([counts(5, None, 5)], "±0 net"),
        ([{}], ""),
        ([{"rows": 5}], ""),
        ([{**counts(0, 0, 0), "unchanged": True}], "= unchanged"),
        ([{**counts(0, 0, 0), "unchanged": True}, counts(3, 1, 2)], "+3 ~1 −2"),
        ([counts(3, 1, 2), counts(4, 0, 0)], "+7 ~1 −2"),
        ([counts(3, 1, 2), counts(4, None, 1)], "+4 net"),
        ([counts(3, 1, 2), {}], ""),
    ],
)
def test_the_change_of_all_tables_in_a_few_characters(written, text):
    """The text has added, updated and removed rows, a net number for an overwrite, and nothing if
    one table's change is unknown.
    """
    assert change_of(outputs(*written)) == text


@pytest.mark.parametrize(
    "damaged", [[None], ["x"], [{"added": "9"}], [{"table": 1, "added": True}]]
)
def test_a_damaged_record_has_no_change(damaged):
    """Invalid values in a log of another program break neither table nor tooltip."""
    change_of(damaged)
    change_lines(damaged)


def test_a_line_has_the_versions():
    """Each table has its versions before and after, in the form of `diff`."""
    assert change_lines(
        outputs(
            {"version": 42, "previous_version": 41, **counts(3, 0, 1)},
            {"version": 0, **counts(7, 0, 0)},
            {"version": 4, "previous_version": 4, "unchanged": True},
            {"version": 5, "previous_version": 4},
            {},
        )
    ) == (
        "silver.x v41 → v42: +3 ~0 −1",
        "silver.x new, v0: +7 ~0 −0",
        "silver.x v4 = unchanged",
        "silver.x v4 → v5",
        "silver.x",
    )


def explained():
    """A run of stale rows, with a row that ran and a fresh one."""
    ran = changed(bar(1, 0, 1), written=("silver.x v1 → v2: +3 ~0 −1",))
    return run(
        changed(row_of("A", ran), change="+3 ~0 −1", why=f"code changed ({EVIL})"),
        changed(row_of("B", bar(1, 1, 2, "UNCHANGED")), why="nothing has changed"),
        row_of("C", bar(1, 1, 2)),
        status="success",
    )


def test_hover_and_table_give_change_and_reason():
    """The table has a column for the change, and below a row the reason why it ran or was fresh. The tooltip has both."""
    page = table_html(explained())
    assert "<td>+3 ~0 −1" in page
    assert page.count("<tr class=odibi-why>") == 2
    assert "why: nothing has changed" in page
    assert EVIL not in without_our_script(page)
    gantt = gantt_of(explained())
    hovers = {gantt.rows[s.row].id: gantt.tooltip(s) for s in gantt.segments if s.bar}
    assert hovers["A"][-2:] == ["silver.x v1 → v2: +3 ~0 −1", f"why: code changed ({EVIL})"]
    assert hovers["B"][-1] == "why: nothing has changed"
    assert not any("why" in line for line in hovers["C"])


def test_a_usual_run_has_neither():
    """Without a known change the table has no column for it, and without a reason no line."""
    page = "".join(table_parts(run(row_of("A", bar(1, 0, 1))), 60))
    assert ">change" not in page
    assert "<tr class=odibi-why>" not in page
