"""A failure, frame by frame, for those who cannot be asked and those who read it later."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from odibi_nb.views.looks import LOOKS

if TYPE_CHECKING:
    from odibi_nb.core.postmortem import FrameView, Variable


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class FailureReport:
    """Why a transformation failed. Shows itself.

    Attributes:
        headline: the error in a line or two.
        frames: with their variables, outermost first; empty where they are not alive any more.
        traceback: as text.
        folded: what is rarely needed: a JVM's trace.
        log: the end of what it printed.
        note: what is missing, and what to do next.
    """

    transformation_id: str
    run_id: str
    headline: str
    frames: tuple[FrameView, ...] = ()
    traceback: str = ""
    folded: str = ""
    log: str = ""
    note: str = ""

    def __repr__(self) -> str:
        where = f" in run {self.run_id}" if self.run_id else ""
        lines = [f"✖ {self.transformation_id} failed{where}", self.headline]
        for frame in self.frames:
            lines += _frame_lines(frame)
        if not self.frames:
            lines.append(self.traceback.rstrip())
        if self.log:
            lines += ["", "printed and logged:", *(f"  {line}" for line in self.log.splitlines())]
        if self.folded:
            lines.append(f"\n({len(self.folded.splitlines()):,} lines of the JVM's trace: .folded)")
        return "\n".join([*lines, *(["", self.note] if self.note else [])])

    def _repr_html_(self) -> str:
        where = f" in run {escape(self.run_id)}" if self.run_id else ""
        head = f"✖ {escape(self.transformation_id)} failed{where}"
        parts = [
            f"<p style='margin:0'><b style='color:{LOOKS['FAILED'].colour}'>{head}</b></p>",
            _pre(self.headline),
            *(_frame_html(f, is_open=f is self._blamed()) for f in self.frames),
        ]
        if not self.frames:
            parts.append(_pre(self.traceback))
        if self.log:
            parts.append(_folded("printed and logged", _pre(self.log), is_open=True))
        if self.folded:
            parts.append(_folded("the JVM's trace", _pre(self.folded)))
        if self.note:
            parts.append(f"<p>{escape(self.note)}</p>")
        style = "font-size:var(--jp-ui-font-size1,13px);color:var(--jp-ui-font-color1,inherit)"
        return f"<div style='{style};max-width:100%;overflow-x:auto'>{''.join(parts)}</div>"

    def _blamed(self) -> FrameView | None:
        """The innermost frame that is the user's."""
        mine = [frame for frame in self.frames if not frame.library]
        return mine[-1] if mine else None


def _frame_lines(frame: FrameView) -> list[str]:
    place = f"{frame.file}:{frame.line}, in {frame.function}"
    if frame.library:
        return [f"  {place}"]
    lines = ["", place]
    lines += [
        f"  {'→' if number == frame.line else ' '} {number:>4} {text}"
        for number, text in frame.code
    ]
    for variable in frame.variables:
        kind = "argument " if variable.argument else ""
        lines.append(f"    {kind}{variable.name} = {variable.summary}")
        lines += [f"      {line}" for line in variable.table.splitlines()]
    return lines


def _frame_html(frame: FrameView, *, is_open: bool) -> str:
    place = f"{frame.file}:{frame.line}, in {frame.function}"
    if frame.library:
        return f"<p style='margin:0;opacity:.7'><code>{escape(place)}</code></p>"
    code = "\n".join(
        f"{'→' if number == frame.line else ' '} {number:>4} {text}" for number, text in frame.code
    )
    rows = "".join(map(_variable_html, frame.variables))
    table = (
        "<table><thead><tr><th scope='col' style='text-align:left'>variable</th>"
        f"<th scope='col' style='text-align:left'>value</th></tr></thead><tbody>{rows}</tbody></table>"
        if rows
        else ""
    )
    return _folded(place, _pre(code) + table, is_open=is_open)


def _variable_html(variable: Variable) -> str:
    name = escape(variable.name) + (" (argument)" if variable.argument else "")
    value = escape(variable.summary) + (_pre(variable.table) if variable.table else "")
    cell = "style='text-align:left;vertical-align:top;white-space:pre-wrap'"
    return f"<tr><th scope='row' {cell}>{name}</th><td {cell}>{value}</td></tr>"


def _pre(text: str) -> str:
    return f"<pre style='white-space:pre-wrap;overflow-wrap:anywhere'>{escape(text)}</pre>"


def _folded(title: str, html: str, *, is_open: bool = False) -> str:
    """*html* below a title that opens it."""
    mark = " open" if is_open else ""
    return f"<details{mark}><summary>{escape(title)}</summary>{html}</details>"
