"""Console lines of a run, stored for a panel."""

from __future__ import annotations

from fakes import row

from odibi_nb.views.run import console_lines
from odibi_nb.views.run.console_lines import SHOWN_LINES, ConsoleLines, Line

EVIL = "<script>alert('x')</script>"


def talks():
    print("one\ntwo " + EVIL)


def fails():
    raise KeyError(EVIL)


def test_it_keeps_what_a_console_would_print(project):
    """Events in the seed's words, and the output of transformations, each under its transformation."""
    lines = ConsoleLines()
    project(row("A", talks), row("B", fails)).run(views=[lines], max_workers=1)
    kept = [*lines._lines]
    assert Line("A", "INFO", "one") in kept
    assert Line("A", "INFO", "Success: fake_functions.A") in kept
    assert Line("", "INFO", "🎯 Running layers: ['Bronze', 'Silver_1', 'Gold_1']") in kept
    assert [line.level for line in kept if line.transformation_id == "B"] == ["INFO", "ERROR"]


def test_one_transformation_can_be_read_alone(project):
    """For one transformation, only its lines are returned."""
    lines = ConsoleLines()
    project(row("A", talks), row("B", fails)).run(views=[lines], max_workers=1)
    page = lines.html("A")
    assert "one" in page
    assert "fake_functions.B" not in page
    assert "fake_functions.B" in lines.html()


def test_lines_are_text(project):
    """Markup in a line, an error or an id stays text."""
    lines = ConsoleLines()
    project(row(f"A{EVIL}", talks), row("B", fails)).run(views=[lines])
    assert "<script" not in lines.html() + lines.html("B")
    assert "&lt;script&gt;" in lines.html("B")


def test_only_the_last_lines_are_shown_and_it_says_so():
    """Of many lines the newest are kept, with the number of the earlier ones."""
    lines = ConsoleLines()
    for number in range(SHOWN_LINES + 7):
        lines.on_output("A", f"line {number} " + "x" * 2 * console_lines.MAX_LENGTH)
    page = lines.html()
    assert "… 7 earlier lines are not shown …" in page
    assert "line 6 " not in page
    assert "line 7 " in page
    assert len(page) < 2 * SHOWN_LINES * console_lines.MAX_LENGTH


def test_another_run_begins_with_nothing():
    """clear() removes the lines, and the version shows that the panel must paint."""
    lines = ConsoleLines()
    lines.on_message("WARNING", "⚠️ careful")
    before = lines.version
    lines.clear()
    assert lines.version > before
    assert "nothing was printed" in lines.html()
