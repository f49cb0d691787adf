"""The original framework's address of `GenericProjectOrchestrator` and `run_project`."""

from odibi_nb.api import GenericProjectOrchestrator, run_project

__all__ = ["GenericProjectOrchestrator", "run_project"]
