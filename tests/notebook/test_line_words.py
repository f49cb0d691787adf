"""The words of a magic's line are split first, then filled in, each from the right variables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odibi_nb.notebook.line_words import CallerNames, names_of_caller, quoted, split_words

NAMES = CallerNames(
    local={
        "p": "Plant One",
        "evil": 'x" --force --yes "',
        "option": "--force",
        "n": -5,
        "d": {"env": "qat", "two words": "yes"},
        "xs": ["a", "b"],
        "path": Path("a dir/b"),
        "windows": "C:\\data\\new",
        "empty": "",
    }
)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("run {p} --env qat", ["run", "Plant One", "--env", "qat"]),
        ("run \"{p}\" '{p}'", ["run", "Plant One", "Plant One"]),
        ("run {evil}", ["run", 'x" --force --yes "']),
        ('run "{evil}" x{evil}y', ["run", 'x" --force --yes "', 'xx" --force --yes "y']),
        ("run $p $d", ["run", "Plant One", str(NAMES.local["d"])]),
        ("run '$p' $$p 5$ $5 a$$", ["run", "$p", "$p", "5$", "$5", "a$$"]),
        ("$path.name", ["b"]),
        ('{d[\'env\']} {d["two words"]} "{d["env"]}"', ["qat", "yes", "qat"]),
        ("{[x for x in xs][0]} {p[:5]} {p!r} {1 + 1}", ["a", "Plant", "'Plant One'", "2"]),
        ("{{p}} {{literal}} '{{p}}'", ["{p}", "{literal}", "{p}"]),
        (
            "--timeout {n} --env={option} -- {option}",
            ["--timeout", "-5", "--env=--force", "--", "--force"],
        ),
        ("plan Lab --env dev;", ["plan", "Lab", "--env", "dev"]),
        ("plan Lab --env dev ;; # nightly", ["plan", "Lab", "--env", "dev"]),
        ("plan Lab  # nightly; 'x", ["plan", "Lab"]),
        ("plan 'Lab;' a#b x;y '#z'", ["plan", "Lab;", "a#b", "x;y", "#z"]),
        ("import C:\\data\\rows.json", ["import", "C:\\data\\rows.json"]),
        ("import \\\\server\\share {windows}", ["import", "\\\\server\\share", "C:\\data\\new"]),
        ('a\\ b \\"c "d\\"e"', ["a b", '"c', 'd"e']),
        ('set \'inputs=[{"table": "a b"}]\'', ["set", 'inputs=[{"table": "a b"}]']),
        ('c={"a": {"b": 1}}', ['c={"a": {"b": 1}}']),
        ('"c={\\"a\\": 1}"', ['c={"a": 1}']),
        ('\'c={{"a": {{"b": "{p}"}}}}\'', ['c={"a": {"b": "Plant One"}}']),
        ("{} {empty} ''", ["{}", "", ""]),
        ("", []),
    ],
)
def test_words(line, words):
    """A value is one word, whatever its characters. Braces, quotes, JSON and paths keep their meaning."""
    assert split_words(line, NAMES) == words


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("run {option}", "cannot be an option"),
        ("run $option", "cannot be an option"),
        ("run {option[:1]}x", "cannot be an option"),
        ("run {nope}", "name 'nope' is not defined"),
        ("run $nope", "name 'nope' is not defined"),
        ("run {paht}", r"did you mean 'path'\?"),
        ("run {d['x']}", "raised KeyError"),
        ("run {p", "is not closed"),
        ("run p}", "without"),
        ("run {one two}", "write '{{' and '}}'"),
        ("run {x = 1}", "neither a Python expression nor JSON"),
        ('run "p', "No closing quotation"),
    ],
)
def test_what_cannot_be_filled_in_is_an_error(line, message):
    """A line is refused if an expression fails, a brace or quote is open, or a value looks like an option."""
    with pytest.raises(ValueError, match=message):
        split_words(line, NAMES)


@given(st.text(max_size=30))
def test_a_value_fills_its_word_and_nothing_else(value):
    """A value adds no word, and cannot change the structure of the JSON object around it."""
    names = CallerNames(local={"v": value})
    line = 'set a={v} "b={v}" \'c={"k": "{v}", "n": 1}\''
    command, a, b, c = split_words(line, names)
    assert (command, a, b) == ("set", f"a={value}", f"b={value}")
    assert json.loads(c.removeprefix("c=")) == {"k": value, "n": 1}


@given(st.text(max_size=30))
def test_a_quoted_text_is_itself(text):
    """`quoted` gives a word that is parsed as exactly the text."""
    assert split_words(f"x {quoted(text)}", NAMES) == ["x", text]


# -- whose variables ----------------------------------------------------------------------------

GLOBALS = {"env": "of the notebook", "split_words": split_words}


class Shell:
    """The part of IPython's shell that calls a magic."""

    user_ns = GLOBALS

    def run_line_magic(self, line):
        return split_words(line, names_of_caller(self))


shell = Shell()


def from_cell(text, name="found"):
    """Return the value of *name* after *text* has run as a cell."""
    namespace = {**GLOBALS, "shell": shell}
    exec(text, namespace)
    return namespace[name]


@pytest.mark.parametrize(
    "text",
    [
        "def f(env):\n    return shell.run_line_magic('{env}')\nfound = f('mine')",
        "def f(env):\n    return [shell.run_line_magic('{env}') for _ in 'x'][0]\nfound = f('mine')",
        "def f(env):\n    return (lambda: shell.run_line_magic('$env'))()\nfound = f('mine')",
        "def f(env):\n    def g():\n        return shell.run_line_magic('{env}')\n    return g()\nfound = f('mine')",
        "def f(env):\n    def g():\n        env\n        return shell.run_line_magic('{env}')\n    return g\nfound = f('mine')()",
        "for env in ['mine']:\n    found = shell.run_line_magic('{env}')",
        "class C:\n    def m(self, env):\n        return shell.run_line_magic('{env}')\nfound = C().m('mine')",
        # Sent, not run: the browser's tests leave a loop running in this process.
        (
            "async def f(env):\n    return shell.run_line_magic('{env}')\n"
            "try:\n    f('mine').send(None)\nexcept StopIteration as end:\n    found = end.value"
        ),
        "def magic(env):\n    return shell.run_line_magic('{env}')\nfound = magic('mine')",
        "def f(env):\n    yield shell.run_line_magic('{env}')\nfound = next(f('mine'))",
    ],
)
def test_the_callers_variable_comes_first(text):
    """In functions, loops, comprehensions, closures, methods and coroutines {env} is the nearest env."""
    assert from_cell(text) == ["mine"]


def test_a_closures_hidden_variable_is_refused():
    """If the function around the line has returned, {env} could be its variable: an error, and not a global."""
    text = "def f(env):\n    def g():\n        return shell.run_line_magic('{env}')\n    return g\ng = f('mine')"
    with pytest.raises(ValueError, match="nested function: 'env' may be a variable"):
        from_cell(text, "g")()


def test_a_modules_global_comes_before_the_notebooks():
    """A function of a module sees its module's variables as Python does."""
    assert from_cell("env = 'of the module'\nfound = shell.run_line_magic('{env}')") == [
        "of the module"
    ]
