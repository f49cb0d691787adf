"""The panel's notice about a run that was cut off, for example by a kernel restart, with a button to retry it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.core.process.state_folder import state_folder
from odibi_nb.core.runlog.recovery import newest_dead_run
from odibi_nb.core.text.counts import counted
from odibi_nb.notebook.labels import small_button
from odibi_nb.settings import load_settings
from odibi_nb.views.notices import note_html
from odibi_nb.views.records import cell_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from odibi_nb.core.protocols import Row


class CutOffNotice:
    """A notice about a project's newest run if that run was cut off, with an offer to retry it.

    Args:
        retry: retries a run, by its id.

    Attributes:
        widget: empty if no run was cut off.
    """

    def __init__(self, retry: Callable[[str], Any]) -> None:
        import ipywidgets as w

        self.run_id = ""
        self._retry = retry
        self._text = w.HTML()
        tip = "Run its unfinished rows, and the rows that need them"
        self.button = small_button("Retry it", "repeat", tip, self._press)
        self.widget = w.HBox([], layout={"align_items": "center", "flex_flow": "row wrap"})

    def look(self, folder: Path, project: str, env: str) -> None:
        """Show the run that was cut off in *env* of *project*, whose manifest is in *folder*."""
        state = state_folder(folder, load_settings().get("state_dir"))
        found = newest_dead_run(state, project, env)
        self.run_id = "" if found is None else found[0]["run_id"]
        self._text.value = "" if found is None else note_html(cut_off_text(*found))
        self.widget.children = (self._text, self.button) if found else ()

    def _press(self) -> None:
        run_id = self.run_id
        self.widget.children = ()
        self._retry(run_id)


def cut_off_text(run: Row, records: Sequence[Row]) -> str:
    """Return a text about the run that was cut off: which run, when, and how far it was."""
    last = {record["transformation_id"]: record["status"] for record in records}
    lost = sum(status == "ABANDONED" for status in last.values())
    begun = f"of {cell_text(run['start_time'])} " if run.get("start_time") else ""
    return (
        f"⚠ Run {run['run_id']} {begun}was cut off: its process ended. {len(last) - lost:,} of "
        f"{counted(len(last), 'row')} had ended, {lost:,} had not."
    )
