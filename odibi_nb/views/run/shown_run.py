"""A past run as a view: text in a terminal, chart, table and logs in a notebook."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.events import DONE
from odibi_nb.views.records import cell_text, text_table
from odibi_nb.views.run.run_page import summary_text
from odibi_nb.views.run.state import snapshot_of
from odibi_nb.views.status_style import style_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from odibi_nb.core.model.results import RunResult, TransformationResult

COLUMNS = ("status", "transformation", "seconds", "rows", "layer", "function")
MAX_LOG_LINES = 40
"""Lines of a failed row's log in the text: the last ones."""


@dataclass(frozen=True, slots=True, repr=False)
class ShownRun:
    """A past run. `result` is the return value of its ``run_project``, as completely as it was stored."""

    result: RunResult

    def to_frame(self, *, attempts: bool = False) -> Any:
        """Return the run log of the run, as `RunResult.to_frame` does."""
        return self.result.to_frame(attempts=attempts)

    def __repr__(self) -> str:
        return repr(self.result)

    def __str__(self) -> str:
        snapshot = snapshot_of(self.result)
        rows = self.result.transformations.values()
        started = f"started {cell_text(self.result.start_time)}"
        parts = [
            f"{summary_text(snapshot)} · {started}",
            *text_table(COLUMNS, [*map(_cells, rows)]),
        ]
        for row in rows:
            if row.status not in DONE and row.reason:
                parts += ["", *_reason(row)]
        parts += [f"⚠ {row.transformation_id} {line}" for row in rows for line in row.unusual]
        parts += ["", *self.result.warnings] if self.result.warnings else []
        failed = [row.transformation_id for row in self.result.failures()]
        if failed:
            words = ["odibi", "log", failed[0], "--run", self.result.run_id]
            parts += ["", f"all that it printed: {shlex.join(words)}"]
        return "\n".join(parts)


def _cells(row: TransformationResult) -> list[str]:
    return [
        f"{style_of(row.status.value).sign} {row.status.value}",
        row.transformation_id,
        cell_text(row.duration_seconds),
        cell_text(row.rows_out),
        row.layer,
        f"{row.module}.{row.function}",
    ]


def _reason(row: TransformationResult) -> Iterator[str]:
    yield f"{style_of(row.status.value).sign} {row.transformation_id}: {row.reason}"
    if row.failed_at and row.failed_at.hint:
        yield f"  {row.failed_at.hint}"
    lines = (row.traceback or row.log).splitlines()
    if len(lines) > MAX_LOG_LINES:
        yield "    …"
    yield from (f"    {line}" for line in lines[-MAX_LOG_LINES:])
