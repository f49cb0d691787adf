"""Variables in a manifest: from the environment, and from Databricks."""

from __future__ import annotations

import base64
import html
import json
import sys
from types import ModuleType, SimpleNamespace
from urllib.parse import quote

import pytest

from odibi_nb.core.text import redaction
from odibi_nb.core.text.redaction import hide_secret, redact_text
from odibi_nb.core.text.variables import expand_variables, variables_in


def said(problems):
    return [str(problem) for problem in problems]


def test_variables_are_expanded_wherever_text_stands():
    """${NAME} is replaced in every text, $$ is a dollar sign, other dollars stay."""
    raw = {"a": ["x-${ONE}", {"b": "${ONE}${TWO}"}], "c": "$$5 $x ${", "d": 3, "e": None}
    found, problems = expand_variables(raw, "$", {"ONE": "1", "TWO": "${ONE}"})
    assert problems == []
    assert found == {"a": ["x-1", {"b": "1${ONE}"}], "c": "$5 $x ${", "d": 3, "e": None}


def test_every_variable_that_is_not_set_is_named():
    """A variable that is not set is a problem with its path and name; an empty one is set."""
    raw = {"a": "${NO}", "b": ["${NEITHER}", "${EMPTY}"]}
    found, problems = expand_variables(raw, "$.environments.qat", {"EMPTY": ""})
    assert found["b"][1] == ""
    assert said(problems) == [
        "environment variable NO is not set - at $.environments.qat.a",
        "environment variable NEITHER is not set - at $.environments.qat.b[0]",
    ]


def test_the_variables_of_a_manifest_are_known_without_their_values():
    """An export lists the variables of the environment; secrets, parameters and "$$" are not among them."""
    raw = {"a": ["${ONE}", {"b": "${TWO}-${ONE}"}], "c": "$${NO} ${secret:s/k}", "d": 3, "e": None}
    assert variables_in(raw) == {"ONE", "TWO"}


@pytest.fixture
def dbutils(monkeypatch):
    """Databricks' dbutils, with one secret and one parameter."""

    def get(scope, key):
        if (scope, key) != ("plant", "storage"):
            raise RuntimeError("Secret does not exist with scope: x and key: y")
        return "k3y with/odd+signs"

    runtime = ModuleType("databricks.sdk.runtime")
    runtime.dbutils = SimpleNamespace(
        secrets=SimpleNamespace(get=get),
        widgets=SimpleNamespace(get={"catalog": "main"}.__getitem__),
    )
    monkeypatch.setitem(sys.modules, "databricks.sdk.runtime", runtime)
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "18.0")
    monkeypatch.setattr(redaction, "_hidden", ())


def test_secrets_and_parameters_of_databricks_are_looked_up(dbutils):
    """${secret:scope/key} and ${param:name} come from dbutils, and the secret is hidden from then on."""
    raw = {"key": "${secret:plant/storage}", "lake": "catalog:${param:catalog}"}
    found, problems = expand_variables(raw, "$")
    assert (found, problems) == ({"key": "k3y with/odd+signs", "lake": "catalog:main"}, [])
    assert redact_text("at k3y with/odd+signs, k3y%20with%2Fodd%2Bsigns") == "at ***, ***"


ODD = "p\"s'&s\\w<\u00f6rd"


@pytest.mark.parametrize(
    "spelled",
    [
        ODD,
        repr(ODD)[1:-1],
        json.dumps(ODD)[1:-1],
        json.dumps(ODD, ensure_ascii=False)[1:-1],
        html.escape(ODD),
        quote(ODD, safe=""),
        base64.b64encode(ODD.encode()).decode(),
    ],
)
def test_a_secret_is_hidden_however_it_is_spelled(dbutils, spelled):
    """Exceptions, JSON, pages and headers spell a secret with quotes in their own ways."""
    hide_secret(ODD)
    assert redact_text(f"before {spelled} after") == "before *** after"


def test_each_line_of_a_secret_is_hidden(dbutils):
    """A key with several lines stays hidden if a function prints one of them. A short line hides nothing."""
    hide_secret("first-line-of-a-key\nsecond-line-of-a-key\nend")
    assert redact_text("the second-line-of-a-key, in the end") == "the ***, in the end"


def test_a_secret_that_cannot_be_read_is_a_problem_with_its_place_and_reason(dbutils):
    """The messages name the text of the manifest, and what Databricks says."""
    raw = {"a": "${secret:plant/no}", "b": "${secret:plant}", "c": "${param:no}"}
    _, problems = expand_variables(raw, "$.e")
    assert [problem.where for problem in problems] == ["$.e.a", "$.e.b", "$.e.c"]
    assert "Secret does not exist" in problems[0].message
    assert "scope/key" in problems[1].message
    assert "${param:no}" in problems[2].message


def test_another_machine_has_no_secrets_of_databricks():
    """Elsewhere ${secret:…} is a problem that says so."""
    _, (problem,) = expand_variables("${secret:plant/storage}", "$")
    assert "this machine has none" in problem.message
