"""The lineage of a transformation, its inputs and its dependents: as a picture, as text, as Mermaid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odibi_nb.views.html_parts import MAX_RECORDS, block, first_of, head
from odibi_nb.views.plan.graph_mermaid import graph_mermaid
from odibi_nb.views.plan.graph_svg import graph_svg
from odibi_nb.views.status_style import style_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from odibi_nb.core.planning.plan import RunPlan


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Lineage:
    """A part of a plan's graph, with a rich display.

    Attributes:
        title: the selection that it shows, and the run whose states it has.
        plan: a plan with only the rows to show.
        states: id to the row's last status; None if nothing has run yet.
    """

    title: str
    plan: RunPlan
    states: Mapping[str, str] | None

    @property
    def mermaid(self) -> str:
        """Return the lineage as Mermaid text, for a Markdown page."""
        return graph_mermaid(self.plan, self.states)

    def __repr__(self) -> str:
        lines = [self.title]
        for layer, rows in self.plan.by_layer().items():
            if not rows:
                continue
            lines.append(layer)
            for row in rows:
                state = (self.states or {}).get(row.id, "")
                sign = style_of(state).sign if state else "·"
                shown = [name for name in row.upstream if name in self.plan.rows]
                after = f"  ← {', '.join(shown)}" if shown else ""
                lines.append(f"  {sign} {row.id}{after}{f'  ({state})' if state else ''}")
        return "\n".join(first_of(lines, MAX_RECORDS))

    def _repr_html_(self) -> str:
        return block(head(self.title), graph_svg(self.plan, self.states))
