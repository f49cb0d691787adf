"""The pandas engine: the contract of all engines, and its own behaviour."""

import datetime as dt
import os
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path

import deltalake
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from engines.contract import INFO, NOON, EngineContract, table
from engines.pandas_rows import PandasRows
from engines.retried_writes import RetriedWrites
from engines.versioned import VersionedPaths
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from thorough import examples

from odibi_nb.core.model.transformation import Output
from odibi_nb.core.protocols import Change
from odibi_nb.engines.delta import log as delta_log
from odibi_nb.engines.delta import versions as delta_versions
from odibi_nb.engines.delta.appends import Appends
from odibi_nb.engines.delta.writes import TableWrite, commit
from odibi_nb.engines.pandas.engine import PandasEngine
from odibi_nb.engines.pandas.frames import from_arrow, to_arrow
from odibi_nb.errors import DataError, TableNotFoundError


@pytest.fixture
def engine(tmp_path):
    """An engine over an empty lake."""
    return PandasEngine(str(tmp_path / "lake"))


MIXED = pd.Index([dt.date(2024, 1, 1), dt.datetime(2024, 1, 1, 5)], dtype=object)


class TestContract(PandasRows, RetriedWrites, VersionedPaths, EngineContract):
    """The contract on pandas."""

    removes_files = hasattr(deltalake.transaction, "RemoveAction")
    rounds, pause = min(4, examples(2)), 0


class TestElsewhere(PandasRows):
    """Versions of tables in a lake that is not a folder of this machine."""

    put, newest = EngineContract.put, VersionedPaths.newest
    test_newest_versions = VersionedPaths.test_the_newest_versions_come_in_one_pass
    test_commits = VersionedPaths.test_commits_tell_who_made_them
    test_earlier_version = VersionedPaths.test_an_earlier_version_can_be_read
    test_upkeep = VersionedPaths.test_upkeep_changes_no_data
    test_own_version = VersionedPaths.test_a_write_beside_others_tells_its_own_version
    delta = VersionedPaths.delta

    @pytest.fixture
    def engine(self, tmp_path, monkeypatch):
        """An engine whose lake has a URL that only delta-rs reaches."""
        for module in (delta_log, delta_versions):
            monkeypatch.setattr(module, "local_folder", lambda _: None)
        return PandasEngine(f"file://{tmp_path}/lake")


def write(engine, frame, name="silver.t", **how):
    """Write a frame."""
    return engine.write(frame, Output(table=name, **how), INFO)


def schema_of(engine, name="silver.t"):
    """The Delta types of a table."""
    delta = DeltaTable(f"{engine._lake.root}/{table(name).path}")
    return {field.name: str(field.type) for field in delta.schema().fields}


def refusal(frame):
    """Why a frame cannot be stored."""
    with pytest.raises(DataError) as caught:
        to_arrow(frame, "silver.t")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("silver.t")
    return str(caught.value)


# Frames to Arrow, and back


def test_columns_get_types_that_every_delta_reader_knows(engine):
    """Timestamps become microseconds in UTC, all-null columns text, categories their values."""
    frame = pd.DataFrame(
        {
            "n": [1, 2],
            "narrow": np.array([1, 2], "int32"),
            "unsigned": np.array([200, 2], "uint8"),
            "x": [1.5, None],
            "s": ["x", None],
            "b": [True, False],
            "naive": pd.to_datetime(["2024-01-02 12:00", None]),
            "aware": pd.to_datetime(["2024-01-02 13:00+01:00"] * 2).tz_convert("Europe/Paris"),
            "nothing": [None, None],
            "category": pd.Categorical([10, None]),
            "nullable": pd.array([1, None], "Int64"),
            "date": [dt.date(2024, 1, 2), None],
            "decimal": [Decimal("1.25"), Decimal(10)],
            "raw": [b"x", None],
            "list": [[1, 2], None],
            "struct": [{"a": 1}, {"b": "x"}],
        }
    )
    write(engine, frame)
    types = schema_of(engine)
    assert [t.split('"')[1] for t in types.values() if "Primitive" in t[:9]] == [
        "long",
        "integer",
        "short",
        "double",
        "string",
        "boolean",
        "timestamp",
        "timestamp",
        "string",
        "long",
        "long",
        "date",
        "decimal(38,2)",
        "binary",
    ]
    back = engine.read(table("silver.t"))
    assert str(back["naive"].dtype).endswith("UTC]")
    assert back["naive"][0].to_pydatetime() == back["aware"][0].to_pydatetime() == NOON
    assert back["list"][0].tolist() == [1, 2]
    assert back["struct"][1] == {"a": None, "b": "x"}
    assert back["decimal"].tolist() == [Decimal("1.25"), Decimal("10.00")]


