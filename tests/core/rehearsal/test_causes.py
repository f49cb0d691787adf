"""``why`` names each difference between two attempts, the likeliest cause first."""

from __future__ import annotations

import datetime as dt
import json
from types import SimpleNamespace

import msgspec
import pytest
from fakes import MemorySink

from odibi_nb.core.model.provenance import (
    ConnectionRead,
    FileRead,
    TableCommit,
    TableVersion,
    UnversionedTable,
)
from odibi_nb.core.rehearsal.causes import causes_of
from odibi_nb.core.text.json import as_json
from odibi_nb.errors import ConfigurationError

START = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
TRACEBACK = 'File "plant.py", line 7, in convert\nValueError: wrong unit'


class Commits:
    """An engine whose tables have a history, or an error in its place."""

    name = "pandas"

    def __init__(self, found):
        self.found = found

    def commits(self, table, *, down_to=0):
        if isinstance(self.found, Exception):
            raise self.found
        return [c for c in self.found if c.table == table.key and c.version >= down_to][::-1]


class Log:
    """A run log with a good and a bad attempt of S1, and a state folder with their code and configurations."""

    def __init__(self, state_dir):
        self.project, self.env, self.engine = "P", "qat", "pandas"
        self.state_dir = state_dir
        self.sink = MemorySink()
        self.found = []

    def sinks(self):
        return [self.sink]

    def tables(self, engine):
        return Commits(self.found)

    def attempt(self, run_id, status, *, reads=(), versions="{}", **columns):
        number = len(self.sink.run_records) + 1
        self.sink.write_run(
            {
                "run_id": run_id,
                "project": "P",
                "env": "qat",
                "start_time": START + dt.timedelta(hours=number),
                "run_number": number,
                "versions": versions if isinstance(versions, str) else as_json(versions),
            }
        )
        known = {"module": "plant", "function": "convert", "engine": "pandas", "host": "h"}
        self.sink.write(
            [
                {
                    "run_id": run_id,
                    "transformation_id": "S1",
                    "status": status,
                    "attempt": 1,
                    "code_hash": "c" * 16,
                    "config_hash": "",
                    "error_type": None,
                    "inputs_read": json.dumps([msgspec.to_builtins(read) for read in reads]),
                    **known,
                    **columns,
                }
            ]
        )

    def turn(self, before=(), after=(), *, then=None, now=None, error="wrong unit"):
        """Log a success that read *before*, and a failure that read *after*."""
        self.attempt("good", "SUCCESS", reads=before, **(then or {}))
        failed = {"error_type": "ValueError", "error_message": error, **(now or {})}
        self.attempt("bad", "FAILED", reads=after, **failed)
        return causes_of(SimpleNamespace(**self.face()), "S1")

    def face(self):
        names = ("project", "env", "engine", "state_dir", "sinks", "tables")
        return {name: getattr(self, name) for name in names}

    def code(self, digest, **parts):
        """Store the code *digest*: the source text of each of its parts."""
        folder = self.state_dir / "code"
        folder.mkdir(parents=True, exist_ok=True)
        hashes = {}
        for name, text in parts.items():
            hashes[f"plant.{name}"] = text.encode().hex().ljust(16, "0")[:16]
            (folder / f"{hashes[f'plant.{name}']}.txt").write_text(text)
        (folder / f"{digest}.json").write_text(json.dumps(hashes))

    def config(self, digest, **columns):
        """Store a configuration of the row."""
        folder = self.state_dir / "code"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "configurations.txt").open("a") as file:
            file.write(f"{digest} {json.dumps(columns)}\n")

    def traceback(self, text):
        """Leave the traceback of the failure in the journal of its run."""
        folder = self.state_dir / "runs" / "bad"
        folder.mkdir(parents=True)
        facts = {"project": "P", "env": "qat", "transformation_id": "S1"}
        record = {"transformation_id": "S1", "status": "FAILED", "attempt": 1, "run_id": "bad"}
        failure = {"event": "transform_failure", **facts, "record": record, "traceback": text}
        (folder / "journal.jsonl").write_text(json.dumps(failure) + "\n")


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path)


def found(causes):
    return [(cause.kind, cause.what) for cause in causes.causes]


def commit(table, version, **facts):
    return TableCommit(table=table, version=version, operation="WRITE", **facts)


def versions(table, *numbers, **facts):
    return [TableVersion(table=table, version=n, **facts) for n in numbers]


# Code


OLD, NEW = {"code_hash": "a" * 16}, {"code_hash": "b" * 16}


def test_changed_code_is_a_diff_of_the_functions_that_changed(log):
    """Only the changed parts of the code are shown, each as a diff; without a traceback code weighs the same."""
    log.code("a" * 16, convert="x = 1\n", same="y = 1\n")
    log.code("b" * 16, convert="x = 2\n", same="y = 1\n")
    (cause,) = log.turn(then=OLD, now=NEW).causes
    assert (cause.what, cause.weight) == ("code: convert changed", 60)
    assert cause.detail[-2:] == ("-x = 1", "+x = 2")


