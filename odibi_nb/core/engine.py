"""`Engine` and `ExecutionContext`, under the original framework's module name."""

from odibi_nb.core.model.engine import Engine
from odibi_nb.core.running.context import ExecutionContext

__all__ = ["Engine", "ExecutionContext"]
