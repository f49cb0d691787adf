"""The original framework's address of `HookManager`."""

from odibi_nb.core.running.hooks import HookManager

__all__ = ["HookManager"]
