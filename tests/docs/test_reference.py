"""The reference pages are made from the code, and each is complete."""

from __future__ import annotations

import re

import msgspec
import pytest
from docs.doc_pages import generator, reference, rows
from fakes import row
from stale_project import StaleProject

import odibi_nb
from odibi_nb import errors
from odibi_nb.commands.parser import build_parser
from odibi_nb.core.model.checks import KINDS, Check
from odibi_nb.core.model.events import EventType
from odibi_nb.core.model.log_columns import RECORD_COLUMNS, RUN_COLUMNS
from odibi_nb.core.model.manifest import EnvironmentConfig, LayerConfig, ProjectManifest
from odibi_nb.core.model.notification import Channel
from odibi_nb.core.model.retry import RetryPolicy
from odibi_nb.core.model.transformation import (
    OPTIONAL_COLUMNS,
    RESERVED_CONSTANTS,
    SEED_COLUMNS,
    Output,
)
from odibi_nb.core.planning.row_freshness import Freshness, Reason, StaleCause
from odibi_nb.core.planning.selection import (
    ENTITIES,
    FRESHNESS,
    LABELS,
    STATES,
    Population,
    Selectable,
    select,
)
from odibi_nb.core.running.hooks import FILTER_KEYS, RENAMED
from odibi_nb.settings import NAMES


def test_every_command_and_option_is_on_its_page():
    """Each command has a section, with each of its arguments and options in it."""
    page, found = reference("commands"), []

    def walk(parser, path):
        commands = [a for a in parser._actions if hasattr(a, "_name_parser_map")]
        for name, child in (commands[0].choices if commands else {}).items():
            walk(child, (*path, name))
        if commands:
            return
        listed = rows(page, " ".join(path))
        for action in parser._actions:
            names = action.option_strings or [action.metavar]
            if names != ["-h", "--help"]:
                found.append(names[0])
                assert any(line.split(" ")[0] == names[0] for line in listed), (path, names)

    walk(build_parser(), ())
    assert len(found) > 100


def test_every_key_of_a_manifest_is_on_its_page():
    """Top level, layers, environments, registry and retry: each key has a row with its meaning."""
    page = reference("manifest")
    for heading, struct in {
        "Top level": ProjectManifest,
        "layers.LAYER": LayerConfig,
        "environments.ENV": EnvironmentConfig,
        "environments.ENV.notify.CHANNEL": Channel,
        "retry": RetryPolicy,
    }.items():
        keys = {field.encode_name for field in msgspec.structs.fields(struct)} - {"path"}
        assert set(rows(page, heading)) == keys


def test_every_registry_column_and_constant_is_on_its_page():
    """Columns, the orchestrator's constants, an output's keys, and each kind of check have a row."""
    page = reference("registry")
    assert rows(page, "Columns") == [*SEED_COLUMNS, *OPTIONAL_COLUMNS]
    assert set(rows(page, "constants")) == RESERVED_CONSTANTS
    assert rows(page, "outputs") == [*Output.__struct_fields__]
    assert {*KINDS, *Check.__struct_fields__} <= set(rows(page, "checks"))


def test_every_way_to_select_is_on_its_page():
    """Each term of the page can be parsed, and the page has each method and state."""
    page = reference("selection")
    entities = ("Plant_A", "Dryer_1", "Line_1")
    found = {
        name: Selectable(
            "Silver_1", "odibi_functions.silver", "clean_it", "pandas", ("daily",), entities
        )
        for name in ("SILVER_001", "GOLD_001")
    }
    population = Population(
        rows={**found, "GOLD_001": found["GOLD_001"]._replace(layer="Gold_1")},
        upstream={"GOLD_001": ["SILVER_001"], "SILVER_001": []},
        layers=("Silver_1", "Gold_1"),
        engines=("pandas", "spark"),
        states=lambda run: {"SILVER_001": "FAILED", "GOLD_001": "SKIPPED"},
        freshness=lambda: {"SILVER_001": Freshness(reasons=(Reason(StaleCause.NEW, "never run"),))},
    )
    terms = rows(page, "Terms")
    for term in terms:
        selected = select(population, [term])
        assert selected.ids, term
        assert (selected.problems, selected.notices) == ([], []), term
    problem = str(select(population, ["nothing:of_this_kind"]).problems[0])
    for method in ("layer", "tag", "engine", "function", "state", *ENTITIES, *LABELS):
        assert method in problem
        assert any(term.startswith(f"{method}:") for term in terms)
    assert rows(page, "States") == [f"state:{name}" for name in STATES]
    assert all(f"`{name}`" in page or f"state:{name}" in terms for name in FRESHNESS)


