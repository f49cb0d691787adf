"""The difference of two versions on the pandas engine is exact for any content."""

from __future__ import annotations

import datetime as dt
import decimal
import math

import deltalake
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from engines.version_differences import expected, found
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from thorough import examples

from odibi_nb.core.model.tables import TableName
from odibi_nb.core.protocols import TableAt
from odibi_nb.engines.delta import tables as delta_tables
from odibi_nb.engines.pandas import version_diff
from odibi_nb.engines.pandas.engine import PandasEngine
from odibi_nb.errors import DataError

UTC = dt.timezone.utc
TABLE = TableName.parse("silver.é t")
SCHEMA = pa.schema(
    [
        ("k", pa.int64()),
        ("s", pa.string()),
        ("f", pa.float64()),
        ("g", pa.float32()),
        ("d", pa.decimal128(10, 2)),
        ("t", pa.timestamp("us", "UTC")),
        ("h", pa.timestamp("us")),
        ("a", pa.struct([("k", pa.float64()), ("y", pa.list_(pa.int32()))])),
        ("bucket", pa.list_(pa.float64())),
        ("n", pa.map_(pa.string(), pa.int64())),
        ("p", pa.string()),
        ("b", pa.bool_()),
        ("y", pa.binary()),
        ("z", pa.date32()),
    ]
)
NAMES_DIFFER = tuple(map(int, deltalake.__version__.split(".")[:2])) < (1, 2)
"""delta-rs names the files of odd partitions otherwise than the log, so that whole versions are read."""
FLOATS = st.sampled_from([None, 0.0, -0.0, math.nan, math.inf, 1.5, 0.1 + 0.2])
TIMES = st.sampled_from([None, dt.datetime(2026, 3, 29, 2, 30), dt.datetime(1, 1, 2)])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "k": st.sampled_from([None, 1, 2, 3]),
            "s": st.sampled_from([None, "", "a \"b\" 'c'", "\u2028 é\\"]),
            "f": FLOATS,
            "g": FLOATS,
            "d": st.sampled_from([None, decimal.Decimal("1.10"), decimal.Decimal("-0.01")]),
            "t": TIMES.map(lambda t: t and t.replace(tzinfo=UTC)),
            "h": TIMES,
            "a": st.sampled_from([None, {"k": None, "y": []}, {"k": -0.0, "y": [1, None]}]),
            "bucket": st.sampled_from([None, [], [math.nan], [0.0, -0.0], [-0.0, 0.0]]),
            "n": st.sampled_from([None, [], [("a", 1)], [("a", None), ("b", 2)]]),
            "p": st.sampled_from(["x", "a b%2F'é", "7", None]),
            "b": st.sampled_from([None, True, False]),
            "y": st.sampled_from([None, b"", b"\x00\xff"]),
            "z": st.sampled_from([None, dt.date(1, 1, 1), dt.date(9999, 12, 31)]),
        }
    ),
    max_size=6,
)
WRITES = st.one_of(
    st.tuples(st.sampled_from(["append", "overwrite", "rewrite", "widen"]), ROWS),
    st.sampled_from(
        [("delete", []), ("empty", []), ("update", []), ("compact", []), ("restore", [])]
    ),
)
KEYS = st.sampled_from([(), ("k",), ("k", "p"), ("f",), ("t", "a")])


def write(uri, step, rows, by):
    """One commit to the table, of the kind *step*."""
    data = pa.Table.from_pylist(rows, SCHEMA)
    names = {f.name for f in DeltaTable(uri).schema().fields} if step != "create" else set()
    if step == "widen" and "bucket" in names:
        data = data.append_column("extra", pa.array(range(len(rows)), pa.int64()))
        write_deltalake(uri, data, mode="append", schema_mode="merge", partition_by=by)
    elif step == "append" and names == set(SCHEMA.names):
        write_deltalake(uri, data, mode="append", partition_by=by)
    elif step in ("create", "append", "overwrite", "widen"):
        mode = {} if step == "create" else {"mode": "overwrite", "schema_mode": "overwrite"}
        write_deltalake(uri, data, partition_by=by, **mode)
    elif step == "rewrite":  # other columns, and other types
        data = data.drop_columns(["s", "bucket"]).append_column(
            "new", pa.nulls(len(rows), pa.int32())
        )
        data = data.set_column(0, "k", data["k"].cast(pa.int32()))
        at = data.column_names.index("g")
        data = data.set_column(at, "g", data["g"].cast(pa.float64()))
        data = data.set_column(at + 1, "d", data["d"].cast(pa.decimal128(12, 3)))
        write_deltalake(uri, data, mode="overwrite", schema_mode="overwrite", partition_by=by)
    elif step == "restore":
        table = DeltaTable(uri)
        if table.version():
            table.restore(0)
    elif step == "compact":
        DeltaTable(uri).optimize.compact()
    elif step == "update":
        DeltaTable(uri).update(updates={"d": "3.25"}, predicate="k = 1")
    else:
        DeltaTable(uri).delete("k = 2" if step == "delete" else None)


