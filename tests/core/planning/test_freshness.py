"""The verdict on a row: fresh only if every fact is known and equal; otherwise the reason in words."""

from __future__ import annotations

import json
from dataclasses import replace

import msgspec
import pytest
from plans import planned

from odibi_nb.core.model.provenance import FileRead, TableCommit, TableVersion
from odibi_nb.core.model.transformation import Output
from odibi_nb.core.planning.freshness import Facts, Past, config_of, judge, judge_rows, writers_of
from odibi_nb.core.planning.row_freshness import Freshness, Reason, StaleCause, State

READ = {"table": "bronze.raw", "version": 5, "table_id": "r"}
WROTE = {"table": "silver.clean", "mode": "overwrite", "version": 3, "table_id": "c"}
FILE = {"file": "adls://raw/x.csv", "size": 10, "modified": 1, "etag": "a"}


def row_of(name="SILVER_001", reads=("bronze.raw",), constants=None, inputs=None, **changes):
    """A row that reads ``bronze.raw`` and writes ``silver.clean``."""
    row = planned(name, reads=reads, writes=("silver.clean",))
    declared = [*reads] if inputs is None else inputs
    one = msgspec.structs.replace(row.transformation, constants=constants or {}, inputs=declared)
    return msgspec.structs.replace(row, transformation=one, **changes)


def record(row, inputs=(READ,), outputs=(WROTE,), **changes):
    """The record of a success of *row*."""
    return {
        "run_id": "r1",
        "transformation_id": row.id,
        "attempt": 1,
        "status": "SUCCESS",
        "config_hash": row.transformation.config_hash(),
        "code_hash": "code",
        "engine": "pandas",
        "inputs_read": json.dumps([*inputs]),
        "outputs_written": json.dumps([*outputs]),
        **changes,
    }


def commit(table, version, **facts):
    """A commit that changes data."""
    return TableCommit(table=table, version=version, **facts)


class World:
    """The present state of code, tables and files, and the past of the rows."""

    def __init__(self, row, success=None, **changes):
        self.row = row
        self.success = record(row, **changes) if success is None else success
        self.past = {row.id: Past(self.success, 1, self.success)}
        self.versions = {
            "bronze.raw": TableVersion(table="bronze.raw", version=5, table_id="r"),
            "silver.clean": TableVersion(table="silver.clean", version=3, table_id="c"),
        }
        self.commits: dict[str, list[TableCommit]] = {}
        self.file = FileRead(**FILE)
        self.code = ("code", ())
        self.rows = [row.transformation]
        self.configs = {}

    def move(self, table, version, *commits):
        """Let *table* have newer commits."""
        old = self.versions[table]
        self.versions[table] = msgspec.structs.replace(old, version=version)
        self.commits[table] = [*commits]

    def facts(self):
        """The facts for the verdict."""
        return Facts(
            past=self.past,
            runs=frozenset({"r1", "r2"}),
            writers=lambda: writers_of(self.rows),
            code=lambda _row: self.code,
            changed_code=lambda _row, _old: ["to_utc"],
            config=self.configs.get,
            version=lambda _row, key: self.versions.get(key),
            commits=lambda _row, key, _down: self.commits.get(key, []),
            fingerprint=lambda _row, _name: self.file,
        )

    def verdict(self):
        """The verdict on the row."""
        return judge(self.row, self.facts())


def test_a_row_is_fresh_if_nothing_that_it_depends_on_has_changed():
    """Equal code, configuration, engine, inputs and outputs: running it would write the same again."""
    verdict = World(row_of()).verdict()
    assert (verdict.state, verdict.why) == (State.FRESH, "")


def test_commits_that_change_no_data_leave_a_row_fresh():
    """OPTIMIZE and VACUUM move the version of a table, and not its data."""
    world = World(row_of())
    world.move("bronze.raw", 6, commit("bronze.raw", 6, operation="OPTIMIZE", changes_data=False))
    world.move("silver.clean", 4, commit("silver.clean", 4, operation="VACUUM", changes_data=False))
    assert world.verdict().state is State.FRESH


