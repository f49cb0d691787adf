"""Records of the run log for tests."""

from __future__ import annotations

import datetime as dt

from odibi_nb.core.model.log_columns import RUN_COLUMNS

START = dt.datetime(2025, 1, 15, 10, 30, 0, 123456, tzinfo=dt.timezone.utc)


def record(transformation_id: str = "T1", attempt: int = 1, run_id: str = "run-1", **values):
    """A full record of a successful attempt, and *values*."""
    return {
        "transformation_id": transformation_id,
        "project": "Energy Efficiency",
        "plant": "Plant_A",
        "asset": None,
        "start_time": START,
        "end_time": START + dt.timedelta(seconds=45.2),
        "status": "SUCCESS",
        "duration_seconds": 45.2,
        "error_message": None,
        "env": "qat",
        "run_id": run_id,
        "function": "f",
        "module": "m",
        "layer": "Bronze",
        "engine": "pandas",
        "attempt": attempt,
        "rows_in": 10**12,
        "rows_out": 0,
        "error_type": None,
        "config_hash": "0123456789abcdef",
        "user": "u",
        "host": "h",
        "checks": None,
        "inputs_read": '[{"table":"bronze.t","version":3}]',
        "outputs_written": None,
        "code_hash": "fedcba9876543210",
        **values,
    }


def run(run_id: str = "run-1", **values):
    """A full record of a run, and *values*."""
    kinds = {"string": "text", "timestamp": START, "double": 1.25, "int": 3}
    return {**{name: kinds[kind] for name, kind in RUN_COLUMNS}, "run_id": run_id, **values}
