"""The one grammar of ``%odibi`` and ``odibi``."""

from __future__ import annotations

import argparse
import math
import re
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from odibi_nb.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odibi_nb.commands.face import Face

EXAMPLES = """examples:
  odibi projects
  odibi plan "Energy Efficiency" --env qat
  odibi run "Energy Efficiency" --env qat --layers Silver_1 Gold_1
  odibi retry last --project "Energy Efficiency"
  odibi history "Energy Efficiency" --limit 5
"""


class CommandLineError(ConfigurationError):
    """A command cannot be understood; the message says what was meant, if it can be guessed."""


class CommandHelp(Exception):  # noqa: N818  not an error: help was asked for
    """Help was asked for; the text is the argument."""


class CommandParser(argparse.ArgumentParser):
    """A parser that raises instead of ending the process: a kernel must live on."""

    def error(self, message: str) -> NoReturn:
        """Raises CommandLineError."""
        found = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if found:
            choices = re.findall(r"[\w-]+", found[2])
            message += did_you_mean(found[1], choices)
        raise CommandLineError(self.prog, [f"{message}. See {self.prog} -h"])

    def print_help(self, file: Any = None) -> NoReturn:
        """Raises CommandHelp."""
        del file
        raise CommandHelp(self.format_help())


def build_parser(prog: str = "odibi") -> CommandParser:
    """The parser; *prog* is how the face calls it: ``odibi`` or ``%odibi``."""
    parser = CommandParser(
        prog=prog,
        description="Run, watch and keep the log of config-driven medallion pipelines.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands)
    _add_plan(commands)
    _add_retry(commands)
    projects = _command(
        commands, "projects", "list the projects found from here", "overview:projects"
    )
    projects.add_argument("--no-history", action="store_true", help="do not look up last runs")
    _add_registry(commands)
    history = _command(commands, "history", "past runs, newest first", "overview:history")
    _add_project(history)
    history.add_argument(
        "--limit", type=_positive, default=20, metavar="N", help="at most N runs (20)"
    )
    history.add_argument(
        "--run", metavar="RUN_ID", help="the run log of one run ('last' for the newest)"
    )
    _add_compare(commands)
    doctor = _command(
        commands, "doctor", "check settings, versions, registry and lake", "diagnosis:doctor"
    )
    _add_project(doctor)
    _add_engine(doctor)
    cancel = _command(
        commands, "cancel", "end a run, here or in another process", "overview:cancel"
    )
    cancel.add_argument(
        "run_id", nargs="?", metavar="RUN_ID", help="which run; the only one if left out"
    )
    cancel.add_argument("--transformation", metavar="ID", help="end only this transformation")
    cancel.add_argument("--project", metavar="PROJECT", help="whose run")
    _add_manifest(cancel)
    return parser


def _command(commands: Any, name: str, text: str, handler: str) -> Any:
    parser = commands.add_parser(
        name, help=text, description=text.capitalize() + ".", allow_abbrev=False
    )
    parser.set_defaults(handler=handler, parser=parser)
    return parser


def _add_project(parser: Any) -> None:
    parser.add_argument(
        "project", nargs="?", metavar="PROJECT", help="the project's name; the only one if left out"
    )
    _add_env(parser)


def _add_env(parser: Any) -> None:
    parser.add_argument(
        "--env", metavar="ENV", help="the environment (the manifest's default_env, else qat)"
    )
    _add_manifest(parser)


def _add_manifest(parser: Any) -> None:
    parser.add_argument(
        "--manifest", metavar="PATH", help="the manifest, instead of looking for it"
    )


def _add_engine(parser: Any) -> None:
    parser.add_argument(
        "--engine", choices=["pandas", "spark"], help="instead of the environment's"
    )


def _add_what(parser: Any) -> None:
    """What `run` and `plan` have in common."""
    _add_project(parser)
    _add_choices(parser)


def _add_choices(parser: Any) -> None:
    """What of a run can be chosen: rows, layers, engine, attempts."""
    _add_engine(parser)
    parser.add_argument(
        "--layers", nargs="+", metavar="LAYER", help="only these layers, in the manifest's order"
    )
    _add_selection(parser)
    parser.add_argument(
        "--retries", type=_not_negative, metavar="N", help="tries after a failed attempt (3)"
    )
    parser.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="for each attempt")


def _add_selection(parser: Any) -> None:
    """Which rows; what stands behind these options is as in `odibi_nb.core.selection`."""
    parser.add_argument(
        "--select",
        nargs="+",
        action="extend",
        metavar="ROWS",
        help="only these rows: an id, SILVER_*, +ID (with what it needs), ID+ (with what needs it), "
        "layer:…, tag:…, plant:…, engine:…, function:…, state:failed; a comma means 'and'",
    )
    parser.add_argument(
        "--exclude", nargs="+", action="extend", metavar="ROWS", help="but not these rows"
    )
    parser.add_argument(
        "--only", nargs="+", action="extend", metavar="ID", help="exactly these rows, by their ids"
    )


def _add_run(commands: Any) -> None:
    run = _command(commands, "run", "run a project", "running:run")
    _add_what(run)
    _add_how(run)


