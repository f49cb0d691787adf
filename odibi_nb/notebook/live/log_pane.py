"""The log of one transformation during its run: its output, its error and its traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odibi_nb.core.runlog.attempt_logs import FollowedAttempt
from odibi_nb.core.runlog.journal import runs_folder
from odibi_nb.errors import did_you_mean
from odibi_nb.notebook.labels import labelled
from odibi_nb.notebook.live.cancel_button import heed_front_end
from odibi_nb.views.notices import note_html
from odibi_nb.views.run.attempt_log import tail_html
from odibi_nb.views.run.click_for_log import CLICKABLE, CONTROL

if TYPE_CHECKING:
    from pathlib import Path

    from odibi_nb.views.run.state import RunSnapshot

MAX_OFFERED = 1_000
"""Maximum number of ids that the box suggests. It accepts every id."""


class LogPane:
    """A box with a list of transformations, and the log of the chosen one below. No other log is read.

    Args:
        state_dir: the folder in which the project stores the journals of its runs.
        snapshot: the run.

    Attributes:
        widget: to be shown only if the kernel receives the choice.
    """

    def __init__(self, state_dir: Path, snapshot: RunSnapshot) -> None:
        import ipywidgets as w

        self._state_dir = state_dir
        self._names = frozenset(row.id for row in snapshot.rows)
        self._attempt: FollowedAttempt | None = None
        self._followed = ""
        offered = [row.id for row in snapshot.rows][:MAX_OFFERED]
        self.choice = labelled(
            w.Combobox(
                options=offered,
                placeholder="an id, or click on a row or bar",
                continuous_update=False,
            ),
            "Log of",
            "Show what this transformation prints and logs while it runs, and why it failed",
            "400px",
        )
        self.choice.style.description_width = "max-content"
        self.choice.add_class(CONTROL)
        heed_front_end(self.choice)
        self._text = w.HTML()
        style = w.HTML(CLICKABLE, layout=w.Layout(display="none"))
        self.widget = w.VBox([style, self.choice, self._text])

    @property
    def chosen(self) -> str:
        """The transformation whose log is shown; "" if none is."""
        name: str = self.choice.value.strip()
        return name if name in self._names else ""

    def choose(self, transformation_id: str) -> None:
        """Show the log of this transformation."""
        self.choice.value = transformation_id

    def paint(self, snapshot: RunSnapshot) -> None:
        """Show the output of the chosen transformation so far."""
        html = self._html(snapshot, self.choice.value.strip())
        if self._text.value != html:
            self._text.value = html

    def _html(self, snapshot: RunSnapshot, name: str) -> str:
        if not name or not snapshot.run_id:
            return ""
        if name not in self._names:
            return note_html(f"{name!r} is not in this run{did_you_mean(name, self._names)}")
        if name != self._followed or self._attempt is None:
            folder = runs_folder(self._state_dir) / snapshot.run_id
            self._attempt, self._followed = FollowedAttempt(folder, name), name
        attempt = self._attempt.read()
        return note_html(f"{name} has not started yet.") if attempt is None else tail_html(attempt)