def rows_at(uri, version):
    """All rows of a version, as delta-rs reads them."""
    table = delta_tables.scan(DeltaTable(uri, version=version), "t")
    return table.to_pylist(), {f.name: f.type for f in table.schema}


def side(engine, version, table=TABLE):
    return TableAt(engine=engine, table=table, version=version)


@settings(
    max_examples=examples(12),
    deadline=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    first=ROWS,
    steps=st.lists(WRITES, min_size=1, max_size=3),
    keys=KEYS,
    partitioned=st.booleans(),
    kept=st.sampled_from([None, 0, 200, version_diff.MOST_KEPT]),
)
def test_a_difference_is_that_of_all_rows(tmp_path_factory, first, steps, keys, partitioned, kept):
    """For each pair of versions the numbers equal a comparison of all their rows, one by one.

    DuckDB reads the files by itself where it can, or gets batches, of which some are kept or none.
    """
    with pytest.MonkeyPatch.context() as patch:
        if kept is not None:
            patch.setattr(version_diff, "MOST_KEPT", kept)
            patch.setattr(version_diff, "_parquet_files", lambda parts: {})
        check_each_pair(tmp_path_factory, first, steps, keys, ["p"] if partitioned else None)


def check_each_pair(tmp_path_factory, first, steps, keys, by):
    """Write the versions and compare pairs of them."""
    lake = tmp_path_factory.mktemp("lake")
    engine = PandasEngine(str(lake))
    uri = str(lake / TABLE.path)
    write(uri, "create", first, by)
    for step, rows in steps:
        write(uri, step, rows, by)
    newest = DeltaTable(uri).version()
    for old, new in {(max(newest - 1, 0), newest), (newest, 0)}:
        (before, types_before), (after, types_after) = rows_at(uri, old), rows_at(uri, new)
        diff = engine.diff(side(engine, old), side(engine, new), keys)
        columns = [name for name in types_after if name in types_before]
        assert found(diff) == expected(before, after, columns, keys), (steps, old, new)
        assert (diff.rows_before, diff.rows_after) == (len(before), len(after))
        retyped = {n for n in columns if types_before[n] != types_after[n]}
        apart = {*types_before} ^ {*types_after} | retyped
        assert {change.name for change in diff.columns} == apart
        if by and NAMES_DIFFER and diff.files_read is None and not retyped:
            (note,) = diff.notes
            assert "files of the log are not in the table's dataset" in note
            continue
        assert (diff.files_read is None) == bool(retyped)
        assert diff.notes == ()


def keyed(*ids, value=1.0):
    return pa.table({"id": pa.array(ids, pa.int64()), "v": pa.array([value] * len(ids))})


def test_shared_files_are_not_read(tmp_path):
    """A comparison succeeds, with the same result, after the files that both versions have are gone."""
    engine, uri = PandasEngine(str(tmp_path)), str(tmp_path / "silver" / "x")
    table = TableName.parse("silver.x")
    for ids in ((1, 2), (3, 4), (5, 6)):
        write_deltalake(uri, keyed(*ids), mode="append")
    DeltaTable(uri).update(updates={"v": "2.5"}, predicate="id = 5")
    whole = engine.diff(side(engine, 2, table), side(engine, 3, table), ["id"])
    assert (whole.counts(), whole.files_read, whole.files_shared) == ("+0 ~1 −0", 2, 2)
    for path in DeltaTable(uri, version=1).file_uris():
        (tmp_path / "silver" / "x" / path.rpartition("/")[2]).unlink()
    assert engine.diff(side(engine, 2, table), side(engine, 3, table), ["id"]) == whole
    with pytest.raises(DataError, match="VACUUM removes the files of old versions"):
        engine.diff(side(engine, None, table), None, ["id"])


