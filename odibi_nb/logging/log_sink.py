"""The original framework's address of `BaseLogSink`."""

from odibi_nb.core.protocols import BaseLogSink

__all__ = ["BaseLogSink"]
