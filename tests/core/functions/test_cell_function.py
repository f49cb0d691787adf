"""A function from a cell, as if it stood in its module."""

from __future__ import annotations

import sys
import types

import pytest
from fakes import row

from odibi_nb.core.functions.cell_function import function_from
from odibi_nb.core.functions.registry import REGISTRY
from odibi_nb.core.model.transformation import parse_row
from odibi_nb.errors import ConfigurationError

MODULE = """
from odibi_nb import pandas_function, spark_function

FACTOR = 2

def helper(x):
    return x * FACTOR

def through(x):
    return helper(x)

@pandas_function
def work(inputs):
    return helper(1)
"""


@pytest.fixture
def module():
    """A loaded module called cell_functions."""
    loaded = types.ModuleType("cell_functions")
    sys.modules["cell_functions"] = loaded
    exec(MODULE, vars(loaded))
    yield loaded
    del sys.modules["cell_functions"]


def work_row(function="work"):
    """A row that names cell_functions.work."""
    parsed, problems = parse_row(row("T1", module="cell_functions", function=function), 1)
    assert not problems
    return parsed


def from_cell(body, engine="pandas", known=None):
    return function_from(body, work_row(), engine, known)


def test_the_cell_sees_its_modules_names(module):
    """Helpers, constants and imports of the module need not be repeated; the module stays as it is."""
    found = from_cell("def work(inputs): return through(10)")
    assert found.fn([]) == 20
    assert found.keywords == ("inputs",)
    assert module.work([]) == 2


def test_the_modules_functions_call_the_cells_versions(module):
    """The module's other functions also use a helper that the cell redefines, in the cell only."""
    found = from_cell("def helper(x): return -x\ndef work(inputs): return through(10)")
    assert found.fn([]) == -10
    assert module.through(10) == 20
    changed = from_cell("FACTOR = 5\ndef work(inputs): return through(10)")
    assert changed.fn([]) == 50
    assert module.FACTOR == 2


def test_decorated_functions_are_found_and_not_registered(module):
    """@pandas_function in a cell says which function is meant, and registers nothing for good."""
    body = (
        "@spark_function('work')\ndef on_spark(inputs): return 's'\n"
        "@pandas_function('work')\ndef on_pandas(inputs): return 'p'\n"
    )
    assert from_cell(body).fn([]) == "p"
    assert from_cell(body, engine="spark").name == "on_spark"
    assert REGISTRY.resolve("cell_functions", "work", "pandas") is module.work


def test_the_only_function_is_meant(module):
    """A cell with one function need not repeat its name."""
    assert from_cell("def fixed(inputs): return 1").name == "fixed"
    assert from_cell("def a(): pass\ndef real(inputs): return 1", known="real").name == "real"


def test_annotations_need_not_be_importable(module):
    """Modules import what annotations need for type checkers only; a cell does not have to."""
    assert from_cell("def work(inputs: list[Frame]) -> Frame: return 1").fn([]) == 1


def test_a_missing_module_costs_only_its_names():
    """If the module cannot be imported, the cell works without it."""
    assert from_cell("def work(inputs): return 7").fn([]) == 7


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "x = 1\n\ndef work(inputs:\n    pass",
            "line 4 of the cell: SyntaxError: '(' was never closed",
        ),
        ("def work(inputs): return 1\n1 / 0", "line 3 of the cell: ZeroDivisionError"),
        ("x = 1", "the cell defines no function; expected def work(...)"),
        ("def wrok(): pass\ndef other(): pass", "(did you mean 'wrok'?)"),
        ("def work(inputs, extra): pass", "its parameters 'extra' cannot be filled"),
        ("async def work(inputs): pass", "use def"),
        ("def work():\n  x = '\x00'", "null bytes"),
        ("def work():\n  x = '\ud800'", "is not Python: 'utf-8' codec can't encode"),
    ],
)
def test_a_cell_that_cannot_be_used_is_one_message(module, body, message):
    """The message names the cell's line, counted from the magic's own, or what is expected."""
    with pytest.raises(ConfigurationError) as wrong:
        from_cell(body)
    assert message in str(wrong.value)
    assert str(wrong.value).startswith("try T1: ")
