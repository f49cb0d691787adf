"""Numbers of things in texts for people."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import odibi_nb
from odibi_nb.core.text.counts import counted

NOUNS = "row|problem|transformation|file|line|column|table|dependency|thread|worker|key|commit|version|check"
WORDS = rf" (?:more )?(?:{NOUNS.replace('dependency|', 'dependencie|')})s\b(?! \()| \w+\(s\)"
PLURAL = re.compile(rf"^(?:{WORDS})")
MAYBE = re.compile(rf"\}}[\"'\sfr]*(?:{WORDS})")
"""Source that may have such a text: most files have none, and parsing takes long."""
LIMIT = re.compile(
    r"\b(more than|at most|at least|expected|first|last|newest|oldest|after|every|below|above) $"
)


@pytest.mark.parametrize(
    ("number", "nouns", "text"),
    [
        (0, ("row",), "0 rows"),
        (1, ("row",), "1 row"),
        (2000, ("row",), "2,000 rows"),
        (1, ("dependency", "dependencies"), "1 dependency"),
        (2, ("row differs", "rows differ"), "2 rows differ"),
    ],
)
def test_counted(number, nouns, text):
    """A number has its noun in the singular or plural."""
    assert counted(number, *nouns) == text


def uncounted(source):
    """The lines of *source* whose text has a number before a plural that does not depend on it."""
    if not MAYBE.search(source):
        return
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.JoinedStr):
            continue
        for i, part in enumerate(node.values[1:], 1):
            number = node.values[i - 1]
            before = node.values[i - 2] if i > 1 else None
            limit = isinstance(before, ast.Constant) and LIMIT.search(str(before.value))
            if not isinstance(part, ast.Constant) or not isinstance(number, ast.FormattedValue):
                continue
            if PLURAL.match(str(part.value)) and not limit:
                yield node.lineno


def test_every_text_with_a_number_counts():
    """Every text of the package with a number has its singular and plural, by `counted`, or names a fixed limit."""
    found = [
        f"{path}:{line}"
        for path in sorted(Path(odibi_nb.__file__).parent.rglob("*.py"))
        for line in uncounted(path.read_text(encoding="utf-8"))
        if path.name != "errors.py"  # it imports nothing, and counts from two on
    ]
    assert found == []