def test_delta_features_that_others_lack_are_not_switched_on(engine):
    """A table written from naive timestamps needs no more than Delta's oldest readers and writers."""
    write(engine, pd.DataFrame({"t": pd.to_datetime(["2024-01-02"]), "a b": [1]}))
    protocol = DeltaTable(f"{engine._lake.root}/silver/t").protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)
    assert not protocol.reader_features
    assert not protocol.writer_features


def test_named_index_levels_become_columns():
    """Each level of a named index becomes a column in front."""
    frame = pd.DataFrame({"k": [1, 1], "d": ["a", "b"], "v": [1, 2]}).set_index(["k", "d"])
    assert to_arrow(frame, "t").to_pydict() == {"k": [1, 1], "d": ["a", "b"], "v": [1, 2]}


def test_an_index_that_only_counts_is_dropped():
    """An unnamed range, also after filtering, does not become a column."""
    frame = pd.DataFrame({"v": [1, 2, 3]})
    assert to_arrow(frame, "t").column_names == ["v"]
    assert to_arrow(frame[frame["v"] != 2], "t").column_names == ["v"]


def test_an_unnamed_index_with_labels_is_refused():
    """Timestamps or names in an unnamed index are refused with a remedy, because they would be lost."""
    for index in (pd.to_datetime(["2024-01-02"]), ["x"], pd.MultiIndex.from_tuples([(1, 2)])):
        text = refusal(pd.DataFrame({"v": [1]}, index=index))
        assert "has no name" in text
        assert "reset_index(drop=True)" in text


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1, "x"], ["int (1)", "str ('x')", ".astype(str)"]),
        (["x", 1], ["int (1)", "str ('x')"]),
        ([True, 1], ["bool", "int"]),
        ([dt.date(2024, 1, 1), dt.datetime(2024, 1, 1, 5)], ["date", "datetime"]),
        ([dt.date(2024, 1, 1), 5], ["date", "int (5)"]),
        ([dt.date(2024, 1, 1), 0.5, None], ["date", "float (0.5)"]),
        ([dt.datetime(2024, 1, 1), 5], ["datetime", "int (5)"]),
        ([pd.Timestamp("2024-01-01"), Decimal(1)], ["Timestamp", "Decimal"]),
        ([0.5, True], ["float", "bool (True)"]),
        ([b"x", "y"], ["bytes", "str"]),
        ([[dt.date(2024, 1, 1), dt.datetime(2024, 1, 1, 5)]], ["lists or dictionaries mix dates"]),
        ([{"d": dt.date(2024, 1, 1)}, {"d": dt.datetime(2024, 1, 1, 5)}], ["lists or dict"]),
        ([[dt.date(2024, 1, 1), 5], None], ["lists or dictionaries mix dates"]),
        ([[{"d": [dt.datetime(2024, 1, 1), 5]}]], ["lists or dictionaries mix dates"]),
        ([{"b": b"x"}, {"b": "y"}], ["lists or dictionaries mix"]),
        (pd.Categorical.from_codes([0, 1], MIXED), ["date", "datetime"]),
        (pd.Categorical([True, 1.5, None]), ["bool", "float"]),
        ([2**70, 1], ["int", "too large"]),
        (["\ud800"], ["surrogates"]),
        ([1 + 2j], ["complex"]),
        ([object()], ["object"]),
        ([{}], ["without keys"]),
        ([dt.time(1)], ["time64", ".astype(str)"]),
        (pd.to_timedelta(["1h"]), ["timedelta64", ".dt.total_seconds()"]),
        ([[dt.timedelta(1)]], ["duration"]),
        (pd.period_range("2024", periods=1, freq="M"), ["period[M]", ".dt.to_timestamp()"]),
        (pd.interval_range(0, 1), ["interval", ".astype(str)"]),
        (pd.array([2**63], "uint64"), ["9223372036854775808"]),
    ],
)
def test_columns_that_no_table_can_hold_are_refused(values, words):
    """Mixed types, durations, periods and other types give one line with table, column and remedy."""
    values = pd.Series(values) if not isinstance(values, list) else pd.Series(values, dtype=object)
    text = refusal(pd.DataFrame({"odd one": values}))
    assert text.startswith("silver.t, column 'odd one': ")
    for word in words:
        assert word in text


