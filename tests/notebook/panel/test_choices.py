"""A panel's choices as options of a run, and as a command to copy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odibi_nb.commands import parse
from odibi_nb.core.planning.selection import exactly
from odibi_nb.errors import ConfigurationError
from odibi_nb.notebook.line_words import CallerNames, split_words
from odibi_nb.notebook.panel.choices import Choices

FEW = Choices(project="Plant One", env="qat")
ALL = Choices(
    project="Plant One",
    env="prod",
    engine="spark",
    layers=("Bronze", "Silver 1"),
    only=("B1", "B 2"),
    stale=True,
    schedule="graph",
    workers=3,
    on_error="stop",
    atomic=True,
    manifest="my projects/manifest.json",
    confirm="Plant One",
)


def test_the_command_names_project_and_environment_and_what_differs():
    """The command leaves defaults out. Words are quoted as in a shell."""
    assert FEW.command() == "%odibi run 'Plant One' --env qat"
    assert ALL.command() == (
        "%odibi run 'Plant One' --env prod --manifest 'my projects/manifest.json' --engine spark "
        "--layers Bronze 'Silver 1' --only B1 'B 2' --stale --schedule graph --workers 3 --on-error stop "
        "--atomic"
    )


def test_overridden_constants_make_it_a_cell():
    """With constants the command is %%odibi run, the constants its body."""
    choices = Choices(project="P", env="qat", overrides="\n[S1]\ndrop = false\n")
    assert choices.command() == "%%odibi run P --env qat\n[S1]\ndrop = false"
    assert choices.plan_options()["overrides"] == {"S1": {"drop": False}}


def test_constants_that_are_no_toml_are_refused():
    """The options of a panel with malformed constants are an error that describes the fault."""
    with pytest.raises(ConfigurationError, match="is not TOML"):
        Choices(project="P", env="qat", overrides="[S1").run_options()


def test_the_options_of_a_run():
    """A run gets layers, exact ids, schedule, workers and the typed confirmation."""
    assert ALL.run_options() == {
        "target_layers": ("Bronze", "Silver 1"),
        "select": [exactly("B1"), exactly("B 2")],
        "overrides": {},
        "stale": True,
        "schedule": "graph",
        "max_workers": 3,
        "on_error": "stop",
        "atomic": True,
        "confirm": "Plant One",
    }


NAME = st.text(min_size=1, max_size=12).filter(lambda s: s.strip() and "\n" not in s)


@given(NAME, NAME, st.lists(NAME.filter(lambda s: not s.startswith("-")), max_size=3))
def test_any_name_survives_the_command(project, env, ids):
    """Parsing the command gives the same choices, with any characters in the names."""
    line = Choices(project=project, env=env, only=tuple(ids)).command()
    found = parse(split_words(line.removeprefix("%odibi"), CallerNames()))
    assert (found.project, found.env, found.only or []) == (project, env, ids)
