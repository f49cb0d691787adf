"""Where we are: which way of showing a run works here, and whether somebody can answer."""

from __future__ import annotations

from typing import Any

HTML, TEXT = "html", "text"


def has_kernel(ipython: Any) -> bool:
    """Whether *ipython* belongs to a kernel, whose outputs can be HTML and be updated.

    Told by what it can do, not by its class: Databricks has its own.
    """
    return getattr(ipython, "kernel", None) is not None


def can_answer(ipython: Any) -> bool:
    """Whether a question would reach a person: not under nbclient, papermill or in jobs."""
    kernel = getattr(ipython, "kernel", None)
    if kernel is None:
        return True
    try:
        return bool(kernel.get_parent("shell")["content"].get("allow_stdin", True))
    except (AttributeError, KeyError, TypeError, LookupError):
        return True


def choose_ui(ipython: Any, asked: str) -> str:
    """``html`` or ``text``: what was asked for, or the best that works here."""
    if asked in (HTML, TEXT):
        return asked
    return HTML if has_kernel(ipython) else TEXT