def test_column_names_must_be_distinct_text():
    """No columns, numbers for names, and names that differ only in case are refused."""
    assert "no columns" in refusal(pd.DataFrame(index=[0]))
    assert "found 0" in refusal(pd.DataFrame([[1]]))
    assert "found ''" in refusal(pd.DataFrame({"": [1]}))
    assert "'a' and 'A'" in refusal(pd.DataFrame({"a": [1], "A": [2]}))
    assert "'a' and 'a'" in refusal(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    assert r"'a\x00b' contains '\x00'" in refusal(pd.DataFrame({"a\0b": [1], "a": [2]}))
    assert r"contains '\ud800'" in refusal(
        pd.DataFrame([[1]], columns=pd.Index(["a\ud800"], dtype=object))
    )
    kept = pd.DataFrame({"a": [1]}).set_index("a", drop=False)
    assert "an index level counts as a column" in refusal(kept)


def test_gaps_in_lists_and_dictionaries_are_not_mixtures():
    """Dates, times and bytes may be missing in nested values, with any of pandas' missing values."""
    gaps = [None, pd.NaT, float("nan")]
    day, at = dt.date(2024, 1, 1), pd.Timestamp("2024-01-02 12:00Z")
    values = [[day, *gaps], [{"at": at, "b": b"x"}, {"at": pd.NaT}, {"b": None}, None]]
    frame = pd.DataFrame({"day": [values[0], None], "more": [values[1], []]})
    assert to_arrow(frame, "t").to_pylist() == [
        {
            "day": [day, None, None, None],
            "more": [{"at": NOON, "b": b"x"}, *[{"at": None, "b": None}] * 2, None],
        },
        {"day": None, "more": []},
    ]


def test_naive_and_aware_datetimes_may_mix():
    """Among objects, a datetime without a zone is in UTC, whichever comes first."""
    paris = dt.timezone(dt.timedelta(hours=1))
    values = [dt.datetime(2024, 1, 2, 12), dt.datetime(2024, 1, 2, 13, tzinfo=paris)]
    for mixed in (values, values[::-1]):
        array = to_arrow(pd.DataFrame({"t": pd.Series(mixed, dtype=object)}), "t")["t"]
        assert array.to_pylist() == [NOON, NOON]


def test_nanoseconds_are_cut_off():
    """Tables keep microseconds."""
    frame = pd.DataFrame({"t": [pd.Timestamp("2024-01-02 12:00:00.000001999")]})
    assert to_arrow(frame, "t")["t"].to_pylist() == [NOON.replace(microsecond=1)]


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.floats(allow_nan=False),
            st.none() | st.text(st.characters(exclude_categories=["Cs"])),
            st.none() | st.booleans(),
            st.none() | st.dates(),
            st.none()
            | st.datetimes(
                dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1), timezones=st.just(dt.timezone.utc)
            ),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_every_value_survives_arrow_and_pandas(rows):
    """Frames from Arrow, sent back to Arrow, hold the same values: no digit is lost."""
    kinds = [pa.int64(), pa.float64(), pa.string(), pa.bool_(), pa.date32()]
    schema = pa.schema(
        [(f"c{i}", kind) for i, kind in enumerate([*kinds, pa.timestamp("us", "UTC")])]
    )
    columns = list(zip(*rows, strict=True))
    original = pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema)
    back = to_arrow(from_arrow(original, "t"), "t")
    for name, kind in zip(schema.names, schema.types, strict=True):
        column = back[name]
        if column.null_count < len(column):
            assert column.cast(kind).to_pylist() == original[name].to_pylist()


# Reading


def test_a_missing_table_is_answered_with_the_nearest(engine):
    """The error names the lake and suggests one of its tables, also for a misspelt schema."""
    write(engine, pd.DataFrame({"k": [1]}), "silver.clean_sensors")
    for name in ("silver.clean_sensor", "sliver.clean_sensors"):
        with pytest.raises(TableNotFoundError, match=r"did you mean 'silver\.clean_sensors'") as e:
            engine.read(table(name))
        assert engine._lake.root in str(e.value)


