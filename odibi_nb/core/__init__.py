"""The orchestrator in pure Python, without a notebook, a DataFrame library or a database.

Users can import `DataType`, `Engine` and `ExecutionContext` from here, as in the original framework.
Each name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from odibi_nb.core.model.engine import Engine
    from odibi_nb.core.protocols import DataType
    from odibi_nb.core.running.context import ExecutionContext

__all__ = ["DataType", "Engine", "ExecutionContext"]

_HOME_OF = {
    "DataType": "protocols",
    "Engine": "running.context",
    "ExecutionContext": "running.context",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
