"""Results of a run as a mapping, as text, as a table, as an exception."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from fakes import row
from pages import without_our_script

from odibi_nb.core.model import rich_display
from odibi_nb.core.model.events import RunStatus, Status
from odibi_nb.core.model.log_columns import RECORD_COLUMNS
from odibi_nb.core.model.results import MAPPING_KEYS, RunResult
from odibi_nb.errors import RunFailedError

BAD = "<script>alert(1)</script>"


def fails():
    raise KeyError("no column x")


@pytest.fixture
def good(project):
    return project(row("A", lambda: None), row("B", lambda: None, layer="Gold_1")).run()


@pytest.fixture
def bad(project):
    return project(
        row("A", fails, outputs=[{"table": "t.a"}]),
        row("B", lambda: None, inputs=["t.a"]),
        row("C", lambda: None),
    ).run()


def test_a_result_is_a_read_only_mapping(good):
    """It has the seed's keys, as a dict has them, and cannot be changed."""
    assert isinstance(good, Mapping)
    assert tuple(good) == MAPPING_KEYS
    assert good["status"] == "success"
    assert type(good["status"]) is str
    assert good["layers_executed"] == ["Silver_1", "Gold_1"]
    assert good["duration_seconds"] >= 0
    assert dict(good)["project"] == "P"
    assert good.get("nothing") is None
    with pytest.raises(KeyError):
        good["records"]
    with pytest.raises(TypeError):
        good["status"] = "failed"
    with pytest.raises(AttributeError):
        good.status = RunStatus.FAILED


def test_the_seeds_last_lines(good):
    """The seed's way to look at a result works as written."""
    result = good
    lines = [
        f"Status: {result['status']}",
        f"Layers executed: {result['layers_executed']}",
        f"Duration: {result['duration_seconds']:.1f} seconds",
    ]
    assert lines[:2] == ["Status: success", "Layers executed: ['Silver_1', 'Gold_1']"]
    assert re.fullmatch(r"Duration: \d+\.\d seconds", lines[2])


def test_counts_and_failures(bad):
    """The summary counts the transformations by status and names the failed ones."""
    assert bad.counts() == {"SUCCESS": 1, "FAILED": 1, "SKIPPED": 1}
    assert [t.transformation_id for t in bad.failures()] == ["A"]
    assert bad.status is RunStatus.FAILED


def test_a_result_knows_why(bad):
    """A failure keeps its exception, its traceback from the user's code on, and a reason."""
    a, b = bad.transformations["A"], bad.transformations["B"]
    assert a.status is Status.FAILED
    assert (a.error_type, a.error_message) == ("KeyError", "'no column x'")
    assert isinstance(a.error, KeyError)
    assert a.traceback.startswith("Traceback")
    assert "workers.py" not in a.traceback
    assert "in fails" in a.traceback
    assert (b.reason, b.attempts, b.start_time) == ("upstream A failed", 0, None)


def test_the_summary(bad, good):
    """One line, and one more for each failure."""
    assert bad.summary() == (
        f"run {bad.run_id} of 'P' env qat failed: 1 success, 1 failed, 1 skipped\n"
        "  A (fake_functions.A): KeyError: 'no column x'"
    )
    assert good.summary() == f"run {good.run_id} of 'P' env qat success: 2 success"
    assert repr(good) == f"<RunResult: {good.summary()}>"


def test_raise_for_status(bad, good):
    """A run that succeeded is returned, one that failed is raised with all there is to know."""
    assert good.raise_for_status() is good
    with pytest.raises(RunFailedError) as excinfo:
        bad.raise_for_status()
    assert excinfo.value.result is bad
    assert str(excinfo.value) == bad.summary()


def test_to_frame(bad):
    """One record per transformation, in the run's order, in the run log's columns."""
    columns, *rows = bad.to_frame()
    assert columns == [name for name, _ in RECORD_COLUMNS]
    assert [r["transformation_id"] for r in rows] == ["A", "C", "B"]
    assert [r["status"] for r in rows] == ["FAILED", "SUCCESS", "SKIPPED"]


def test_to_frame_of_attempts(project):
    """With attempts there is a record for each; without, the last one of each row."""
    tries = []

    def flaky():
        tries.append(1)
        if len(tries) < 3:
            raise OSError("again")

    retry = {"base_delay": 0, "jitter": 0}
    result = project(row("A", flaky, constants={"retry": retry})).run()
    assert [r["attempt"] for r in result.to_frame()[1:]] == [3]
    assert [r["attempt"] for r in result.to_frame(attempts=True)[1:]] == [1, 2, 3]


def test_a_run_of_nothing(project):
    """A run without transformations succeeds, and its table still has its columns."""
    result = project(row("A", lambda: None)).run(target_layers=["Bronze"])
    assert result["status"] == "success"
    assert result.counts() == {}
    assert result.to_frame() == [[name for name, _ in RECORD_COLUMNS]]
    assert "<table" in result._repr_html_()


def test_markup_in_a_result_is_shown_as_text(project):
    """Ids, errors, logs and tracebacks with markup are escaped in a result's HTML."""

    def fn():
        print(BAD)
        raise ValueError(BAD)

    from odibi_nb.core.running.hooks import HookManager

    hooks = HookManager()
    hooks.register("run_start", lambda _: 1 / 0 if BAD else 0)
    hooks.register("run_start", lambda _: [][BAD])
    p = project(row(BAD, fn), manifest={"project": "P"})
    html = without_our_script(p.run(hooks=hooks)._repr_html_())
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 4


def test_without_libraries(monkeypatch):
    """A result without a DataFrame library raises an error with the reason, and without a
    registered display it is text.
    """
    monkeypatch.setattr(rich_display, "_DISPLAYS", {})
    result = RunResult(
        run_id="r",
        status=RunStatus.SUCCESS,
        project="P",
        env="qat",
        engine="pandas",
        layers_executed=[],
        start_time=None,
        end_time=None,
        duration_seconds=0.0,
        transformations={},
        warnings=[],
    )
    assert (result._repr_mimebundle_(), result._repr_html_()) == ({}, None)
    with pytest.raises(TypeError, match="has no DataFrame library"):
        result.to_frame()
