"""The style of each status: a sign, a colour and a pattern, so that no status depends on colour alone."""

from __future__ import annotations

from typing import NamedTuple

from odibi_nb.core.model.events import Status

WAITING, RETRYING = "WAITING", "RETRYING"
"""The statuses of a row that `Status` lacks: not started yet, and between two attempts."""
QUEUED = "QUEUED"
"""The status of a row from its layer's beginning until its first attempt. Only pictures use it."""


class StatusStyle(NamedTuple):
    """The style of a status.

    Attributes:
        sign: a character that no other status has.
        colour: of text.
        pattern: of bars: one of Plotly's shapes; the SVG draws the same shape.
        fill: of bars, if it is not *colour*.
        lines: the colour of the pattern.
    """

    sign: str
    colour: str
    pattern: str
    fill: str = ""
    lines: str = "#ffffffbf"

    @property
    def bar(self) -> str:
        """Return the colour of a bar."""
        return self.fill or self.colour


FAINT = "#80808010"
"""The fill of bars of rows that had nothing to do: lighter than all others, or darker in a dark theme."""

# Text colours have enough contrast on white and on near-black. Bars of success, failed and running rows differ in
# lightness, also for people who see no red or no green; sign and pattern carry the status without any colour.
# Queued bars are the longest, so they get the pattern that makes the smallest PNG.
STATUS_STYLES: dict[str, StatusStyle] = {
    Status.SUCCESS.value: StatusStyle("✔", "#2e9e4f", ""),
    Status.RUNNING.value: StatusStyle("▶", "#2f7de1", "/", "#a9cbf8", "#2f7de1"),
    Status.FAILED.value: StatusStyle("✖", "#d9433b", "+", "#a3180f", "#8a120b"),
    RETRYING: StatusStyle("↻", "#b8860b", "."),
    Status.SKIPPED.value: StatusStyle("⤼", "#8d6fc7", "|"),
    Status.CANCELLED.value: StatusStyle("■", "#a06a3a", "\\"),
    Status.ABANDONED.value: StatusStyle("?", "#c2397f", "x"),
    Status.UNCHANGED.value: StatusStyle("=", "#777d85", "-", FAINT, "#80808020"),
    QUEUED: StatusStyle("·", "#9a9a9a", "-"),
}
PART_DONE = "#174f97"
"""The colour of the completed part of a running bar. A percentage beside the bar gives the same value."""
WAITS = frozenset({QUEUED, RETRYING})
"""Kinds of bars that show waiting: drawn thin."""
EXPECTED, RETRIED, LATE = "EXPECTED", "RETRIED", "LATE"
"""Kinds of bars that are no status: the forecast, a failed attempt before another one, time over the usual."""
BAR_STYLES: dict[str, StatusStyle] = {
    EXPECTED: StatusStyle("░", "#8a8a8a", "", "#8080802e"),
    **STATUS_STYLES,
    RETRIED: StatusStyle("▯", "#d9433b", "", "#00000000"),
    LATE: StatusStyle("▂", "#b8860b", "", "#f0a30a"),
}
"""Every kind of bar, in the order of a chart's legend."""
WORDS = {RETRIED: "failed attempt", EXPECTED: "expected", LATE: "longer than usual"}
"""The legend's words for kinds that are no status."""


def legend_text(kind: str) -> str:
    """Return the legend's words for a kind of bar, after the sign of a status.

    Kinds that are no status have no sign here: it would repeat the form of the swatch, and the chart does not draw it.
    """
    return WORDS.get(kind) or f"{BAR_STYLES[kind].sign} {kind.lower()}"


WAITING_STYLE = StatusStyle("·", "#8a8a8a", "-")
RUN_STYLES = {
    "success": STATUS_STYLES["SUCCESS"],
    "failed": STATUS_STYLES["FAILED"],
    "cancelled": STATUS_STYLES["CANCELLED"],
    "interrupted": STATUS_STYLES["CANCELLED"],
}

FRESHNESS_STYLES = {
    "fresh": StatusStyle("✔", "#2e9e4f", ""),
    "stale": StatusStyle("↻", "#b8860b", "."),
    "unknown": StatusStyle("?", "#777d85", "x"),
}
"""The styles of a row's state in `odibi_nb.core.planning.freshness.State`."""


def style_of(status: str) -> StatusStyle:
    """Return the style of a row in this status. A status of a newer version looks like a waiting row."""
    return STATUS_STYLES.get(status, WAITING_STYLE)


def text_colour(colour: str) -> str:
    """Return the CSS for text in *colour*, mixed with the theme's text colour to be readable in both themes."""
    mixed = f"color-mix(in srgb,{colour} 70%,var(--jp-ui-font-color0,currentColor))"
    return f"color:{colour};color:{mixed}"
