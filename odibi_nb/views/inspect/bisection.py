"""The result of a bisection, as text, HTML, a frame and a JSON document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.core.rehearsal.bisection import commit_text
from odibi_nb.core.text.counts import counted
from odibi_nb.views.html_parts import block, folded, head, pre
from odibi_nb.views.status_style import STATUS_STYLES

if TYPE_CHECKING:
    from collections.abc import Callable

    from odibi_nb.core.rehearsal.bisection import Bisection, Try

COLUMNS = ("replay", "versions", "outcome", "error")


@dataclass(frozen=True, repr=False)
class BisectionView:
    """The result of ``bisect``. Has a rich display; `result` has the facts."""

    result: Bisection
    make_frame: Callable[..., Any]

    def __repr__(self) -> str:
        return "\n".join([self._title(), *self._lines()])

    def _repr_html_(self) -> str:
        colour = STATUS_STYLES["SUCCESS" if self.result.culprit else "FAILED"].colour
        between = "\n".join(map(commit_text, self.result.commits))
        parts = [head(self._title(), colour), pre("\n".join(self._lines()))]
        parts += [folded("all commits in between", pre(between))] if between else []
        return block(*parts)

    def to_frame(self) -> Any:
        """Return the replays as a DataFrame."""
        rows = []
        for number, one in enumerate(self.result.tries, 1):
            values = (number, _versions(one), one.outcome, one.error or one.unreadable or None)
            rows.append(dict(zip(COLUMNS, values, strict=True)))
        return self.make_frame(COLUMNS, rows)

    @property
    def exit_code(self) -> int:
        """Exit code: 0 if a commit was found, otherwise 1."""
        return 0 if self.result.culprit is not None else 1

    def _title(self) -> str:
        return f"{self.result.transformation_id}: {self.result.conclusion}"

    def _lines(self) -> list[str]:
        found = self.result
        tried = f"{counted(len(found.tries), 'replay')} among {counted(len(found.commits), 'commit')}; nothing was written"
        lines = [f"last good: {found.good}", f"first bad: {found.bad}", tried]
        for one in found.tries:
            first = (one.error or one.unreadable).splitlines()[:1]
            lines.append(": ".join([f"  {_versions(one)}", one.outcome, *filter(None, first)]))
        return lines


def _versions(one: Try) -> str:
    return ", ".join(f"{table} v{version}" for table, version in one.versions.items())
