"""The original framework's address of `TransformationRunnerFromConfig`."""

from odibi_nb.api import TransformationRunnerFromConfig

__all__ = ["TransformationRunnerFromConfig"]
