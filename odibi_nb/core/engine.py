"""The original framework's address of `Engine` and `ExecutionContext`."""

from odibi_nb.core.context import Engine, ExecutionContext

__all__ = ["Engine", "ExecutionContext"]
