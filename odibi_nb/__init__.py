"""The notebook cockpit for config-driven medallion pipelines.

Use ``%load_ext odibi_nb`` and ``%odibi run "Energy Efficiency" --env qat`` in a notebook,
`run_project` in Python, and ``odibi run`` in a shell. All three do the same.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from odibi_nb.version import __version__ as __version__

if TYPE_CHECKING:
    from odibi_nb.api import (
        GenericProjectOrchestrator,
        ProjectManifest,
        TransformationRunnerFromConfig,
        diff,
        read_table,
        report,
        rollback,
        run_project,
        show,
        status,
        watch,
    )
    from odibi_nb.core.functions.decorators import (
        odibi_function,
        pandas_function,
        spark_function,
        universal_function,
        with_context,
    )
    from odibi_nb.core.functions.registry import REGISTRY
    from odibi_nb.core.model.checks import expect
    from odibi_nb.core.model.engine import Engine
    from odibi_nb.core.model.results import RunResult, TransformationResult
    from odibi_nb.core.planning.plan import RunPlan
    from odibi_nb.core.protocols import BaseLogSink, DataType
    from odibi_nb.core.running.context import ExecutionContext, get_current_context
    from odibi_nb.core.running.hooks import HookManager
    from odibi_nb.errors import OdibiError
    from odibi_nb.notebook.panel.panel import RunPanel


__all__ = [
    "REGISTRY",
    "BaseLogSink",
    "DataType",
    "Engine",
    "ExecutionContext",
    "GenericProjectOrchestrator",
    "HookManager",
    "OdibiError",
    "ProjectManifest",
    "RunPanel",
    "RunPlan",
    "RunResult",
    "TransformationResult",
    "TransformationRunnerFromConfig",
    "diff",
    "expect",
    "get_current_context",
    "odibi_function",
    "pandas_function",
    "read_table",
    "report",
    "rollback",
    "run_project",
    "show",
    "spark_function",
    "status",
    "universal_function",
    "watch",
    "with_context",
]

_HOMES = {
    "api": (
        "GenericProjectOrchestrator ProjectManifest TransformationRunnerFromConfig diff"
        " read_table report rollback run_project show status watch"
    ),
    "core.model.checks": "expect",
    "core.running.context": "Engine ExecutionContext get_current_context",
    "core.functions.decorators": (
        "odibi_function pandas_function spark_function universal_function with_context"
    ),
    "core.functions.registry": "REGISTRY",
    "core.running.hooks": "HookManager",
    "core.planning.plan": "RunPlan",
    "core.protocols": "BaseLogSink DataType",
    "core.model.results": "RunResult TransformationResult",
    "errors": "OdibiError",
    "notebook.panel.panel": "RunPanel",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, to keep the import of the package fast."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def load_ipython_extension(ipython: Any) -> None:
    """Register ``%odibi``. ``%load_ext odibi_nb`` calls this function."""
    from odibi_nb.notebook.magic import register

    register(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """Remove ``%odibi``. ``%unload_ext odibi_nb`` calls this function."""
    from odibi_nb.notebook.magic import unregister

    unregister(ipython)
