"""Two runs side by side: the number of transformations that differ, and the transformations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odibi_nb.core.text.counts import counted
from odibi_nb.views.escaping import escape
from odibi_nb.views.html_parts import block, folded
from odibi_nb.views.records import Records, cell_text

if TYPE_CHECKING:
    from odibi_nb.core.protocols import Row


@dataclass(frozen=True, slots=True, repr=False)
class RunComparison(Records):
    """The rows of two runs. Text, `len` and DataFrame have all rows; HTML folds the equal ones.

    Attributes:
        runs: the records of run a and run b.
    """

    runs: tuple[Row, ...] = ()

    def differ(self) -> list[Row]:
        """Return the rows that differ."""
        return [row for row in self.rows if row["changed"]]

    def summary(self) -> str:
        """Return the number of rows that differ: ``5 of 19 transformations differ``."""
        total = counted(len(self.rows), "transformation")
        return f"{len(self.differ()):,} of {total} differ" if self.rows else "no transformations"

    def heads(self) -> list[str]:
        """Return a line for each run: its letter, id, status, start and duration."""
        return [
            f"{letter} = run {run['run_id']} ({run['status']}, started {cell_text(run.get('start_time'))}, "
            f"{run.get('duration_seconds') or 0:,.1f} s)"
            for letter, run in zip("ab", self.runs, strict=False)
        ]

    def __str__(self) -> str:
        return self._headed(self.rows)

    def __repr__(self) -> str:
        return self._headed(self.differ())

    def _headed(self, rows: list[Row]) -> str:
        lines = [f"{self.title}: {self.summary()}", *(f"  {head}" for head in self.heads())]
        return "\n".join(
            [*lines, str(Records("", self.columns, rows)).lstrip("\n")] if rows else lines
        )

    def _repr_html_(self) -> str:
        different = self.differ()
        equal = [row for row in self.rows if not row["changed"]]
        heads = "<br>".join(map(escape, self.heads()))
        title = f"<b>{escape(self.title)}: {self.summary()}</b>"
        parts = [f"<p style='margin:4px 0'>{title}<br>{heads}</p>"]
        if different:
            parts.append(Records("", self.columns, different)._repr_html_())
        if equal:
            table = Records("", self.columns, equal)._repr_html_()
            parts.append(folded(f"{counted(len(equal), 'row')} without a difference", table))
        return block(*parts)