def test_a_folder_that_is_no_table_is_a_data_error(engine, tmp_path):
    """A foreign file or folder in the table's place is not taken for a missing table."""
    folder = tmp_path / "lake" / "silver" / "t"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("hi")
    assert not engine.exists(table("silver.t"))
    for act in (
        lambda: engine.read(table("silver.t")),
        lambda: write(engine, pd.DataFrame({"k": [1]})),
    ):
        with pytest.raises(DataError, match="it is not a Delta table") as caught:
            act()
        assert not isinstance(caught.value, TableNotFoundError)
    assert [p.name for p in folder.iterdir()] == ["notes.txt"]


def test_a_file_in_the_way_is_one_data_error(engine, tmp_path):
    """A file where the schema's or the table's folder should be is named by every operation."""
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "silver").write_text("")
    (tmp_path / "lake" / "gold").mkdir()
    (tmp_path / "lake" / "gold" / "t").write_text("")
    for name in ("silver.t", "gold.t"):
        for act in (engine.read, engine.cache):
            with pytest.raises(DataError, match="file is in the way") as caught:
                act(table(name))
            assert str(tmp_path / "lake") in str(caught.value)
        with pytest.raises(DataError, match="file is in the way"):
            write(engine, pd.DataFrame({"k": [1]}), name)


def test_a_broken_table_is_a_data_error(engine, tmp_path):
    """An error about a damaged log or a lost file is one line."""
    write(engine, pd.DataFrame({"k": [1]}))
    folder = tmp_path / "lake" / "silver" / "t"
    next(folder.glob("*.parquet")).unlink()
    with pytest.raises(DataError, match=r"silver\.t: its files cannot be read") as caught:
        engine.read(table("silver.t"))
    assert "\n" not in str(caught.value)
    next((folder / "_delta_log").glob("*.json")).write_text("{nope")
    with pytest.raises(DataError, match=r"silver\.t: .* cannot be read") as caught:
        engine.read(table("silver.t"))
    assert "\n" not in str(caught.value)


def test_the_leftovers_of_a_broken_off_write_are_in_nobodys_way(engine, tmp_path):
    """Data files without a log, as a killed first write leaves them, do not stop the next one."""
    folder = tmp_path / "lake" / "silver" / "t"
    folder.mkdir(parents=True)
    (folder / "part-0.snappy.parquet").write_bytes(b"half a file")
    (folder / "part-1.snappy.parquet#1").write_bytes(b"delta-rs's name for it until it is whole")
    write(engine, pd.DataFrame({"k": [1]}))
    assert engine.read(table("silver.t"))["k"].tolist() == [1]


@pytest.mark.parametrize("character", ["%", "[", "^", "#"])
def test_names_that_delta_cannot_find_again_are_refused(engine, character):
    """Characters with which delta-rs writes files that it cannot read are refused beforehand."""
    name = f"silver.a{character}20b"
    for act in (engine.read, engine.exists):
        with pytest.raises(DataError, match="path of a Delta table must not have"):
            act(table(name))
    with pytest.raises(DataError, match="path of a Delta table must not have"):
        write(engine, pd.DataFrame({"k": [1]}), name)


def test_rows_of_one_write_stay_in_order(engine):
    """A table that one write made is read in the order of the frame."""
    write(engine, pd.DataFrame({"k": np.arange(300_000)[::-1]}))
    assert engine.read(table("silver.t"))["k"].is_monotonic_decreasing


def test_large_whole_numbers_with_nulls_keep_their_digits(engine):
    """A column is Int64 if a float could not hold its integers exactly, else float."""
    write(engine, pd.DataFrame({"big": pd.array([2**60 + 1, None], "Int64")}))
    frame = engine.read(table("silver.t"))
    assert str(frame["big"].dtype) == "Int64"
    assert frame["big"][0] == 2**60 + 1
    write(engine, pd.DataFrame({"big": pd.array([7, None], "Int64")}))
    assert str(engine.read(table("silver.t"))["big"].dtype) == "float64"


