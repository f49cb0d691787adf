"""Restoring Delta tables through delta-rs: exactly the version, under Delta's own condition."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from engines.restored_tables import NAME, ROLLBACK, RestoredTables

from odibi_nb.core.model.provenance import BEFORE_CREATION
from odibi_nb.engines.delta import restore
from odibi_nb.engines.pandas.engine import PandasEngine
from odibi_nb.errors import DataError


class TestPandas(RestoredTables):
    """The contract on the pandas engine."""

    @pytest.fixture
    def engine(self, tmp_path):
        """An engine over an empty lake."""
        return PandasEngine(str(tmp_path / "lake"))

    def make(self, rows):
        """A DataFrame."""
        return pd.DataFrame(rows)

    def values(self, engine):
        """The numbers."""
        return sorted(engine.read(NAME)["n"])


def write(uri, data, **options):
    write_deltalake(uri, pa.table(data), **options)


def test_schema_partitions_and_odd_paths_come_back(tmp_path):
    """A restore brings back columns and files whose partition values need encoding in paths."""
    uri = str(tmp_path / "t")
    write(uri, {"p": ["a b%x", "ü/1"], "v": [1, 2]}, partition_by=["p"])
    write(uri, {"p": ["c"], "w": [1.5]}, mode="overwrite", schema_mode="overwrite")
    found = restore.outlook(uri, "t", {}, 1, restores=0)
    assert (found.problem, found.rows_removed, found.rows_restored) == ("", 1, 2)
    restore.restore(uri, "t", {}, ROLLBACK, restores=0, expected=1)
    rows = DeltaTable(uri).to_pyarrow_table().to_pydict()
    assert sorted(zip(rows["p"], rows["v"], strict=True)) == [("a b%x", 1), ("ü/1", 2)]


def test_a_writer_between_check_and_commit_wins(tmp_path, monkeypatch):
    """The condition is Delta's: a commit after the last look at the version makes the restore fail."""
    uri = str(tmp_path / "t")
    write(uri, {"v": [1]})
    write(uri, {"v": [2]}, mode="overwrite")
    looked = restore.why_not

    def look_and_be_overtaken(table):
        write(uri, {"v": [9]}, mode="append")
        return looked(table)

    monkeypatch.setattr(restore, "why_not", look_and_be_overtaken)
    for number, version in enumerate((0, BEFORE_CREATION)):
        with pytest.raises(DataError, match="another writer changed the table"):
            restore.restore(uri, "t", {}, ROLLBACK, restores=version, expected=1 + number)
    assert sorted(DeltaTable(uri).to_pyarrow_table()["v"].to_pylist()) == [2, 9, 9]


def test_a_table_of_unknown_features_is_refused(tmp_path):
    """A table with deletion vectors is refused with a remedy: delta-rs compares paths, and would overlook them."""
    uri = tmp_path / "t"
    write(str(uri), {"v": [1]})
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7}
    protocol |= {"readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"]}
    commit = Path(uri) / "_delta_log" / f"{1:020}.json"
    commit.write_text(json.dumps({"protocol": protocol}) + "\n")
    found = restore.outlook(str(uri), "t", {}, 1, restores=0)
    assert "uses deletion vectors (" in found.problem
    assert "), which delta-rs cannot restore" in found.problem
    assert "--engine spark" in found.problem
    with pytest.raises(DataError, match=r"[Dd]eletion ?[Vv]ectors"):
        restore.restore(str(uri), "t", {}, ROLLBACK, restores=0, expected=1)
    assert not (Path(uri) / "_delta_log" / f"{2:020}.json").exists()
