"""The next steps after a row has failed: its error with the line, and buttons."""

from __future__ import annotations

import itertools
from pathlib import PurePath
from typing import TYPE_CHECKING

from odibi_nb.core.model.events import Status
from odibi_nb.core.text.counts import counted
from odibi_nb.views.escaping import escape
from odibi_nb.views.next_steps import HIDDEN, cell_button, command, steps_html
from odibi_nb.views.source_link import source_link

if TYPE_CHECKING:
    from collections.abc import Iterable

    from odibi_nb.views.run.row_state import RowState
    from odibi_nb.views.run.state import RunSnapshot

_FAILED = Status.FAILED.value
RETRIED = frozenset({_FAILED, Status.ABANDONED.value, Status.SKIPPED.value, Status.CANCELLED.value})
"""Statuses of the rows that a retry runs again."""
MAX_BUTTONS = 20
"""Failed rows with buttons: each takes 2 kB of a saved notebook. The others have the commands as text."""
_RETRY_LATER = (
    f"<button type=button {HIDDEN} disabled title='Possible when the run is over'>Retry</button>"
)
"""It has its place during the run already, so that the end of the run moves nothing."""
SHOW_LOG = f"<button type=button {HIDDEN} title='Show its log above'>traceback and log</button>"
"""A button of a live table. The table itself handles the click, as every click on a row."""
_COPY = (
    "const text=[this.dataset.text,this.closest('tbody')?.querySelector('details pre')?.textContent]"
    ".filter(Boolean).join('\\n\\n'),done=()=>this.textContent='Copied';"
    "if(navigator.clipboard)navigator.clipboard.writeText(text).then(done);"
    "else{const box=document.createElement('textarea');box.value=text;this.after(box);box.select();"
    "document.execCommand('copy');box.remove();this.focus();done()}"
)
"""A script that copies the error and its traceback. Pages without TLS have no `navigator.clipboard`."""


def failure_html(row: RowState, error: str, *, link: bool = True) -> str:
    """Return the line of a failed row's *error* as HTML: the line of code as a link, and the hint."""
    place = row.failed_at
    if place is None:
        return f"↳ {escape(error)}"
    where = f"{PurePath(place.file).name}:{place.line}"
    # Only of an output does JupyterLab take a link for a file of its own; a widget's would leave the page.
    where = source_link(place.file, place.line, where) if link else escape(where)
    hint = f" · <b>{escape(place.hint)}</b>" if place.hint else ""
    return f"↳ {escape(error)} — {where} in {escape(place.function)}{hint}"


def failure_text(row: RowState, error: str) -> str:
    """Return the same line as text: ``KeyError: 'ghi' — silver.py:109 in weather; did you mean …``."""
    place = row.failed_at
    if place is None:
        return error
    hint = f"; {place.hint}" if place.hint else ""
    return f"{error} — {PurePath(place.file).name}:{place.line} in {place.function}{hint}"


class NextSteps:
    """The next steps for the failed rows of one run: Debug, Load here, Retry, Copy error."""

    def __init__(self, snapshot: RunSnapshot) -> None:
        self._names = {"project": snapshot.project, "env": snapshot.env}
        self._run_id = snapshot.run_id
        left = sum(snapshot.counts[status] for status in RETRIED)
        self._retry = f"Retry {counted(left, 'row')}"
        self._over = not snapshot.live
        rows = snapshot.rows if snapshot.counts[_FAILED] else ()
        failed = (row.id for row in rows if row.status == _FAILED)
        self._with_buttons = frozenset(itertools.islice(failed, MAX_BUTTONS))

    def shown(self, row: RowState) -> bool:
        """Return True if *row* is one of the failed rows that have buttons and a link."""
        return row.id in self._with_buttons

    def of(self, row: RowState, details: str = "") -> str:
        """Return the steps of *row* and its folded *details*; "" if it has not failed or its id would break a command."""
        if row.status != _FAILED or not self._run_id:
            return ""
        debug = command("debug", row.id, **self._names)
        load = command("load", row.id, **self._names)
        retry = command("retry", self._run_id, **self._names) if self._over else ""
        if not (debug and load):
            return ""
        buttons = self._buttons(row, debug, load, retry) if self.shown(row) else ()
        return steps_html([*buttons], [debug, load, retry], details)

    def _buttons(self, row: RowState, debug: str, load: str, retry: str) -> Iterable[str]:
        name = f"{row.id}: "
        yield cell_button("Debug", f"{name}open the failed frames: {debug}", debug, run=True)
        tip = f"{name}load its inputs, and its source into a cell to edit and try: {load}"
        yield cell_button("Load here", tip, load, run=True)
        if not self._over:
            yield _RETRY_LATER
        if retry:
            yield cell_button(self._retry, f"Put it into a cell to run: {retry}", retry, run=False)
        text = f"{row.id} failed in run {self._run_id}: {failure_text(row, row.error)}"
        yield (
            f"<button type=button {HIDDEN} title='{escape(name)}copy error and traceback' "
            f"data-text='{escape(text)}' onclick=\"{escape(_COPY)}\">Copy error</button>"
        )
