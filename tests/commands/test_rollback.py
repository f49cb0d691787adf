"""``rollback`` shows its plan, asks in a protected environment, and reports its changes."""

from __future__ import annotations

import pytest
from lake_project import Lake
from real_project import registry_row

from odibi_nb.commands import Face, execute, parse
from odibi_nb.errors import ConfigurationError


@pytest.fixture
def lake(tmp_path):
    """A protected project that ran twice."""
    row = registry_row("B1", "Bronze", "load", constants={"rows": 3}, outputs=["bronze.x"])
    found = Lake(tmp_path, [{**row, "environment": "prod"}])
    found.run(env="prod", confirm=True).raise_for_status()
    more = {"B1": {"rows": 5}}
    found.run(env="prod", confirm=True, overrides=more).raise_for_status()
    return found


def command(lake, *words):
    return parse(["rollback", *words, "--env", "prod", "--manifest", str(lake.path)])


def test_a_protected_environment_shows_the_plan_before_it_asks(lake):
    """The user sees the tables first. A wrong project name restores nothing."""
    shown, asked = [], []

    def answering(text):
        def ask(question):
            asked.append((question, [*shown]))
            return text

        return Face(ask=ask, say=shown.append)

    with pytest.raises(ConfigurationError, match="not confirmed"):
        execute(command(lake), answering("Plant Two"))
    assert "roll back" in asked[0][0]
    assert "bronze.x v1: restore to v0 −5 +3" in asked[0][1][0]
    assert lake.version("bronze.x") == 1
    result = execute(command(lake), answering("Plant One"))
    assert result.status.value == "success"
    assert lake.values("bronze.x") == [0, 1, 2]


def test_without_a_person_it_needs_yes(lake):
    """A script needs --yes. Without it nothing is restored."""
    with pytest.raises(ConfigurationError, match="--yes"):
        execute(command(lake), Face())
    execute(command(lake, "--yes"), Face()).raise_for_status()
    said = execute(command(lake, "--yes"), Face())
    assert "nothing to roll back" in said


def test_a_refused_rollback_does_not_ask(lake):
    """If the rollback is impossible, it is refused before it asks for a confirmation."""
    lake.write("bronze.x", [9])

    def ask(question):
        raise AssertionError(question)

    with pytest.raises(ConfigurationError, match="written by others since"):
        execute(command(lake), Face(ask=ask))


def test_a_dry_run_is_a_table(lake):
    """Each table has a row with versions and rows; the table can become a DataFrame."""
    found = execute(command(lake, "--dry-run"), Face())
    (row,) = found.to_frame().to_dict("records")
    assert (row["table"], row["action"], row["version"], row["restores"]) == (
        "bronze.x",
        "restore",
        1,
        0,
    )
    assert (row["rows_removed"], row["rows_restored"]) == (5, 3)
    assert row["written by"] == "B1"
    assert lake.version("bronze.x") == 1
