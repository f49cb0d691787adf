"""Reports of runs: a self-contained page, and a text for a pull request."""

from __future__ import annotations

import datetime as dt
import re
import threading
from html.parser import HTMLParser

import pytest
from fakes import row

from odibi_nb.core.model.events import RunStatus, Status
from odibi_nb.core.model.results import RunResult, TransformationResult
from odibi_nb.errors import ConfigurationError
from odibi_nb.reporting import find_report, report_text, save_report
from odibi_nb.views.report.report_markdown import code
from odibi_nb.views.report.run_report import report_of

EVIL = "<script>alert(1)</script>\"'`|\n@everyone [x](https://evil.example)"


@pytest.fixture
def reported(project):
    """Run rows and return the report of the run: reported(row, row …)."""

    def run(*rows, **manifest):
        p = project(*rows, manifest=manifest)
        p.run(retry=0)
        return find_report(p.orchestrator())

    return run


def broken(text="no column"):
    def fn():
        print("it printed", text)
        raise KeyError(text)

    return fn


class Page(HTMLParser):
    """The elements, the scripts and the texts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action")]

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_has_all_of_a_run_and_loads_nothing(reported):
    """The page has head, chart, failed rows with logs, table, graph and checks, and loads nothing."""
    report = reported(
        row("A", lambda: None, outputs=[{"table": "t.a"}], layer="Bronze"),
        row("B", broken(), inputs=["t.a"], outputs=[{"table": "t.b"}]),
        row("C", lambda: None, inputs=["t.b"], layer="Gold_1"),
        owner="team-energy",
    )
    text = report_text(report)
    page = Page(text)
    words = " ".join(page.words)
    for part in (
        "When each row ran",
        "Rows that did not succeed",
        "Rows",
        "Dependencies",
        "team-energy",
    ):
        assert part in words
    assert "it printed no column" in words
    assert page.addresses == []
    assert page.tags.count("script") == 1
    assert 'http-equiv="Content-Security-Policy" content="default-src \'none\'' in text
    assert report.upstream == {"A": (), "B": ("A",), "C": ("B",)}


def test_no_text_of_a_row_becomes_html_or_markdown(reported):
    """Names, errors, output and the project's name are text, in the page and in the Markdown."""
    report = reported(row(f"A{EVIL}", broken(EVIL)), owner=EVIL)
    page = Page(report_text(report))
    assert page.tags.count("script") == 1
    assert page.addresses == []
    assert "alert(1)" in "".join(page.words)
    text = report_text(report, "md")
    outside = re.sub(r"(`+)(?:(?!\1).|\n)*?\1(?!`)", "", text)  # without code
    for syntax in ("<script", "](", "@everyone", "https:"):
        assert syntax not in outside
    for line in text.splitlines():
        if line.startswith("| ✖"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 5


def test_code_is_one_cell_of_a_table():
    """Code keeps its backticks, bars and backslashes before bars."""
    assert code("a|b") == "`a\\|b`"
    assert code("a\\|b") == "`a\\ \\|b`"
    assert code("``x`") == "``` ``x` ```"
    assert code("a\nb") == "`a b`"
    assert code("") == ""


def test_secrets_are_hidden(reported):
    """Neither form has a password that a function printed or raised."""
    report = reported(
        row("A", broken("password=hunter22 token: dapi0123456789abcdef0123456789abcdef"))
    )
    for form in ("html", "md"):
        text = report_text(report, form)
        assert "hunter22" not in text
        assert "dapi0123" not in text


def test_the_markdown_has_a_line_the_failed_and_the_slow_rows(reported):
    """A pull request gets a summary line, failed and slowest rows, a small graph, and the logs folded."""
    rows = [row("A", broken()), *(row(f"R{i}", lambda: None) for i in range(8))]
    text = report_text(reported(*rows), "md")
    assert text.splitlines()[1] == "### ✖ failed: `P` · `qat`"
    assert "8 of 9 done, 1 failed" in text
    assert "| ✖ | `A` | `Silver_1` | `KeyError: 'no column'` |" in text
    assert text.count("| `R") == 5
    assert "<details><summary>Log of <code>A</code></summary>" in text


def many_failures(count, length=1000):
    """The result of a run whose rows have all failed, with long errors full of quotes."""
    begun = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
    rows = {}
    for i in range(count):
        name = f"SILVER_{i:04}"
        rows[name] = TransformationResult(
            transformation_id=name,
            layer="Silver_1",
            module="silver",
            function="clean",
            engine="pandas",
            plant=None,
            asset=None,
            status=Status.FAILED,
            attempts=1,
            start_time=begun,
            end_time=begun,
            duration_seconds=1.0,
            reason="KeyError: " + "'\"<" * length,
            traceback="File '<x>'\n" * length,
            log="'printed'\n" * length,
        )
    return RunResult(
        run_id="20260101-000000-abcdef",
        status=RunStatus.FAILED,
        project="P",
        env="qat",
        engine="pandas",
        layers_executed=["Silver_1"],
        start_time=begun,
        end_time=begun,
        duration_seconds=1.0,
        transformations=rows,
        warnings=[],
    )


def test_many_rows_are_bounded():
    """A page of 200 rows has at most 500 kB. Of 2,000 rows it has the failed and the slowest, and
    the text fits a comment.
    """
    page = report_text(report_of(many_failures(200), {}))
    assert len(page.encode()) < 500_000
    report = report_of(many_failures(2000, 100), {})
    page, text = report_text(report), report_text(report, "md")
    assert len(page.encode()) < 2_000_000
    assert "… and 1,950 more rows" in page
    assert len(text) < 65_536


def test_a_run_that_goes_on_says_so(project):
    """A run in progress, named by its id, has a report of its state now."""
    started, go_on = threading.Event(), threading.Event()

    def waits():
        started.set()
        go_on.wait(20)

    p = project(row("A", lambda: None, layer="Bronze"), row("B", waits))
    run = threading.Thread(target=p.run)
    run.start()
    try:
        assert started.wait(20)
        (journal,) = p.state_dir.glob("runs/*/journal.jsonl")
        report = find_report(p.orchestrator(), journal.parent.name)
    finally:
        go_on.set()
        run.join()
    assert [row.status for row in report.snapshot.rows] == ["SUCCESS", "RUNNING"]
    assert "still running" in report_text(report)
    assert "still running: `P`" in report_text(report, "md")


def test_a_missing_run_is_one_message(project):
    """An unknown id, and a project without runs, give one message each."""
    p = project(row("A", lambda: None))
    with pytest.raises(ConfigurationError, match="has no run of 'P'"):
        find_report(p.orchestrator())
    p.run()
    with pytest.raises(ConfigurationError, match="has no run 'nope'"):
        find_report(p.orchestrator(), "nope")


def test_a_report_replaces_only_a_report(reported, tmp_path):
    """A user's file, or a report that a user has edited, is replaced only with --force."""
    report = reported(row("A", lambda: None))
    out = tmp_path / "new folder" / "report.html"
    assert save_report(report, out).path == out
    save_report(report, out)  # an unchanged report
    out.write_text(out.read_text() + "my note")
    for path in (out, tmp_path / "note.txt"):
        path.write_text("mine") if path.name == "note.txt" else None
        before = path.read_text()
        with pytest.raises(ConfigurationError, match="is not an unchanged report"):
            save_report(report, path)
        assert path.read_text() == before
        save_report(report, path, force=True)
        assert path.read_text().startswith("<!-- Made by odibi report")
    assert sorted(path.name for path in out.parent.iterdir()) == ["report.html"]


def test_an_unwritable_place_is_one_message(reported, tmp_path):
    """A device, a folder in the way, a file used as a folder, and an invalid name are refused, also with --force."""
    report = reported(row("A", lambda: None))
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for out in (
        "/dev/null",
        tmp_path / "file" / "x.html",
        tmp_path / "folder",
        f"{tmp_path}/a\0b",
        "x" * 5000,
    ):
        for force in (False, True):
            with pytest.raises(ConfigurationError):
                save_report(report, out, force=force)
    assert [*(tmp_path / "folder").iterdir()] == []
