"""Bronze rows from the original framework's IngestionSourceConfig."""

from __future__ import annotations

import json

import pytest
from registries import the_error

from odibi_nb.core.model.transformation import parse_row
from odibi_nb.sources.ingestion_config import COLUMNS, converted

OWN = {"project": "Energy", "environment": "qat"}


def source(name="src-a", **columns):
    """A row as the original's form writes it."""
    options = {"engine": "databricks", "databricks": {"batch": columns.pop("batch", {})}}
    return {
        **dict.fromkeys(COLUMNS),
        "source_id": name,
        "source_type": "adls",
        "file_format": "CSV",
        "is_autoloader": 0,
        "source_options": json.dumps(options),
        "connection_config": json.dumps({"storage_unit": "raw", "object_name": "/x/a.csv"}),
        **columns,
    }


def convert(*sources):
    return converted(sources, "it", OWN, "Bronze")


def test_a_source_becomes_a_row():
    """Path, format, schema and options become constants. Options that only Spark has are left out."""
    batch = {
        "options": {"header": "true", "inferSchema": "true", "sep": ";"},
        "schema": "`a b` STRING, n DECIMAL(10, 2)",
    }
    done = convert(source(batch=batch, environment="prod", PROJECT="Other"))
    [row] = done.rows
    assert parse_row(row, 1)[1] == []
    assert (row["transformation_id"], row["project"], row["environment"]) == (
        "src-a",
        "Other",
        "prod",
    )
    assert (row["module"], row["function"], row["enabled"]) == ("odibi_nb.ingest", "load_csv", 1)
    assert row["constants"] == {
        "source": "adls://raw/x/a.csv",
        "schema": {"a b": "string", "n": "decimal(10,2)"},
        "options": {"sep": ";"},
    }
    assert row["outputs"] == [{"table": "bronze.a", "mode": "overwrite"}]
    assert any('"adls://raw"' in note for note in done.notes)


@pytest.mark.parametrize(
    ("columns", "function", "constants"),
    [
        ({"file_format": "Delta"}, "load_delta", {"source": "adls://raw/x/a.csv"}),
        ({"file_format": "AVRO"}, "load_file", {"source": "adls://raw/x/a.csv", "format": "avro"}),
        (
            {
                "source_type": "local",
                "connection_config": None,
                "source_path_or_query": "d/a.json",
                "file_format": "json",
            },
            "load_json",
            {"source": "d/a.json"},
        ),
        (
            {
                "source_type": "sql",
                "source_path_or_query": "SELECT 1 FROM t",
                "secret_config_id": "erp",
            },
            "load_sql",
            {"connection": "erp", "query": "SELECT 1 FROM t"},
        ),
        (
            {
                "source_type": "sql",
                "source_path_or_query": "dbo.T",
                "connection_config": '{"database": "D"}',
            },
            "load_sql",
            {"connection": "D", "table": "dbo.T"},
        ),
    ],
)
def test_kinds_of_sources(columns, function, constants):
    """Each kind of source becomes the function of `odibi_nb.ingest` for it."""
    [row] = convert(source(**columns)).rows
    assert (row["function"], row["constants"]) == (function, constants)


def test_sources_without_a_counterpart_are_named():
    """APIs, Auto Loader and schemas that are not lists of columns are left out with the reason. The other rows stay."""
    done = convert(
        source("api", source_type="api"),
        source("stream", is_autoloader=1),
        source("odd", batch={"schema": "STRUCT<a: INT>"}),
        source("empty", connection_config="{}"),
        source("good", target_table="bronze.mine", enabled=0),
    )
    assert [
        (r["transformation_id"], r["outputs"][0]["table"], r["enabled"]) for r in done.rows
    ] == [("good", "bronze.mine", 0)]
    assert [text.split(":")[0] for text in done.left_out] == ["api", "stream", "odd", "empty"]


def test_problems_of_all_rows_at_once():
    """One error lists malformed JSON, missing ids, unknown columns and another table, by their rows."""
    message = the_error(
        lambda: convert(
            source(source_options="{"),
            source(None),
            source("c", sourc_name="x"),
            source("d", connection_config="[]", enabled="maybe"),
            {"transformation_id": "T", "layer": "x"},
        )
    )
    for expected in (
        "source_options: JSON is malformed",
        "has no source_id - at row number 2",
        "unknown column 'sourc_name' (did you mean 'source_name'?) - at source 'c'",
        "connection_config: expected an object, found [] - at source 'd'",
        "enabled: expected 0 or 1, found 'maybe' - at source 'd'",
        "has no column of IngestionSourceConfig: transformation_id, layer - at row number 5",
    ):
        assert expected in message
