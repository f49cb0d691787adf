"""Retried writes to Delta tables, beyond the contract of all engines."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path

import deltalake
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from engines.retried_writes import by

from odibi_nb.core.model.tables import TableName
from odibi_nb.core.model.transformation import Output
from odibi_nb.engines.delta import appends as delta_appends
from odibi_nb.engines.delta import writes as delta_writes
from odibi_nb.engines.delta.log import DeltaLog
from odibi_nb.engines.pandas.engine import PandasEngine
from odibi_nb.errors import DataError

TABLE = TableName.parse("silver.t")


@pytest.fixture
def engine(tmp_path):
    """An engine over an empty lake."""
    return PandasEngine(str(tmp_path / "lake"))


def write(engine, values, info, mode="append"):
    """Write rows with these values of column n."""
    engine.write(pd.DataFrame({"n": values}), Output(table="silver.t", mode=mode), info)


def values(engine):
    """All values of column n, sorted."""
    return sorted(engine.read(TABLE)["n"])


def delta(engine):
    """The Delta table."""
    return DeltaTable(f"{engine._lake.root}/silver/t")


def test_a_commit_says_who_made_it(engine):
    """A commit has run, transformation and attempt in its metadata. An append also has Delta's transaction id."""
    write(engine, [1], by(1))
    write(engine, [2], by(1))
    write(engine, [3], by(2))
    last, taken, *_ = delta(engine).history()
    assert {k: last[k] for k in ("run_id", "transformation_id", "attempt")} == {
        "run_id": "run-1",
        "transformation_id": "T_001",
        "attempt": "2",
    }
    assert taken["takes_back"] == "attempt 1 of run run-1"
    assert delta(engine).transaction_version("odibi_nb/run-1/T_001") == (2 << 20) + 1


def test_transaction_ids_do_not_pile_up(engine):
    """Tables that we make drop expired transaction ids."""
    write(engine, [1], by(1))
    kept = delta(engine).metadata().configuration["delta.setTransactionRetentionDuration"]
    assert kept == "interval 30 days"


def test_what_is_no_part_of_a_run_just_appends(engine):
    """A context made by hand, without a run, appends at each call."""
    for attempt in (1, 2):
        write(engine, [attempt], by(attempt, run=""))
    assert values(engine) == [1, 2]


def test_a_commit_whose_answer_got_lost_is_not_done_twice(engine, monkeypatch):
    """If the storage commits and then fails to confirm it, the rows are in the table once and nothing is raised."""
    write(engine, [1], by(row="other"))
    real = deltalake.write_deltalake

    def commits_and_fails(*args, **keywords):
        real(*args, **keywords)
        raise OSError("connection reset")

    monkeypatch.setattr(deltalake, "write_deltalake", commits_and_fails)
    write(engine, [2], by(1))
    write(engine, [3], by(1))
    monkeypatch.undo()
    write(engine, [4], by(1))
    assert values(engine) == [1, 2, 3, 4]
    with pytest.raises(DataError, match="connection reset"):
        monkeypatch.setattr(deltalake, "write_deltalake", fails)
        write(engine, [5], by(1))


def fails(*args, **keywords):
    raise OSError("connection reset")


def test_rewritten_files_cannot_be_taken_back(engine):
    """After a compaction rows cannot be assigned to attempts: the retry is refused, and the table does not change."""
    write(engine, [1], by(row="other"))
    write(engine, [2], by(1))
    delta(engine).optimize.compact()
    with pytest.raises(DataError, match=r"silver\.t: .*earlier attempt \(version 1\).*rewritten"):
        write(engine, [3], by(2))
    assert values(engine) == [1, 2]


def test_what_was_replaced_needs_no_taking_back(engine):
    """If another writer has overwritten the table since, the retry only appends."""
    write(engine, [1], by(1))
    write(engine, [9], by(row="other"), mode="overwrite")
    write(engine, [2], by(2))
    assert values(engine) == [2, 9]


