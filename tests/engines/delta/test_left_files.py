"""Tables with files that some versions of delta-rs cannot remove."""

from __future__ import annotations

import json

import deltalake
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from engines.contract import INFO, table

from odibi_nb.core.model.transformation import Output
from odibi_nb.engines.delta.left_files import why_files_stay
from odibi_nb.engines.pandas.engine import PandasEngine
from odibi_nb.errors import DataError

FILE = "p=2024-01-01%2000%253A30/part%200.parquet"
"""A file as Spark's log names it, in the partition of a text with a blank."""
SCHEMA = [
    {"name": "n", "type": "long", "nullable": True, "metadata": {}},
    {"name": "p", "type": "string", "nullable": True, "metadata": {}},
]


@pytest.fixture
def engine(tmp_path):
    """An engine over a table that Spark wrote, with the rows 1 and 2."""
    home = tmp_path / "lake" / "silver" / "t"
    file = home / "p=2024-01-01 00%3A30" / "part 0.parquet"
    for folder in (home / "_delta_log", file.parent):
        folder.mkdir(parents=True)
    pq.write_table(pa.table({"n": [1, 2]}), file)
    add = {
        "path": FILE,
        "partitionValues": {"p": "2024-01-01 00:30"},
        "size": file.stat().st_size,
        "modificationTime": 1,
        "dataChange": True,
    }
    metadata = {
        "id": "11111111-1111-1111-1111-111111111111",
        "format": {"provider": "parquet", "options": {}},
        "schemaString": json.dumps({"type": "struct", "fields": SCHEMA}),
        "partitionColumns": ["p"],
        "configuration": {},
    }
    log = [
        {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
        {"metaData": metadata},
        {"add": add},
    ]
    (home / "_delta_log" / f"{0:020}.json").write_text("\n".join(map(json.dumps, log)))
    return PandasEngine(str(tmp_path / "lake"))


def numbers(engine):
    return sorted(engine.read(table("silver.t"))["n"].tolist())


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ({"mode": "overwrite", "partition_by": ("p",)}, [2, 3]),
        ({"mode": "merge", "keys": ("n",)}, [1, 2, 3]),
        ({"mode": "append"}, [1, 2, 2, 3]),
    ],
)
def test_no_row_of_a_replaced_file_stays(engine, how, wanted):
    """A write replaces the file that Spark named, or is refused before it writes: no row is duplicated."""
    frame = pd.DataFrame({"n": [2, 3], "p": ["2024-01-01 00:30"] * 2})
    uri = str(engine._lake.uri(table("silver.t")))
    if how["mode"] != "append" and why_files_stay(deltalake.DeltaTable(uri)):
        with pytest.raises(
            DataError, match=r"nothing was written: .* would keep the rows of p=2024"
        ):
            engine.write(frame, Output(table="silver.t", **how), INFO)
        assert deltalake.DeltaTable(uri).version() == 0
        wanted = [1, 2]
    else:
        engine.write(frame, Output(table="silver.t", **how), INFO)
    assert numbers(engine) == wanted


@pytest.mark.parametrize(
    ("version", "stays"),
    [("1.1.4", False), ("1.2.0", True), ("1.5.1", True), ("1.6.5", True), ("1.6.6", False)],
)
def test_the_versions_of_deltars_that_leave_files(engine, monkeypatch, version, stays):
    """Versions 1.1.4 and 1.6.6 remove every file. 1.2.1, 1.4.2, 1.5.0, 1.5.1 and 1.6.0 left some."""
    found = deltalake.DeltaTable(str(engine._lake.uri(table("silver.t"))))
    if deltalake.__version__.startswith("1.1."):
        pytest.skip("delta-rs 1.1 shows paths decoded")
    monkeypatch.setattr(deltalake, "__version__", version)
    assert bool(why_files_stay(found)) is stays
