"""The original framework's address of the decorators, and of the registry they file functions in."""

from odibi_nb.core.functions.decorators import (
    odibi_function,
    pandas_function,
    spark_function,
    universal_function,
    with_context,
)
from odibi_nb.core.functions.registry import REGISTRY, FunctionRegistry
from odibi_nb.core.running.context import ExecutionContext, get_current_context

__all__ = [
    "REGISTRY",
    "ExecutionContext",
    "FunctionRegistry",
    "get_current_context",
    "odibi_function",
    "pandas_function",
    "spark_function",
    "universal_function",
    "with_context",
]
