"""The architecture page lists the places in the code, and the glossary explains our words."""

from __future__ import annotations

import ast
import re

import pytest
from docs.doc_pages import DOCS, ROOT, rows

PAGE = (DOCS / "architecture.md").read_text(encoding="utf-8")
PLACES = re.findall(r"^\| (.+?) \| `(odibi_nb/\S+\.py)` \| `(\w+)` \|$", PAGE, re.MULTILINE)
RECIPES = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Recipes")[2]
RECIPE_PLACES = re.findall(r"`(\w+)` (?:of|in) `(odibi_nb/\S+\.py)`", RECIPES)
SEED_ADDRESSES = {"hooks", "orchestration", "transformer", "project", "logging", "odibi_functions"}
WORDS = (
    "project, orchestrator, run, row, attempt, plan, registry, lake, table, layer, step, check, engine,"
    " source, sink, listener, journal, run log, rehearsal, rollback, environment, manifest"
)


def defined(path):
    """The names that a module defines at any level: functions, classes, variables, attributes."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


@pytest.mark.parametrize(("what", "path", "name"), PLACES, ids=[what for what, *_ in PLACES])
def test_each_place_to_change_exists(what, path, name):
    """The file of each entry is there, and defines the name."""
    assert name in set(defined(path)), f"{what}: {path} has no {name}"


@pytest.mark.parametrize(("name", "path"), RECIPE_PLACES, ids=[name for name, _ in RECIPE_PLACES])
def test_each_place_of_a_recipe_exists(name, path):
    """The file that a recipe names is there, and defines the function or class."""
    assert name in set(defined(path)), f"{path} has no {name}"


def test_the_places_answer_the_questions_of_a_newcomer():
    """Every line of the table names a place, and the table answers the questions of newcomers."""
    asked = PAGE.partition("## Where do I change")[2]
    assert len(PLACES) == len(re.findall(r"^\| (?!to change|---)", asked, re.MULTILINE)) >= 25
    for question in (
        "a command",
        "an engine",
        "a sink",
        "a check kind",
        "a picture",
        "failed bars",
    ):
        assert question in asked


def test_every_room_is_on_the_page():
    """Each folder of the package and of the core is a room on the page, and each room is a folder."""
    folders = {
        f"odibi_nb/{place}{path.name}"
        for place in ("", "core/")
        for path in (ROOT / "odibi_nb" / place).iterdir()
        if (path / "__init__.py").exists() and path.name not in SEED_ADDRESSES | {"core"}
    }
    assert set(rows(PAGE, "The rooms")) == folders


def test_the_glossary_defines_the_words_of_the_project():
    """CONTRIBUTING, which is a page of the site, too, explains each word in one line."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| \*\*(.+?)\*\*", text, re.MULTILINE)
    assert sorted(found) == sorted(word.strip() for word in WORDS.split(","))
