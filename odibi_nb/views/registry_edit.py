"""A change of the registry: row by row, as a diff."""

from __future__ import annotations

from dataclasses import dataclass

from odibi_nb.views.markup import block, head, pre


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RegistryEdit:
    """Rows that were, or are about to be, changed. Shows itself.

    Attributes:
        where: project, environment and table.
        inserted, updated: ids.
        unchanged: how many rows needed nothing.
        diff: the rows before and after, as a unified diff.
    """

    where: str
    inserted: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    unchanged: int = 0
    diff: str = ""

    def summary(self) -> str:
        """One line: how many rows of what."""
        counts = (len(self.inserted), len(self.updated), self.unchanged)
        return f"{self.where}: " + ", ".join(
            f"{n} {what}" for n, what in zip(counts, ("new", "changed", "unchanged"), strict=True)
        )

    def __repr__(self) -> str:
        return "\n".join([self.summary(), *([self.diff] if self.diff else [])])

    def _repr_html_(self) -> str:
        return block(head(self.summary()), pre(self.diff) if self.diff else "")