def _add_retry(commands: Any) -> None:
    text = "run again what did not succeed in a run, and what needs it"
    retry = _command(commands, "retry", text, "running:retry")
    retry.add_argument(
        "run_id",
        nargs="?",
        default="last",
        metavar="RUN_ID",
        help="which run ('last' for the newest)",
    )
    retry.add_argument("--project", metavar="PROJECT", help="whose run; the only one if left out")
    _add_env(retry)
    retry.add_argument(
        "--only-failed", action="store_true", help="only what failed, not what waited for it"
    )
    _add_choices(retry)
    _add_how(retry)


def _add_compare(commands: Any) -> None:
    text = "two runs side by side: status, seconds, rows, and what changed"
    compare = _command(commands, "compare", text, "overview:compare")
    compare.add_argument(
        "run_a", nargs="?", metavar="RUN_ID", help="the earlier run (the one before the later one)"
    )
    compare.add_argument(
        "run_b", nargs="?", default="last", metavar="RUN_ID", help="the later run (the newest)"
    )
    compare.add_argument(
        "--project", metavar="PROJECT", help="whose runs; the only one if left out"
    )
    _add_env(compare)


def _add_pace(parser: Any) -> None:
    """How much runs at a time, and what waits for what."""
    parser.add_argument(
        "--workers", type=_positive, metavar="N", help="transformations at a time (the CPUs)"
    )
    parser.add_argument(
        "--schedule",
        choices=["layers", "graph"],
        help="layer by layer, or as soon as inputs are there",
    )


def _add_how(run: Any) -> None:
    """How to run, and how to show it."""
    _add_pace(run)
    run.add_argument(
        "--on-error", choices=["continue", "stop"], help="what a failure does to the others"
    )
    run.add_argument(
        "--log-level", metavar="LEVEL", help="what the console shows: DEBUG, INFO, WARNING, ERROR"
    )
    run.add_argument(
        "--save-logs", action="store_true", default=None, help="also write captured logs to a file"
    )
    run.add_argument(
        "--ui",
        choices=["auto", "plotly", "widgets", "html", "text"],
        help="how the run is shown (auto: the first of these that works here)",
    )
    run.add_argument("--yes", action="store_true", help="confirm a protected environment")
    run.add_argument("--run-timeout", type=_seconds, metavar="SECONDS", help="for the whole run")
    run.add_argument(
        "--force",
        action="store_true",
        default=None,
        help="take the place of a run that goes on, and end it",
    )


def _add_plan(commands: Any) -> None:
    plan = _command(commands, "plan", "what a run would do; writes nothing", "running:plan")
    _add_what(plan)
    _add_pace(plan)


def _add_registry(commands: Any) -> None:
    text = "the TransformationRegistry: init, import, export, list"
    registry = commands.add_parser(
        "registry", help=text, description=text.capitalize() + ".", allow_abbrev=False
    )
    actions = registry.add_subparsers(dest="action", required=True, metavar="ACTION")
    init = _command(
        actions, "init", "create the table, or add the columns it lacks", "registry:init"
    )
    _add_project(init)
    init.add_argument(
        "--all-columns", action="store_true", help="also the optional columns (step, description …)"
    )
    load = _command(actions, "import", "load rows from a JSON or CSV file", "registry:import_rows")
    load.add_argument("file", metavar="FILE", help="*.json or *.csv")
    _add_project(load)
    save = _command(actions, "export", "write the rows to a JSON or CSV file", "registry:export")
    save.add_argument("file", metavar="FILE", help="*.json or *.csv")
    _add_project(save)
    listed = _command(
        actions, "list", "the rows of a project and environment", "registry:list_rows"
    )
    _add_project(listed)
    for parser in (init, load):
        parser.add_argument("--yes", action="store_true", help="confirm a protected environment")


def _positive(text: str) -> int:
    return _whole(text, 1, "a whole number of at least 1")


def _not_negative(text: str) -> int:
    return _whole(text, 0, "0 or more")


def _whole(text: str, least: int, expected: str) -> int:
    value = int(text) if re.fullmatch(r"[+-]?\d{1,9}", text, re.ASCII) else least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"expected {expected}, found {text}")
    return value


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected seconds above 0, found {text}")
    return value


def parse(words: Sequence[str], prog: str = "odibi") -> argparse.Namespace:
    """Understand a command.

    Raises:
        CommandLineError: if it cannot be understood.
        CommandHelp: if help was asked for.
    """
    parser = build_parser(prog)
    if not words:
        parser.print_help()
    arguments, rest = parser.parse_known_args(list(words))
    if rest:
        hint = did_you_mean(rest[0], arguments.parser._option_string_actions)  # noqa: SLF001  argparse has no public list
        arguments.parser.error(f"unknown argument {rest[0]!r}{hint}")
    del arguments.parser
    return arguments


def execute(arguments: argparse.Namespace, face: Face) -> Any:
    """Do what was asked; what it returns is for the face to show.

    Raises:
        OdibiError: if it cannot be done.
    """
    module, _, function = arguments.handler.partition(":")
    handler = getattr(import_module(f"odibi_nb.commands.{module}"), function)
    return handler(arguments, face)
