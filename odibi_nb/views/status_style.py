"""The style of each status: a sign, a colour and a pattern, so that no status depends on colour alone."""

from __future__ import annotations

from typing import NamedTuple

from odibi_nb.core.model.events import Status

WAITING, RETRYING = "WAITING", "RETRYING"
"""The statuses of a row that `Status` lacks: not started yet, and between two attempts."""
QUEUED = "QUEUED"
"""The status of a row from its layer's beginning until its first attempt. Only pictures use it."""


class StatusStyle(NamedTuple):
    """The style of a status. *pattern* is one of Plotly's shapes; the SVG draws the same shape."""

    sign: str
    colour: str
    pattern: str


# Colours with enough contrast on white and on near-black; sign and pattern carry the status without them.
# Queued bars are the longest, so they get the pattern that makes the smallest PNG.
STATUS_STYLES: dict[str, StatusStyle] = {
    Status.SUCCESS.value: StatusStyle("✔", "#2e9e4f", ""),
    Status.RUNNING.value: StatusStyle("▶", "#2f7de1", "/"),
    Status.FAILED.value: StatusStyle("✖", "#d9433b", "+"),
    RETRYING: StatusStyle("↻", "#b8860b", "."),
    Status.SKIPPED.value: StatusStyle("⤼", "#8d6fc7", "|"),
    Status.CANCELLED.value: StatusStyle("■", "#a06a3a", "\\"),
    Status.ABANDONED.value: StatusStyle("?", "#c2397f", "x"),
    QUEUED: StatusStyle("·", "#9a9a9a", "-"),
}
PART_DONE = "#174f97"
"""The colour of the completed part of a running bar. A percentage beside the bar gives the same value."""
WAITS = frozenset({QUEUED, RETRYING})
"""Kinds of bars that show waiting: drawn thin."""
WAITING_STYLE = StatusStyle("·", "#8a8a8a", "-")
RUN_STYLES = {
    "success": STATUS_STYLES["SUCCESS"],
    "failed": STATUS_STYLES["FAILED"],
    "cancelled": STATUS_STYLES["CANCELLED"],
    "interrupted": STATUS_STYLES["CANCELLED"],
}


def style_of(status: str) -> StatusStyle:
    """Return the style of a row in this status."""
    return WAITING_STYLE if status == WAITING else STATUS_STYLES[status]


def text_colour(colour: str) -> str:
    """Return the CSS for text in *colour*, mixed with the theme's text colour to be readable in both themes."""
    mixed = f"color-mix(in srgb,{colour} 70%,var(--jp-ui-font-color0,currentColor))"
    return f"color:{colour};color:{mixed}"
