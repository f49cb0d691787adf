"""The command line: ``odibi …``."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Any

from odibi_nb.commands import CommandHelp, Face, execute, parse
from odibi_nb.commands.face import in_a_shell, text_views
from odibi_nb.core.text.terminal_text import readable
from odibi_nb.errors import ConfigurationError, OdibiError, RunLockedError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(words: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit code.

    The code is 0, 1 (the run failed), 2 (the input was wrong) or 130 (interrupted).
    """
    _print_anything()
    if words is None:
        _import_from_here()
    try:
        code = _done(words)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of the pipe has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _import_from_here() -> None:
    """Add the working folder to ``sys.path``, as ``python -m`` does and an installed script does not."""
    here = os.getcwd()  # noqa: PTH109  it may be gone
    if not getattr(sys.flags, "safe_path", False) and not {"", here} & {*sys.path}:
        sys.path.insert(0, here)


def _done(words: Sequence[str] | None) -> int:
    try:
        arguments = parse(sys.argv[1:] if words is None else words)
        face = Face(views=text_views, ask=_ask if sys.stdin.isatty() else None)
        return _shown(execute(arguments, face))
    except CommandHelp as help_text:
        print(help_text)
        return 0
    except OdibiError as exc:
        text = _refusal(exc) if isinstance(exc, RunLockedError) else str(exc)
        print(readable(f"odibi: {text}"), file=sys.stderr)
        return 2 if isinstance(exc, ConfigurationError) else 1
    except KeyboardInterrupt:
        print("odibi: interrupted", file=sys.stderr)
        return 130


def _refusal(refusal: RunLockedError) -> str:
    """Return the message about the run that holds the lock: its progress, and the commands to use now."""
    if refusal.state_dir is None:
        return str(refusal)
    from odibi_nb.views.run.other_run import OtherRun

    return str(OtherRun.of(refusal, in_a_shell, f"{in_a_shell(sys.argv[1:])} --force"))


def _ask(question: str) -> str:
    try:
        return input(question)
    except EOFError:  # Ctrl-D: no answer
        print()
        return ""


def _print_anything() -> None:
    """Print question marks for the seed's symbols on a terminal whose encoding lacks them."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _shown(value: Any) -> int:
    """Print the value that a command returned, and return the exit code."""
    from odibi_nb.core.model.results import RunResult
    from odibi_nb.core.planning.plan import RunPlan
    from odibi_nb.core.planning.stale_plan import ProjectStatus

    if isinstance(value, RunResult):
        return 0 if value["status"] == "success" else 1
    if isinstance(value, RunPlan):
        from odibi_nb.views.plan.plan_text import plan_text

        print(readable(plan_text(value)))
        return 2 if value.problems else 0
    if isinstance(value, ProjectStatus):
        from odibi_nb.views.plan.status import status_text

        value = status_text(value)
    if value is not None:
        print(readable(str(value)))
    return getattr(value, "exit_code", 0)


if __name__ == "__main__":
    sys.exit(main())
