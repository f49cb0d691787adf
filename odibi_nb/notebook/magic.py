"""``%odibi`` and ``%%odibi``: parse a line and call the same commands as the shell."""

from __future__ import annotations

import warnings
import weakref
from functools import cached_property
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.display import display, publish_display_data
from traitlets import TraitError

from odibi_nb.commands import CommandHelp, Face, execute, parse
from odibi_nb.commands.face import followed_as_text, text_views
from odibi_nb.core.running.kept_failures import FAILURES, KEPT
from odibi_nb.core.text.terminal_text import readable
from odibi_nb.errors import OdibiError, RunLockedError
from odibi_nb.notebook.completion import IDENTIFIER, matcher_of
from odibi_nb.notebook.environment import (
    TEXT,
    can_answer,
    choose_ui,
    explain_ui,
    has_kernel,
    has_subshell,
)
from odibi_nb.notebook.line_words import names_of_caller, quoted, split_words
from odibi_nb.notebook.session_settings import SessionSettings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from odibi_nb.api import GenericProjectOrchestrator
    from odibi_nb.core.model.results import RunResult
    from odibi_nb.core.protocols import View
    from odibi_nb.core.runlog.followed_run import FollowedRun
    from odibi_nb.notebook.live.background import BackgroundRun
    from odibi_nb.notebook.live.surfaces import CellOutputs
    from odibi_nb.notebook.live.view import LiveView
    from odibi_nb.notebook.local_names import LocalNames
    from odibi_nb.notebook.panel.panel import RunPanel

PAST = frozenset({"show", "watch"})
"""Commands that show a run which they have not started."""
LIVE = frozenset({"run", "retry"})
"""Commands that show a live run."""
BODIES = ("run", "plan", "retry", "try", "register")
"""Commands that accept a cell body."""

RUN_RESULT = ("odibi_nb.core.model.results", "RunResult")
BACKGROUND_RUN = ("odibi_nb.notebook.live.background", "BackgroundRun")
"""Class names instead of classes: a class is imported for its first run, not with the extension."""


