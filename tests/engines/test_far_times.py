"""Times that exceed 64 bits of nanoseconds, in files that Spark wrote as INT96."""

import datetime as dt
import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from engines.contract import INFO, table

from odibi_nb.core.model.transformation import Output
from odibi_nb.core.protocols import Portion
from odibi_nb.engines.delta import left_files
from odibi_nb.engines.delta.tables import open_table, scan
from odibi_nb.engines.pandas.engine import PandasEngine
from odibi_nb.engines.pandas.files import read_file
from odibi_nb.engines.pandas.frames import from_arrow, to_arrow
from odibi_nb.engines.pandas.rehearsal import compare
from odibi_nb.errors import DataError

UTC = dt.timezone.utc
FAR, FIRST, NEAR = (dt.datetime(year, 12, 31, tzinfo=UTC) for year in (9999, 1, 2024))
TIME = pa.timestamp("us")
ROWS = {
    "id": pa.array([1, 2, 3]),
    "at": pa.array([t.replace(tzinfo=None) for t in (FAR, FIRST, NEAR)], TIME),
    "nested": pa.array([[FAR.replace(tzinfo=None)], [], None], pa.list_(TIME)),
}
EXPECTED = [FAR, FIRST, NEAR]


@pytest.fixture
def engine(tmp_path):
    """An engine over a lake with a table as Spark writes it: times of 96 bits."""
    folder = tmp_path / "lake" / "silver" / "t"
    (folder / "_delta_log").mkdir(parents=True)
    pq.write_table(
        pa.table(ROWS),
        folder / "part 0.parquet",
        use_deprecated_int96_timestamps=True,
        store_schema=False,
    )
    times = {"type": "array", "elementType": "timestamp", "containsNull": True}
    fields = [
        {"name": name, "type": kind, "nullable": True, "metadata": {}}
        for name, kind in (("id", "long"), ("at", "timestamp"), ("nested", times))
    ]
    log = [
        {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
        {
            "metaData": {
                "id": "11111111-1111-1111-1111-111111111111",
                "format": {"provider": "parquet", "options": {}},
                "schemaString": json.dumps({"type": "struct", "fields": fields}),
                "partitionColumns": [],
                "configuration": {},
            }
        },
        {
            "add": {
                "path": "part%200.parquet",
                "partitionValues": {},
                "size": (folder / "part 0.parquet").stat().st_size,
                "modificationTime": 1,
                "dataChange": True,
            }
        },
    ]
    (folder / "_delta_log" / f"{0:020}.json").write_text("\n".join(map(json.dumps, log)))
    return PandasEngine(str(tmp_path / "lake"))


def times(rows):
    """The times of an Arrow table by their ids."""
    return rows.sort_by("id")["at"].to_pylist()


def stored(folder):
    """The rows of a Delta table."""
    return scan(open_table(str(folder), "silver.t", {}), "silver.t")


def test_tables_and_files_are_read_in_microseconds(engine, tmp_path):
    """A read, a portion, a query, and the loaders give 9999-12-31. pandas 1 refuses such a year."""
    folder = tmp_path / "lake" / "silver" / "t"
    reads = (
        lambda: engine.read(table("silver.t")),
        lambda: engine.read_portion(table("silver.t"), Portion(limit=3)),
        lambda: engine.query("SELECT * FROM silver.t"),
        lambda: read_file(str(folder), "delta"),
        lambda: read_file(str(folder / "part 0.parquet"), "parquet"),
    )
    for read in reads:
        if int(pd.__version__.partition(".")[0]) < 2:
            with pytest.raises(DataError, match="cannot hold it"):
                read()
        else:
            assert times(to_arrow(read(), "t")) == EXPECTED
    assert stored(folder)["nested"].to_pylist()[0] == [FAR]


def test_a_merge_changes_no_other_row(engine, tmp_path):
    """Rows that a merge copies keep their times, also in later merges."""
    how = Output(table="silver.t", mode="merge", keys=("id",))
    rows = pa.table({**ROWS, "at": pa.array([NEAR] * 3, pa.timestamp("us", "UTC"))}).slice(2)
    if left_files.why_files_stay(DeltaTable(str(tmp_path / "lake" / "silver" / "t"))):
        with pytest.raises(DataError, match="would keep the rows of part%200"):
            engine.write(from_arrow(rows, "rows"), how, INFO)
        assert times(stored(tmp_path / "lake" / "silver" / "t")) == EXPECTED
        return
    for _ in range(2):
        engine.write(from_arrow(rows, "rows"), how, INFO)
        assert times(stored(tmp_path / "lake" / "silver" / "t")) == EXPECTED
    versions = DeltaTable(str(tmp_path / "lake" / "silver" / "t")).version()
    assert versions == 3, "rewritten once, merged twice"


def test_a_comparison_sees_no_difference(engine, tmp_path):
    """A comparison finds no difference after reading and writing the table."""
    rows = stored(tmp_path / "lake" / "silver" / "t")
    assert compare(rows, rows, Output(table="silver.t")).unchanged == len(EXPECTED)
