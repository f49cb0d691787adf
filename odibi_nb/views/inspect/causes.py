"""The differences between a good and a bad attempt, as text, HTML, a frame and a JSON document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.core.rehearsal.causes import MOST_DETAIL
from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.redaction import redact_text
from odibi_nb.views.escaping import escape
from odibi_nb.views.html_parts import block, folded, head, pre
from odibi_nb.views.json_documents import CauseEntry, WhyDocument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from odibi_nb.core.rehearsal.causes import Cause, Causes

COLUMNS = ("rank", "kind", "what", "detail")
_NOTHING = (
    "nothing that the run log knows has changed: the clock, the network, or an undeclared read"
)


@dataclass(frozen=True, repr=False)
class CausesView:
    """The result of ``why``. Has a rich display; `result` has the facts.

    Attributes:
        make_frame: makes a DataFrame from columns and rows.
        bisect: the command that finds the commit of an input, as a person types it here.
    """

    result: Causes
    make_frame: Callable[..., Any]
    bisect: str

    def __repr__(self) -> str:
        lines = [self._title(), self._likeliest()]
        for rank, cause in enumerate(self.result.causes, 1):
            lines.append(f"{rank}. {_one_line(cause.what)}")
            lines += [f"     {line}" for line in _shown(cause)]
        return "\n".join([*lines, *self._ends()])

    def _repr_html_(self) -> str:
        parts = [head(self._title()), f"<p>{escape(self._likeliest())}</p>"]
        for rank, cause in enumerate(self.result.causes, 1):
            title = f"{rank}. {_one_line(cause.what)}"
            detail = "\n".join(map(redact_text, cause.detail))
            plain = f"<p>{escape(title)}</p>"
            parts.append(folded(title, pre(detail), is_open=rank == 1) if detail else plain)
        parts += [f"<p>{escape(line)}</p>" for line in self._ends()]
        return block(*parts)

    def to_frame(self) -> Any:
        """Return the differences as a DataFrame, likeliest first."""
        rows = [
            dict(zip(COLUMNS, (i, c.kind, c.what, "\n".join(c.detail)), strict=True))
            for i, c in enumerate(self.result.causes, 1)
        ]
        return self.make_frame(COLUMNS, rows)

    def document(self) -> WhyDocument:
        """Return the JSON document."""
        found = self.result
        return WhyDocument(
            transformation_id=found.transformation_id,
            before=found.before.run_id,
            after=found.after.run_id,
            error=found.error,
            causes=tuple(
                CauseEntry(cause=c.kind, what=c.what, detail=tuple(map(redact_text, c.detail)))
                for c in found.causes
            ),
            unknown=found.unknown,
        )

    def _title(self) -> str:
        found = self.result
        error = f": {_one_line(found.error.splitlines()[0])}" if found.error else ""
        return f"{found.transformation_id}, {found.after}{error}; compared with {found.before}"

    def _likeliest(self) -> str:
        causes = self.result.causes
        return f"likeliest: {_one_line(causes[0].what)}" if causes else _NOTHING

    def _ends(self) -> Iterator[str]:
        if self.result.unknown:
            yield f"unknown: {'; '.join(self.result.unknown)}"
        if any(cause.kind == "input" for cause in self.result.causes):
            yield f"to find the commit: {self.bisect}"


def _one_line(text: str) -> str:
    return " ".join(redact_text(text).split())


def _shown(cause: Cause) -> list[str]:
    lines = [redact_text(line) for line in cause.detail[:MOST_DETAIL]]
    more = len(cause.detail) - MOST_DETAIL
    return [*lines, f"… and {counted(more, 'more line')}"] if more > 0 else lines