def input_written(world):
    world.move(
        "bronze.raw", 6, commit("bronze.raw", 6, run_id="r2", transformation_id="BRONZE_001")
    )


def input_gone_back(world):
    world.versions["bronze.raw"] = TableVersion(table="bronze.raw", version=4, table_id="r")


def input_made_anew(world):
    world.versions["bronze.raw"] = TableVersion(table="bronze.raw", version=5, table_id="other")


def output_restored(world):
    world.move(
        "silver.clean",
        7,
        *(commit("silver.clean", n, operation="RESTORE") for n in range(7, 3, -1)),
    )


def output_of_another_environment(world):
    world.move(
        "silver.clean",
        4,
        commit("silver.clean", 4, run_id="foreign", transformation_id="SILVER_001"),
    )


def output_dropped(world):
    del world.versions["silver.clean"]


def code_changed(world):
    world.code = ("other", ())


def engine_changed(world):
    world.success["engine"] = "spark"


def failed_since(world):
    world.past = {world.row.id: world.past[world.row.id]._replace(last={"status": "FAILED"})}


def killed_since(world):
    world.past = {world.row.id: world.past[world.row.id]._replace(last={"status": "ABANDONED"})}


def never_run(world):
    world.past = {}


STALE = [
    (input_written, StaleCause.INPUT, "input bronze.raw v5 → v6 (run r2, BRONZE_001)"),
    (input_gone_back, StaleCause.INPUT, "input bronze.raw has an older version: v5 → v4"),
    (input_made_anew, StaleCause.INPUT, "input bronze.raw was replaced by another table"),
    (
        output_restored,
        StaleCause.OUTPUT,
        "output silver.clean was changed by someone else (v7, RESTORE)",
    ),
    (
        output_of_another_environment,
        StaleCause.OUTPUT,
        "output silver.clean was changed by someone else (v4, run foreign, SILVER_001)",
    ),
    (output_dropped, StaleCause.OUTPUT, "output silver.clean is gone"),
    (code_changed, StaleCause.CODE, "code changed (to_utc)"),
    (engine_changed, StaleCause.ENGINE, "engine changed (spark → pandas)"),
    (failed_since, StaleCause.FAILED, "last attempt failed"),
    (killed_since, StaleCause.FAILED, "last attempt was abandoned"),
    (never_run, StaleCause.NEW, "never run"),
]


@pytest.mark.parametrize(("change", "cause", "text"), STALE, ids=[c[0].__name__ for c in STALE])
def test_a_change_makes_the_row_stale_and_is_named(change, cause, text):
    """The reason names what changed, and who changed it if that is known."""
    world = World(row_of())
    change(world)
    verdict = world.verdict()
    assert verdict.state is State.STALE
    assert [(r.cause, r.text) for r in verdict.reasons] == [(cause, text)]


UNKNOWN = [
    ({"inputs_read": None}, "the inputs of its last success were not recorded"),
    ({"inputs_read": "{torn"}, "the inputs of its last success were not recorded"),
    ({"inputs_read": "[]"}, "it read nothing that can be compared"),
    ({"outputs_written": None}, "the outputs of its last success were not recorded"),
    ({"outputs_written": "[]"}, "it did not write output silver.clean through its context"),
    ({"outputs_written": '[{"table": 1}]'}, "an output of its last success cannot be read"),
    ({"code_hash": None}, "the code of its last success was not recorded"),
    ({"config_hash": None}, "the configuration of its last success was not recorded"),
    ({"inputs": [{"connection": "erp", "table": "orders"}]}, "it reads database erp"),
    ({"inputs": [{"table": "bronze.raw"}]}, "input bronze.raw has no version"),
    ({"inputs": [{"odd": 1}]}, "it read something that this version does not know"),
    ({"inputs": [{"query": "q", "sql_hash": "x"}]}, "query q reads no table"),
    ({"inputs": [{"file": "x.csv", "size": 3}]}, "file x.csv has no time to compare"),
    (
        {"outputs": [{"table": "silver.clean", "mode": "append"}]},
        "output silver.clean has no version",
    ),
]


