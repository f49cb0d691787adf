"""The original framework's address of `Engine` and `ExecutionContext`."""

from odibi_nb.core.model.engine import Engine
from odibi_nb.core.running.context import ExecutionContext

__all__ = ["Engine", "ExecutionContext"]
