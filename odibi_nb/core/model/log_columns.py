"""The columns of the run log, as every sink keeps them.

A kind is ``string``, ``timestamp`` (UTC, microseconds), ``double`` or ``int`` (64 bits).
"""

from __future__ import annotations

RUN_TABLE = "TransformationRun"
"""The table of runs, beside that of attempts."""

RECORD_COLUMNS: tuple[tuple[str, str], ...] = (
    ("transformation_id", "string"),
    ("project", "string"),
    ("plant", "string"),
    ("asset", "string"),
    ("start_time", "timestamp"),
    ("end_time", "timestamp"),
    ("status", "string"),
    ("duration_seconds", "double"),
    ("error_message", "string"),
    ("env", "string"),
    ("run_id", "string"),
    ("function", "string"),
    ("module", "string"),
    ("layer", "string"),
    ("engine", "string"),
    ("attempt", "int"),
    ("rows_in", "int"),
    ("rows_out", "int"),
    ("error_type", "string"),
    ("config_hash", "string"),
    ("user", "string"),
    ("host", "string"),
    ("checks", "string"),
)
"""One row per ended attempt: the seed's ten columns, then ours; `checks` holds JSON text."""

RUN_COLUMNS: tuple[tuple[str, str], ...] = (
    ("run_id", "string"),
    ("project", "string"),
    ("env", "string"),
    ("status", "string"),
    ("start_time", "timestamp"),
    ("end_time", "timestamp"),
    ("duration_seconds", "double"),
    ("engine", "string"),
    ("layers", "string"),
    ("transformations", "int"),
    ("succeeded", "int"),
    ("failed", "int"),
    ("skipped", "int"),
    ("cancelled", "int"),
    ("options", "string"),
    ("plan_hash", "string"),
    ("versions", "string"),
    ("warnings", "string"),
    ("user", "string"),
    ("host", "string"),
    ("retry_of", "string"),
    ("run_number", "int"),
)
"""One row per run that ended; `options`, `versions` and `warnings` hold JSON text.

`run_number` is greater than those of all runs before it: clocks, which jump, order no runs.
"""