@pytest.mark.parametrize(("line", "weight"), [(TRACEBACK, 80), ("in another_function", 45)])
def test_code_that_the_traceback_names_is_likelier(log, line, weight):
    """A changed function weighs more if the traceback names it, and less if the traceback does not."""
    log.code("a" * 16, convert="x = 1\n")
    log.code("b" * 16, convert="x = 2\n")
    log.traceback(line)
    assert [cause.weight for cause in log.turn(then=OLD, now=NEW).causes] == [weight]


def test_changed_code_without_its_texts_is_still_a_cause(log):
    """If the texts are stored elsewhere, the report says that the code changed, and that the texts are not here."""
    causes = log.turn(then=OLD, now=NEW)
    assert found(causes) == [("code", "the code of its function, or of a helper, changed")]
    assert causes.unknown == ("the texts of the code: they are stored where the runs were",)


def sources(digest):
    return {"versions": {"functions": {"plant.convert@pandas": digest}}, "code_hash": None}


def test_older_logs_know_the_functions_own_source(log):
    """Logs without a hash of the code have a hash of the function's source in the record of the run."""
    causes = log.turn(then=sources("1"), now=sources("2"))
    assert ("code", "the source of its function changed") in found(causes)


def test_equal_sources_of_older_logs_are_no_cause(log):
    """An unchanged source of the function is no cause."""
    assert found(log.turn(then=sources("1"), now=sources("1"))) == []


@pytest.mark.parametrize("text", ["{}", "torn {", "[1]", '{"functions": 7}'])
def test_logs_without_any_hash_say_so(log, text):
    """If the log has no hash of the code, or a damaged one, the code is named as unknown."""
    without = {"versions": text, "code_hash": None}
    causes = log.turn(then=without, now=without)
    assert "code: the run log has no hash of it" in causes.unknown


# The row


def test_a_changed_column_of_the_row_is_named_with_its_values(log):
    """Columns are shown with both values, long values shortened; unchanged constants are no cause."""
    log.config("1" * 16, constants={"a": 1}, layer="Silver_1", inputs="short")
    log.config("2" * 16, constants={"a": 1}, layer="Silver_2", inputs="x" * 100)
    causes = log.turn(then={"config_hash": "1" * 16}, now={"config_hash": "2" * 16})
    (cause,) = causes.causes
    assert cause.what.startswith('registry row: layer: "Silver_1" → "Silver_2", inputs: "short" → ')
    assert cause.what.endswith("x…")
    assert (cause.kind, cause.weight) == ("row", 55)


def test_a_query_in_the_constants_is_shown_as_a_diff(log):
    """A constant of several lines is named once, with a diff; the error's word for it makes it likelier."""
    log.config("1" * 16, constants={"query": "SELECT a\nFROM t", "gone": 1})
    log.config("2" * 16, constants={"query": "SELECT b\nFROM t", "new": None})
    columns = {"config_hash": "1" * 16}, {"config_hash": "2" * 16}
    (cause,) = log.turn(then=columns[0], now=columns[1], error="bad query").causes
    assert cause.what == "constants: query changed, gone: 1 → none, new: none → none"
    assert {"-SELECT a", "+SELECT b"} <= set(cause.detail)
    assert cause.weight == 78


def test_a_changed_row_without_its_configurations_is_still_a_cause(log):
    """If the configurations are stored elsewhere, the report still says that the row changed."""
    log.config("1" * 16, constants={})
    causes = log.turn(then={"config_hash": "1" * 16}, now={"config_hash": "2" * 16})
    assert found(causes) == [("constants", "constants, or another column of the row, changed")]


# Data


def test_a_new_input_and_a_table_that_was_made_again_are_causes(log):
    """An input without a predecessor is a cause, and a recreated table is the likeliest one if the error names it."""
    before = [*versions("b.x", 3, table_id="one")]
    after = [*versions("b.x", 0, table_id="two"), *versions("b.new", 1)]
    causes = log.turn(before, after, error="no column in b.x")
    assert found(causes) == [
        ("input", "input b.x was dropped and created again"),
        ("input", "input b.new is read now, and was not before"),
    ]


def test_inputs_without_versions_are_named_as_unknown(log):
    """A view or a database has no versions, so the log cannot tell whether it changed."""
    view = UnversionedTable(table="b.view")
    database = ConnectionRead(connection="erp", table="orders")
    causes = log.turn([view], [view, database])
    assert causes.unknown == (
        "input b.view: it has no versions",
        "database erp: it has no versions",
    )


def test_commits_that_change_no_data_are_no_cause(log):
    """A table that was only compacted between the two attempts is not named."""
    log.found = [commit("b.x", 1, changes_data=False)]
    causes = log.turn(versions("b.x", 0), versions("b.x", 1))
    assert (causes.causes, causes.unknown) == ((), ())


