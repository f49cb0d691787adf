"""notebooks/time_machine.ipynb, executed as a user does: stale, diff, why, load --run, bisect, rollback."""

from __future__ import annotations

import pytest
from notebook_copies import copy_notebooks, shown_by

pytestmark = pytest.mark.usefixtures("warm_kernels")


def test_the_time_machine_shows_what_it_says(tmp_path):
    """After one bad timestamp only its rows run, and the cause is found on the old data, after a repair."""
    shown = shown_by(copy_notebooks(tmp_path), "time_machine")
    assert "19 fresh" in shown["fresh"]
    assert "6 rows" in shown["stale"]
    assert "1 success, 1 failed, 4 skipped" in shown["red"]
    assert "bronze.rmis_weather v0 → v1: +1 −1" in shown["diff"]
    assert "likeliest: input bronze.rmis_weather v0 → v1 (WRITE by BRONZE_002" in shown["why"]
    assert "bronze.rmis_weather v1" in shown["load"]
    assert "no clock" in shown["look"]
    assert "bronze.rmis_weather v1 (WRITE by BRONZE_002" in shown["bisect"]
    assert "nothing was written" in shown["bisect"]
    assert "5 success" in shown["green"]
    assert "gold.hourly_metrics v0 → v1: +6 −88" in shown["wrong-diff"]
    assert "gold.hourly_metrics  restore  1        0" in shown["dry"]
    assert "1 success" in shown["rollback"]
