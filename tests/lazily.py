"""Libraries that are imported at their first use: half of the time to collect the core's tests was theirs."""

from __future__ import annotations

import importlib
from typing import Any


class Library:
    """A library. Each attribute is the library's own, but for private ones, which pytest asks of everything."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self._name), attribute)


deltalake = Library("deltalake")
duckdb = Library("duckdb")
pa = Library("pyarrow")
pd = Library("pandas")
