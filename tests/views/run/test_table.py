"""The run's table: live in parts, saved with details and one small script."""

from __future__ import annotations

import dataclasses
import itertools
import re
from html.parser import HTMLParser

import pytest
from fakes import row
from msgspec.structs import replace as changed
from pages import without_our_script
from views.snapshots import EVIL, bar, everything, many, run
from views.snapshots import row as row_of

from odibi_nb.core.model.events import Progress
from odibi_nb.views.html_parts import breakable
from odibi_nb.views.run.state import snapshot_of
from odibi_nb.views.run.table import (
    COLUMNS,
    LIVE_ROWS,
    MAX_DETAILS,
    VARYING,
    details_of,
    script_text,
    style_html,
    table_html,
    table_parts,
)

USUAL = [name for name, _ in COLUMNS if name not in VARYING]
"""The columns of a run with one engine, in which every row has one attempt."""


class Words(HTMLParser):
    """Return the text of each cell, body by body."""

    def __init__(self, page):
        super().__init__()
        self.bodies, self.cells = [], None
        self.feed(without_our_script(page))

    def handle_starttag(self, tag, attributes):
        if tag == "tbody":
            self.bodies.append([])
        if tag == "td":
            self.bodies[-1].append("")

    def handle_data(self, data):
        if self.bodies and self.bodies[-1]:
            self.bodies[-1][-1] += data


def cells_of(page):
    return Words(page).bodies


def finished(project, *rows):
    """The result of a run of *rows*, one after the other, and its saved table."""
    result = project(*rows).run(max_workers=1)
    return result, table_html(snapshot_of(result), LIVE_ROWS, result)


def says(*lines, error=None):
    def work():
        print(*lines, sep="\n")
        if error:
            raise error

    return work


def test_the_script_is_small_and_leaves_nothing_behind():
    """The script has at most 4 kB, no global name, turns no text into code, and sets no handler attribute."""
    text = script_text()
    assert len(text.encode()) <= 4_000
    assert text.startswith("for (const ")
    assert "</script" not in text
    for word in ("eval", "Function", "window", "innerHTML", "setTimeout", " var ", "http"):
        assert word not in text


def test_only_a_saved_table_has_the_script():
    """The table of a running run has no script. A saved one has exactly one."""
    assert "<script" not in table_html(everything())
    assert not any("<script" in part for part in table_parts(everything(), 60))


def test_a_saved_table_keeps_each_rows_log(project):
    """A row's output unfolds below it. A row without output has nothing to unfold."""
    result, page = finished(project, row("A", says("hello", "world")), row("B", lambda: None))
    assert page.count("<script>") == 1
    first, second = cells_of(page)
    assert first[1] == "A"
    assert first[-1] == "loghello\nworld"
    assert len(second) == len(USUAL)
    assert details_of(result, ["A", "B"])["A"] == ("", "hello\nworld")


def test_a_failed_row_keeps_its_error_traceback_and_log(project):
    """The error is below the row, and unfolds to its traceback and log."""
    _, page = finished(project, row("A", says("before", error=ValueError("too cold"))))
    ((*_, more),) = cells_of(page)
    assert more.startswith("↳ ValueError: too cold")
    assert "traceback and logTraceback" in more
    assert more.endswith("ValueError: too coldprinted and logged:before")


def test_markup_in_any_field_stays_text(project):
    """A <script> in an id, layer, function, error, log or warning is escaped."""
    fn = says(EVIL, error=ValueError(EVIL))
    result, page = finished(project, row(f"A{EVIL}", fn))
    assert "<script" not in without_our_script(page)
    evil = changed(
        row_of(EVIL, bar(1, 0, 1, "FAILED", EVIL), layer=EVIL), function=EVIL, engine=EVIL
    )
    snapshot = dataclasses.replace(run(evil), warnings=(EVIL,), run_id=EVIL)
    for text in (table_html(snapshot), *table_parts(snapshot, 60)):
        assert "<script" not in text
    for part in details_of(result, list(result.transformations)).values():
        assert EVIL in part.log


