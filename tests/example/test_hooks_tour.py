"""The hooks tour, executed as a user does."""

from __future__ import annotations

import pytest
from notebook_copies import copy_notebooks, shown_by

pytestmark = pytest.mark.usefixtures("warm_kernels")


def test_the_hooks_tour_shows_what_it_says(tmp_path):
    """Every cell runs: events, filters, an alert on a failure, a listener that raises, a sink."""
    shown = shown_by(copy_notebooks(tmp_path), "hooks_tour")
    assert "✅ BRONZE_001 in" in shown["first"]
    assert "did you mean 'transform_success'?" in shown["mistake"]
    assert "'transform_success': 19" in shown["all"]
    assert "'SILVER_003', 'RSF II'" in shown["filters"]
    assert "Silver_2" in shown["timing"]
    assert "{'SUCCESS': 13, 'FAILED': 1, 'SKIPPED': 5}" in shown["alert"]
    assert "❌ Energy Efficiency (qat): BRONZE_004 load_csv failed in attempt 1" in shown["alert"]
    assert "raised ConnectionError: the chat is down" in shown["raises"]
    assert "success, 19 transformations" in shown["sink"]
