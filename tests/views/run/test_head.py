"""The head of a run: its state at a glance, and its text for a screen reader."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace

import pytest
from msgspec import structs
from views.run.test_gantt import expecting
from views.snapshots import EVIL, bar, everything, row, run

from odibi_nb.views.run import head
from odibi_nb.views.run.run_page import chart_html, summary_text
from odibi_nb.views.run.table import style_html, table_html, table_parts


def words(page):
    """The text of HTML."""
    return html.unescape(re.sub(r"<[^>]*>", "", page))


def test_the_counts_are_the_only_part_that_is_announced():
    """The passing of time changes the clock and the running rows. The element with role=status does not change."""
    one, other = everything(10.0), everything(17.0)
    assert head.counts_html(one) == head.counts_html(other)
    assert head.bar_html(one) == head.bar_html(other)
    assert head.clock_html(one) != head.clock_html(other)
    assert head.now_html(one) != head.now_html(other)
    assert head.head_html(one).count("role='status'") == 1
    assert "role='status'" in head.counts_html(one)


def test_the_progress_bar_has_a_segment_for_each_status():
    """Each part of the bar is as long as its share of the rows, with its count in words. Waiting rows are the ground."""
    page = head.bar_html(everything())
    found = re.findall(r"<span title='([^']*)' style='flex:(\d+) ", page)
    assert ("3 success", "3") in found
    assert ("2 waiting", "2") in found
    assert sum(int(share) for _, share in found) == len(everything().rows)
    assert "role='img' aria-label='3 of 12 done, 1 unchanged, 1 running, 1 failed" in page


def test_inline_styles_have_no_expensive_property():
    """No inline style has the property ``background``: a page of JupyterLab needs 0.1 s to check the first one."""
    page = head.head_html(everything()) + chart_html(everything()) + table_html(everything())
    inline = re.findall(r"style=(?:'([^']*)'|\"([^\"]*)\")", page)
    assert "background-color:#2e9e4f" in page
    assert not [
        text for texts in inline for text in texts if re.search(r"background(-image)?:", text)
    ]


def test_failed_rows_have_stripes_in_the_progress_bar():
    """A segment has its pattern from a style sheet, and its colour also without one."""
    page = head.bar_html(everything())
    assert "background-color:#a3180f' class=odibi-FAILED>" in page
    assert ".odibi-FAILED{background-image:repeating-linear-gradient(90deg," in page
    assert "<style>" not in head.bar_html(run(row("A", bar(1, 0, 1))))


def test_what_runs_now_is_named_with_its_usual_time():
    """The head names the three oldest running rows with id, function, seconds and usual time, and counts the others."""
    rows = [row(f"T{i}", bar(1, i)) for i in range(5)]
    text = words(head.now_html(expecting(run(*rows, seconds=9.0), T0=12, T1=0.2)))
    assert text == "▶ T0 f, 9 s of about 12 s · T1 f, 8 s of under 1 s · T2 f, 7 s · and 2 more"
    again = run(row("A", bar(1, 0, 1, "FAILED"), bar(2, 3)))
    assert words(head.now_html(again)) == "▶ A f, 7 s, attempt 2"


def test_an_ended_run_names_what_failed_or_was_slow():
    """The last line names the failed rows with their errors, or the slowest rows, and always has its height."""
    fine = [
        structs.replace(row(f"T{i}", bar(1, 0, i + 1)), duration_seconds=i + 1.0) for i in range(5)
    ]
    done = run(*fine, seconds=5, status="success")
    assert words(head.now_html(done)) == "slowest: T4 5.0 s · T3 4.0 s · T2 3.0 s"
    bad = row("BAD", bar(1, 0, 1, "FAILED", "KeyError: 'ghi'"))
    text = words(head.now_html(run(*fine, bad, seconds=5, status="failed")))
    assert text == "✖ BAD: KeyError: 'ghi'"
    for snapshot in (run(), run(row("A")), done):
        assert "height:20px" in head.now_html(snapshot)


def test_an_ended_run_compares_itself_with_its_forecast():
    """At the end the head has the duration, and the expected one."""
    snapshot = expecting(run(row("A", bar(1, 0, 34.6)), seconds=34.6, status="success"), A=31)
    assert summary_text(snapshot).endswith("took 34.6 s, expected 31.0 s")
    assert summary_text(replace(snapshot, expected=None)).endswith("1 of 1 done · 34.6 s")


@pytest.mark.parametrize(
    ("level", "running", "text"),
    [
        (0, 2, "running"),
        (1, 2, "cancelling: 2 rows run to their end"),
        (1, 1, "cancelling: 1 row runs to its end"),
        (2, 2, "stopping 2 rows: their writes are refused"),
        (3, 1, "abandoning 1 row"),
        (1, 0, "ending"),
    ],
)
def test_a_run_that_is_asked_to_end_says_what_happens(level, running, text):
    """After each request to cancel, the status has its effect on the running rows."""
    snapshot = run(*(row(f"T{i}", bar(1, 0)) for i in range(running)), row("LAST"))
    assert head.state_text(replace(snapshot, cancel_level=level)) == text


def test_a_run_that_is_cancelled_has_no_estimate():
    """The estimate counts the waiting rows, which will not run."""
    going = replace(everything(), seconds_left=42.0)
    assert head.clock_text(going) == "10.0 s, ~40 s left"
    assert head.clock_text(replace(going, cancel_level=1)) == "10.0 s"


def test_the_title_says_how_far_it_is():
    """The page's title has a sign and the share of ended rows during the run, and the sign of its status at the end."""
    going = replace(everything(), project="Energy Efficiency")
    assert head.title_text(going) == "▶ 67 % Energy Efficiency"
    assert head.title_text(replace(going, status="failed")) == "✖ Energy Efficiency"
    assert head.title_text(run()) == "▶ 0 % P"