def test_long_logs_keep_their_end_and_say_where_the_rest_is(project):
    """A long log keeps its last whole lines, below a line that names the complete log."""
    lines = [f"line {i}" for i in range(3_000)]
    _, page = finished(project, row("A", says(*lines)))
    ((*_, more),) = cells_of(page)
    head, *kept = more.removeprefix("log").split("\n")
    assert head == "… all of it: result.transformations['A'].log"
    assert kept == lines[-len(kept) :]
    assert len(more) < 1_200


def test_details_are_capped_all_in_all_and_failures_come_first(project):
    """A table's details stay below MAX_DETAILS for any output. Failed rows come first."""
    noise = ["<&>" * 300] * 5
    rows = [row(f"OK{i:03}", says(*noise)) for i in range(60)]
    rows += [row(f"ZBAD{i}", says(*noise, error=OSError("no"))) for i in range(2)]
    result, page = finished(project, *rows)
    details = details_of(result, list(result.transformations))
    assert {"ZBAD0", "ZBAD1"} <= set(details)
    assert len(details) < 62
    assert f"Logs of {62 - len(details)} rows are not kept here" in page
    kept = sum(map(len, re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)))
    assert kept <= MAX_DETAILS


def test_a_rows_place_in_the_run_is_told():
    """A saved row has its number in the run and its status, also if some rows are left out."""
    snapshot = many(LIVE_ROWS + 100)
    page = table_html(snapshot)
    told = re.findall(r"<tbody data-row=(\d+) data-status=(\w+)><tr><td>.*?<td>(\w+)<td", page)
    assert len(told) == LIVE_ROWS
    for number, status, name in told:
        assert (snapshot.rows[int(number)].id, snapshot.rows[int(number)].status) == (name, status)
    bad = {r.id for r in snapshot.rows if r.status == "FAILED"}
    assert bad <= {name for _, _, name in told}


def test_a_running_row_says_how_far_it_is():
    """With an engine that measures it, the status of a row has the finished part in per cent."""
    going = row_of("A", bar(1, 2, progress=Progress(3, 8)))
    first, second = Words(table_html(run(going, row_of("B", bar(1, 2))))).bodies
    assert first[0] == "▶ RUNNING 37 %"
    assert second[0] == "▶ RUNNING"


def test_a_saved_table_has_only_the_rules_that_its_rows_need():
    """A saved table has no rule for a class of none of its elements. A live table has all: its rows change."""
    plain, why = row_of("A", bar(1, 0, 1)), changed(row_of("B", bar(1, 0, 1)), why="new code")
    saved = [table_html(run(*rows, status="success")) for rows in ((plain,), (plain, why))]
    assert [".odibi-why td{" in page for page in saved] == [False, True]
    assert ".odibi-why td{" in table_html(run(plain))
    for page in saved:
        assert ".odibi-log table{" in page
        assert ".odibi-scroll thead th{" in page
        style, _, body = page.partition("</style>")
        own = {*re.findall(r"odibi-\w+", body), "odibi-log"}
        for selectors in re.findall(r"([^{}]+)\{", style.partition("<style>")[2]):
            assert any(
                own.issuperset(re.findall(r"odibi-\w+", one)) or "odibi-only" in one
                for one in selectors.split(",")
            )


def test_what_never_started_says_why_in_its_line():
    """The reason is in the place of the figures, without a second line."""
    page = table_html(run(row_of("NEXT", status="SKIPPED", end=4, error="upstream BAD failed")))
    ((_, _, reason, layer, function),) = cells_of(page)
    assert (reason, layer, function) == ("↳ upstream BAD failed", "Bronze", "m.f")
    assert page.count("<tr") == 2


@pytest.mark.parametrize("count", [1, 11, 60, 61, 2_000])
def test_a_live_table_has_as_many_parts_all_the_time(count):
    """The number of parts depends only on the number of rows. Together they are small."""
    rows = tuple(row_of(f"T{i}", *([bar(1, 0)] if i < 40 else [])) for i in range(count))
    early, late = run(*(row_of(f"T{i}") for i in range(count))), run(*rows)
    assert len(table_parts(early, 60)) == len(table_parts(late, 60))
    assert sum(map(len, table_parts(late, 60)[1:])) < 25_000