def test_naive_timestamps_of_other_writers_are_read_as_utc(engine):
    """A foreign table with timestamps without zone is read as UTC and accepts UTC."""
    naive = pa.table({"t": pa.array([dt.datetime(2024, 1, 2, 12)], pa.timestamp("us"))})
    write_deltalake(f"{engine._lake.root}/silver/t", naive)
    assert engine.read(table("silver.t"))["t"][0] == pd.Timestamp(NOON)
    write(engine, pd.DataFrame({"t": [pd.Timestamp(NOON)]}), mode="append")
    assert engine.read(table("silver.t"))["t"].tolist() == [pd.Timestamp(NOON)] * 2


def test_far_away_times_are_read_or_refused_in_words(engine):
    """The year 9999 can be read. A pandas that cannot hold it raises an error."""
    late = dt.datetime(9999, 12, 31, tzinfo=dt.timezone.utc)
    times = pa.array([late], pa.timestamp("us", "UTC"))
    write_deltalake(f"{engine._lake.root}/silver/t", pa.table({"t": times}))
    if int(pd.__version__.partition(".")[0]) >= 2:
        assert engine.read(table("silver.t"))["t"][0].to_pydatetime() == late
    else:
        with pytest.raises(DataError, match=r"silver\.t: pandas 1"):
            engine.read(table("silver.t"))


def test_callers_may_change_what_they_read(engine):
    """Callers own the frames of cached and other tables, with nested values: changes to them reach no cache."""
    write(engine, pd.DataFrame({"k": [1, 2], "d": [{"a": 1}] * 2, "x": [1.0, 2.0]}))
    for cached in (False, True):
        if cached:
            engine.cache(table("silver.t"))
        frame = engine.read(table("silver.t"))
        frame.loc[0, "k"] = 99
        frame["x"] += 1
        frame["d"][0]["a"] = 99
        again = engine.read(table("silver.t"))
        assert again["k"].tolist() == [1, 2]
        assert again["x"].tolist() == [1.0, 2.0]
        assert again["d"][0] == {"a": 1}


def test_cached_tables_need_no_disk(engine, tmp_path):
    """Reads and queries of a cached table come from memory; closing the engine ends that."""
    write(engine, pd.DataFrame({"k": [1]}), "t")
    engine.cache(table("t"))
    (tmp_path / "lake").rename(tmp_path / "gone")
    assert engine.read(table("default.T"))["k"].tolist() == [1]
    assert engine.query("SELECT k FROM t")["k"].tolist() == [1]
    engine.close()
    with pytest.raises(TableNotFoundError):
        engine.read(table("t"))


# Writing


def test_a_write_is_one_commit_that_says_who_wrote(engine):
    """Every mode adds one version, with run, transformation and attempt in its metadata."""
    for version, how in enumerate(
        (
            {"mode": "append"},
            {"mode": "append"},
            {"mode": "overwrite"},
            {"mode": "merge", "keys": ("k",)},
            {"mode": "overwrite", "schema_mode": "overwrite"},
        )
    ):
        assert write(engine, pd.DataFrame({"k": [1, 2]}), **how) == 2
        delta = DeltaTable(f"{engine._lake.root}/silver/t")
        assert delta.version() == version
        newest = delta.history(1)[0]
        assert newest["run_id"] == "run-1"
        assert newest["transformation_id"] == "T_001"
        assert newest["attempt"] == "2"


def test_numbers_fit_where_no_value_changes(engine):
    """Whole floats fit whole numbers, and an empty column fits everything; fractions do not fit."""
    write(engine, pd.DataFrame({"n": [1], "x": [1.5], "s": ["a"], "m": [Decimal("1.25")]}))
    frame = pd.DataFrame({"n": [2.0, None], "x": [3, 4], "s": [None] * 2, "m": [Decimal(1)] * 2})
    write(engine, frame, mode="append")
    assert schema_of(engine)["n"] == 'PrimitiveType("long")'
    assert sorted(engine.read(table("silver.t"))["x"]) == [1.5, 3.0, 4.0]
    with pytest.raises(DataError, match=r"changed 'n' \(bigint in the table, double in the frame"):
        write(engine, frame.assign(n=0.5), mode="append")


def test_columns_may_come_in_any_order(engine):
    """Columns are matched by their names."""
    write(engine, pd.DataFrame({"a": ["a"], "b": ["b"]}))
    write(engine, pd.DataFrame({"b": ["b"], "a": ["a"]}), mode="append")
    assert engine.read(table("silver.t"))["a"].tolist() == ["a", "a"]


