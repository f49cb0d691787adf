"""What a command needs of the face that calls it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from odibi_nb.core.protocols import View


def _no_views(_ui: str, _log_level: str | None) -> tuple[Sequence[View], str]:
    return (), "INFO"


def _text_only(_ui: str) -> tuple[str, str]:
    return "text", "no notebook: lines of text"


@dataclass(frozen=True, slots=True)
class Face:
    """A notebook, a terminal, or nobody.

    Attributes:
        views: (ui, log level asked for) to the views of a run, and the log level of its console.
        ask: asks the person a question; None where nobody can answer.
        say: shows a line at once, of a command that goes on.
        body: what stands below the command, in a cell magic.
        ui: how a run would be shown, and why so, from what is asked for.
    """

    views: Callable[[str, str | None], tuple[Sequence[View], str]] = _no_views
    ask: Callable[[str], str] | None = None
    say: Callable[[str], object] = print
    body: str = ""
    ui: Callable[[str], tuple[str, str]] = _text_only
