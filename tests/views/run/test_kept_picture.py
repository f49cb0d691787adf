"""The picture of a live run in a page that has lost the widgets."""

from __future__ import annotations

from views.snapshots import EVIL, bar, row, run

from odibi_nb.views.run.kept_picture import LIVE_CLASS, MOST_LISTED, NOTHING, kept_picture


def test_the_picture_is_whole_and_names_the_command_to_go_on():
    """The page has head, chart and table without a widget, and the command that shows the run live again."""
    html = kept_picture(run(row(EVIL, bar(1, 0, 2)), row("B", bar(1, 2))))["text/html"]
    for part in ("%odibi watch last", "1 of 2 done", "1 running", "<svg", "<table"):
        assert part in html
    assert "<script" not in html


def test_it_is_hidden_while_the_live_view_is_there_and_before_and_after():
    """A style hides the kept picture while the live table exists, and at the end nothing is kept."""
    assert f":has(.{LIVE_CLASS})" in kept_picture(run(row("A")))["text/html"]
    assert "display:none" in NOTHING["text/html"]
    assert NOTHING["text/plain"] == ""


def test_a_large_run_is_kept_without_its_chart():
    """The picture is small, because the page gets it again and again."""
    html = kept_picture(run(*(row(f"A{n}", bar(1, 0, n + 1)) for n in range(2_000))))["text/html"]
    assert len(html) < 60_000
    assert html.count("<tbody") <= MOST_LISTED
