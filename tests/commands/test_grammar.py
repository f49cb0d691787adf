"""Possible next words on a command line, from the parser."""

from __future__ import annotations

import pytest

from odibi_nb.commands.grammar import choices_of, place_after
from odibi_nb.commands.parser import build_parser


def takes(line):
    """Return the purpose of the next value after *line*, and if it is required."""
    place = place_after(line.split())
    return getattr(place.takes, "dest", None), place.waits


@pytest.mark.parametrize(
    ("line", "dest", "waits"),
    [
        ("", "command", False),
        ("registry", "action", False),
        ("run", "project", False),
        ("run P", None, False),
        ("run --env", "env", True),
        ("run --env qat", "project", False),
        ("run --env=qat", "project", False),
        ("run --layers", "layers", True),
        ("run --layers Bronze", "layers", False),
        ("run --layers Bronze --yes", "project", False),
        ("registry import", "file", False),
        ("registry import rows.json", "project", False),
        ("cancel", "run_id", False),
    ],
)
def test_where_a_line_has_got_to(line, dest, waits):
    """Words are taken as argparse takes them: commands, options with their numbers of values, the rest."""
    assert takes(line) == (dest, waits)


def test_what_was_given():
    """Given words are assigned to their arguments and options."""
    place = place_after(["run", "Plant One", "--layers", "A", "B", "--env=qat"])
    assert place.command == ("run",)
    assert place.given == {"project": ["Plant One"], "layers": ["A", "B"], "env": ["qat"]}


def test_an_option_is_offered_once():
    """A name that the line already has is not offered again."""
    names = [x.option_strings[-1] for x in place_after(["run", "--env", "qat"]).options]
    assert "--env" not in names
    assert "--layers" in names


@pytest.mark.parametrize("line", ["rnu", "run --evn", "run P Q", "registry lst"])
def test_after_a_mistake_nothing_comes(line):
    """Behind a word that the parser does not know, nothing is offered."""
    place = place_after(line.split())
    assert (place.takes, place.options) == (None, ())


def test_every_command_and_option_is_known():
    """Completion offers every part of the parser: commands with their help, choices and options."""
    commands = choices_of(place_after([]).takes)
    (action,) = [x for x in build_parser()._actions if x.dest == "command"]
    assert list(commands) == list(action.choices)
    assert all(commands.values())
    for name, parser in action.choices.items():
        offered = {s for x in place_after([name]).options for s in x.option_strings}
        assert offered == set(parser._option_string_actions)
    ui = place_after(["run", "--ui"]).takes
    assert list(choices_of(ui)) == ["auto", "plotly", "widgets", "html", "text"]