def test_a_column_in_another_case_is_no_new_column(engine):
    """A table cannot have 'value' and 'Value': that is a changed column, also with merge."""
    write(engine, pd.DataFrame({"value": [1]}))
    frame = pd.DataFrame({"Value": [1]})
    for schema_mode in (None, "merge"):
        with pytest.raises(DataError, match=r"'Value' \(the table spells it 'value'\)"):
            write(engine, frame, mode="append", schema_mode=schema_mode)


def test_merge_takes_odd_names(engine):
    """Keys and columns may have blanks, quotes, dots and capitals in their names."""
    frame = pd.DataFrame({"K 1": [1], 'q"uote': ["x"], "a.b": [1], "Cäse`s": [1]})
    keys = {"mode": "merge", "keys": ("K 1", 'q"uote', "a.b")}
    write(engine, frame, **keys)
    write(engine, frame.assign(**{"Cäse`s": 2}), **keys)
    assert engine.read(table("silver.t")).to_dict("records") == [
        {"K 1": 1, 'q"uote': "x", "a.b": 1, "Cäse`s": 2}
    ]


def test_merging_nothing_changes_nothing(engine):
    """A frame without rows may be merged."""
    write(engine, pd.DataFrame({"k": [1], "v": [1]}))
    empty = pd.DataFrame({"k": [1], "v": [1]}).head(0)
    assert write(engine, empty, mode="merge", keys=("k",)) == 0
    assert engine.read(table("silver.t"))["k"].tolist() == [1]


@pytest.mark.parametrize(
    ("columns", "names", "words"),
    [
        ({"k": [1], "p": [b"x\xff"]}, ["p"], "'p' of type binary"),
        ({"k": [1], "p": [[1]]}, ["p"], "'p' of type list"),
        ({"k": [1], "p": [{"a": 1}]}, ["k", "p"], "'p' of type struct"),
        ({"k": [1], "p": [2]}, ["p", "k"], "names all columns"),
    ],
)
def test_partitions_that_are_not_read_back_are_refused(engine, columns, names, words):
    """A table cannot be partitioned by bytes, which delta-rs changes, by nested values, or by all columns."""
    with pytest.raises(DataError, match=words):
        write(engine, pd.DataFrame(columns), partition_by=tuple(names))
    assert not Path(engine._lake.root, "silver", "t").exists()


def test_zeros_of_both_signs_are_one_key(engine):
    """0.0 and -0.0 match in a merge, so they are the same key twice, also in a new table."""
    for zeros in ([0.0, -0.0], np.array([0.0, -0.0], "float32")):
        with pytest.raises(DataError, match="1 key comes"):
            write(engine, pd.DataFrame({"k": zeros, "v": [1, 2]}), mode="merge", keys=("k",))
    write(engine, pd.DataFrame({"k": [0.0], "v": [1]}), mode="merge", keys=("k",))
    write(engine, pd.DataFrame({"k": [-0.0], "v": [2]}), mode="merge", keys=("k",))
    assert engine.read(table("silver.t"))["v"].tolist() == [2]


def test_other_partitions_need_an_overwrite_of_the_schema(engine):
    """partition_by that is not the table's is refused unless the table is replaced."""
    frame = pd.DataFrame({"k": [1], "p": ["x"]})
    write(engine, frame, partition_by=("p",))
    with pytest.raises(DataError, match=r"partitioned by \['p'\], not by \['k'\]"):
        write(engine, frame, partition_by=("k",))
    if not hasattr(deltalake.transaction, "RemoveAction"):  # delta-rs before 1.6.6
        with pytest.raises(DataError, match=r"cannot change the columns.*; keep them, .* 1\.6\.6"):
            write(engine, frame, partition_by=("k",), schema_mode="overwrite")
        assert DeltaTable(f"{engine._lake.root}/silver/t").version() == 0
        return
    write(engine, frame, partition_by=("k",), schema_mode="overwrite")
    assert DeltaTable(f"{engine._lake.root}/silver/t").metadata().partition_columns == ["k"]
    write(engine, frame, schema_mode="overwrite")
    assert DeltaTable(f"{engine._lake.root}/silver/t").metadata().partition_columns == []
    with pytest.raises(DataError, match=r"partition_by names column 'q'"):
        write(engine, frame, "silver.other", partition_by=("q",))


