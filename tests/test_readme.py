"""Every code block of the README is executed, in order, in a copy of notebooks/."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from IPython.utils.capture import capture_output
from notebook_copies import ROOT, copy_notebooks

from odibi_nb.core.model.manifest import ProjectManifest
from odibi_nb.core.model.transformation import parse_row

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
INSTALLS = [code.strip() for kind, code in BLOCKS if kind == "sh" and "pip install" in code]


@pytest.fixture(scope="module")
def shell(tmp_path_factory, ipython):
    """A shell whose working directory is a copy of notebooks/."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(copy_notebooks(tmp_path_factory.mktemp("readme")))
        yield ipython


@pytest.mark.parametrize(
    ("kind", "code"), BLOCKS, ids=[f"{i}-{kind}" for i, (kind, _) in enumerate(BLOCKS)]
)
def test_the_block_works(kind, code, shell):
    """Each block of the README does what it shows: cells, Python, shell lines, JSON."""
    if kind in ("ipython", "python"):
        with capture_output() as output:
            result = shell.run_cell(code)
        assert result.success, f"{code}\n{output.stdout}{output.stderr}{result.error_in_exec!r}"
    elif kind == "json":
        value = json.loads(code)
        if "layer_order" in value:
            assert ProjectManifest.from_dict(value).project == value["project"]
        else:
            row, problems = parse_row({"project": "P", "environment": "qat", **value}, 1)
            assert problems == []
            assert row is not None
    elif code.strip() in INSTALLS:
        assert "-m venv" in code  # executed as it stands by .ci/run, and below
    else:
        for line in code.strip().splitlines():
            command = f"{sys.executable} -m odibi_nb.cli {line.removeprefix('odibi ')}"
            done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def test_the_checks_call_the_readmes_test_command():
    """.ci/run calls exactly the README's test command."""
    assert len(INSTALLS) == 2
    assert INSTALLS[1] in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_the_main_job_works_twice(tmp_path):
    """The README's first command after the installation, the quickstart, works in a real kernel, twice."""
    notebooks = copy_notebooks(tmp_path)
    *_, command = INSTALLS[0].split(" && ")
    words = command.split()
    assert words[:2] == [".venv/bin/python", "notebooks/execute.py"]
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, *words[1:]], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        executed = notebooks / "executed" / "quickstart.ipynb"
        assert "19 of 19 done" in executed.read_text(encoding="utf-8")
        assert executed.with_suffix(".html").resolve().as_uri() in done.stdout
