"""The explanation of a transformation: sections of facts, as text and as HTML."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from odibi_nb.views.escaping import escape
from odibi_nb.views.html_parts import block, folded, head
from odibi_nb.views.source_link import source_link

if TYPE_CHECKING:
    from odibi_nb.views.records import Records


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and a text. *link* is the path of a file that a front end may open on a click, at *line*."""

    name: str
    text: str
    link: str = ""
    line: int = 1


@dataclass(frozen=True, slots=True)
class Section:
    """Facts below a title, and an optional table."""

    title: str
    facts: tuple[Fact, ...] = ()
    table: Records | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Explanation:
    """All facts about a transformation, with a rich display."""

    title: str
    sections: tuple[Section, ...]

    def __repr__(self) -> str:
        lines = [self.title]
        for section in self.sections:
            lines += ["", section.title]
            width = max((len(fact.name) for fact in section.facts), default=0)
            for fact in section.facts:
                first, *rest = fact.text.splitlines() or [""]
                lines.append(f"  {fact.name.ljust(width)}  {first}".rstrip())
                lines += [f"  {' ' * width}  {line}" for line in rest]
            if section.table is not None:
                lines += [f"  {line}" for line in str(section.table).splitlines()[1:]]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = [head(self.title)]
        for section in self.sections:
            rows = "".join(map(_row, section.facts))
            html = f"<table><tbody>{rows}</tbody></table>" if rows else ""
            if section.table is not None:
                html += replace(section.table, title="")._repr_html_()
            parts.append(folded(section.title, html, is_open=True))
        return block(*parts)


def _row(fact: Fact) -> str:
    cell = "style='text-align:left;vertical-align:top;white-space:pre-wrap;overflow-wrap:anywhere'"
    text = source_link(fact.link, fact.line, fact.text) if fact.link else escape(fact.text)
    return f"<tr><th scope='row' {cell}>{escape(fact.name)}</th><td {cell}>{text}</td></tr>"