def in_threads(count, act):
    """Run act(0), act(1), … at the same time; the exceptions."""
    errors, start = [], threading.Barrier(count)

    def work(number):
        start.wait()
        try:
            act(number)
        except Exception as exc:
            errors.append(exc)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


@pytest.mark.parametrize("mode", ["append", "merge", "overwrite"])
def test_threads_may_create_and_write_one_table(tmp_path, mode):
    """Eight threads, each with its own engine, write to a table that none of them has created yet."""
    keys = ("k",) if mode == "merge" else ()

    def act(number):
        engine = PandasEngine(str(tmp_path / "lake"))
        write(engine, pd.DataFrame({"k": [number]}), mode=mode, keys=keys)

    assert in_threads(8, act) == []
    rows = PandasEngine(str(tmp_path / "lake")).read(table("silver.t"))["k"]
    assert sorted(rows) == list(range(8)) if mode != "overwrite" else len(rows) == 1


def test_a_write_that_lost_the_race_is_done_again(engine):
    """Merges of writers in separate processes all succeed."""
    write(engine, pd.DataFrame({"k": [-1]}))
    uri = f"{engine._lake.root}/silver/t"

    def act(number):
        data = to_arrow(pd.DataFrame({"k": [number]}), "silver.t")
        output = Output(table="silver.t", mode="merge", keys=("k",))
        commit(TableWrite(uri=uri, output=output, info=INFO, storage_options={}), data, Appends())

    assert in_threads(3, act) == []
    assert sorted(engine.read(table("silver.t"))["k"]) == [-1, 0, 1, 2]


# Queries


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE silver.t",
        "INSERT INTO silver.t VALUES (1)",
        "SELECT 1; SELECT 2",
        "ATTACH 'x.db'",
        "COPY silver.t TO 'x.csv'",
        "SET threads = 1",
        "",
    ],
)
def test_only_one_select_is_a_query(engine, sql):
    """Anything but one SELECT is refused before it runs."""
    with pytest.raises(DataError, match="must be one SELECT"):
        engine.query(sql)


def test_a_query_sees_nothing_but_tables(engine, tmp_path):
    """A query cannot reach files, folders, the network or Python's variables."""
    secret = tmp_path / "secret.csv"
    secret.write_text("a\nhidden\n")
    frame = pd.DataFrame({"a": ["hidden"]})
    assert len(frame)
    for source in (
        f"'{secret}'",
        f"read_csv('{secret}')",
        f"read_text('{secret}')",
        f"glob('{tmp_path}/*')",
        "'http://localhost:1/x.csv'",
        "frame",
        "query_table('frame')",
        "query('FROM frame')",
    ):
        with pytest.raises(DataError) as caught:
            engine.query(f"SELECT * FROM {source}")
        assert "hidden" not in str(caught.value)


def test_query_results_have_plain_types(engine):
    """Sums of whole numbers are whole numbers, timestamps are in UTC, days are UTC's days."""
    write(engine, pd.DataFrame({"n": [1, 2], "t": [pd.Timestamp(NOON)] * 2}))
    frame = engine.query(
        "SELECT sum(n) AS total, date_trunc('day', t) AS day, count(*) AS n, "
        "TIMESTAMP '2024-01-02 12:00' AS naive FROM silver.t GROUP BY day"
    )
    assert str(frame["total"].dtype) == str(frame["n"].dtype) == "int64"
    assert frame["day"][0] == pd.Timestamp("2024-01-02", tz="UTC")
    assert frame["naive"][0] == pd.Timestamp(NOON)
    wide = engine.query("SELECT sum(9e18::BIGINT) AS wide FROM range(3)")
    assert wide["wide"][0] == 2.7e19