@magics_class
class OdibiMagics(Magics, SessionSettings):  # type: ignore[misc]  # IPython is not typed
    """The ``%odibi`` magic. `shown` is the (run, cell) that a live view has already displayed."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell=shell)
        self.shown: tuple[object, int] | None = None
        self.live: LiveView | None = None
        self._words: CellOutputs | None = None
        self.matcher = matcher_of(lambda: self.names)

    @cached_property
    def names(self) -> LocalNames:
        """The names for completion."""
        from odibi_nb.notebook.local_names import LocalNames

        return LocalNames()

    @no_var_expand  # type: ignore[untyped-decorator]
    @line_cell_magic  # type: ignore[untyped-decorator]
    def odibi(self, line: str, cell: str | None = None) -> Any:
        """Run, watch and keep the log of config-driven medallion pipelines; see ``%odibi -h``."""
        from odibi_nb.notebook import debugger

        self.live = self._words = value = None
        try:
            arguments = parse(split_words(line, names_of_caller(self.shell)), prog="%odibi")
            if cell is not None and arguments.command not in BODIES:
                takers = f"{', '.join(BODIES[:-1])} and {BODIES[-1]}"
                raise UsageError(f"%%odibi {arguments.command}: only {takers} take a cell's body")
            if self._debugged(arguments):
                return None
            self._announce(arguments)
            with debugger.breakpoints(self.shell, arguments.command):
                value = execute(arguments, self._face(cell or ""))
        except CommandHelp as help_text:
            print(help_text)
            return None
        except ValueError as exc:
            raise UsageError(f"%odibi: {exc}: {line}") from None
        except OdibiError as exc:
            text = str(exc)
            if isinstance(exc, RunLockedError) and exc.state_dir is not None:
                text = self._show_other_run(exc, line)
            raise UsageError(readable(f"%odibi: {text}")) from None
        finally:
            self._stop_painting(value)
        return self._returned(arguments, value)

    def _announce(self, arguments: argparse.Namespace) -> None:
        """Show immediately that a run begins, before the modules that run it are imported."""
        if arguments.command not in LIVE or arguments.background:
            return
        from odibi_nb.settings import load_settings  # late: %load_ext needs no TOML

        ui = str(load_settings().resolve("ui", arguments.ui, default="auto").value)
        if choose_ui(self.shell, ui) != TEXT:
            from odibi_nb.notebook.live.surfaces import CellOutputs, reading_text

            self._words = CellOutputs()
            self._words.announce(reading_text(arguments.project, arguments.env))

    def _face(self, body: str) -> Face:
        return Face(
            views=self._views,
            ask=input if can_answer(self.shell) else None,
            body=body,
            ui=lambda asked: explain_ui(self.shell, asked),
            opened=self._opened,
            background=self._start,
            spell=_spelled,
            watch=self._watch,
            panel=self._panel if has_kernel(self.shell) else None,
        )

    def _views(self, ui: str, log_level: str | None) -> tuple[Sequence[View], str]:
        if choose_ui(self.shell, ui) != TEXT:
            from odibi_nb.notebook.live.view import LiveView

            self.live = LiveView(lambda rows: choose_ui(self.shell, ui, rows), self._words)
            return (self.live,), log_level or "CRITICAL"
        return text_views(ui, log_level)

    def _opened(self, orchestrator: GenericProjectOrchestrator) -> None:
        """Give the live view the project's state folder, and a way to cancel the run."""
        if self.live is not None:
            from odibi_nb.notebook.live.cancel_button import Cancelling
            from odibi_nb.notebook.live.surfaces import reading_text

            self.live.announce(reading_text(orchestrator.project, orchestrator.env))
            self.live.state_dir, self.live.usual = orchestrator.state_dir, orchestrator.usual
            self.live.cancelling = Cancelling(orchestrator.cancel, lambda: has_subshell(self.shell))

    def _start(
        self, orchestrator: GenericProjectOrchestrator, act: Callable[..., RunResult], ui: str
    ) -> BackgroundRun:
        """Start a run in the background and show it in this cell's output."""
        from odibi_nb.notebook.live.background import BackgroundRun, run_in_cell

        name = f"{orchestrator.project} (env={orchestrator.env})"
        if choose_ui(self.shell, ui) == TEXT:
            return BackgroundRun(lambda: orchestrator, act, name).start()
        run = run_in_cell(orchestrator, act, name, lambda rows: choose_ui(self.shell, ui, rows))
        self.shown = (weakref.ref(run), self.shell.execution_count)
        return run

    def _panel(
        self, project: str | None, env: str | None, engine: str | None, manifest: str | None
    ) -> RunPanel:
        from odibi_nb.notebook.panel.panel import RunPanel

        return RunPanel(project, env, engine=engine, manifest_path=manifest)

    def _watch(self, run: FollowedRun, ui: str) -> str:
        """Follow *run* in this cell's output, without keeping the kernel busy if it has widgets."""
        if choose_ui(self.shell, ui) == TEXT:
            return followed_as_text(run, ui)
        from odibi_nb.notebook.live.watching import watch_in_cell

        return watch_in_cell(run, lambda rows: choose_ui(self.shell, ui, rows))

    def _stop_painting(self, value: Any) -> None:
        if self.live is not None:
            from odibi_nb.core.model.results import RunResult

            if isinstance(value, RunResult):
                self.live.add_details(value)
            self.live.close()
        if self._words is not None and (self.live is None or not self.live.planned):
            self._words.announce("")
        self.live = self._words = None  # the run's memory is free before the next command

    def _returned(self, arguments: argparse.Namespace, value: Any) -> Any:
        if isinstance(value, str):
            print(readable(value))
            return None
        if arguments.command in PAST:
            return self._shown_run(value)
        from odibi_nb.core.model.events import RunStatus
        from odibi_nb.core.model.results import RunResult
        from odibi_nb.core.planning.plan import RunPlan
        from odibi_nb.notebook import debugger

        if isinstance(value, RunPlan):
            self.names.remember(value.project, value.env, value.rows)
        if arguments.command == "load":
            debugger.put_into(self.shell, value, arguments.name)
            return None
        if arguments.command == "try":
            debugger.say_what_is_held()
            if not value.succeeded and not can_answer(self.shell):
                display(value)
                value.raise_for_status()  # no person is present: a job must see the failure
        if isinstance(value, RunResult):
            self.shown = (value.run_id, self.shell.execution_count)
            debugger.say_what_is_held()
            if value.status is not RunStatus.SUCCESS and not can_answer(self.shell):
                value.raise_for_status()  # no person is present: a job must see the failure
        return value

    def _show_other_run(self, refusal: RunLockedError, line: str) -> str:
        """Show a card for the run that holds the lock, with the possible commands. Return the error's text."""
        from odibi_nb.views.run.other_run import OtherRun

        again = f"%odibi {line.strip()} --force"
        card = OtherRun.of(refusal, _spelled, again)
        if not has_kernel(self.shell):
            return str(card)
        publish_display_data({"text/html": card.html(), "text/plain": str(card)})
        return f"{card.where}: {card.owner} is in progress; wait for it, or end it: {card.commands[1][1]}"

    def _shown_run(self, value: Any) -> Any:
        """Display a past run, and return its result; None for a run that is being watched."""
        from odibi_nb.views.json_documents import JsonDocument
        from odibi_nb.views.run.shown_run import ShownRun

        if not isinstance(value, ShownRun):
            return value if isinstance(value, JsonDocument) else None
        self._publish(value.result)
        self.shown = (value.result.run_id, self.shell.execution_count)
        return value.result

    def show_background(self, run: BackgroundRun) -> None:
        """Display *run*, unless this cell already shows it."""
        if self.shown != (weakref.ref(run), self.shell.execution_count):
            run._ipython_display_()

    def _debugged(self, arguments: argparse.Namespace) -> bool:
        """Open the debugger for ``debug`` if the failure is in memory. Return True if it was opened."""
        from odibi_nb.notebook import debugger

        if arguments.command == "load":
            debugger.check_name(arguments.name)
        if arguments.command != "debug" or arguments.forget or not debugger.can_debug(self.shell):
            return False
        from odibi_nb.commands.troubleshooting import (
            kept_failure,
            kept_text,
            not_reproduced,
            replay_failure,
        )

        if arguments.run is not None:
            trial = replay_failure(arguments)
            if trial.error is None:
                print(not_reproduced(trial))
                return True
        failure = kept_failure(arguments)
        if failure is not None:
            debugger.post_mortem(self.shell, failure)
            print(kept_text(failure))
        return failure is not None

    def show_result(self, result: RunResult) -> None:
        """Display *result*, unless this cell's live view has already done so."""
        if self.shown != (result.run_id, self.shell.execution_count):
            self._publish(result)

    def _publish(self, result: RunResult) -> None:
        from odibi_nb.views.run.bundles import run_bundles
        from odibi_nb.views.run.state import snapshot_of

        for bundle in run_bundles(snapshot_of(result), result):
            publish_display_data(bundle)


