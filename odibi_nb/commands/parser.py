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
  odibi explain SILVER_001
"""


class CommandLineError(ConfigurationError):
    """An invalid command. The message suggests the closest valid word, if it finds one."""


class CommandHelp(Exception):  # noqa: N818  not an error: the user asked for help
    """A request for help. The argument is the help text."""


class CommandParser(argparse.ArgumentParser):
    """A parser that raises an exception where argparse exits, because a kernel must not exit."""

    def error(self, message: str) -> NoReturn:
        """Raise CommandLineError."""
        found = re.search(r"argument (.*?): invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if found:
            choices = re.findall(r"[\w-]+", found[3])
            suggestion = did_you_mean(found[2], choices)
            if found[1] in {"COMMAND", "ACTION"}:
                # A list of 29 words would hide the one that is meant.
                where = f"no {found[1].lower()} {found[2]!r}"
                raise CommandLineError(
                    where, [f"{suggestion.strip(' ()')} See {self.prog} -h".strip()]
                )
            message += suggestion
        raise CommandLineError(self.prog, [f"{message}. See {self.prog} -h"])

    def print_help(self, file: Any = None) -> NoReturn:
        """Raise CommandHelp."""
        del file
        raise CommandHelp(self.format_help())


def build_parser(prog: str = "odibi") -> CommandParser:
    """Build the parser. *prog* is its name in the face: ``odibi`` or ``%odibi``."""
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
    _add_status(commands)
    _add_retry(commands)
    _add_rollback(commands)
    _add_panel(commands)
    projects = _command(
        commands, "projects", "list the projects found from here", "overview:projects"
    )
    _add_flag(projects, "--no-history", "do not look up last runs")
    _add_registry(commands)
    new = _command(commands, "init", "make a new project that runs at once", "scaffold:init")
    new.add_argument("name", metavar="NAME", help="name of the new project")
    history = _command(commands, "history", "list past runs, newest first", "overview:history")
    _add_project(history)
    history.add_argument(
        "--limit", type=_positive, default=30, metavar="N", help="show at most N runs (30)"
    )
    history.add_argument(
        "--run", metavar="RUN_ID", help="show the run log of this run ('last' for the newest)"
    )
    _add_json(history)
    _add_compare(commands)
    _add_diff(commands)
    _add_export(commands)
    _add_troubleshooting(commands)
    _add_editing(commands)
    doctor = _command(
        commands, "doctor", "check settings, versions, registry and lake", "doctor:doctor"
    )
    _add_project(doctor)
    _add_engine(doctor)
    form = doctor.add_mutually_exclusive_group()
    text = "list the places of an odibi_de_v2 project that need a change, with file and line"
    _add_flag(form, "--migration", text)
    _add_json(form)
    _add_watching(commands)
    _add_report(commands)
    text = "list the channels of notifications, and send waiting messages"
    notify = _command(commands, "notify", text, "notifying:notify")
    _add_project(notify)
    _add_flag(notify, "--test", "send one test message to each channel, at once")
    cancel = _command(
        commands, "cancel", "end a run, here or in another process", "overview:cancel"
    )
    _add_run_id(cancel, "id of the run (the only one)", default=None)
    cancel.add_argument("--transformation", metavar="ID", help="end only this transformation")
    _add_project_option(cancel, "the run's project")
    _add_manifest(cancel)
    return parser


def _command(commands: Any, name: str, text: str, handler: str) -> Any:
    parser = commands.add_parser(
        name,
        help=text,
        description=f"{text[:1].upper()}{text[1:]}.",
        epilog="Parentheses contain the value that is used without the argument.",
        allow_abbrev=False,
    )
    parser.set_defaults(handler=handler, parser=parser)
    return parser


def _add_project(parser: Any) -> None:
    parser.add_argument(
        "project",
        nargs="?",
        type=_project,
        metavar="PROJECT",
        help="name of the project (the only one)",
    )
    _add_env(parser)


def _add_flag(parser: Any, name: str, text: str, *, default: bool | None = False) -> None:
    """Add an option without a value. The default None leaves the value to the settings, or to the run."""
    parser.add_argument(name, action="store_true", default=default, help=text)


def _add_yes(parser: Any, text: str = "confirm a protected environment") -> None:
    _add_flag(parser, "--yes", text)


def _add_rows(parser: Any, name: str, text: str, metavar: str = "ROWS") -> None:
    parser.add_argument(name, nargs="+", action="extend", metavar=metavar, help=text)


def _add_place(parser: Any, text: str = "name of the project") -> None:
    """Add the options for project, environment and manifest."""
    _add_project_option(parser, text)
    _add_env(parser)


def _add_project_option(parser: Any, text: str = "name of the project") -> None:
    parser.add_argument(
        "--project", type=_project, metavar="PROJECT", help=f"{text} (the only one)"
    )


def _add_run_id(parser: Any, text: str, name: str = "run_id", default: str | None = "last") -> None:
    parser.add_argument(name, nargs="?", default=default, metavar="RUN_ID", help=text)


def _add_only(parser: Any) -> None:
    _add_rows(parser, "--only", "select exactly the rows with these ids", "ID")


def _add_env(parser: Any) -> None:
    parser.add_argument(
        "--env",
        metavar="ENV",
        help="name of the environment (the manifest's default_env, else qat)",
    )
    _add_manifest(parser)


def _add_manifest(parser: Any) -> None:
    parser.add_argument(
        "--manifest", metavar="PATH", help="path of the manifest (found by the project's name)"
    )


def _add_json(parser: Any) -> None:
    """Add the option to return a `odibi_nb.views.json_documents.JsonDocument`."""
    _add_flag(parser, "--json", "print JSON text with stable keys, for programs")


def _add_engine(parser: Any) -> None:
    parser.add_argument(
        "--engine", choices=["pandas", "spark"], help="engine of the run (the environment's)"
    )


def _add_choices(parser: Any) -> None:
    """Add the options that choose rows, layers, engine and attempts."""
    _add_engine(parser)
    _add_layers(parser)
    _add_selection(parser)
    parser.add_argument(
        "--retries",
        type=_not_negative,
        metavar="N",
        help="number of retries after a failed attempt (3)",
    )
    parser.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="time limit of each attempt"
    )


def _add_selection(parser: Any) -> None:
    """Add the options that select rows. See `odibi_nb.core.planning.selection` for their values."""
    text = (
        "select these rows: an id, SILVER_*, +ID (and its upstream rows), ID+ (and its downstream rows), "
        "layer:…, tag:…, plant:…, engine:…, function:…, state:failed, state:stale; a comma means 'and'"
    )
    _add_rows(parser, "--select", text)
    _add_rows(parser, "--exclude", "leave out these rows")
    _add_only(parser)


def _add_run(commands: Any) -> None:
    run = _command(commands, "run", "run a project", "running:run")
    _add_project(run)
    _add_choices(run)
    _add_stale(run)
    _add_how(run)


def _add_retry(commands: Any) -> None:
    text = "run the unsuccessful rows of a run again, and the rows that need them"
    retry = _command(commands, "retry", text, "running:retry")
    _add_run_id(retry, "id of the run ('last' for the newest)")
    _add_place(retry, "the run's project")
    text = "retry only the failed rows, without the rows that were skipped after them"
    _add_flag(retry, "--only-failed", text)
    _add_choices(retry)
    _add_how(retry)


def _add_rollback(commands: Any) -> None:
    text = "restore the tables that a run wrote"
    rollback = _command(commands, "rollback", text, "rollback:rollback")
    _add_run_id(rollback, "id of the run ('last' for the newest that is not a rollback)")
    _add_place(rollback, "the run's project")
    _add_engine(rollback)
    _add_rows(
        rollback, "--select", "restore only the tables of these rows; for the values, see run"
    )
    _add_only(rollback)
    _add_flag(rollback, "--dry-run", "show the plan and write nothing")
    _add_flag(rollback, "--force", "also undo the later commits of others")
    _add_flag(rollback, "--drop", "drop the tables that the run created, instead of emptying them")
    _add_display(rollback)


def _add_compare(commands: Any) -> None:
    text = "compare two runs: status, seconds, rows, and changes of the configuration"
    compare = _command(commands, "compare", text, "overview:compare")
    text = "id of the earlier run (the run before the later one)"
    _add_run_id(compare, text, "run_a", default=None)
    _add_run_id(compare, "id of the later run (the newest)", "run_b")
    _add_place(compare, "the runs' project")


def _add_export(commands: Any) -> None:
    text = "write the files with which another scheduler runs a project"
    export = _command(commands, "export", text, "exporting:export")
    export.add_argument(
        "format",
        metavar="FORMAT",
        choices=["databricks", "airflow", "github-actions"],
        help="databricks (a bundle), airflow (a DAG) or github-actions (a workflow)",
    )
    _add_project(export)
    export.add_argument(
        "--split",
        choices=["project", "layer", "row"],
        default="project",
        help="make one task for the project (default), for each layer, or for each row",
    )
    export.add_argument(
        "--schedule",
        metavar="CRON",
        help="schedule in five fields of cron, in UTC: '30 5 * * MON-FRI'",
    )
    export.add_argument(
        "--out", metavar="FOLDER", help="folder of the files (the scheduler's usual one)"
    )
    _add_flag(export, "--check", "compare the files on disk with a new export, and write nothing")
    _add_flag(export, "--force", "also replace files that a person wrote or changed")


def _add_diff(commands: Any) -> None:
    text = "show the changed rows and columns of a table, of a run, or between environments"
    diff = _command(commands, "diff", text, "diff:diff")
    diff.add_argument(
        "what",
        nargs="*",
        metavar="WHAT",
        help="TABLE (its last change), TABLE@3 TABLE@5, or a run ('last' or RUN_ID) and its tables (last)",
    )
    _add_project_option(diff)
    diff.add_argument(
        "--env",
        nargs="+",
        metavar="ENV",
        help="name of the environment; two names compare their tables",
    )
    _add_manifest(diff)
    _add_engine(diff)
    _add_selection(diff)
    _add_flag(diff, "--all", "list the tables without a change, too")
    diff.add_argument(
        "--keys", metavar="A,B", help="columns that identify a row (the keys of the row's output)"
    )
    _add_json(diff)


def _add_pace(parser: Any) -> None:
    """Add the options for the number of workers and the schedule."""
    parser.add_argument(
        "--workers",
        type=_positive,
        metavar="N",
        help="number of transformations at a time (the number of CPUs; on Spark at least 4)",
    )
    parser.add_argument(
        "--schedule",
        choices=["layers", "graph"],
        help="run layer by layer, or start each row as soon as its inputs exist",
    )


def _add_ui(parser: Any) -> None:
    parser.add_argument(
        "--ui",
        choices=["auto", "plotly", "widgets", "html", "text"],
        help="display of the run (auto: the first of the others that works here)",
    )


def _add_display(run: Any) -> None:
    """Add the options for the display, the log and the confirmation of a run."""
    run.add_argument(
        "--log-level", metavar="LEVEL", help="level of the console: DEBUG, INFO, WARNING, ERROR"
    )
    _add_flag(run, "--save-logs", "also write the captured logs to a file", default=None)
    _add_ui(run)
    _add_yes(run)
    text = "return at once, so that other cells can run (in a notebook)"
    _add_flag(run, "--background", text, default=None)


def _add_how(run: Any) -> None:
    """Add the options for the execution of a run and its display."""
    _add_pace(run)
    run.add_argument(
        "--on-error",
        choices=["continue", "stop"],
        help="after a failure, run the other rows, or start no more rows",
    )
    _add_display(run)
    run.add_argument(
        "--run-timeout", type=_seconds, metavar="SECONDS", help="time limit of the whole run"
    )
    for name, text in (
        ("--keep-cached", "keep the cache plan's tables in the Spark session's memory"),
        ("--atomic", "restore the tables that the run wrote if it does not succeed"),
        ("--force", "end a run that is in progress, and take its place"),
    ):
        _add_flag(run, name, text, default=None)
    run.add_argument(
        "--part",
        metavar="NAME",
        help="name of this part of a job, whose parts run other rows at the same time",
    )


def _add_panel(commands: Any) -> None:
    text = "open a panel with buttons to plan and run (in a notebook)"
    panel = _command(commands, "panel", text, "running:panel")
    _add_project(panel)
    _add_engine(panel)


def _add_plan(commands: Any) -> None:
    text = "show the rows that a run would run, and their problems; write nothing"
    plan = _command(commands, "plan", text, "running:plan")
    _add_project(plan)
    _add_choices(plan)
    _add_stale(plan)
    _add_pace(plan)
    _add_json(plan)


def _add_status(commands: Any) -> None:
    text = "list the rows that are up to date, and the reasons why others are not"
    status = _command(commands, "status", text, "running:status")
    _add_project(status)
    _add_engine(status)
    _add_layers(status)
    _add_selection(status)
    _add_json(status)


def _add_stale(parser: Any) -> None:
    text = "select only the rows that are not up to date, and the rows that need their new data"
    _add_flag(parser, "--stale", text, default=None)


def _add_layers(parser: Any) -> None:
    parser.add_argument(
        "--layers",
        nargs="+",
        metavar="LAYER",
        help="run only these layers, in the manifest's order",
    )


def _add_troubleshooting(commands: Any) -> None:
    """Add the commands about one transformation."""
    text = "put a transformation's inputs and function into variables"
    load = _command(commands, "load", text, "troubleshooting:load")
    load.add_argument(
        "--as", dest="name", metavar="NAME", help="put everything into one variable with this name"
    )
    text = "call a transformation's function, capture its writes, and compare them with its tables"
    trial = _command(commands, "try", text, "troubleshooting:try_out")
    _add_flag(trial, "--write", "write the results if the function succeeds")
    _add_yes(trial)
    text = "write the tried version of a transformation's function into its module"
    applied = _command(commands, "apply", text, "applying:apply")
    applied.add_argument(
        "--from",
        dest="source",
        metavar="FILE",
        help="a file that defines the function (the last version that was tried here)",
    )
    _add_yes(applied, "write without a question")
    debug = _command(
        commands, "debug", "open the failed frames of a transformation", "troubleshooting:debug"
    )
    text = "show a transformation's row, function, inputs, outputs and history"
    explain = _command(commands, "explain", text, "explaining:explain")
    text = "show the upstream and downstream rows of a transformation"
    lineage = _command(commands, "lineage", text, "lineage:lineage")
    lineage.add_argument("id", nargs="?", metavar="ID", help="id of the transformation (all)")
    lineage.add_argument(
        "--up", type=_not_negative, metavar="N", help="show N steps upstream (all)"
    )
    lineage.add_argument(
        "--down", type=_not_negative, metavar="N", help="show N steps downstream (all)"
    )
    _add_flag(lineage, "--mermaid", "print Mermaid text")
    log = _command(commands, "log", "show the output of a transformation", "troubleshooting:log")
    log.add_argument(
        "--run", metavar="RUN_ID", help="id of the run (the newest that has the transformation)"
    )
    _add_flag(log, "--follow", "show new lines until the transformation ends")
    text = "list the changes before a transformation failed, the likeliest cause first"
    why = _command(commands, "why", text, "culprits:why")
    why.add_argument(
        "--run",
        nargs=2,
        metavar="RUN_ID",
        help="compare these two runs (the last success and the next failure)",
    )
    _add_json(why)
    text = "find the commit of an input that broke a transformation"
    bisected = _command(commands, "bisect", text, "culprits:bisect")
    debug.add_argument(
        "id",
        nargs="?",
        default="last",
        metavar="ID",
        help="id of the transformation, or 'last' for the newest failure",
    )
    _add_flag(debug, "--forget", "free the memory of failed functions' variables")
    for parser in (load, trial, applied, explain, log, why, bisected):
        parser.add_argument("id", metavar="ID", help="id of the transformation")
    for parser in (load, trial, applied, debug, explain, lineage, log, why, bisected):
        _add_place(parser)
    for parser in (load, trial, explain, bisected):
        _add_engine(parser)
    for parser, which in ((load, "read"), (trial, "read"), (debug, "read when it failed")):
        parser.add_argument(
            "--run",
            metavar="RUN_ID",
            help=f"read inputs at the versions that the row {which} in this run ('last' for the newest)",
        )
    for parser in (load, trial):
        parser.add_argument(
            "--limit", type=_positive, metavar="N", help="read at most N rows of each input"
        )
        parser.add_argument(
            "--sample",
            type=_fraction,
            metavar="FRACTION",
            help="read this share of each input's rows",
        )


def _add_watching(commands: Any) -> None:
    watch = _command(
        commands, "watch", "follow a run that is in progress, here or elsewhere", "watching:watch"
    )
    show = _command(
        commands, "show", "show a past run: its chart, table, logs and errors", "watching:show"
    )
    for parser in (watch, show):
        _add_run_id(parser, "id of the run, or 'last' for the newest (last)")
        _add_place(parser)
    _add_ui(watch)
    _add_json(show)


def _add_report(commands: Any) -> None:
    text = "write the report of a run: one file for a colleague, a ticket or a pull request"
    report = _command(commands, "report", text, "reporting:report")
    _add_run_id(report, "id of the run, or 'last' for the newest that has ended (last)")
    _add_place(report)
    report.add_argument(
        "--out",
        metavar="FILE",
        help="file to write; '-' prints the report (report-RUN_ID.html or .md)",
    )
    report.add_argument(
        "--format", choices=["html", "md"], default="html", help="HTML page, or Markdown (html)"
    )
    _add_flag(report, "--force", "also replace a file that is not a report, or was changed")


def _add_editing(commands: Any) -> None:
    """Add the commands that change registry rows."""
    text = "write the cell's rows (TOML or JSON) into the registry"
    register = _command(commands, "register", text, "editing:register")
    enable = _command(commands, "enable", "include transformations in runs again", "editing:enable")
    disable = _command(commands, "disable", "leave transformations out of runs", "editing:disable")
    for parser in (enable, disable):
        parser.add_argument("ids", nargs="+", metavar="ID", help="ids of transformations")
    for parser in (register, enable, disable):
        _add_place(parser)
        _add_yes(parser)


def _add_registry(commands: Any) -> None:
    text = "manage the TransformationRegistry: init, import, export, list, delete"
    registry = commands.add_parser(
        "registry", help=text, description=text.capitalize() + ".", allow_abbrev=False
    )
    actions = registry.add_subparsers(dest="action", required=True, metavar="ACTION")
    init = _command(
        actions, "init", "create the table, or add its missing columns", "registry:init"
    )
    _add_project(init)
    _add_flag(init, "--all-columns", "also create the optional columns (step, description …)")
    load = _command(
        actions, "import", "load rows from a JSON, TOML or CSV file", "registry:import_rows"
    )
    load.add_argument("file", metavar="FILE", help="*.json, *.toml or *.csv")
    _add_project(load)
    _add_flag(
        load,
        "--all",
        "import the rows of all projects and environments in the file, not only of PROJECT and ENV",
    )
    _add_flag(load, "--prune", "delete the rows that the file does not contain (asks)")
    _add_flag(
        load,
        "--ingestion-config",
        "convert the rows of an IngestionSourceConfig to Bronze rows; FILE may also be a table, or URL#TABLE",
    )
    remove = _command(actions, "delete", "delete the rows with these ids (asks)", "editing:delete")
    remove.add_argument("ids", nargs="+", metavar="ID", help="ids of transformations")
    _add_place(remove)
    save = _command(
        actions, "export", "write the rows to a JSON, TOML or CSV file", "registry:export"
    )
    save.add_argument("file", metavar="FILE", help="*.json, *.toml or *.csv")
    _add_project(save)
    listed = _command(
        actions, "list", "list the rows of a project and environment", "registry:list_rows"
    )
    _add_project(listed)
    for parser in (init, load):
        _add_yes(parser)
    _add_yes(remove, "delete without asking")


def _positive(text: str) -> int:
    return _whole(text, 1, "a whole number of at least 1")


def _not_negative(text: str) -> int:
    return _whole(text, 0, "0 or more")


def _project(text: str) -> str:
    """Return the name of a project. An empty one, as of an unset variable, does not mean the only project."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty: name a project, or leave the argument out")
    return text