def test_every_event_is_on_its_page():
    """Each event has a section; the original framework's names and the filters are there as well."""
    page = reference("events")
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == [event.value for event in EventType]
    assert rows(page, "Names of the original framework") == [*RENAMED]
    assert all(f"`{key}`" in page for key in FILTER_KEYS)


def test_payloads_have_the_keys_and_types_that_their_page_lists(project, tmp_path):
    """In real runs every payload has exactly the keys of its page, with the types that it names."""
    texts = generator().DESCRIPTIONS
    kinds = {
        "str": str,
        "int": int,
        "float": (int, float),
        "list": list,
        "dict": dict,
        "None": type(None),
    }
    seen = {}

    def check(payload):
        seen.setdefault(payload["event"], []).append(set(payload))
        for key, value in payload.items():
            words = re.sub(r"\[.*?\]", "", texts["payload"][key][0]).split(" | ")
            expected = tuple(kinds.get(word, object) for word in words)
            assert any(isinstance(value, kind) for kind in expected), (key, value)

    _runs_with_every_event(project, tmp_path, check)
    assert set(seen) == set(texts["event_keys"]) == {event.value for event in EventType}
    for event, found in seen.items():
        listed = {*generator().ALWAYS, *texts["event_keys"][event]}
        assert set().union(*found) == listed, event


def test_every_column_of_the_run_log_is_on_its_page():
    """Both tables of the run log have a row for each column, in the tables' order."""
    page = reference("run-log")
    attempts, runs = (name for name, _ in RECORD_COLUMNS), (name for name, _ in RUN_COLUMNS)
    assert rows(page, "config_driven.TransformationRunLog") == [*attempts]
    assert rows(page, "config_driven.TransformationRun") == [*runs]


def test_every_setting_is_on_its_page():
    """Each setting has a row, with the environment variable of its name."""
    page = reference("settings")
    assert rows(page) == [*NAMES]
    assert all(f"`ODIBI_{name.upper()}`" in page for name in NAMES)


def test_every_error_class_is_on_its_page():
    """Each class of errors.py that can be raised has a row with cause and remedy."""
    known = [x for x in vars(errors).values() if isinstance(x, type) and issubclass(x, Exception)]
    assert {cls.__name__ for cls in known} <= set(rows(reference("errors")))


@pytest.mark.parametrize("name", odibi_nb.__all__)
def test_every_public_name_is_on_its_page(name):
    """Each name of ``odibi_nb.__all__`` has its entry."""
    assert f"::: odibi_nb.{name}\n" in reference("python")


def _runs_with_every_event(project, folder, listen):
    """Run rows that succeed, are retried, fail, are skipped, are cancelled, and are edited between runs."""

    def failing(context):
        raise OSError("no")

    def cancelling(context):
        orchestrator.cancel()

    def listening():
        hooks = odibi_nb.HookManager()
        hooks.register("*", listen)
        return hooks

    again = {"retry": {"max_retries": 1, "base_delay": 0, "jitter": 0}}
    project(
        row("B", lambda: None, layer="Bronze"),
        row("A", failing, constants=again, outputs=[{"table": "x.a"}]),
        row("C", lambda: None, inputs=["x.a"]),
    ).run(hooks=listening())
    orchestrator = project(
        row("A", cancelling), row("C", lambda: None, layer="Gold_1")
    ).orchestrator(hooks=listening())
    orchestrator.run()
    _runs_with_an_unchanged_row(folder / "stale", listening())
    module = folder / "edited_for_the_reference.py"
    module.write_text("def A():\n    pass\n", encoding="utf-8")
    edited = project(row("A", module=module.stem))
    for _ in range(2):
        edited.run(hooks=listening())
        module.write_text(f"{module.read_text(encoding='utf-8')}\n# edited", encoding="utf-8")


def _runs_with_an_unchanged_row(folder, hooks):
    """Run the stale rows: a row that always runs commits nothing, so that the rows below need not run."""
    folder.mkdir()
    project = StaleProject(folder)
    outputs = [{"table": "bronze.a", "skip_unchanged": True}]
    project.change_row("B1", outputs=outputs, always_run=True)
    project.run(select=["B1", "S3"]).raise_for_status()
    project.opened(hooks=hooks).run(stale=True, select=["B1", "S3"])