def _spelled(words: Sequence[str]) -> str:
    """Return the words of a command as a person types it in a notebook."""
    return " ".join(["%odibi", *map(quoted, words)])


def register(ipython: Any) -> None:
    """Register the magic in *ipython*."""
    _forget(ipython)
    try:
        magics = OdibiMagics(ipython)
    except TraitError as exc:  # IPython also keeps the values that %config rejected
        warnings.warn(f"%config OdibiMagics has no effect: {exc}", stacklevel=2)
        del ipython.config[OdibiMagics.__name__]
        magics = OdibiMagics(ipython)
    FAILURES.limit = KEPT
    ipython.register_magics(magics)
    displays = ipython.display_formatter.ipython_display_formatter
    displays.for_type_by_name(*RUN_RESULT, magics.show_result)
    displays.for_type_by_name(*BACKGROUND_RUN, magics.show_background)
    ipython.Completer.custom_matchers.append(magics.matcher)


def unregister(ipython: Any) -> None:
    """Remove the magic from *ipython*."""
    FAILURES.limit = 0
    FAILURES.clear()
    for kind in ("line", "cell"):
        ipython.magics_manager.magics[kind].pop("odibi", None)
    _forget(ipython)


def _forget(ipython: Any) -> None:
    """Remove displays, completion and the `%config` entry from *ipython*, also after a reload."""
    displays = ipython.display_formatter.ipython_display_formatter
    for name in (RUN_RESULT, BACKGROUND_RUN):
        displays.pop(".".join(name), None)
    ipython.Completer.custom_matchers[:] = [
        matcher
        for matcher in ipython.Completer.custom_matchers
        if getattr(matcher, "matcher_identifier", None) != IDENTIFIER
    ]
    for one in [x for x in ipython.configurables if type(x).__name__ == OdibiMagics.__name__]:
        one.forget()
        ipython.configurables.remove(one)
