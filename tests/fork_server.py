"""Processes by fork from one that has imported, but not used, the libraries: delta-rs is safe to fork then."""

from __future__ import annotations

import multiprocessing


def processes():
    """Return the context of such processes. Their function must be importable."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killed_run"])
    return context
