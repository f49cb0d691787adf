"""The context of the transformation that runs in the current thread or task."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

CURRENT: ContextVar[Any] = ContextVar("odibi_nb_context", default=None)
"""The `ExecutionContext` of the current attempt; None outside of attempts."""