def _whole(text: str, least: int, expected: str) -> int:
    value = int(text) if re.fullmatch(r"[+-]?\d{1,9}", text, re.ASCII) else least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"expected {expected}, found {text}")
    return value


def _float(text: str) -> float:
    """Return the number, or NaN, which is in no range."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _seconds(text: str) -> float:
    value = _float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected seconds above 0, found {text}")
    return value


def _fraction(text: str) -> float:
    value = _float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"expected a share between 0 and 1, found {text}")
    return value


def parse(words: Sequence[str], prog: str = "odibi") -> argparse.Namespace:
    """Parse a command.

    Raises:
        CommandLineError: if the command is not valid.
        CommandHelp: if the user asks for help.
    """
    parser = build_parser(prog)
    if not words:
        parser.print_help()
    arguments, rest = parser.parse_known_args(list(words))
    if rest:
        options = arguments.parser._option_string_actions  # noqa: SLF001  argparse has no public list
        if "--project" in options and not rest[0].startswith("-"):
            hint = f" (a project's name? then --project {rest[0]!r})"
        else:
            hint = did_you_mean(rest[0], options)
        arguments.parser.error(f"unknown argument {rest[0]!r}{hint}")
    del arguments.parser
    return arguments


def execute(arguments: argparse.Namespace, face: Face) -> Any:
    """Run the command, and return its value for the face to show.

    Raises:
        OdibiError: if the command fails.
    """
    module, _, function = arguments.handler.partition(":")
    handler = getattr(import_module(f"odibi_nb.commands.{module}"), function)
    return handler(arguments, face)
