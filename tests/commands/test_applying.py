"""`apply` writes the tried function into the module, after a question."""

from __future__ import annotations

import pytest
from real_project import make_project, registry_row

from odibi_nb.cli import main
from odibi_nb.commands.face import Face
from odibi_nb.commands.parser import execute, parse
from odibi_nb.errors import ConfigurationError

FUNCTIONS = 'import pandas as pd\n\n\ndef load():\n    return pd.DataFrame({"x": [1]})[["ghi"]]\n'
FIXED = FUNCTIONS.partition("\n\n\n")[2].replace('[["ghi"]]', "")


@pytest.fixture
def home(tmp_path, monkeypatch):
    rows = [registry_row("B1", "Bronze", "load", constants={"retry": 0}, outputs=["bronze.x"])]
    home = make_project(tmp_path, rows=rows, functions=FUNCTIONS)
    monkeypatch.chdir(home)
    return home


def call(*words, **face):
    said = []
    found = execute(parse([*words]), Face(say=said.append, **face))
    return "\n".join([*map(str, said), str(found)])


def test_a_tried_version_is_written_after_a_question(home):
    """The question shows the difference. "No" leaves the file, "yes" writes it, and afterwards
    `apply` has nothing to write.
    """
    file = home / "plant_functions.py"
    trial = call("try", "B1", body=FIXED)
    assert "to write it: %odibi apply B1 --project 'Plant One' --env qat" in trial
    with pytest.raises(
        ConfigurationError, match=r"not confirmed: plant_functions\.py is unchanged"
    ):
        call("apply", "B1", ask=lambda _text: "n")
    assert file.read_text() == FUNCTIONS
    asked = []
    text = call("apply", "B1", ask=lambda text: asked.append(text) or "y")
    assert asked == ["Write plant_functions.py (+1 −1 line)? y/n: "]
    assert "-    return" in text
    assert "✔ plant_functions.py written: +1 −1 line; now: odibi retry last --project" in text
    assert file.read_text() == FUNCTIONS.replace('[["ghi"]]', "")
    with pytest.raises(
        ConfigurationError, match="no version of it has been tried successfully here"
    ):
        call("apply", "B1", "--yes")


def test_a_version_that_failed_is_not_applied(home):
    """A failed trial discards the version before it. Without a person to ask, `apply` needs --yes."""
    call("try", "B1", body=FIXED)
    with pytest.raises(ConfigurationError, match="with --yes"):
        call("apply", "B1")
    call("try", "B1", body="def load():\n    return 1 / 0\n")
    with pytest.raises(
        ConfigurationError, match="no version of it has been tried successfully here"
    ):
        call("apply", "B1", "--yes")
    assert (home / "plant_functions.py").read_text() == FUNCTIONS


def test_the_shell_applies_a_file(home, capsys):
    """`odibi apply ID --from FILE --yes` puts the file's function into the module."""
    (home / "fix.txt").write_text(FIXED)
    assert main(["apply", "B1", "--from", "fix.txt", "--yes"]) == 0
    assert (home / "plant_functions.py").read_text() == FUNCTIONS.replace('[["ghi"]]', "")
    (home / "fix.txt").write_text("def other(:\n")
    assert main(["apply", "B1", "--from", "fix.txt", "--yes"]) != 0
    assert "cannot be read as Python" in capsys.readouterr().err


def test_the_page_of_a_trial_offers_the_write(home):
    """The difference is marked by sign and colour; a name with a line break gets no command."""
    trial = execute(parse(["try", "B1"]), Face(body=FIXED))
    page = trial._repr_html_()
    assert "<ins style=" in page
    assert ">+    return" in page
    assert "<summary title='Asks before it writes'>Apply to plant_functions.py</summary>" in page
    assert "%odibi apply B1 --project &#x27;Plant One&#x27; --env qat --yes" in page
    trial = execute(parse(["try", "B1"]), Face(body="N = 1\n" + FIXED))
    assert "✖ cannot be applied: line 2 of the cell is not a function" in trial._repr_html_()
    assert "✖ cannot be applied: line 2" in repr(trial)