@pytest.mark.parametrize(("changes", "text"), UNKNOWN, ids=[u[1] for u in UNKNOWN])
def test_a_fact_that_is_missing_makes_the_row_unknown_and_never_fresh(changes, text):
    """Old logs, databases and tables without versions: such a row runs."""
    verdict = World(row_of(), **changes).verdict()
    assert verdict.state is State.UNKNOWN
    assert text in verdict.why


def test_a_lost_history_between_two_versions_is_not_taken_for_unchanged_data():
    """After a clean-up of the log, the commits that changed data are unknown."""
    world = World(row_of())
    world.move("bronze.raw", 9, commit("bronze.raw", 9, changes_data=False))
    verdict = world.verdict()
    assert verdict.state is State.UNKNOWN
    assert "the history in between is gone" in verdict.why


def test_an_engine_that_raises_makes_the_row_unknown():
    """A table that cannot be asked is not a table that has not changed."""
    world = World(row_of())

    def refuse(_row, _key):
        raise OSError("no route")

    facts = world.facts()
    object.__setattr__(facts, "version", refuse)
    verdict = judge(world.row, facts)
    assert verdict.state is State.UNKNOWN
    assert "no route" in verdict.why


FACTS = [
    ("code", "its code cannot be read: no route"),
    ("version", "the version of input bronze.raw cannot be read: no route"),
    ("version", "the version of output silver.clean cannot be read: no route"),
    ("commits", "input bronze.raw v5 → v6: its history cannot be read: no route"),
    ("commits", "output silver.clean v3 → v4: its history cannot be read: no route"),
    ("fingerprint", "file adls://raw/x.csv cannot be checked: no route"),
]


@pytest.mark.parametrize(("name", "text"), FACTS)
def test_a_fact_that_cannot_be_read_makes_the_row_unknown(name, text):
    """An error of the engine, the storage or a module is named, and never taken for an unchanged fact."""
    world = World(row_of(inputs=["bronze.raw", FILE["file"]]), inputs=[READ, FILE])
    world.move("bronze.raw", 6)
    world.move("silver.clean", 4)

    def refuse(*_):
        raise OSError("no route")

    verdict = judge(world.row, replace(world.facts(), **{name: refuse}))
    assert verdict.state is State.UNKNOWN
    assert text in [reason.text for reason in verdict.reasons]


def test_an_explanation_that_fails_changes_no_verdict():
    """If the changed names of the code or the time of a commit cannot be found, the verdict stays without them."""
    world = World(row_of())

    def refuse(*_):
        raise OSError("no route")

    facts = replace(world.facts(), changed_code=refuse, committed_at=refuse)
    assert judge(world.row, facts).state is State.FRESH
    world.code = ("other", ())
    verdict = judge(world.row, replace(facts, code=lambda _row: world.code))
    assert [(r.cause, r.text) for r in verdict.reasons] == [(StaleCause.CODE, "code changed")]


@pytest.mark.parametrize(
    ("unclear", "text"), [((), "compared"), (("it uses eval",), "compared: it uses eval")]
)
def test_code_without_a_hash_is_unknown(unclear, text):
    """Code that cannot be compared makes the row unknown, for a reason if there is one."""
    world = World(row_of())
    world.code = ("", unclear)
    assert world.verdict().why == f"its code cannot be {text}"


