"""The interface between a command and the face that calls it."""

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
    from odibi_nb.core.runlog.followed_run import FollowedRun


def _no_views(_ui: str, _log_level: str | None) -> tuple[Sequence[View], str]:
    return (), "INFO"


def _text_only(_ui: str) -> tuple[str, str]:
    return "text", "no notebook: lines of text"


def text_views(_ui: str, log_level: str | None) -> tuple[Sequence[View], str]:
    """Return the views of a run shown as text, and the console's level.

    Without *log_level*, the view is a throttled console.
    """
    if log_level is not None:
        return (), log_level
    from odibi_nb.views.run.console import ThrottledConsole

    return (ThrottledConsole("INFO"),), "CRITICAL"


def in_a_shell(words: Sequence[str]) -> str:
    """Return the words of a command as a person types it in a shell."""
    return shlex.join(["odibi", *words])


def followed_as_text(run: FollowedRun, _ui: str) -> str:
    """Print the progress of *run* until it ends, and return its status."""
    from odibi_nb.views.run.console import ThrottledConsole

    run.show_in(ThrottledConsole("INFO"))
    return run.follow()


def print_readable(text: str) -> None:
    """Print *text* without control characters, because ids and messages may contain some."""
    print(readable(text))


@dataclass(frozen=True, slots=True)
class Face:
    """The functions of a notebook or a terminal that commands call.

    Attributes:
        views: returns a run's views and its console's log level, for a UI and a requested log level.
        ask: asks the person a question; None if no person can answer.
        say: shows a line at once, during the command.
        body: the text below the command in a cell magic.
        ui: returns the UI for a requested one, and the reason.
        opened: called with the project that is about to run.
        background: starts a run in the background and returns it, for a project, an action and a UI;
            None if that is impossible.
        spell: returns the words of a command as a person types it here.
        watch: follows a run in progress, with a UI. Returns the status of the run once it has
            ended; "" if it is still in progress.
        panel: returns a panel for a project, env, engine and path of the manifest, each possibly
            None; None if no panel can be shown.
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
    spell: Callable[[Sequence[str]], str] = in_a_shell
    watch: Callable[[FollowedRun, str], str] = followed_as_text
    panel: Callable[[str | None, str | None, str | None, str | None], Any] | None = None
