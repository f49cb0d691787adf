"""Short waits for the tests of the core."""

from __future__ import annotations

import pytest

from odibi_nb.core.runlog import writer
from odibi_nb.core.running import coordinator


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    """A run looks for requests every 20 ms instead of 250, and tries a failed sink again at once."""
    monkeypatch.setattr(coordinator, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(writer, "BACKOFF_SECONDS", 0.001)