@pytest.mark.parametrize("folder", ["it's a=1 é", "a*"])
def test_files_that_have_the_columns_of_the_table_are_read_by_duckdb(tmp_path, folder, monkeypatch):
    """The folder may have any name: if it looks like a pattern, or DuckDB fails, batches give the same result."""
    engine, table = PandasEngine(str(tmp_path / folder)), TableName.parse("silver.x")
    uri = str(tmp_path / folder / "silver" / "x")
    write_deltalake(uri, keyed(1, 2, 3))
    DeltaTable(uri).update(updates={"v": "2.5"}, predicate="id = 2")
    sides = version_diff.sides_of(side(engine, 0, table), side(engine, 1, table))
    files = version_diff._parquet_files(version_diff.unshared_parts(sides))
    assert [*files] == (["before", "after"] if "*" not in folder else [])
    diff = engine.diff(side(engine, 0, table), side(engine, 1, table), ["id"])
    assert diff.counts() == "+0 ~1 −0"
    monkeypatch.setattr(version_diff, "_reading", lambda paths: "read_parquet(['/no/such/file'])")
    assert engine.diff(side(engine, 0, table), side(engine, 1, table), ["id"]) == diff


def test_duckdb_reads_no_files_by_itself_that_need_the_log(tmp_path):
    """The comparison takes values of partition columns, and of columns that a file lacks, from the log."""
    engine, table = PandasEngine(str(tmp_path)), TableName.parse("silver.x")
    uri = str(tmp_path / "silver" / "x")
    write_deltalake(uri, keyed(1, 2))
    write_deltalake(uri, keyed(3).append_column("w", [[7]]), mode="append", schema_mode="merge")
    DeltaTable(uri).update(updates={"w": "8"}, predicate="id <> 2")
    files = version_diff._parquet_files(
        version_diff.unshared_parts(
            version_diff.sides_of(side(engine, 1, table), side(engine, 2, table))
        )
    )
    assert [*files] == ["after"]
    diff = engine.diff(side(engine, 1, table), side(engine, 2, table), ["id"])
    assert (diff.counts(), diff.rows.changed_columns) == ("+0 ~2 −0", {"w": 2})
    parted = TableName.parse("silver.p")
    for value in (1.0, 2.0):
        place = str(tmp_path / "silver" / "p")
        write_deltalake(place, keyed(1, value=value), mode="overwrite", partition_by=["v"])
    sides = version_diff.sides_of(side(engine, 0, parted), side(engine, 1, parted))
    assert version_diff._parquet_files(version_diff.unshared_parts(sides)) == {}


@pytest.mark.parametrize("keys", [["id"], []])
def test_null_is_not_empty(tmp_path, keys):
    """A list, a map or a list in a struct that was null and is empty now is a difference."""
    engine, table = PandasEngine(str(tmp_path)), TableName.parse("silver.x")
    kinds = {
        "l": pa.list_(pa.int64()),
        "m": pa.map_(pa.string(), pa.int64()),
        "s": pa.struct([("y", pa.list_(pa.int64()))]),
    }
    for column, values in {"l": (None, []), "m": (None, []), "s": ({"y": None}, {"y": []})}.items():
        for value in values:
            data = {"id": [1, 2]} | {name: pa.array([None, None], k) for name, k in kinds.items()}
            data[column] = pa.array([value, None], kinds[column])
            write_deltalake(engine._lake.uri(table), pa.table(data), mode="overwrite")
        newest = DeltaTable(engine._lake.uri(table)).version()
        diff = engine.diff(side(engine, newest - 1, table), side(engine, newest, table), keys)
        assert diff.counts() == ("+0 ~1 −0" if keys else "+1 −1"), column


def test_added_rows_are_counted_by_the_log(tmp_path):
    """Comparing across an append reads a few rows: the sum of the files' row counts is the number of added rows."""
    engine, uri = PandasEngine(str(tmp_path)), str(tmp_path / "silver" / "x")
    table = TableName.parse("silver.x")
    write_deltalake(uri, keyed(1))
    write_deltalake(uri, keyed(*range(2, 1002)), mode="append")
    diff = engine.diff(side(engine, 0, table), side(engine, 1, table), ["id"])
    assert (diff.counts(), len(diff.rows.added_rows)) == ("+1,000 ~0 −0", 5)
    created = engine.diff(None, side(engine, 0, table), ["ID"])
    assert (created.before, created.after, created.counts()) == (None, 0, "+1 ~0 −0")
    DeltaTable(uri).delete()
    emptied = engine.diff(side(engine, 1, table), side(engine, 2, table))
    assert emptied.counts() == "+0 −1,001"


def test_a_table_that_was_made_anew_is_compared_with_one_of_another_lake(tmp_path):
    """Files of two lakes are different files, whatever their names are."""
    engines = [PandasEngine(str(tmp_path / name)) for name in "ab"]
    table = TableName.parse("silver.x")
    for engine, ids in zip(engines, ((1, 2, 3), (2, 3, 4)), strict=True):
        write_deltalake(engine._lake.uri(table), keyed(*ids))
    diff = engines[1].diff(side(engines[0], 0, table), side(engines[1], 0, table), ["id"])
    assert (diff.counts(), diff.files_read) == ("+1 ~0 −1", None)