def test_a_part_changes_only_when_its_rows_do():
    """The end of a row changes one part of a live table. Time changes only running rows, once a second."""
    rows = [row_of(f"T{i}", bar(1, 0, 1)) for i in range(25)]
    before = table_parts(run(*rows, row_of("LAST", bar(1, 0)), seconds=10.0), 60)
    again = table_parts(run(*rows, row_of("LAST", bar(1, 0)), seconds=10.25), 60)
    ended = table_parts(run(*rows, row_of("LAST", bar(1, 0, 10)), seconds=10.25), 60)
    assert before == again
    assert [a == b for a, b in zip(again, ended, strict=True)] == [True, True, True, False, True]


def test_many_rows_show_what_needs_attention():
    """With too many rows, a live table shows failed rows, running ones, and the last ended ones."""
    rows = [row_of(f"OK{i:03}", bar(1, 0, i / 10)) for i in range(100)]
    rows += [row_of("BAD", bar(1, 0, 1, "FAILED", "OSError: no")), row_of("BUSY", bar(1, 5))]
    _, bad, busy, ended, notes = table_parts(run(*rows, *map(row_of, "ABC")), 60)
    assert [body[1] for body in cells_of(bad)] == ["BAD"]
    assert [body[1] for body in cells_of(busy)] == ["BUSY"]
    assert [body[1] for body in cells_of(ended)] == [f"OK{i:03}" for i in range(99, 89, -1)]
    assert "93 more rows are not shown while the run is in progress." in notes


def test_columns_are_as_wide_as_the_runs_names():
    """All parts of a live table, and the saved one, have the same column widths, wider for long ids."""
    rows = [
        row_of("INGEST_PLANT_B_KILN_TEMPERATURES" if i == 15 else f"R{i:02}") for i in range(20)
    ]
    parts = table_parts(run(*rows), 60)[:-1]
    (columns,) = {re.search("<colgroup>.*</colgroup>", part)[0] for part in parts}
    assert columns in table_html(run(*rows))
    assert columns.count("<col") == len(USUAL) + 1
    short = table_parts(run(*rows[:9]), 60)[0]
    assert "width:9.5em" in short
    assert "width:9.5em" not in columns


def test_long_names_break_where_readers_would_break_them():
    """A function's name breaks only after its module."""
    page = table_html(run(changed(row_of("A"), function="plant_functions.silver.clean")))
    assert "plant_functions.<wbr>silver.<wbr>clean" in page
    assert breakable("ingest_plant_b_kiln_temperatures").count("<wbr>") == 4
    assert breakable("SILVER_001") == "SILVER_001"
    assert breakable(f"a/{EVIL}/b_____________________").count("<script") == 0


def test_every_status_has_a_colour_for_both_themes():
    """Each status's colour is mixed with the theme's text colour."""
    style = style_html()
    names = re.findall(r"\[data-status=([A-Z]+)\]>tr>td>b\{color:#\w{6};color:color-mix\(", style)
    assert len(names) == len(set(names)) == 10
    assert not any(a == b for a, b in itertools.pairwise(names))


def test_many_failures_share_the_room(project):
    """Each failed row keeps the end of its traceback as long as it fits."""
    rows = [row(f"BAD{i:02}", says(*["x" * 99] * 99, error=OSError(f"no {i}"))) for i in range(20)]
    result, page = finished(project, *rows)
    details = details_of(result, list(result.transformations))
    assert len(details) == 20
    assert all(details[f"BAD{i:02}"].traceback.endswith(f"OSError: no {i}") for i in range(20))
    assert "are not kept here" not in page


