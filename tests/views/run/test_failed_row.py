"""A failed row shows the place of the failure, a suggestion, and the next steps."""

from __future__ import annotations

import datetime as dt

from odibi_nb.core.model.failure_place import FailurePlace
from odibi_nb.views.next_steps import command
from odibi_nb.views.run.failed_row import MAX_BUTTONS, failure_html, failure_text
from odibi_nb.views.run.row_state import RowState
from odibi_nb.views.run.state import RunSnapshot
from odibi_nb.views.run.table import table_html, table_parts

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)


def failed(name="S1", file="/nowhere/silver.py", error="KeyError: 'ghi'"):
    place = FailurePlace(
        file=file, line=109, function="weather_15min", hint="did you mean ghi_w_m2?"
    )
    return RowState(
        id=name,
        layer="Silver",
        function="silver.weather_15min",
        engine="pandas",
        status="FAILED",
        attempt=1,
        start=NOW,
        end=NOW,
        error=error,
        failed_at=place,
    )


def ended(*rows, status="failed"):
    return RunSnapshot(project="Plant One", env="qat", run_id="r-1", status=status, rows=rows)


def test_the_error_has_its_line_and_the_column_that_was_meant(tmp_path, monkeypatch):
    """The text has the place, and the page links it if Jupyter can open the file."""
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    (far := tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(far)
    text = failure_text(failed(), "KeyError: 'ghi'")
    assert text == "KeyError: 'ghi' — silver.py:109 in weather_15min; did you mean ghi_w_m2?"
    assert "<a " not in failure_html(failed(), "KeyError: 'ghi'")


def test_a_file_beside_the_notebook_is_a_link(tmp_path, monkeypatch):
    """The link is relative to the notebook, even after the kernel has changed its folder."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "work" / "a.ipynb"))
    page = failure_html(failed(file=str(tmp_path / "my src" / "silver.py")), "KeyError: 'ghi'")
    assert "href='../my%20src/silver.py'" in page
    assert "{&quot;line&quot;: 109}" in page
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "16.4")
    page = failure_html(failed(file=str(tmp_path / "my src" / "silver.py")), "KeyError: 'ghi'")
    assert "<a " not in page
    assert "my src/silver.py:109'>silver.py:109</span>" in page


def test_a_failed_row_has_its_next_steps():
    """The page has buttons and, for front ends without them, the same commands as text, with a retry after the run."""
    skipped = RowState(id="G1", layer="Gold", function="g.f", engine="pandas", status="SKIPPED")
    page = table_html(ended(failed(), skipped))
    names = "--project &#x27;Plant One&#x27; --env qat"
    for line in (
        f"%odibi debug S1 {names}",
        f"%odibi load S1 {names}",
        f"%odibi retry r-1 {names}",
    ):
        assert f"<code>{line}</code>" in page
    for label in ("Debug", "Load here", "Retry 2 rows", "Copy error"):
        assert f">{label}</button>" in page
    live = "".join(table_parts(ended(failed(), skipped, status="running"), 60))
    assert ">Load here</button>" in live
    assert "disabled title='Possible when the run is over'>Retry</button>" in live
    assert "%odibi retry" not in live


def test_many_failed_rows_keep_a_notebook_small():
    """The first failed rows have buttons, and the others the commands as text."""
    page = table_html(ended(*(failed(f"S{number}") for number in range(60))))
    assert page.count(">Load here</button>") == MAX_BUTTONS
    assert page.count("<code>%odibi load") == 60
    assert len(page) < 120_000


def test_no_name_breaks_a_command_or_the_page():
    """A quote in an id is quoted, HTML in an error is text, and an id with a line break has no commands."""
    page = table_html(ended(failed("it's", error="ValueError: </td><script>alert(1)</script>")))
    assert "<script>alert" not in page
    assert command("load", "it's", project="P", env="e").startswith("%odibi load 'it'\"'\"'s'")
    for name in ("S1\n!rm -rf x", "{__import__('os').system('x')}", "$HOME", "--yes"):
        assert command("load", name, project="P", env="e") == ""
        assert command("load", "S1", project=name, env="e") == ""
    assert "rm -rf x</code>" not in table_html(ended(failed("S1\n!rm -rf x")))
