"""A change of the registry, row by row, as a diff."""

from __future__ import annotations

from dataclasses import dataclass

from odibi_nb.views.html_parts import block, head, pre


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RegistryEdit:
    """Rows that a command changed or would change, with a rich display.

    Attributes:
        where: project, environment and table.
        inserted, updated, deleted: ids.
        unchanged: number of rows that already agree.
        diff: the rows before and after, as a unified diff; its first lines if it is long.
        cut: True if the diff has more lines.
    """

    where: str
    inserted: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    unchanged: int = 0
    diff: str = ""
    cut: bool = False

    @property
    def changes(self) -> bool:
        """Return True if any row changes."""
        return bool(self.inserted or self.updated or self.deleted)

    def summary(self) -> str:
        """Return one line with the number of new, changed, unchanged and deleted rows."""
        words = [f"{len(self.inserted)} new", f"{len(self.updated)} changed"]
        words += [f"{self.unchanged} unchanged"]
        words += [f"{len(self.deleted)} deleted"] if self.deleted else []
        return f"{self.where}: {', '.join(words)}"

    def _shown_diff(self) -> str:
        rest = "\n… the diff continues: `registry list` shows all rows"
        return f"{self.diff}{rest if self.cut else ''}"

    def __repr__(self) -> str:
        return "\n".join([self.summary(), *([self._shown_diff()] if self.diff else [])])

    def _repr_html_(self) -> str:
        return block(head(self.summary()), pre(self._shown_diff()) if self.diff else "")
