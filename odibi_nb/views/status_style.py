"""How each status looks: a sign, a colour and a pattern, so that none depends on colour alone."""

from __future__ import annotations

from typing import NamedTuple

from odibi_nb.core.model.events import Status
from odibi_nb.views.run.state import RETRYING, WAITING

QUEUED = "QUEUED"
"""What a row is from its layer's beginning until its first attempt; only in pictures."""


class Look(NamedTuple):
    """A status' appearance; *pattern* is one of Plotly's shapes, drawn alike in the SVG."""

    sign: str
    colour: str
    pattern: str


# Colours with enough contrast on white and on near-black; sign and pattern say the same without them.
# What is queued is drawn longest: its pattern is the one that makes the smallest PNG.
LOOKS: dict[str, Look] = {
    Status.SUCCESS.value: Look("✔", "#2e9e4f", ""),
    Status.RUNNING.value: Look("▶", "#2f7de1", "/"),
    Status.FAILED.value: Look("✖", "#d9433b", "+"),
    RETRYING: Look("↻", "#b8860b", "."),
    Status.SKIPPED.value: Look("⤼", "#8d6fc7", "|"),
    Status.CANCELLED.value: Look("■", "#a06a3a", "\\"),
    Status.ABANDONED.value: Look("?", "#c2397f", "x"),
    QUEUED: Look("·", "#9a9a9a", "-"),
}
PART_DONE = "#174f97"
"""What fills a running bar as far as it is done; a figure in per cent beside it says the same."""
WAITS = frozenset({QUEUED, RETRYING})
"""Kinds of bars that are no work: drawn thin."""
WAITING_LOOK = Look("·", "#8a8a8a", "-")
RUN_LOOKS = {
    "success": LOOKS["SUCCESS"],
    "failed": LOOKS["FAILED"],
    "cancelled": LOOKS["CANCELLED"],
    "interrupted": LOOKS["CANCELLED"],
}


def look_of(status: str) -> Look:
    """The look of a row's status."""
    return WAITING_LOOK if status == WAITING else LOOKS[status]


def readable(colour: str) -> str:
    """CSS of text in *colour*, mixed with the text's own so that it can be read in both themes."""
    mixed = f"color-mix(in srgb,{colour} 70%,var(--jp-ui-font-color0,currentColor))"
    return f"color:{colour};color:{mixed}"
