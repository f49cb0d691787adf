"""The notebook's environment: the displays that work here, and whether a person can answer."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, Any

from odibi_nb.core.process.compute import JOB, Kind, find_compute
from odibi_nb.core.process.packages import version_of

if TYPE_CHECKING:
    from collections.abc import Mapping

PLOTLY, WIDGETS, HTML, TEXT = "plotly", "widgets", "html", "text"
MAX_PLOTLY_ROWS = 500
"""Number of rows above which a browser cannot keep up with a live Plotly figure."""
_OWN_WIDGET = 6
"""The first major version of Plotly whose live figure is an anywidget widget."""


def has_kernel(ipython: Any) -> bool:
    """Return True if *ipython* belongs to a kernel, whose outputs can be HTML and can be updated.

    The check looks for the kernel and not for a class, because Databricks has a class of its own.
    """
    return getattr(ipython, "kernel", None) is not None


def can_answer(ipython: Any) -> bool:
    """Return True if a person can answer a question: not under nbclient, papermill or in jobs."""
    kernel = getattr(ipython, "kernel", None)
    if kernel is None:
        return True
    try:
        return bool(kernel.get_parent("shell")["content"].get("allow_stdin", True))
    except (AttributeError, KeyError, TypeError, LookupError):
        return True


def has_subshell(ipython: Any) -> bool:
    """Return True if the front end has opened a subshell in the kernel (ipykernel 7.1 or later).

    JupyterLab opens one by default and sends widget messages there, so the kernel receives them while
    a cell runs. Its settings can turn this off.
    """
    try:
        return bool(ipython.kernel.shell_channel_thread.manager.list_subshell())
    except (AttributeError, AssertionError):  # an older kernel, or one without subshells
        return False


def choose_ui(
    ipython: Any, asked: str, rows: int = 0, environ: Mapping[str, str] = os.environ
) -> str:
    """Return ``plotly``, ``widgets``, ``html`` or ``text``: the requested UI, or the best one here.

    Args:
        ipython: the shell.
        asked: one of these four, or ``auto``.
        rows: number of transformations that will run.
        environ: environment variables, which identify Databricks.

    Raises:
        EngineNotAvailableError: if the requested UI needs a library that is not installed.
    """
    return explain_ui(ipython, asked, rows, environ)[0]


def explain_ui(
    ipython: Any, asked: str, rows: int = 0, environ: Mapping[str, str] = os.environ
) -> tuple[str, str]:
    """Return the UI that `choose_ui` chooses, and the reason.

    Raises:
        EngineNotAvailableError: as `choose_ui`.
    """
    from odibi_nb.engines.optional_imports import check_installed

    if asked in (PLOTLY, WIDGETS):
        check_installed(f"--ui {asked}", "notebook", "ipywidgets")
        if asked == PLOTLY:
            check_installed("--ui plotly", "notebook", "plotly", *_plotly_needs())
    if asked in (PLOTLY, WIDGETS, HTML, TEXT):
        return asked, "asked for"
    if not has_kernel(ipython):
        return TEXT, "no kernel: a terminal"
    compute = find_compute(environ)
    if compute.face == JOB:
        return HTML, "a job: its page keeps no widgets"
    databricks = compute.kind not in (Kind.OWN, Kind.CONNECT)
    if not databricks and not can_answer(ipython):
        return HTML, "no front end answers, as under nbclient or in a job: widgets would stay empty"
    if not _installed("ipywidgets"):
        return HTML, "ipywidgets is not installed"
    return _best_widget(rows, databricks=databricks)


def _best_widget(rows: int, *, databricks: bool) -> tuple[str, str]:
    if databricks:
        # Databricks refuses messages above 5 MB, and Plotly's widget brings 5 MB of JavaScript.
        return WIDGETS, "Databricks: Plotly's live figure is too large for its messages"
    if rows > MAX_PLOTLY_ROWS:
        return WIDGETS, f"more than {MAX_PLOTLY_ROWS} rows"
    missing = next((name for name in ("plotly", *_plotly_needs()) if not _installed(name)), None)
    if missing:
        return WIDGETS, f"{missing} is not installed"
    versions = ", ".join(f"{name} {version_of(name)}" for name in ("ipywidgets", "plotly"))
    return PLOTLY, f"a notebook with {versions}; widgets above {MAX_PLOTLY_ROWS} rows"


def _plotly_needs() -> tuple[str, ...]:
    """Return the libraries that Plotly's live figure needs in addition to ipywidgets."""
    if not _installed("plotly"):
        return ()
    major = (version_of("plotly") or "").partition(".")[0]
    return ("anywidget",) if int(major or 0) >= _OWN_WIDGET else ()


def _installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None
