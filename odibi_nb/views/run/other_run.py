"""The run that prevents another run, as a card: its start, its progress, and the possible actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odibi_nb.core.runlog.followed_run import going_on
from odibi_nb.core.runlog.journal import runs_folder
from odibi_nb.core.text.clock import utc_now
from odibi_nb.views.escaping import escape
from odibi_nb.views.html_parts import TEXT
from odibi_nb.views.records import cell_text
from odibi_nb.views.run.gantt import clock
from odibi_nb.views.status_style import STATUS_STYLES, text_colour

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from odibi_nb.core.runlog.followed_run import RunGoingOn
    from odibi_nb.errors import RunLockedError

_CARD = (
    f"{TEXT};line-height:1.5;border:1px solid rgba(128,128,128,.4);border-left:4px solid #2f7de1;border-radius:4px;"
    "padding:6px 12px;margin:4px 0;max-width:56em;overflow-wrap:anywhere"
)
_CODE = (
    "font-family:var(--jp-code-font-family,monospace);background-color:rgba(128,128,128,.15);"
    "padding:1px 5px;border-radius:3px;user-select:all"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherRun:
    """A run in progress, and the user's possible actions.

    Attributes:
        owner: its process, user and start, in words.
        commands: pairs of an action and its command, as a person types it here.
    """

    where: str
    run: RunGoingOn
    owner: str
    commands: tuple[tuple[str, str], ...]

    @classmethod
    def of(
        cls, refusal: RunLockedError, spell: Callable[[Sequence[str]], str], again: str
    ) -> OtherRun:
        """Return the run that *refusal* names.

        Args:
            refusal: has the run's id and state folder.
            spell: returns the words of a command as a person types it here.
            again: the refused command, spelled to take the place of the run.
        """
        assert refusal.state_dir is not None
        name = refusal.run_id
        return cls(
            where=refusal.source,
            run=going_on(runs_folder(refusal.state_dir) / name),
            owner=refusal.owner,
            commands=(
                ("Watch", spell(["watch", name])),
                ("Cancel", spell(["cancel", name])),
                ("Take its place", again),
            ),
        )

    def facts(self) -> str:
        """Return the start and the progress of the run: ``since 01:46:00 UTC (2:05), 3 of 8 rows ended``."""
        if self.run.start is None:
            return self.run.progress()
        seconds = max(0.0, (utc_now() - self.run.start).total_seconds())
        return f"since {cell_text(self.run.start)} ({clock(seconds)}), {self.run.progress()}"

    def __str__(self) -> str:
        width = max(len(action) for action, _ in self.commands)
        lines = [f"  {action.ljust(width)}  {command}" for action, command in self.commands]
        head = f"{self.where}: {self.owner} is in progress; wait for it, or:"
        return "\n".join([head, *lines, f"so far: {self.facts()}"])

    def html(self) -> str:
        """Return the card. It needs no kernel: actions are commands to type."""
        style = STATUS_STYLES["RUNNING"]
        rows = "".join(
            f"<tr><th scope=row style='text-align:left;padding:2px 12px 2px 0'>{escape(action)}</th>"
            f"<td style='text-align:left;padding:2px 0'><code style='{_CODE}'>{escape(command)}</code></td></tr>"
            for action, command in self.commands
        )
        return (
            f"<div role=alert style='{_CARD}'><b style='{text_colour(style.colour)}'>{style.sign} "
            f"{escape(self.where)}: run {escape(self.run.run_id)} is in progress</b>"
            f"<div>{escape(self.facts())}</div>"
            f"<table style='margin:4px 0;border:0'><tbody>{rows}</tbody></table></div>"
        )
