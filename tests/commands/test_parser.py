"""The grammar of %odibi and odibi, and the messages about invalid lines."""

from __future__ import annotations

import argparse
import builtins
import os
import shlex
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odibi_nb.commands import CommandHelp, CommandLineError, execute, parse
from odibi_nb.commands.parser import build_parser
from odibi_nb.commands.running import overrides_from
from odibi_nb.errors import ConfigurationError

COMMANDS = [
    ["run"],
    ["plan"],
    ["status"],
    ["retry"],
    ["rollback"],
    ["compare"],
    ["diff"],
    ["export"],
    ["panel"],
    ["projects"],
    ["history"],
    ["doctor"],
    ["cancel"],
    ["notify"],
    ["report"],
    ["watch"],
    ["show"],
    ["registry"],
    ["registry", "init"],
    ["registry", "import"],
    ["registry", "export"],
    ["registry", "list"],
    ["registry", "delete"],
    ["load"],
    ["try"],
    ["apply"],
    ["debug"],
    ["explain"],
    ["init"],
    ["register"],
    ["enable"],
    ["disable"],
    ["lineage"],
    ["why"],
    ["bisect"],
    ["log"],
]


@pytest.fixture(autouse=True)
def _nothing_exits(monkeypatch):
    """Parsing never ends the process: a kernel must live on."""

    def exits(*_):
        raise AssertionError("the process was asked to end")

    for owner, name in ((sys, "exit"), (os, "_exit"), (builtins, "exit")):
        monkeypatch.setattr(owner, name, exits, raising=False)


def words(line):
    return parse(shlex.split(line))


def refused(line):
    with pytest.raises(CommandLineError) as excinfo:
        words(line)
    assert "\n" not in str(excinfo.value)
    return str(excinfo.value)


def subparsers(parser):
    return [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]


def test_the_commands_are_all_here():
    """The tests below cover every command."""
    found = []
    for action in subparsers(build_parser()):
        for name, parser in action.choices.items():
            found.append([name])
            found += [[name, n] for a in subparsers(parser) for n in a.choices]
    assert sorted(found) == sorted(COMMANDS)


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("command", [[], *COMMANDS], ids=" ".join)
def test_every_command_has_help(command, flag):
    """Each command shows its usage and describes itself and each of its options."""
    with pytest.raises(CommandHelp) as excinfo:
        parse([*command, flag])
    text = str(excinfo.value)
    assert text.startswith(f"usage: {' '.join(['odibi', *command])}")
    parser = build_parser()
    for name in command:
        parser = subparsers(parser)[0].choices[name]
    assert all(
        action.help
        for action in parser._actions
        if not isinstance(action, argparse._SubParsersAction)
    )
    assert parser.description


def test_no_command_is_help():
    """`odibi` alone lists the commands."""
    with pytest.raises(CommandHelp, match="Energy Efficiency"):
        parse([])


def test_the_name_of_the_face():
    """The magic's help and errors say %odibi."""
    with pytest.raises(CommandHelp, match="usage: %odibi run"):
        parse(["run", "-h"], "%odibi")
    with pytest.raises(CommandLineError, match="See %odibi run -h"):
        parse(["run", "--evn", "qat"], "%odibi")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("rn", "no command 'rn'"),
        ("rn", "did you mean 'run'? See odibi -h"),
        (
            "registry imprt x.json",
            "no action 'imprt': did you mean 'import'? See odibi registry -h",
        ),
        ("run --evn qat", "unknown argument '--evn' (did you mean '--env'?). See odibi run -h"),
        ("run --layer Bronze", "(did you mean '--layers'?)"),
        ("plan P --worker 3", "odibi plan: unknown argument '--worker'"),
        ("registry import f.json --al-columns", "See odibi registry import -h"),
        ("registry init --all-colums", "(did you mean '--all-columns'?)"),
        ("history --limt=3", "(did you mean '--limit'?)"),
        ("run P extra", "unknown argument 'extra'. See odibi run -h"),
        ("retry last P", "unknown argument 'P' (a project's name? then --project 'P')"),
        ("run --engine sparc", "(did you mean 'spark'?)"),
        ("run --on-error stopp", "(did you mean 'stop'?)"),
        ("run --workers", "argument --workers: expected one argument"),
        (
            "run --workers many",
            "argument --workers: expected a whole number of at least 1, found many",
        ),
        ("run --workers 0", "argument --workers: expected a whole number of at least 1, found 0"),
        ("run --workers 2.5", "expected a whole number of at least 1, found 2.5"),
        ("run --retries -1", "argument --retries: expected"),
        ("run --retries=-1", "argument --retries: expected 0 or more, found -1"),
        ("run --retries x", "argument --retries: expected 0 or more, found x"),
        ("run --timeout x", "argument --timeout: expected seconds above 0, found x"),
        ("run --timeout 0", "argument --timeout: expected seconds above 0, found 0"),
        ("run --timeout nan", "argument --timeout: expected seconds above 0, found nan"),
        ("run --timeout inf", "argument --timeout: expected seconds above 0, found inf"),
        ("history --limit 0", "argument --limit: expected a whole number of at least 1, found 0"),
        ("registry", "the following arguments are required: ACTION. See odibi registry -h"),
        ("registry import", "the following arguments are required: FILE"),
        ("--version run", "unknown argument '--version'"),
    ],
)
def test_what_is_not_understood(line, message):
    """An unknown command, option or value gives one line with a suggestion and a pointer to the help."""
    text = refused(line)
    assert message in text
    assert text.startswith(("odibi", "no command ", "no action "))  # the face names itself before