@pytest.fixture
def _pythons_own_limit():
    """Run with Python's default recursion limit: other tests' libraries raise it."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("_pythons_own_limit")
def test_query_results_that_no_table_has_are_stored_or_explained(engine):
    """Nanoseconds are cut off, at any depth. A value out of range is an error that names the column."""
    frame = engine.query(
        "SELECT TIMESTAMP_NS '2024-01-01 00:00:00.123456789' AS t, "
        "[TIMESTAMP_NS '2024-01-01 00:00:00.123456789'] AS l, "
        "{'n': TIMESTAMP_NS '2024-01-01 00:00:00.123456789'} AS s"
    )
    assert frame["t"][0] == pd.Timestamp("2024-01-01 00:00:00.123456", tz="UTC")
    write(engine, frame, "silver.nanos")
    for sql, words in (
        ("SELECT 18446744073709551615::UBIGINT AS big", r"column 'big': uint64 values cannot be"),
        ("SELECT union_value(n := 1) AS u", "cannot hold it"),
        ("SELECT " + "1 + " * 900 + "1", "nested too deeply"),
        ("SELECT error('why')", "why"),
    ):
        with pytest.raises(DataError, match=words) as caught:
            engine.query(sql)
        assert "\n" not in str(caught.value)


def test_a_query_names_tables_as_sql_does(engine):
    """Aliases, quotes, sub-queries, joins and names of one to three parts are understood."""
    for name in ("plain", "silver.t", "plant.silver.t", "silver.Odd name"):
        write(engine, pd.DataFrame({"k": [1], "l": [[1, 2]]}), name)
    for sql in (
        "FROM plain",
        "SELECT a.k FROM silver.t a JOIN SILVER.T AS b USING (k)",
        'SELECT * FROM plant.silver.t WHERE k IN (SELECT k FROM "silver"."odd NAME" x)',
        "SELECT u FROM silver.t x, unnest(x.l) v(u) LIMIT 1",
        "WITH plain AS (SELECT k FROM silver.t) SELECT * FROM plain",
        "WITH RECURSIVE r(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM r WHERE k < 0) FROM r",
        "FROM (FROM silver.t UNION ALL BY NAME FROM plain) LIMIT 1",
    ):
        assert len(engine.query(sql)) == 1


def test_a_wrong_query_shows_the_reason_and_itself(engine):
    """DuckDB's error keeps its suggestion, and has the query."""
    write(engine, pd.DataFrame({"temperature": [1]}))
    with pytest.raises(DataError) as caught:
        engine.query("SELECT temperatur\nFROM silver.t")
    assert 'column "temperatur" not found' in str(caught.value)
    assert 'temperature"' in str(caught.value)
    assert str(caught.value).endswith("in: SELECT temperatur FROM silver.t")


# The engine as a whole


def test_engine_facts(engine):
    """Rows are counted, dtypes named, and other things are not taken for frames."""
    frame = pd.DataFrame({"k": [1, 2], "x": [1.5, 2.5]})
    assert engine.name == "pandas"
    assert engine.row_count(frame) == 2
    assert engine.schema(frame) == {"k": "int64", "x": "float64"}
    assert not engine.is_frame(frame["k"])


def test_reading_works_from_several_threads(engine):
    """Reads, queries and caching may go on at the same time."""
    write(engine, pd.DataFrame({"k": range(1000)}))

    def act(number):
        if number == 0:
            engine.cache(table("silver.t"))
        assert engine.read(table("silver.t"))["k"].sum() == 499500
        assert engine.query("SELECT sum(k) AS s FROM silver.t")["s"][0] == 499500

    assert in_threads(4, act) == []


def test_importing_the_engine_imports_no_library():
    """pandas, pyarrow, deltalake, duckdb and fsspec are imported when they are first needed."""
    heavy = ["pandas", "pyarrow", "deltalake", "duckdb", "fsspec", "sqlalchemy"]
    code = (
        "import sys, odibi_nb.engines.pandas.engine, odibi_nb.ingest\n"
        "engine = odibi_nb.engines.pandas.engine.PandasEngine('/nowhere')\n"
        "assert not engine.is_frame([])\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    env = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_it_notices_writes_to_a_lake_at_a_url(tmp_path):
    """On remote storage, the newest commit shows the state of a table, also after another writer."""
    engine, one = PandasEngine(f"file://{tmp_path}"), table("silver.t")
    watch = engine.watch([one])
    assert watch(one) is Change.ABSENT
    write_deltalake(str(tmp_path / "silver/t"), pa.table({"k": [1]}))
    assert watch(one) is Change.WRITTEN
    deadline = time.monotonic() + 20
    while engine.watch([one])(one) is not Change.SAME:
        assert time.monotonic() < deadline
    (tmp_path / "silver/t/_delta_log/00000000000000000000.json").write_text("torn")
    assert engine.watch([one])(one) is Change.UNKNOWN