def test_a_history_that_cannot_be_read_leaves_the_change_of_versions(log):
    """If the engine cannot list commits, the input is still a cause, and the reason is told."""
    log.found = OSError("the lake is down\nstack")
    causes = log.turn(versions("b.x", 0), versions("b.x", 2))
    assert found(causes) == [("input", "input b.x v0 → v2")]
    assert causes.unknown == ("who wrote b.x: OSError: the lake is down",)


def test_an_error_without_a_text_is_no_obstacle(log):
    """An engine's error without a message is named by its type."""
    log.found = TimeoutError()
    causes = log.turn(versions("b.x", 0), versions("b.x", 2))
    assert causes.unknown[0].startswith("who wrote b.x: TimeoutError")


def test_commits_whose_history_is_gone_are_counted(log):
    """Commits that a cleaned log no longer lists are counted, and the listed ones are shown."""
    log.found = [commit("b.x", 3, run_id="r", transformation_id="B1")]
    causes = log.turn(versions("b.x", 0), versions("b.x", 3))
    assert found(causes) == [("input", "input b.x v0 → v3 (WRITE by B1 in run r)")]
    assert causes.unknown == ("2 commits of b.x: its history is gone",)


@pytest.mark.parametrize(
    ("facts", "weight"),
    [
        ({"run_id": "r"}, 30),
        ({}, 56),
        ({"run_id": "r", "restores": 0}, 58),
        ({"run_id": "r", "rows_added": 1, "rows_removed": 9}, 50),
    ],
    ids=["a run's", "a stranger's", "a restore", "half of the rows gone"],
)
def test_unusual_commits_are_likelier_causes(log, facts, weight):
    """A commit of no run, a restore, and a commit that removes half of the rows weigh more than usual ones."""
    log.found = [commit("b.x", 1, **facts)]
    causes = log.turn(versions("b.x", 0), versions("b.x", 1))
    assert [cause.weight for cause in causes.causes] == [weight]


def test_several_commits_are_listed(log):
    """Several commits of one table are one cause, with one line for each."""
    log.found = [commit("b.x", n, run_id="r") for n in (1, 2)]
    (cause,) = log.turn(versions("b.x", 0), versions("b.x", 2)).causes
    assert cause.what == "input b.x v0 → v2: 2 commits"
    assert len(cause.detail) == 2


@pytest.mark.parametrize(("size", "weight"), [(60, 35), (10, 55)])
def test_a_changed_file_is_a_cause(log, size, weight):
    """A file that changed is a cause; one that lost half of its bytes is a likelier one."""
    then = FileRead(file="data/in.csv", size=100), FileRead(file="data/same.csv", size=1)
    now = FileRead(file="data/in.csv", size=size), then[1], FileRead(file="data/new.csv", size=1)
    causes = log.turn(then, now)
    assert found(causes) == [("file", f"file data/in.csv: 100 → {size} bytes")]
    assert causes.causes[0].weight == weight


# Surroundings


def test_engine_packages_and_host_are_compared(log):
    """Another engine, other versions of packages and another host are causes, in this order."""
    causes = log.turn(
        then={"versions": {"pandas": "2", "polars": "1", "python": "3.11"}},
        now={"versions": {"pandas": "3", "polars": "1"}, "engine": "duckdb", "host": "other"},
    )
    assert found(causes) == [
        ("engine", "engine: pandas → duckdb"),
        ("packages", "packages: pandas 2 → 3"),
        ("host", "host: h → other"),
    ]


def test_a_package_that_the_error_names_is_likelier(log):
    """A changed package weighs more if the error names it."""
    then, now = ({"versions": {"pandas": version}} for version in "23")
    (cause,) = log.turn(then=then, now=now, error="Pandas cannot do that").causes
    assert cause.weight == 40


# Attempts


def test_the_oldest_failure_with_the_newest_error_is_compared(log):
    """Of several failures since the last success, the first one with the newest error is explained."""
    log.attempt("good", "SUCCESS")
    for run, error in (("other", "KeyError"), ("first", "ValueError"), ("newest", "ValueError")):
        log.attempt(run, "FAILED", error_type=error)
    causes = causes_of(SimpleNamespace(**log.face()), "S1")
    assert (causes.before.run_id, causes.after.run_id) == ("good", "first")


def test_failures_without_a_success_need_two_runs(log):
    """Without a success before, ``why`` asks for two runs; two named runs are compared in that order."""
    log.attempt("one", "FAILED", error_type="KeyError")
    log.attempt("two", "FAILED", error_message="no type")
    project = SimpleNamespace(**log.face())
    with pytest.raises(ConfigurationError, match="no success before its failure: name two runs"):
        causes_of(project, "S1")
    causes = causes_of(project, "S1", ["one", "two"])
    assert (causes.before.run_id, causes.error) == ("one", "no type")