@pytest.mark.parametrize("line", ["run ''", "retry last --project ''", "cancel --project=' '"])
def test_an_empty_name_is_not_the_only_project(line):
    """The name in an unset variable is refused: without the refusal, the only project would run."""
    with pytest.raises(
        CommandLineError, match=r"it is empty: name a project, or leave the argument"
    ):
        parse(shlex.split(line))


def test_abbreviations_are_not_understood():
    """An option cannot be abbreviated, so that a script keeps its meaning."""
    assert "did you mean '--schedule'?" in refused("run --sched graph")


@pytest.mark.parametrize(
    "name",
    ["Energy Efficiency", "O'Brien & Co", 'say "hi"', "Größe – Süd", "a\\b", "--dashes", "$HOME"],
)
def test_any_name_survives_quoting(name):
    """A project's name with blanks, quotes or any signs is one word when quoted as in a shell."""
    assert words(f"run --env=qat -- {shlex.quote(name)}").project == name


@given(st.lists(st.text(max_size=8), max_size=5))
def test_any_words_are_a_command_or_an_error(line):
    """Any line is understood, gives help, or gives one clear error."""
    try:
        parse(line)
    except (CommandHelp, CommandLineError):
        return


def test_every_option_of_run():
    """Each option is parsed under its name, with its type."""
    found = words(
        'run "Energy Efficiency" --env qat --manifest m.json --engine pandas --layers Silver_1 Gold_1'
        " --retries 0 --timeout 1.5 --workers 2 --on-error stop --schedule graph --log-level INFO"
        " --save-logs --ui text --yes --select SILVER_* tag:daily --exclude S3 --select +G1 --only S4"
        " --background --stale"
        " --run-timeout 60 --force --keep-cached --atomic --part a"
    )
    assert vars(found) == {
        "command": "run",
        "handler": "running:run",
        "project": "Energy Efficiency",
        "env": "qat",
        "manifest": "m.json",
        "engine": "pandas",
        "layers": ["Silver_1", "Gold_1"],
        "retries": 0,
        "timeout": 1.5,
        "workers": 2,
        "on_error": "stop",
        "schedule": "graph",
        "log_level": "INFO",
        "save_logs": True,
        "ui": "text",
        "yes": True,
        "select": ["SILVER_*", "tag:daily", "+G1"],
        "exclude": ["S3"],
        "only": ["S4"],
        "background": True,
        "run_timeout": 60.0,
        "force": True,
        "part": "a",
        "keep_cached": True,
        "atomic": True,
        "stale": True,
    }


def test_what_is_not_said_is_not_set():
    """Options that are left out are None, so that settings can fill them."""
    found = vars(words("run"))
    assert {k for k, v in found.items() if v is not None} == {"command", "handler", "yes"}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_a_handler(command):
    """Each command names a function that exists."""
    from importlib import import_module

    needs_one = {"import", "export", "load", "try", "explain", "log", "init", "enable", "disable"}
    needs_one |= {"delete", "why", "bisect", "apply"}
    file = ["x.json"] if command[-1] in needs_one else []
    file = ["airflow"] if command == ["export"] else file
    if command == ["registry"]:
        return
    module, _, function = parse([*command, *file]).handler.partition(":")
    assert callable(getattr(import_module(f"odibi_nb.commands.{module}"), function))
    assert callable(execute)


@pytest.mark.parametrize(
    ("body", "overrides"),
    [
        ("", {}),
        ("  \n", {}),
        ("[SILVER_001] drop_nulls = false", {"SILVER_001": {"drop_nulls": False}}),
        ("[A]\nx = 1\n[B]\ny = 'z'", {"A": {"x": 1}, "B": {"y": "z"}}),
        ("  [A] x = 1", {"A": {"x": 1}}),
        ("['my id'] x = 1", {"my id": {"x": 1}}),
        ('["a.b"]\nx = 1', {"a.b": {"x": 1}}),
        ("[A] # why\nx = 1", {"A": {"x": 1}}),
        ("[A]\nx = [\n  [1, 2], [3]\n]", {"A": {"x": [[1, 2], [3]]}}),
        ("[A]\nretry = {max_retries = 0}", {"A": {"retry": {"max_retries": 0}}}),
        ("[A]", {"A": {}}),
    ],
)
def test_overrides_in_a_cells_body(body, overrides):
    """The cell's body is TOML: a table for each transformation, on one line or several."""
    assert overrides_from(body) == overrides


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "drop_nulls = false",
            "write 'drop_nulls' below the header of a transformation, such as [SILVER_001]",
        ),
        ("[A] x = ", "is not TOML"),
        ("print(1)", "is not TOML"),
        ("[A]\nx = 1\nx = 2", "is not TOML"),
    ],
)
def test_a_cells_body_that_is_no_override(body, message):
    """Any other body gives one clear error."""
    with pytest.raises(ConfigurationError, match="the cell's body") as excinfo:
        overrides_from(body)
    assert message in str(excinfo.value)
