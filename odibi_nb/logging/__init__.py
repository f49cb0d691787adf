"""The original framework's address of `BaseLogSink`; the standard library's `logging` is untouched."""

from odibi_nb.core.protocols import BaseLogSink

__all__ = ["BaseLogSink"]
