"""A function's source: what it needs, and how a cell's version differs from it."""

from __future__ import annotations

import importlib.util
import subprocess
import textwrap
from pathlib import Path

import pytest

from odibi_nb.core.functions.module_edit import edit_of
from odibi_nb.core.functions.source import source_of, with_helpers
from odibi_nb.ingest import load_csv

MODULE = '''"""A module."""

from __future__ import annotations

import math

FACTOR = 2


def unused():
    pass


def _half(x):
    return x / FACTOR


class Box:
    pass


def helper(x):
    return _half(x) + math.pi


def keep(f):
    return f


@keep
def work(inputs):
    """Work."""
    box = Box()
    return helper(inputs)


def after():
    pass
'''


@pytest.fixture
def module(tmp_path):
    """The module above, imported; its path is ``module.__file__``."""
    path = tmp_path / "a module.py"
    path.write_text(MODULE)
    spec = importlib.util.spec_from_file_location("a_module", path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_a_function_comes_with_the_helpers_of_its_module(module):
    """Only the names of its module that the function needs come before it, in the file's order."""
    text = with_helpers(source_of(module.work))
    names = [line for line in text.splitlines() if line.startswith(("def", "class", "@"))]
    assert names == [
        "def _half(x):",
        "class Box:",
        "def helper(x):",
        "def keep(f):",
        "@keep",
        "def work(inputs):",
    ]


def test_helpers_that_call_each_other_come_once(tmp_path):
    """Functions that call each other, and themselves, are each in the text once."""
    path = tmp_path / "turns.py"
    path.write_text(
        "def one(x):\n    return two(x)\n\n\ndef two(x):\n    return x and one(two(x))\n"
    )
    spec = importlib.util.spec_from_file_location("turns", path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    text = with_helpers(source_of(loaded.one))
    assert [line for line in text.splitlines() if line.startswith("def")] == [
        "def two(x):",
        "def one(x):",
    ]


def test_a_source_says_where_it_is(module):
    """The line is that of the first decorator, where people look."""
    source = source_of(module.work)
    assert MODULE.splitlines()[source.line - 1] == "@keep"
    assert source.file.name == "a module.py"
    assert not source.ready_made
    assert source_of(load_csv).ready_made


def test_what_has_no_file_has_no_source(module):
    """A function from nowhere, or one that its file has lost, has no source; that is no error."""
    namespace = {}
    exec("def made_up(): pass", namespace)
    assert source_of(namespace["made_up"]) is None
    assert source_of(len) is None
    lost = module.work
    Path(module.__file__).write_text("x = 1\n")
    assert source_of(lost) is None


def test_the_diff_turns_the_module_into_the_cells_version(module, tmp_path):
    """Applied with `patch`, the diff replaces the function, adds its new helper and its import."""
    cell = textwrap.dedent("""
        import json
        import math

        def _quarter(x):
            return x / 4

        @keep
        def work(inputs):
            return json.dumps(_quarter(inputs))
    """)
    diff = edit_of(source_of(module.work), cell, "work").diff
    assert "-    return helper(inputs)" in diff
    subprocess.run(["patch", "-s", module.__file__], input=diff + "\n", text=True, check=True)
    changed = Path(module.__file__).read_text()
    assert changed.count("import math") == 1
    assert (
        changed.index("import json")
        < changed.index("def _quarter")
        < changed.index("@keep\ndef work")
    )
    assert "def after" in changed
    assert "return helper(inputs)" not in changed
    assert edit_of(source_of(module.work), cell, "work").diff == ""


def test_a_cell_that_says_the_same_differs_in_nothing(module):
    """The offered cell, unchanged, gives no diff."""
    source = source_of(module.work)
    assert edit_of(source, with_helpers(source), "work").diff == ""


def test_a_renamed_function_stands_in_for_the_modules(module):
    """The cell's only function is compared with the row's, whatever its name."""
    diff = edit_of(source_of(module.work), "def better(inputs):\n    return 1\n", "better").diff
    assert "-def work(inputs):" in diff
    assert "+def better(inputs):" in diff