@pytest.mark.skipif(
    not hasattr(deltalake.transaction, "RemoveAction"), reason="this deltalake refuses that"
)
def test_old_commits_are_found_below_many_others(engine):
    """The retry finds the attempt's own commits behind any number of other commits."""
    write(engine, [0], by(1))
    write(engine, [0], by(1))
    for n in range(1, 61):
        write(engine, [n], by(row=f"other-{n}"))
    write(engine, [100], by(2))
    assert values(engine) == [*range(1, 61), 100]


def test_a_log_that_does_not_go_back_is_said(engine):
    """If the table's log has forgotten an append, the retry is refused with what to do."""
    write(engine, [1], by(1))
    table = delta(engine)
    write(engine, [2], by(row="other"))
    table = delta(engine)
    table.create_checkpoint()
    (log,) = (p for p in (engine_path(engine) / "_delta_log").glob("*0.json"))
    log.unlink()
    with pytest.raises(DataError, match="log does not go back to them; remove them by hand"):
        write(engine, [3], by(2))
    assert values(engine) == [1, 2]


def engine_path(engine):
    """The folder of the table."""
    return Path(engine._lake.root) / "silver" / "t"


@pytest.mark.parametrize("before", [False, True])
def test_older_deltalake_takes_back_what_stands_last(engine, monkeypatch, before):
    """If deltalake cannot remove single files, a retry works as long as no other writer has committed."""
    monkeypatch.delattr(deltalake.transaction, "RemoveAction", raising=False)
    if before:
        write(engine, [0], by(row="other"))
    write(engine, [1], by(1))
    write(engine, [2], by(1))
    write(engine, [3], by(2))
    assert values(engine) == [*([0] if before else []), 3]
    write(engine, [4], by(row="other"))
    with pytest.raises(DataError, match=r"other writers have committed since.* 1\.6\.6"):
        write(engine, [5], by(3))
    assert values(engine) == [*([0] if before else []), 3, 4]


def test_readers_see_the_old_table_until_an_overwrite_is_committed(engine):
    """A reader beside an overwrite sees all of the old rows or all of the new ones, never a mix or nothing."""
    rows, times = 2000, 15
    write(engine, [0] * rows, by(), mode="overwrite")
    seen, done = [], threading.Event()

    def read():
        other = PandasEngine(engine._lake.root)
        while not done.is_set():
            frame = other.read(TABLE)
            seen.append((len(frame), frame["n"].nunique(), int(frame["n"].iloc[0])))

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(1, times):
        write(engine, [n] * rows, by(run=f"run-{n}"), mode="overwrite")
    done.set()
    reader.join()
    assert {(length, distinct) for length, distinct, _ in seen} == {(rows, 1)}
    assert [n for _, _, n in seen] == sorted(n for _, _, n in seen)


def test_an_overwrite_that_fails_leaves_the_old_table(engine, monkeypatch):
    """Readers see no change from a write that breaks off in the middle."""
    write(engine, [1, 2], by(), mode="overwrite")

    def breaks_off(uri, data, **keywords):
        (engine_path(engine) / "part-00000-half.parquet").write_bytes(b"PAR1")
        raise OSError("disk full")

    monkeypatch.setattr(deltalake, "write_deltalake", breaks_off)
    with pytest.raises(DataError, match="disk full"):
        write(engine, [3], by(2), mode="overwrite")
    assert values(engine) == [1, 2]


def features(engine, features, configuration=None, field=None):
    """A table silver.t, without rows, whose log asks its writers for these features."""
    log = engine_path(engine) / "_delta_log"
    log.mkdir(parents=True)
    kind = {"name": "n", "type": "long", "nullable": True, "metadata": field or {}}
    metadata = {
        "id": "11111111-1111-1111-1111-111111111112",
        "format": {"provider": "parquet", "options": {}},
        "schemaString": json.dumps({"type": "struct", "fields": [kind]}),
        "partitionColumns": [],
        "configuration": configuration or {},
        "createdTime": 1,
    }
    protocol = {"minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": features}
    lines = [{"protocol": protocol}, {"metaData": metadata}]
    (log / f"{0:020}.json").write_text("\n".join(map(json.dumps, lines)))


