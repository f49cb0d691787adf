"""A trial of a transformation: its outputs, and the changes that they would make."""

from __future__ import annotations

import bdb
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.core.running.kept_failures import FAILURES
from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.spark_errors import trace_apart
from odibi_nb.errors import TrialFailedError
from odibi_nb.views.escaping import escape
from odibi_nb.views.html_parts import block, folded, head, pre
from odibi_nb.views.inspect.code_diff import code_diff_html
from odibi_nb.views.inspect.table_change import change_html, change_text
from odibi_nb.views.next_steps import HIDDEN, STYLE, cell_button, command, steps_html
from odibi_nb.views.status_style import STATUS_STYLES

if TYPE_CHECKING:
    from odibi_nb.core.functions.module_edit import ModuleEdit
    from odibi_nb.core.model.check_result import CheckResult
    from odibi_nb.core.model.table_change import TableChange
    from odibi_nb.core.rehearsal.project_watch import Moved

LOG_LINES = 40
_SOURCE_TITLE = "the change to make in the module's file, which try has not touched"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Trial:
    """A call of a function on its real inputs, with its writes captured. Has a rich display.

    Attributes:
        function: the called function: ``module.function``, or the cell's.
        error: the error that it raised; None if it succeeded.
        headline: the error in a line or two.
        traceback: its text, from the user's code on.
        log: the text that it printed and logged.
        duration_seconds: duration of the call; `expected_seconds` is the median of the row's last successes.
        rows_in, rows_out: rows read and written, if known.
        outputs: table to the captured DataFrame.
        changes: table to the changes that a write would make.
        checks: the results of the row's data checks.
        source_diff: the module's source against the cell's, as a unified diff; "" if they agree.
        edit: the module with the cell's version, for `apply`; None if the function failed, or without a
            difference.
        inputs_cut: the part of its inputs that the function received; "" for all.
        inputs_of: lines about the past attempt whose inputs the function received; () for the newest data.
        written: True if the captured writes were written in the end.
        moved: the project's tables that changed during the call. A trial captures only the writes that
            go through the context.
        unwatched: number of the project's tables whose changes could not be observed.
    """

    transformation_id: str
    project: str
    env: str
    engine: str
    function: str
    duration_seconds: float
    expected_seconds: float | None = None
    rows_in: int | None = None
    rows_out: int | None = None
    log: str = ""
    error: BaseException | None = None
    headline: str = ""
    traceback: str = ""
    outputs: dict[str, Any]
    changes: dict[str, TableChange]
    checks: tuple[CheckResult, ...] = ()
    source_diff: str = ""
    edit: ModuleEdit | None = None
    source_note: str = ""
    inputs_cut: str = ""
    inputs_of: tuple[str, ...] = ()
    written: bool = False
    moved: tuple[Moved, ...] = ()
    unwatched: int = 0

    @property
    def succeeded(self) -> bool:
        """Return True if the function ran to its end."""
        return self.error is None

    @property
    def not_held_back(self) -> tuple[str, ...]:
        """Return the tables that changed during the call, other than by a run or through the context."""
        return tuple(table.name for table in self.moved if not table.run_id)

    @property
    def _debugger_quit(self) -> bool:
        """Return True if the user left the debugger, so that the function did not fail by itself."""
        return isinstance(self.error, bdb.BdbQuit)

    @property
    def exit_code(self) -> int:
        """Return the exit code: 1 if the function failed."""
        return 0 if self.succeeded else 1

    def raise_for_status(self) -> Trial:
        """Return the trial itself.

        Raises:
            TrialFailedError: if the function failed.
        """
        if self.error is not None:
            raise TrialFailedError(self.transformation_id, self.headline)
        return self

    def summary(self) -> str:
        """Return one line: outcome, rows, duration and writes."""
        style = STATUS_STYLES["SUCCESS" if self.succeeded else "FAILED"]
        expected = self.expected_seconds
        usual = "" if expected is None else f" (usually {expected:,.2f} s)"
        rows = [
            f"{counted(n, 'row')} {way}"
            for n, way in ((self.rows_in, "in"), (self.rows_out, "out"))
            if n is not None
        ]
        facts = [*rows, f"{self.duration_seconds:,.2f} s{usual}"]
        if self.inputs_cut:
            facts.append(f"inputs: {self.inputs_cut}")
        facts.append("written" if self.written else self._what_was_written())
        how = "ran" if self.succeeded else "failed"
        if self._debugger_quit:
            how = "was quit in the debugger"
        return f"{style.sign} {self.transformation_id} {how}: {', '.join(facts)}"

    def _what_was_written(self) -> str:
        own = [table for table in self.moved if not table.run_id]
        if not own:
            unknown = f", but {counted(self.unwatched, 'table')} could not be checked"
            return "nothing was written" + (unknown if self.unwatched else "")
        written = [table for table in own if not table.removed]
        removed = [table.name for table in own if table.removed]
        changes = [f"{', '.join(table.name for table in written)} WAS WRITTEN"] if written else []
        changes += [f"{', '.join(removed)} WAS REMOVED"] if removed else []
        versions = [f"{t.name} {t.version}" for t in written if t.version is not None]
        now = f" (now at version: {', '.join(versions)})" if versions else ""
        return (
            f"{' and '.join(changes)}, by the function itself or by another writer{now}: a try captures "
            "returned frames and context.write, but no other writes"
        )

    def _meanwhile(self) -> list[str]:
        return [
            f"{table.name} was written during the try, by run {table.run_id}"
            for table in self.moved
            if table.run_id
        ]

    def __repr__(self) -> str:
        parts = [self.summary(), *self.inputs_of]
        if self.traceback:
            shown, trace = trace_apart(self.traceback)
            parts.append(shown.rstrip())
            if trace:
                more = counted(len(trace.splitlines()), "more line")
                parts.append(f"({more} of Spark's: .traceback)")
            if FAILURES.limit:  # a shell has ended before it could open the frames
                parts.append(f"to debug it: {self._debug()}")
        elif self.error is not None and not self._debugger_quit:
            parts.append(self.headline)
        if self.log:
            parts += ["printed and logged:", *(f"  {line}" for line in self._log_lines())]
        parts += [change_text(change) for change in self.changes.values()]
        if self.checks:
            parts += ["data checks:", *(f"  {check}" for check in self.checks)]
        if not (self.changes or self.not_held_back) and self.succeeded:
            parts.append("it wrote no table")
        parts += self._meanwhile()
        if self.source_diff:
            parts += [f"{_SOURCE_TITLE}:", self.source_diff]
            parts += self._apply_lines()
        elif self.source_note:
            parts.append(self.source_note)
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        style = STATUS_STYLES["SUCCESS" if self.succeeded else "FAILED"]
        parts = [head(self.summary(), style.colour)]
        parts += [f"<p>{escape(line)}</p>" for line in self.inputs_of]
        if self.traceback:
            shown, trace = trace_apart(self.traceback)
            parts += [pre(shown), f"<p>Look into it: <code>{escape(self._debug())}</code></p>"]
            if trace:
                parts.append(folded("all that Spark said", pre(trace)))
        elif self.error is not None and not self._debugger_quit:
            parts.append(pre(self.headline))
        if self.log:
            parts.append(folded("printed and logged", pre("\n".join(self._log_lines()))))
        parts += [change_html(change) for change in self.changes.values()]
        if self.checks:
            checks = "\n".join(map(str, self.checks))
            parts.append(folded("data checks", pre(checks), is_open=True))
        if not (self.changes or self.not_held_back) and self.succeeded:
            parts.append("<p>It wrote no table.</p>")
        parts += [f"<p>{escape(line)}</p>" for line in self._meanwhile()]
        if self.source_diff:
            diff = code_diff_html(self.source_diff)
            parts.append(folded(_SOURCE_TITLE, diff, is_open=True))
            parts.append(self._apply_html())
        elif self.source_note:
            parts.append(f"<p>{escape(self.source_note)}</p>")
        return block(*parts)

    def _debug(self) -> str:
        return f"%odibi debug {shlex.quote(self.transformation_id)}"

    def _command(self, *words: str) -> str:
        return command(*words, project=self.project, env=self.env)

    def _apply_lines(self) -> list[str]:
        if self.edit is None:
            return []
        problems = [_not_written(text) for text in self.edit.problems]
        asked = self._command("apply", self.transformation_id)
        return problems or ([f"to write it: {asked}"] if asked else [])

    def _apply_html(self) -> str:
        """Return the question whether to write the module, folded until a click or Enter opens it."""
        if self.edit is None:
            return ""
        if self.edit.problems:
            return "".join(f"<p>{escape(_not_written(text))}</p>" for text in self.edit.problems)
        asked = self._command("apply", self.transformation_id)
        if not asked:
            return ""
        file, apply = self.edit.source.file.name, f"{asked} --yes"
        retry = self._command("retry", "last")
        tip = f"Write {self.edit.source.file}"
        buttons = cell_button("Write it", tip, apply, run=True) + cell_button(
            "Write it and retry",
            f"{tip}, then retry the unfinished rows of the last run",
            f"{apply}\n{retry}",
            run=True,
        )
        question = f"Change {file} as shown ({self.edit.size})? "
        summary = f"<summary title='Asks before it writes'>Apply to {escape(file)}</summary>"
        fold = f"<details {HIDDEN}>{summary}<p>{escape(question)}</p>{buttons}</details>"
        return STYLE + steps_html([fold], [asked, retry])

    def _log_lines(self) -> list[str]:
        lines = self.log.splitlines()
        hidden = len(lines) - LOG_LINES
        return [f"… {hidden:,} earlier lines: .log …", *lines[-LOG_LINES:]] if hidden > 0 else lines


def _not_written(problem: str) -> str:
    return f"✖ cannot be applied: {problem}"