@pytest.mark.parametrize(
    ("now", "text"),
    [
        ({"table_id": "new"}, "output silver.clean was replaced by another table"),
        ({"version": 1}, "output silver.clean has an older version: v3 → v1"),
    ],
)
def test_an_output_that_is_another_table_or_older_makes_the_row_stale(now, text):
    """A table that was created again, or put back to an older version, lacks what the row wrote."""
    world = World(row_of())
    old = world.versions["silver.clean"]
    world.versions["silver.clean"] = msgspec.structs.replace(old, **now)
    verdict = world.verdict()
    assert [(r.cause, r.text) for r in verdict.reasons] == [(StaleCause.OUTPUT, text)]


@pytest.mark.parametrize("text", ['{"table": "bronze.raw"}', "[1]", 7])
def test_a_record_of_another_form_counts_as_missing(text):
    """A column of the log that holds no list of objects has nothing to compare."""
    verdict = World(row_of(), inputs_read=text).verdict()
    assert "the inputs of its last success were not recorded" in verdict.why


def test_only_rows_that_run_make_an_appending_row_wait():
    """A row that replaces the table, and is fresh, makes no other row wait."""
    first, second = row_of("A"), row_of("B")
    appends = (Output(table="silver.clean", mode="append"),)
    one = msgspec.structs.replace(second.transformation, targets=appends)
    second = msgspec.structs.replace(second, transformation=one)
    world = World(first)
    world.past = {row.id: Past(s := record(row), 1, s) for row in (first, second)}
    verdicts = judge_rows({"B": second, "A": first}, world.facts())
    assert {name: verdict.state for name, verdict in verdicts.items()} == {
        "A": State.FRESH,
        "B": State.FRESH,
    }


def test_rows_that_append_to_the_same_table_on_purpose_do_not_make_each_other_stale():
    """A later append or merge of another row of this project is not a foreign write."""
    row = row_of()
    other = msgspec.structs.replace(
        row.transformation,
        transformation_id="SILVER_002",
        targets=(Output(table="silver.clean", mode="append"),),
    )
    world = World(row)
    later = commit("silver.clean", 4, run_id="r2", transformation_id="SILVER_002")
    world.move("silver.clean", 4, later)
    assert world.verdict().state is State.STALE
    world.rows.append(other)
    assert world.verdict().state is State.FRESH
    world.rows[1] = msgspec.structs.replace(other, targets=(Output(table="silver.clean"),))
    assert world.verdict().state is State.STALE


def test_a_row_that_reads_the_table_that_it_writes_is_not_stale_for_its_own_write():
    """An incremental row changes its input itself."""
    own = {"table": "silver.clean", "version": 2, "table_id": "c"}
    world = World(row_of(), inputs=[READ, own])
    world.commits["silver.clean"] = [
        commit("silver.clean", 3, run_id="r1", transformation_id="SILVER_001", attempt=1)
    ]
    assert world.verdict().state is State.FRESH
    world.commits["silver.clean"] = [commit("silver.clean", 3, operation="WRITE")]
    assert world.verdict().state is State.STALE


def test_a_declared_input_that_was_not_read_through_the_context_is_unknown():
    """The function may have read it on its own, at an unrecorded version."""
    world = World(row_of(reads=("bronze.raw", "bronze.other")))
    assert "it did not read input bronze.other" in world.verdict().why
    world = World(row_of(inputs=["bronze.raw", "adls://raw/x.csv"]))
    assert "it did not read input adls://raw/x.csv" in world.verdict().why


@pytest.mark.parametrize("change", [{"size": 11}, {"modified": 2}, {"etag": "b"}, {"count": 1}])
def test_any_difference_of_a_files_fingerprint_makes_the_row_stale(change):
    """Size, time and entity tag each decide on their own."""
    row = row_of(reads=(), inputs=["adls://raw/x.csv"])
    world = World(row, inputs=[FILE])
    assert world.verdict().state is State.FRESH
    world.file = FileRead(**{**FILE, **change})
    verdict = world.verdict()
    assert verdict.state is State.STALE
    assert "file adls://raw/x.csv changed" in verdict.why
    world.file = FileRead(file="adls://raw/x.csv")
    assert "is gone or cannot be checked" in world.verdict().why