@pytest.mark.parametrize("mode", ["append", "overwrite", "merge"])
@pytest.mark.parametrize(
    ("feature", "named"),
    [
        (
            ["clustering", "domainMetadata"],
            r"domain metadata \(DomainMetadata\), liquid clustering",
        ),
        (["identityColumns"], "identity columns"),
        (["rowTracking", "domainMetadata"], "row tracking"),
        (["allowColumnDefaults"], "column defaults"),
        (["collations"], "collations"),
    ],
)
def test_a_feature_that_delta_rs_cannot_write_is_no_conflict(
    engine, monkeypatch, feature, named, mode
):
    """The first attempt fails with the name of the feature and of the engine that supports it, and is not retried."""
    features(engine, feature)
    tries = []
    real = delta_writes._write
    monkeypatch.setattr(delta_writes, "_write", lambda *a: [tries.append(a), real(*a)])
    output = Output(table="silver.t", mode=mode, keys=("n",) if mode == "merge" else ())
    with pytest.raises(DataError, match=rf"silver\.t: nothing .* uses .*{named}.* engine 'spark'"):
        engine.write(pd.DataFrame({"n": [1]}), output, by(1))
    assert len(tries) == 1


@pytest.mark.skipif(
    not hasattr(deltalake.transaction, "RemoveAction"), reason="this deltalake removes them"
)
def test_an_append_only_table_says_so(engine):
    """Writes that remove rows are refused with the table's property. Appends work, and their retries are refused."""
    features(engine, ["appendOnly"], {"delta.appendOnly": "true"})
    write(engine, [1], by(1))
    with pytest.raises(DataError, match=r'append-only \(delta\.appendOnly\).* "mode": "append"'):
        write(engine, [2], by(1), mode="overwrite")
    with pytest.raises(DataError, match="cannot be taken back: the table is append-only"):
        write(engine, [2], by(2))
    assert values(engine) == [1]


@pytest.mark.parametrize(
    ("feature", "configuration", "field", "rule"),
    [
        (["checkConstraints"], {"delta.constraints.pos": "n > 1"}, None, "pos: n > 1"),
        (
            ["invariants"],
            None,
            {"delta.invariants": json.dumps({"expression": {"expression": "n > 1"}})},
            "n must keep n > 1",
        ),
        (["generatedColumns"], None, {"delta.generationExpression": "3"}, "n is generated as 3"),
    ],
)
def test_rows_that_break_a_tables_rules_are_said(engine, feature, configuration, field, rule):
    """The error for a CHECK constraint, an invariant or a generated column has the rule and the
    number of rows that break it.
    """
    features(engine, feature, configuration, field)
    with pytest.raises(
        DataError, match=rf"(1 row breaks|some rows break) the table's rules \({re.escape(rule)}\)"
    ):
        write(engine, [1], by(1))


def test_the_log_is_read_by_its_files(engine):
    """A handle to an older version still finds the commit of each version, in contrast to history()."""
    for n in range(4):
        write(engine, [n], by(row=f"row-{n}"))
    stale = delta(engine)
    for n in range(4, 7):
        write(engine, [n], by(row=f"row-{n}"))
    log = DeltaLog(stale.table_uri, {})
    found = {c.version: c.info["transformation_id"] for c in log.commits(stale.version())}
    assert found == {n: f"row-{n}" for n in range(4)}


def test_rows_that_another_writer_moves_meanwhile_are_not_lost_sight_of(engine, monkeypatch):
    """If files are compacted between the look and the removal, the retry is refused."""
    write(engine, [1], by(row="other"))
    write(engine, [2], by(1))
    real = delta_appends._remove

    def compacted_first(*args):
        monkeypatch.undo()
        delta(engine).optimize.compact()
        real(*args)

    monkeypatch.setattr(delta_appends, "_remove", compacted_first)
    with pytest.raises(DataError, match="rewritten since, in version 2"):
        write(engine, [3], by(2))
    assert values(engine) == [1, 2]


