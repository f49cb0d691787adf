"""What a command needs of the face that calls it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.core.text.terminal_text import readable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from odibi_nb.api import GenericProjectOrchestrator
    from odibi_nb.core.model.results import RunResult
    from odibi_nb.core.protocols import View


def _no_views(_ui: str, _log_level: str | None) -> tuple[Sequence[View], str]:
    return (), "INFO"


def _text_only(_ui: str) -> tuple[str, str]:
    return "text", "no notebook: lines of text"


def _in_a_shell(words: Sequence[str]) -> str:
    return shlex.join(["odibi", *words])


def print_readable(text: str) -> None:
    """Print *text* without what would steer a terminal: ids and messages may be in it."""
    print(readable(text))


@dataclass(frozen=True, slots=True)
class Face:
    """A notebook, a terminal, or nobody.

    Attributes:
        views: (ui, log level asked for) to the views of a run, and the log level of its console.
        ask: asks the person a question; None where nobody can answer.
        say: shows a line at once, of a command that goes on.
        body: what stands below the command, in a cell magic.
        ui: how a run would be shown, and why so, from what is asked for.
        opened: told of the project that is about to run.
        background: (project, what it shall do, ui) to a run that has been started and goes on
            beside the face; None where nothing can.
        spell: spells the words of a command as a person types it here.
        panel: (project, env, engine, path of the manifest), each possibly None, to a panel; None where
            there is no place for one.
    """

    views: Callable[[str, str | None], tuple[Sequence[View], str]] = _no_views
    ask: Callable[[str], str] | None = None
    say: Callable[[str], object] = print_readable
    body: str = ""
    ui: Callable[[str], tuple[str, str]] = _text_only
    opened: Callable[[GenericProjectOrchestrator], object] = id
    background: (
        Callable[[GenericProjectOrchestrator, Callable[..., RunResult], str], Any] | None
    ) = None
    spell: Callable[[Sequence[str]], str] = _in_a_shell
    panel: Callable[[str | None, str | None, str | None, str | None], Any] | None = None
