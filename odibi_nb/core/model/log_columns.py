"""Columns of the run log, which are the same in each sink.

A kind is ``string``, ``timestamp`` (UTC, microseconds), ``double`` or ``int`` (64 bits).
"""

from __future__ import annotations

RUN_TABLE = "TransformationRun"
"""Name of the table of runs, in the same schema as the table of attempts."""

LEASE_TABLE = "TransformationRunLease"
"""Name of the table of leases: for each shared project and environment, the run that may continue."""

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
    ("inputs_read", "string"),
    ("outputs_written", "string"),
    ("code_hash", "string"),
)
"""Columns of the table with one row for each finished attempt: the seed's ten, then ours.

`checks`, `inputs_read` and `outputs_written` contain JSON text.
"""

PROVENANCE_COLUMNS = ("inputs_read", "outputs_written", "code_hash")
"""Columns about data and code. They are for programs, and too wide for tables that people read."""

OUTCOME_NAMES = (
    "run_id",
    "transformation_id",
    "layer",
    "attempt",
    "status",
    "start_time",
    "duration_seconds",
    "rows_out",
    "error_type",
)
OUTCOME_COLUMNS = tuple(column for column in RECORD_COLUMNS if column[0] in OUTCOME_NAMES)
"""The columns of a short record: the outcome of an attempt."""

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
    ("rollback_of", "string"),
    ("unchanged", "int"),
)
"""Columns of the table with one row for each finished run.

`options`, `versions` and `warnings` contain JSON text. `run_number` orders the runs: it is greater than
the number of each earlier run. Clocks can jump, so times do not order runs.
"""

LEASE_COLUMNS: tuple[tuple[str, str], ...] = (
    ("project", "string"),
    ("env", "string"),
    ("run_id", "string"),
    ("owner", "string"),
    ("beat", "int"),
    ("cancels", "string"),
    ("start", "string"),
    ("plan", "string"),
    ("unended", "string"),
)
"""Columns of `LEASE_TABLE`. Without a run, `run_id` is empty. `beat` grows with every change of the row.

The other columns are JSON text: `owner` the run's process, `cancels` the ids of the rows to cancel ("" for
the run), `start` its ``run_start`` event, `plan` its planned rows, and `unended` the same two of earlier
runs whose log may be incomplete.
"""