def test_what_a_check_found_stands_below_its_row():
    """Broken data checks are shown without unfolding, also for a row that succeeded."""
    warned = changed(bar(1, 0, 1), checks=("not_null(x) warned: 3 of 9 rows",))
    ((*_, more),) = cells_of(table_html(run(row_of("A", warned))))
    assert more == "⚠ not_null(x) warned: 3 of 9 rows"


def test_engine_and_attempt_have_columns_where_they_differ():
    """A run with one engine and no retries has a table without these columns."""

    def columns(*rows):
        return re.findall("<th scope=col[^>]*>(\\w+)", table_html(run(*rows)))

    plain = row_of("A", bar(1, 0, 1))
    assert columns(plain) == USUAL
    assert columns(plain, row_of("B", bar(1, 0, 1), engine="spark")) == [*USUAL, "engine"]
    twice = row_of("B", bar(1, 0, 1, "FAILED"), bar(2, 2, 3))
    assert columns(plain, twice) == [*USUAL, "attempt"]
    assert len(cells_of(table_html(run(plain, twice)))[1]) == len(USUAL) + 1


def test_when_a_run_is_over_its_failed_rows_come_first():
    """During the run, rows keep the plan's order. Afterwards failed rows are on top."""
    rows = (row_of("OK", bar(1, 0, 1)), row_of("BAD", bar(1, 0, 1, "FAILED", "x")))
    live, over = table_html(run(*rows)), table_html(run(*rows, status="failed"))
    assert [body[1] for body in cells_of(live)] == ["OK", "BAD"]
    assert [body[1] for body in cells_of(over)] == ["BAD", "OK"]


def test_a_long_run_keeps_its_failed_and_slowest_rows():
    """A saved table with too many rows has the failed and the slowest ones, and the total number."""
    rows = [
        changed(row_of(f"T{i:03}", bar(1, 0, i)), duration_seconds=float(i)) for i in range(300)
    ]
    rows[7] = row_of("BAD", bar(1, 0, 7, "FAILED", "x"))
    page = table_html(run(*rows, seconds=300, status="failed"))
    shown = [body[1] for body in cells_of(page)]
    assert shown == ["BAD", *(f"T{i}" for i in range(101, 300))]
    assert "data-total=300" in page


def test_seconds_have_a_bar_and_starts_their_utc():
    """The bar's length is relative to the longest row. The start is local, with UTC as its tooltip."""
    long = changed(row_of("A", bar(1, 0, 8)), duration_seconds=8.0)
    short = changed(row_of("B", bar(1, 1, 3)), duration_seconds=2.0)
    page = table_html(run(long, short, status="success"))
    assert "<td style=--s:100%>8.00" in page
    assert "<td style=--s:25%>2.00" in page
    local = short.start.astimezone()
    assert f"<td title='2026-03-01 12:00:01.000 UTC'>{local:%H:%M:%S}" in page


def test_an_id_is_a_button_where_its_log_can_be_shown():
    """In a live table with a log pane, users without a mouse can open each row's log."""
    rows = (row_of("A<b>", bar(1, 0)), row_of("B"))
    parts = "".join(table_parts(run(*rows), 60, buttons=True))
    assert "<button type=button title='Show its log'>A&lt;b&gt;</button>" in parts
    assert "<button" not in "".join(table_parts(run(*rows), 60))


def test_the_function_keeps_its_room():
    """The function has at least 12 em, with any ids and all columns: the table scrolls instead."""
    rows = (
        row_of("INGEST_PLANT_B_KILN_TEMPERATURES", bar(1, 0, 1, "FAILED"), bar(2, 2, 3)),
        row_of("B", bar(1, 0, 1), engine="spark", layer="A_LAYER_WITH_A_LONG_NAME"),
    )
    rows = tuple(changed(row, change="+3 ~0 −1") for row in rows)
    page = table_html(run(*rows))
    widths = [float(width) for width in re.findall(r"<col style='width:([\d.]+)em'>", page)]
    assert len(widths) == len(COLUMNS) - 1
    least = float(re.search(r"<table style='min-width:([\d.]+)em'>", page)[1])
    assert least == pytest.approx(sum(widths) + 12, abs=0.3)
