"""Registry rows in files."""

from __future__ import annotations

import json

import pytest
from registries import row, the_error

from odibi_nb.core.model.transformation import SEED_COLUMNS
from odibi_nb.sources.files import read_rows, write_rows

HEADER = "transformation_id,project,environment,layer,module,function,inputs"


def test_json(tmp_path):
    """A JSON file has an array of objects, with real JSON in the JSON columns, or JSON text."""
    path = tmp_path / "rows.json"
    path.write_text(
        json.dumps([row("A", inputs=["s.t"]), row("B", inputs='["s.t"]', constants="")])
    )
    a, b = read_rows(path)
    assert a == row("A", inputs=["s.t"])
    assert b == row("B", inputs=["s.t"], constants=None)


def test_csv(tmp_path):
    """A CSV file has a header and JSON text in the JSON columns; empty cells are None, blank lines nothing."""
    path = tmp_path / "rows.csv"
    path.write_text(
        "Transformation_ID, Environment ,plant,enabled,inputs,constants,description\n"
        'A,qat,,0,"[""s.t""]","{""a"": 1}","two\nlines"\n\n,,,,,,\n'
        "B,qat,Plant_A,1,,,\n",
        encoding="utf-8-sig",
    )
    assert read_rows(path) == [
        {
            "transformation_id": "A",
            "environment": "qat",
            "entity_1": None,
            "enabled": "0",
            "inputs": ["s.t"],
            "constants": {"a": 1},
            "description": "two\nlines",
        },
        {
            "transformation_id": "B",
            "environment": "qat",
            "entity_1": "Plant_A",
            "enabled": "1",
            "inputs": None,
            "constants": None,
            "description": None,
        },
    ]


def test_defaults(tmp_path):
    """Defaults replace missing and empty values, and nothing else."""
    path = tmp_path / "rows.csv"
    path.write_text("transformation_id,project\nA,\nB,Mine\n")
    found = read_rows(path, defaults={"project": "Theirs", "environment": "qat"})
    assert found == [
        {"transformation_id": "A", "project": "Theirs", "environment": "qat"},
        {"transformation_id": "B", "project": "Mine", "environment": "qat"},
    ]


@pytest.mark.parametrize("suffix", [".json", ".csv", ".JSON", ".toml"])
def test_written_rows_come_back(tmp_path, suffix):
    """Any written text is read back, and JSON text as JSON."""
    path = tmp_path / f"rows{suffix}"
    rows = [
        {
            **dict.fromkeys(SEED_COLUMNS),
            **row("A", inputs='["s.t", "ü"]', constants={"n": [None, 1.5]}),
        },
        {**dict.fromkeys(SEED_COLUMNS), **row("B", entity_1='"\r\n, ;=1'), "outputs": []},
    ]
    write_rows(path, rows)
    a, b = read_rows(path)
    assert (a["inputs"], a["constants"]) == (["s.t", "ü"], {"n": [None, 1.5]})
    assert {**dict.fromkeys(SEED_COLUMNS), **b} == rows[1]  # TOML has no null
    write_rows(path, read_rows(path))
    assert read_rows(path) == [a, b]


def test_json_is_for_people(tmp_path):
    """A JSON file is indented, and holds JSON columns as JSON."""
    path = tmp_path / "rows.json"
    write_rows(path, [row(inputs='["s.t"]')])
    assert '\n    "inputs": [\n      "s.t"\n    ]\n' in path.read_text()


def test_malformed_json_can_be_exported(tmp_path):
    """Invalid JSON text is written unchanged, so that it can be mended, and its column is named when it is read."""
    path = tmp_path / "rows.json"
    write_rows(path, [row(inputs="[1,")])
    assert "$[0].inputs" in the_error(lambda: read_rows(path))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "truncated"),
        ("[{]", "line 1, column 3"),
        ('[{"project": "p"},\n {"project" "p"}]', "line 2, column 13"),
        ("{}", "expected an array of objects"),
        ("[1, {}]", "expected an object, found 1 - at $[0]"),
        ('[{"projct": "p"}]', "unknown column 'projct' (did you mean 'project'?) - at $[0]"),
        ('[{"inputs": "[1,"}]', "at $[0].inputs"),
    ],
)
def test_wrong_json(tmp_path, text, expected):
    """The error about a JSON file has line and column."""
    path = tmp_path / "rows.json"
    path.write_text(text)
    message = the_error(lambda: read_rows(path))
    assert str(path) in message
    assert expected in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", "line 1"),
        (
            b"A,p,qat\n",
            "expected a header with the registry's columns, found 'A,p,qat' - at line 1",
        ),
        (
            b"transformation_id,projct\n",
            "unknown column 'projct' (did you mean 'project'?) - at line 1",
        ),
        (b"env,environment\n", "column 'environment' occurs twice"),
        (
            b"transformation_id,project\nA\n",
            "expected 2 cells, as the header has, found 1 - at line 2",
        ),
        (b'transformation_id,inputs\nA,"x\ny"\nB,[\n', "at line 4, column inputs"),
        (b'transformation_id,inputs\nA,"x', "line 2"),
        (b"transformation_id\nA\n\xff\n", "is not UTF-8: byte 0xff in line 3"),
    ],
)
def test_wrong_csv(tmp_path, text, expected):
    """The error about a CSV file has the line."""
    path = tmp_path / "rows.csv"
    path.write_bytes(text)
    message = the_error(lambda: read_rows(path))
    assert str(path) in message
    assert expected in message


def test_all_problems(tmp_path):
    """One error has all problems of a file."""
    path = tmp_path / "rows.csv"
    path.write_text(f"{HEADER}\nA,p,qat,L,m,f,[\nB\nC,p,qat,L,m,f,]\n")
    message = the_error(lambda: read_rows(path))
    assert [
        place in message for place in ("line 2, column inputs", "line 3", "line 4, column inputs")
    ] == [True] * 3


def test_other_files(tmp_path):
    """A missing file, a folder and another format are each one clear error."""
    assert "cannot be read: No such file" in the_error(lambda: read_rows(tmp_path / "rows.json"))
    (tmp_path / "folder.csv").mkdir()
    assert "cannot be read" in the_error(lambda: read_rows(tmp_path / "folder.csv"))
    assert "expected a file .json, .toml or .csv, found '.xlsx'" in the_error(
        lambda: read_rows("rows.xlsx")
    )
    assert "expected a file .json, .toml or .csv" in the_error(lambda: write_rows("rows", []))
    assert "cannot be written" in the_error(lambda: write_rows(tmp_path / "no/rows.csv", []))
