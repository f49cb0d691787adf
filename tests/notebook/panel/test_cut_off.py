"""After a kernel restart, a new panel shows the interrupted run and its retry."""

from __future__ import annotations

import pytest
from fakes import FakeProject, row

from odibi_nb.notebook.panel.cut_off import CutOffNotice


@pytest.fixture
def project(tmp_path):
    rows = [row(name, lambda: [1], outputs=[{"table": f"s.{name}"}]) for name in ("A", "B")]
    return FakeProject(tmp_path, rows)


def cut(project):
    """Cut the journal of the newest run before its second row starts, as a kill does. Return its id."""
    folder = max((project.state_dir / "runs").iterdir())
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    starts = [n for n, line in enumerate(lines) if b'"event":"transform_start"' in line]
    (folder / "journal.jsonl").write_bytes(b"".join(lines[: starts[1]]))
    (folder / "complete").unlink()
    (folder / "incomplete").write_bytes(b'{"number":1,"project":"P","env":"qat","left":true}')
    return folder.name


def notice(project, env="qat"):
    asked = []
    found = CutOffNotice(asked.append)
    found.look(project.path.parent, "P", env)
    return found, asked


def test_a_run_that_was_cut_off_is_named_and_can_be_retried(project, monkeypatch):
    """The notice has the run's progress, and its button retries this run once."""
    monkeypatch.delenv("ODIBI_STATE_DIR", raising=False)
    project.run(max_workers=1)
    run_id = cut(project)
    found, asked = notice(project)
    text, button = found.widget.children
    assert f"Run {run_id}" in text.value
    assert "1 of 2 rows had ended, 1 had not" in text.value
    button.click()
    assert (asked, found.widget.children) == ([run_id], ())


def test_there_is_no_notice_without_a_run_that_was_cut_off(project):
    """The panel offers no retry after a complete run, in another environment, or after the start of a later run."""
    project.run(max_workers=1)
    assert notice(project)[0].widget.children == ()
    cut(project)
    assert notice(project, "prod")[0].widget.children == ()
    project.run(max_workers=1)
    assert notice(project)[0].widget.children == ()
