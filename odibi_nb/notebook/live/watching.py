"""A run of another cell, kernel or process in the outputs of a cell."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from odibi_nb.core.runlog.followed_run import INTERRUPTED
from odibi_nb.core.runlog.past_run import result_of
from odibi_nb.notebook.environment import HTML
from odibi_nb.notebook.live.cancel_button import EndButton
from odibi_nb.notebook.live.surfaces import ReservedOutputs, reserved_html
from odibi_nb.notebook.live.view import LiveView
from odibi_nb.wiring import make_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from odibi_nb.core.runlog.followed_run import FollowedRun
    from odibi_nb.views.run.state import RunSnapshot

_watched: dict[str, threading.Event] = {}
"""The event that ends the watching of a run, by its id. A kernel watches a run only in the newest cell."""


def watch_in_cell(run: FollowedRun, choose: Callable[[int], str]) -> str:
    """Show *run* until it ends, and return its status. Return "" if it is shown while other cells run.

    Without widgets, only the running cell can draw, so the cell waits for the end of the run. ■ ends only
    the watching.
    """
    stop = threading.Event()
    _watched.pop(run.run_id, stop).set()
    stop = _watched[run.run_id] = threading.Event()
    if choose(0) == HTML:
        return _watch(run, LiveView(lambda _rows: HTML, reserved_html()), stop)
    button = EndButton(run.cancel)
    button.show(0)

    def painted(snapshot: RunSnapshot) -> None:
        button.follow(snapshot.cancel_level if snapshot.live else None)

    view = LiveView(choose, ReservedOutputs(button.widget), painted)
    threading.Thread(target=_watch, args=(run, view, stop), name="odibi-watch", daemon=True).start()
    return ""


def _watch(run: FollowedRun, view: LiveView, stop: threading.Event) -> str:
    view.state_dir, view.usual = run.folder.parent.parent, run.usual
    run.show_in(view)
    status = ""
    try:
        status = run.follow(stop.wait)
    finally:
        if not status:  # an interrupt, or another cell watches it now: the run goes on
            view.leave()
    if status == INTERRUPTED:
        view.close()
    if status:
        past = run.past()
        if past is not None:
            view.add_details(result_of(past, make_frame))
        view.close()
    return status
