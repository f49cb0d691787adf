"""The event bus: nothing that gets its events can fail a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import fill_the_disk_of_journals, row, statuses

from odibi_nb.core.running.hooks import HookManager


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux: a disk that is full")
def test_a_full_disk_ends_no_run(project):
    """If the journal cannot be written, the run goes on, and one warning names the file and the reason."""
    p = project(row("A", lambda: None), row("B", lambda: None))

    hooks = HookManager()
    hooks.register("configs_loaded", lambda _: fill_the_disk_of_journals())
    result = p.run(hooks=hooks)
    assert statuses(result) == {"A": "SUCCESS", "B": "SUCCESS"}
    (warning,) = [text for text in result.warnings if "the journal is incomplete" in text]
    assert warning.endswith("journal.jsonl: No space left on device")
    assert len(p.sink.records) == 2


def test_a_view_that_always_raises_is_one_warning(project):
    """A view and a listener may raise at each event: the run names each of them once."""

    class Broken:
        def __getattr__(self, name):
            raise RuntimeError(name)

    def raises(_):
        raise KeyError("x")

    hooks = HookManager()
    hooks.register("*", raises)
    result = project(row("A", lambda: print("said"))).run(hooks=hooks, views=[Broken()])
    assert result["status"] == "success"
    raised = [text for text in result.warnings if " raised " in text]
    assert sorted(text.partition(" ")[0] for text in raised) == ["listener", "view"]