def test_rows_that_an_overwrite_of_a_part_moved_are_not_lost_sight_of(engine):
    """A partial overwrite copies the other rows of a file: they still belong to their attempt."""
    write(engine, [1, 2], by(1))
    deltalake.write_deltalake(
        delta(engine), pa.table({"n": [5]}), mode="overwrite", predicate="n = 5"
    )
    deltalake.write_deltalake(
        delta(engine), pa.table({"n": [1]}), mode="overwrite", predicate="n = 1"
    )
    with pytest.raises(DataError, match="rewritten since"):
        write(engine, [3], by(2))
    assert values(engine) == [1, 2, 5]


@pytest.mark.skipif(
    not hasattr(deltalake.transaction, "RemoveAction"), reason="this deltalake refuses that"
)
def test_what_somebody_restored_is_taken_back(engine):
    """The newest commits of an append's files decide if its rows are in the table."""
    write(engine, [0], by(row="other"))
    write(engine, [1], by(1))
    write(engine, [9], by(row="other"), mode="overwrite")
    delta(engine).restore(1)
    write(engine, [2], by(2))
    assert values(engine) == [0, 2]


def test_what_somebody_restored_after_it_was_taken_back_is_taken_back_again(engine):
    """RESTORE brings back rows that a failed retry had taken back. The next retry removes them."""
    write(engine, [0], by(row="other"))
    write(engine, [1], by(1))
    with pytest.raises(DataError, match="changed 'n'"):
        write(engine, ["no number"], by(run="run-2", repairs=("run-1",)))
    assert values(engine) == [0]
    delta(engine).restore(1)
    third = by(run="run-3", repairs=("run-2", "run-1"))
    if not hasattr(deltalake.transaction, "RemoveAction"):
        with pytest.raises(DataError, match=r"cannot be taken back: .*deltalake before 1\.6\.6"):
            write(engine, [2], third)
        assert values(engine) == [0, 1]
        return
    write(engine, [2], third)
    assert values(engine) == [0, 2]


def test_an_append_that_nobody_heard_of_is_not_doubled(engine, monkeypatch):
    """If the storage commits, fails to confirm it and does not answer, the next attempt finds the rows."""
    write(engine, [1], by(row="other"))
    real = deltalake.write_deltalake

    def commits_and_fails(*args, **keywords):
        real(*args, **keywords)
        raise OSError("connection reset")

    monkeypatch.setattr(deltalake, "write_deltalake", commits_and_fails)
    monkeypatch.setattr(delta_writes, "_has_landed", lambda *args: False)
    with pytest.raises(DataError, match="connection reset"):
        write(engine, [2], by(1))
    monkeypatch.undo()
    write(engine, [3], by(2))
    assert values(engine) == [1, 3]


def test_rows_that_a_columns_first_values_rewrite_are_not_lost_sight_of(engine):
    """When the first values of a column set its type, all rows are rewritten, also those of an attempt."""

    def append(n, v, info):
        data = pd.DataFrame({"n": [n], "v": [v]})
        engine.write(data, Output(table="silver.t", mode="append"), info)

    append(1, None, by(1))
    append(2, 5, by(row="other"))
    assert any(entry.get("rewrites") for entry in delta(engine).history())
    with pytest.raises(DataError, match="rewritten since"):
        append(3, None, by(2))
    assert values(engine) == [1, 2]


def test_a_rows_own_first_values_are_taken_back(engine):
    """An attempt that set a column's type and failed leaves its rows once after any retry."""
    write(engine, [None], by(1, row="T_002"))
    write(engine, [5], by(1))
    write(engine, [5], by(2))
    assert sorted(map(str, engine.read(TABLE)["n"])) == ["5.0", "nan"]