def test_a_count_filters_the_table():
    """Each count is a button with its status, and the table has a style for each: no kernel is needed."""
    page = head.counts_html(everything())
    statuses = re.findall(r"<button type=button data-status=(\w+) title='Show only", page)
    assert statuses[:4] == ["SUCCESS", "UNCHANGED", "RUNNING", "FAILED"]
    for status in statuses:
        rule = f"[data-odibi-only={status}] .odibi-log tbody:not([data-status={status}])"
        assert f"{rule}{{display:none}}" in style_html()
    live = "".join(table_parts(everything(), 60))
    assert live.count("<tbody data-status=") == len(everything().rows)
    assert "<tbody data-row=0 data-status=SUCCESS>" in table_html(everything())


def test_the_eye_meets_the_time_left_and_the_failed_rows():
    """The time left is bold, and of the counts those of failed and abandoned rows, in their colour."""
    left = replace(everything(), seconds_left=42.0)
    assert re.findall("<b>([^<]*)</b>", head.clock_html(left)) == ["~40 s left"]
    assert words(head.clock_html(left)) == head.clock_text(left)
    found = re.findall(
        r'data-status=(\w+)[^>]* style="[^"]*font-weight:600', head.counts_html(everything())
    )
    assert found == ["FAILED", "ABANDONED"]


def test_a_long_run_offers_a_notification():
    """The browser is asked only after a click, and only a run of over a minute offers it, while it goes on."""
    long = replace(everything(), seconds_left=61.0)
    assert words(head.tell_html(long)) == "Notify"
    assert "Notification.requestPermission()" in head.tell_html(long)
    assert "requestPermission" not in head.title_html(long)
    assert head.tell_html(replace(long, seconds_left=1.0)) == ""
    assert head.tell_html(replace(long, status="success")) == ""


def test_markup_stays_text():
    """A name with markup, quotes or the end of a script is text, also in the page's title."""
    evil = EVIL + "\"'</style>\\"
    snapshot = replace(
        run(row(evil, bar(1, 0))), project=evil, env=evil, run_id=evil, retry_of=evil
    )
    for page in (head.head_html(snapshot), head.title_html(snapshot)):
        assert "<script" not in page
        assert page.count("</style>") == page.count("<style")
    (script,) = re.findall(r'onload="([^"]*)"', head.title_html(snapshot))
    assert json.dumps(head.title_text(snapshot)) in html.unescape(script)
