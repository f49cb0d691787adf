"""A failure, frame by frame, for front ends without a debugger and for later readers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odibi_nb.core.text.counts import counted
from odibi_nb.views.escaping import escape
from odibi_nb.views.html_parts import block, folded, head, pre, table
from odibi_nb.views.source_link import source_link
from odibi_nb.views.status_style import STATUS_STYLES

if TYPE_CHECKING:
    from odibi_nb.core.running.failure_frames import FrameView, Variable


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class FailureReport:
    """The failure of a transformation, with a rich display.

    Attributes:
        headline: the error in a line or two.
        frames: with their variables, outermost first; empty if the frames no longer exist.
        traceback: as text.
        jvm_trace: the JVM's trace, which is rarely needed.
        log: the end of the transformation's output.
        note: the missing information, and the next command to use.
    """

    transformation_id: str
    run_id: str
    headline: str
    frames: tuple[FrameView, ...] = ()
    traceback: str = ""
    jvm_trace: str = ""
    log: str = ""
    note: str = ""

    def __repr__(self) -> str:
        lines = [self._title(), self.headline]
        for frame in self.frames:
            lines += _frame_lines(frame)
        if not self.frames and self.traceback:
            lines.append(self.traceback.rstrip())
        if self.log:
            lines += ["", "printed and logged:", *(f"  {line}" for line in self.log.splitlines())]
        if self.jvm_trace:
            count = counted(len(self.jvm_trace.splitlines()), "line")
            lines.append(f"\n({count} of the JVM's trace: .jvm_trace)")
        return "\n".join([*lines, *(["", self.note] if self.note else [])])

    def _repr_html_(self) -> str:
        # The innermost frame of the user's code is open.
        blamed = next((frame for frame in reversed(self.frames) if not frame.library), None)
        parts = [
            head(self._title(), STATUS_STYLES["FAILED"].colour),
            pre(self.headline),
            *(_frame_html(frame, is_open=frame is blamed) for frame in self.frames),
        ]
        if not self.frames and self.traceback:
            parts.append(pre(self.traceback))
        if self.log:
            parts.append(folded("printed and logged", pre(self.log), is_open=True))
        if self.jvm_trace:
            parts.append(folded("the JVM's trace", pre(self.jvm_trace)))
        if self.note:
            parts.append(f"<p>{escape(self.note)}</p>")
        return block(*parts)

    def _title(self) -> str:
        where = f" in run {self.run_id}" if self.run_id else ""
        return f"✖ {self.transformation_id} failed{where}"


def _place(frame: FrameView) -> str:
    return f"{frame.file}:{frame.line}, in {frame.function}"


def _code(frame: FrameView) -> list[str]:
    """Return the lines around the frame's line, which has an arrow."""
    return [f"{'→' if at == frame.line else ' '} {at:>4} {text}" for at, text in frame.code]


def _frame_lines(frame: FrameView) -> list[str]:
    if frame.library:
        return [f"  {_place(frame)}"]
    lines = ["", _place(frame), *(f"  {line}" for line in _code(frame))]
    for variable in frame.variables:
        kind = "argument " if variable.argument else ""
        lines.append(f"    {kind}{variable.name} = {variable.summary}")
        lines += [f"      {line}" for line in variable.table.splitlines()]
    return lines


def _frame_html(frame: FrameView, *, is_open: bool) -> str:
    place = _place(frame)
    if frame.library:
        return f"<p style='margin:0;opacity:.7'><code>{escape(place)}</code></p>"
    opened = f"<p style='margin:0'>{source_link(frame.file, frame.line, place)}</p>"
    rows = map(_variable_html, frame.variables)
    th = "scope='col' style='text-align:left'"
    variables = table(("variable", "value"), rows, top="<table>", th=th) if frame.variables else ""
    return folded(place, opened + pre("\n".join(_code(frame))) + variables, is_open=is_open)


def _variable_html(variable: Variable) -> str:
    name = escape(variable.name) + (" (argument)" if variable.argument else "")
    value = escape(variable.summary)
    if variable.table:
        types, _, rows = variable.table.partition("\n")
        value += f"<br>{escape(types)}{pre(rows, wide=True)}"
    cell = "style='text-align:left;vertical-align:top;overflow-wrap:anywhere;max-width:70em'"
    return f"<tr><th scope='row' {cell}>{name}</th><td {cell}>{value}</td></tr>"