def test_changed_constants_are_named_with_both_values():
    """The user sees what changed in the row, without its secrets."""
    old = row_of(constants={"window": "1H", "password": "a"})
    new = row_of(constants={"window": "15min", "password": "b"})
    world = World(new, success=record(old))
    assert "constants or another column of the row changed" in world.verdict().why
    world.configs[old.transformation.config_hash()] = config_of(old)
    assert world.verdict().why == "constants changed (window: 1H → 15min)"
    hidden = row_of(constants={"window": "1H", "password": "c"})
    world.row = hidden
    assert world.verdict().why == "the row changed (a secret)"


def test_always_run_and_depends_on():
    """A row can ask to run each time, or after a row on which it depends in a way that no read shows."""
    assert World(row_of(constants={"always_run": True})).verdict().state is State.UNKNOWN
    world = World(row_of(constants={"depends_on": ["BRONZE_009"]}))
    before = {"status": "SUCCESS"}
    world.past["BRONZE_009"] = Past(before, 1, before)
    assert world.verdict().state is State.FRESH
    world.past["BRONZE_009"] = Past(before, 2, before)
    assert world.verdict().why == "BRONZE_009, on which it depends, has run since"


def test_a_row_that_replaces_a_table_makes_the_rows_wait_that_append_to_it():
    """A replaced table loses the appended rows, so the appending rows must run again."""
    first, second = row_of("A"), row_of("B")
    appends = (Output(table="silver.clean", mode="append"),)
    one = msgspec.structs.replace(second.transformation, targets=appends)
    second = msgspec.structs.replace(second, transformation=one)
    world = World(first)
    world.past = {row.id: Past(s := record(row), 1, s) for row in (second,)}
    verdicts = judge_rows({"B": second, "A": first}, world.facts())
    assert verdicts["B"].why == "A, which replaces silver.clean, will run"
    assert verdicts["B"].waits


def test_a_row_that_looked_whether_its_output_exists_is_not_unknown_for_it():
    """It created the table itself, so the table's absence has been answered."""
    looked = [READ, {"table": "silver.clean"}]
    assert World(row_of(), inputs=looked).verdict().state is State.FRESH
    before = {**WROTE, "previous_version": 2}
    unknown = World(row_of(), inputs=looked, outputs=[before]).verdict()
    assert unknown.state is State.UNKNOWN


def test_rows_below_a_row_that_will_run_wait_for_it():
    """They may become stale, so a run of stale rows includes them and checks them at their turn."""
    first, second = row_of("A"), row_of("B", upstream=("A",))
    third = row_of("C", upstream=("B",))
    rows = {row.id: row for row in (first, second, third)}
    world = World(first)
    world.past = {name: Past(s := record(row), 1, s) for name, row in rows.items()}
    verdicts = judge_rows(rows, world.facts())
    assert {verdict.state for verdict in verdicts.values()} == {State.FRESH}
    world.past["A"] = Past()
    verdicts = judge_rows(rows, world.facts())
    assert [v.why for v in verdicts.values()] == [
        "never run",
        "upstream A will run",
        "upstream B will run",
    ]
    assert [v.waits for v in verdicts.values()] == [False, True, True]


def test_the_reason_names_the_upstream_rows_that_ran_when_they_have_ended():
    """At its turn a row no longer waits: an upstream row has run, or it ended as unchanged and is no reason."""
    verdict = Freshness(
        reasons=(
            Reason(StaleCause.NEW, "never run"),
            Reason(StaleCause.UPSTREAM, "upstream A will run", "A"),
            Reason(StaleCause.UPSTREAM, "upstream B will run", "B"),
            Reason(StaleCause.UPSTREAM, "C, which replaces silver.x, will run", "C"),
        )
    )
    assert verdict.why_after({"A": True, "B": False}.get) == (
        "never run; upstream A ran; C, which replaces silver.x, will run"
    )
