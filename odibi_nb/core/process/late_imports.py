"""Import libraries late, one at a time in the whole process.

Libraries import each other late, and some search ``sys.modules`` (pandas for openpyxl, DuckDB for
pandas). If two threads import at the same time, a library may find a partly imported module.
"""

from __future__ import annotations

import importlib
import sys
import threading
from typing import Any

from odibi_nb.core.process.forks import at_fork

_importing = threading.RLock()
_complete: dict[str, Any] = {}


def import_late(module: str) -> Any:
    """Import *module* while no other thread imports through this function.

    Raises:
        ImportError: if the import raises it.
    """
    found = _complete.get(module)
    if found is not None and sys.modules.get(module) is found:
        return found
    with _importing:
        _complete[module] = importlib.import_module(module)
        return _complete[module]


def _before_fork() -> None:
    """Wait for an import on another thread. In the child it would stay incomplete and locked."""
    _importing.acquire()


def _after_fork_in_parent() -> None:
    _importing.release()


def _after_fork_in_child() -> None:
    global _importing  # noqa: PLW0603  threads that exist only in the parent may wait for the old one
    _importing = threading.RLock()


at_fork(
    before=_before_fork,
    after_in_child=_after_fork_in_child,
    after_in_parent=_after_fork_in_parent,
)
