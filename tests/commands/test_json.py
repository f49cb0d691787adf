"""``--json``: one document for programs, with keys that stay."""

from __future__ import annotations

import io
import json
import math
import sys

import msgspec
import pytest
from docs.doc_pages import reference
from real_project import default_rows, make_project, registry_row

from odibi_nb import run_project
from odibi_nb.cli import main
from odibi_nb.core.model.log_columns import RECORD_COLUMNS, RUN_COLUMNS
from odibi_nb.views import json_documents
from odibi_nb.views.json_documents import JsonDocument


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with one project on the embedded engine."""
    checked = {"rows": 3, "checks": [{"not_null": ["x"]}]}
    first = registry_row("B1", "Bronze", "load", constants=checked, outputs=["bronze.x"])
    make_project(tmp_path, [first, default_rows()[1]])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return tmp_path


@pytest.fixture
def document(capsys):
    """Call the command line. Return the exit code and the one document on standard output."""

    def call(*words):
        code = main([*words, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return call


def test_a_plan_is_a_document_with_its_rows_and_problems(here, document):
    """The document has rows, their order and problems. With a problem the exit code is 2, as without --json."""
    code, plan = document("plan")
    assert (code, plan["kind"], plan["version"]) == (0, "plan", 1)
    assert [row["transformation_id"] for row in plan["rows"]] == ["B1", "S1"]
    assert plan["rows"][1]["after"] == ["B1"]
    home = make_project(here / "broken", [registry_row("B1", "Bronze", "no_such_function")])
    code, plan = document("plan", "--manifest", str(home / "manifest.json"))
    assert (code, len(plan["problems"])) == (2, 1)
    assert "no_such_function" in plan["problems"][0]["message"]


def test_a_history_has_the_run_logs_columns_and_no_text_of_json(here, document):
    """Runs and attempts have the run log's columns; a column of JSON text is its value."""
    run_id = run_project("Plant One").run_id
    _, found = document("history")
    assert [run["run_id"] for run in found["runs"]] == [run_id]
    assert set(found["runs"][0]) == {name for name, _ in RUN_COLUMNS}
    assert isinstance(found["runs"][0]["versions"], dict)
    _, found = document("history", "--run", "last")
    assert {row["run_id"] for row in found["attempts"]} == {found["run_id"]} == {run_id}
    assert set(found["attempts"][0]) == {name for name, _ in RECORD_COLUMNS}
    assert isinstance(found["attempts"][0]["checks"], list)


def test_the_doctors_report_is_a_document(here, document):
    """Each line is a check with a state of one word, and the exit code is in the document."""
    code, found = document("doctor")
    assert {check["state"] for check in found["checks"]} <= {"ok", "problem", "info"}
    assert found["exit_code"] == code
    assert found["ok"] is (code == 0)


def test_every_key_of_a_document_is_in_the_reference():
    """The reference has a section for each document, with a row for each key, also of inner objects."""
    page = reference("json")
    kinds = {cls.__struct_config__.tag: cls for cls in JsonDocument.__subclasses__()}
    assert {"plan", "history", "doctor"} <= set(kinds)
    entries = [
        cls
        for name, cls in vars(json_documents).items()
        if name.endswith("Entry") and issubclass(cls, msgspec.Struct)
    ]
    assert entries
    for kind, cls in kinds.items():
        assert f"\n## {kind}\n" in page
        for field in msgspec.structs.fields(cls):
            assert f"`{field.encode_name}`" in page or field.name == "version"
    for field in [field for cls in entries for field in msgspec.structs.fields(cls)]:
        assert f"| `{field.encode_name}` |" in page


def test_a_document_is_valid_json_whatever_a_table_holds():
    """NaN, text that is not Unicode, and values of other libraries still give valid JSON."""
    found = json_documents.HistoryDocument(
        project='quote " and \x1b[31m',
        env="qat",
        runs=json_documents.log_entries(
            [{"options": "{not json", "warnings": "[1]", "x": math.nan, "y": "\ud800", "z": {1, 2}}]
        ),
    )
    read = json.loads(str(found))
    assert read["runs"][0]["options"] == "{not json"
    assert read["runs"][0]["warnings"] == [1]
    assert read["runs"][0]["x"] is None
    assert found.to_dict() == read
