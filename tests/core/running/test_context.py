"""The context of a transformation: reads, writes, counts, and requests to stop."""

from __future__ import annotations

import threading

import pytest
from fakes import FakeTables, row, statuses

from odibi_nb.core.model.attempt_control import AttemptControl
from odibi_nb.core.model.engine import Engine
from odibi_nb.core.model.file_formats import format_of
from odibi_nb.core.model.provenance import TableVersion, UnversionedTable
from odibi_nb.core.model.tables import TableName
from odibi_nb.core.model.transformation import Output
from odibi_nb.core.running.capture import CapturedLog, captured, routed_output
from odibi_nb.core.running.context import ExecutionContext, current_context, get_current_context
from odibi_nb.core.running.worker import user_traceback
from odibi_nb.errors import DataError, RevokedError


class Relation:
    """A frame of another library."""

    def to_arrow(self):
        return []


class VersionedTables(FakeTables):
    """Tables of which each write is a version. *meanwhile* is called in the middle of a read."""

    def __init__(self, unversioned=()):
        super().__init__()
        self.history: dict[str, list[list]] = {}
        self.unversioned = unversioned
        self.meanwhile = lambda: None

    def commit(self, key, rows):
        self.history.setdefault(key, []).append(rows)

    def versions(self, names):
        now = {name.key: len(self.history[name.key]) - 1 for name in names}
        return {
            key: TableVersion(table=key, version=n, data_version=n)
            for key, n in now.items()
            if key not in self.unversioned
        }

    def read_newest(self, table):
        self._pass_time()
        return self.history[table.key][-1], self.versions([table]).get(table.key)

    def read_version(self, table, version):
        return self.history[table.key][version]

    def query_newest(self, sql, pins):
        self._pass_time()
        table = TableName.parse(sql.rpartition(" ")[2])
        found = self.versions([table])[table.key]
        if table.key in pins:
            found = TableVersion(table=table.key, version=pins[table.key])
        return self.history[table.key][found.version], [found]

    def _pass_time(self):
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()


def versioned(tables):
    return ExecutionContext(engine="pandas", project="P", env="qat", tables=tables)


@pytest.fixture
def context():
    """A context as a test of one's own function makes it."""
    tables = FakeTables()
    tables.tables["bronze.raw"] = [1, 2, 3]
    return ExecutionContext(
        engine="pandas",
        project="P",
        env="qat",
        tables=tables,
        locations={"adls://raw": "data", "adls://far": "abfss://c@a.dfs/x"},
        folder="/home/p",
    )


def test_the_seeds_fields():
    """The seed's fields are there, with plain defaults for tests of one's own functions."""
    context = ExecutionContext(
        engine=Engine.SPARK,
        project="P",
        env="qat",
        spark=None,
        sql_provider=None,
        logger=None,
        hooks=None,
        extras={"plant": "A", "asset": None, "layer": "Silver_1"},
    )
    assert context.engine is Engine.SPARK
    assert context.engine == "spark"
    assert context.extras["plant"] == "A"
    assert context.attempt == 1
    assert not context.cancelled


@pytest.mark.parametrize(
    "source", ["bronze.raw", "BRONZE.Raw", "`bronze`.`raw`", {"table": "bronze.raw"}]
)
def test_reading_tables(context, source):
    """A table by its name, in any spelling, or in an object."""
    assert context.read(source) == [1, 2, 3]
    assert context.rows_in == 3


@pytest.mark.parametrize(
    ("source", "frame"),
    [
        ({"sql": "SELECT 1"}, ["SELECT 1"]),
        ({"type": "query", "sql": "SELECT 1", "name": "q"}, ["SELECT 1"]),
        ("adls://raw/x.csv", ["/home/p/data/x.csv", "csv"]),
        ("adls://far/deep/x.parquet", ["abfss://c@a.dfs/x/deep/x.parquet", "parquet"]),
        ("data/x.json.gz", ["/home/p/data/x.json.gz", "json"]),
        ("/abs/x.xlsx", ["/abs/x.xlsx", "excel"]),
        ({"path": "x.csv"}, ["/home/p/x.csv", "csv"]),
        ({"path": "folder/x", "format": "DELTA"}, ["/home/p/folder/x", "delta"]),
    ],
)
def test_reading_files_and_queries(context, source, frame):
    """Files by path or URL, through `locations`, relative to the manifest; queries as they are."""
    assert context.read(source) == frame
    assert len(context.reads) == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no.such", "no table no.such"),
        ("a..b", "is not a table name"),
        ({"table": "../up"}, "is not a table name"),
        ({}, "an input needs 'table', 'path' or 'sql', found {}"),
        ({"password": "hunter2"}, "found {'password': '***'}"),
        ("data/x", "data/x: the format is not clear from its name; give 'format'"),
        ("https://u:hunter2@h/x", "https://u:***@h/x: the format is not clear"),
        (["bronze.raw"], "expected a table name, a path, or an object, found ['bronze.raw']"),
        (None, "expected a table name, a path, or an object, found None"),
    ],
)
def test_what_cannot_be_read(context, source, message):
    """Each mistake is one clear message."""
    with pytest.raises(DataError) as excinfo:
        context.read(source)
    assert message in str(excinfo.value)
    assert "hunter2" not in str(excinfo.value)


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("x.CSV", "csv"),
        ("x.tsv", "csv"),
        ("x.csv.gz", "csv"),
        ("a.b/x.ndjson", "json"),
        ("https://h/x.csv?sv=1&sig=abc.def", "csv"),
        ("folder/x.parquet/", "parquet"),
    ],
)
def test_formats_by_suffix(name, format):
    """The format is told by the file's suffix, packed or not, before any query of a URL."""
    assert format_of(name) == format


@pytest.mark.parametrize(
    "output",
    [
        "silver.x",
        "Silver.X",
        {"table": "silver.x"},
        {"table": "silver.x", "mode": "append"},
        Output(table="silver.x"),
    ],
)
def test_writing(context, output):
    """To a table by name, or by an output of the row in either form."""
    context.write([1, 2], output)
    assert context.tables.tables["silver.x"] == [1, 2]
    assert context.rows_out == 2
    assert context.table_exists("silver.X")


@pytest.mark.parametrize(
    ("frame", "output", "message"),
    [
        ("text", "silver.x", "silver.x: expected a pandas DataFrame, found str"),
        (None, "silver.x", "silver.x: expected a pandas DataFrame, found NoneType"),
        ([1], "a/b", "is not a table name"),
        ([1], {"tabel": "x"}, "did you mean 'table'?"),
        ([1], {"table": "a.b", "mode": "upsert"}, "expected 'overwrite' or 'append' or 'merge'"),
        ([1], {"table": "a.b", "mode": "merge"}, "needs 'keys'"),
        ([1], Output(table="../up"), "is not a table name"),
        ([1], 5, "expected an object, found 5"),
        ([1], Output(table="a.b", mode="merge"), "needs 'keys'"),
        (Relation(), "silver.x", "found Relation: use its .to_arrow()"),
    ],
)
def test_what_cannot_be_written(context, frame, output, message):
    """Each mistake is one clear message, and nothing is written."""
    with pytest.raises(DataError) as excinfo:
        context.write(frame, output)
    assert message in str(excinfo.value)
    assert list(context.tables.tables) == ["bronze.raw"]
    assert context.rows_out is None


def test_counts_add_up(context):
    """Rows are counted over all reads and writes; an unknown number makes the sum unknown."""
    assert (context.rows_in, context.rows_out) == (None, None)
    for _ in range(2):
        context.write(context.read("bronze.raw"), "silver.x")
    assert (context.rows_in, context.rows_out) == (6, 6)
    assert [use.name for use in context.reads] == ["bronze.raw"] * 2
    context.tables.row_count = lambda frame: None
    context.read("bronze.raw")
    assert context.rows_in is None


def test_threads_of_one_attempt_read_one_version():
    """If two threads read a table at a time and it changes between, both get the version of the faster."""
    tables = VersionedTables()
    tables.commit("bronze.x", ["old"])
    for read in (lambda c: c.read("bronze.x"), lambda c: c.read({"sql": "SELECT * FROM bronze.x"})):
        context, faster, version = versioned(tables), [], len(tables.history["bronze.x"]) - 1

        def overtaken(context=context, faster=faster, read=read):
            thread = threading.Thread(target=lambda: faster.append(read(context)))
            thread.start()
            thread.join()
            tables.commit("bronze.x", ["new"])

        tables.meanwhile = overtaken
        expected = tables.history["bronze.x"][version]
        assert [read(context), *faster] == [expected] * 2
        assert context.provenance.pins() == {"bronze.x": version}


def test_a_table_without_versions_is_read_as_it_is():
    """A view has no version: the record of the read has its name alone."""
    tables = VersionedTables(unversioned=["bronze.view"])
    tables.commit("bronze.view", [1])
    context = versioned(tables)
    assert context.read("bronze.view") == [1]
    assert [*context.provenance.inputs_read] == [UnversionedTable(table="bronze.view")]


def test_a_query_that_fails_is_recorded_with_the_tables_that_it_names():
    """The record has the version that the attempt reads. If the engine cannot tell it, it has no tables."""

    class Failing(VersionedTables):
        def query_newest(self, sql, pins):
            raise DataError("no column y")

    tables = Failing(unversioned=["silver.view"])
    for key in ("bronze.x", "silver.view"):
        tables.commit(key, [1])
    context = versioned(tables)
    context.read("bronze.x")
    tables.commit("bronze.x", [1, 2])
    for table in ("bronze.x JOIN silver.view", "bronze.unknown"):
        with pytest.raises(DataError, match="no column y"):
            context.read({"sql": f"SELECT y FROM {table}", "name": table})
    _, joined, unknown = context.provenance.inputs_read
    assert joined.tables == (
        TableVersion(table="bronze.x", version=0),
        UnversionedTable(table="silver.view"),
    )
    assert unknown.tables == ()


def test_a_table_that_cannot_be_compared_is_written(context):
    """If skip_unchanged cannot compare the rows, the log says so, and the table gets them."""

    def cannot(frame, target):
        raise OSError("storage is away")

    context.tables.same_content = cannot
    log = CapturedLog()
    with routed_output(), captured(log):
        context.write([1], {"table": "silver.x", "skip_unchanged": True})
    assert "  silver.x cannot be compared: storage is away" in log.text().splitlines()
    assert context.tables.tables["silver.x"] == [1]


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_a_name_alone_never_overwrites_an_output_that_keeps_its_rows(context, mode):
    """A name overwrites, so the name of an output that appends or merges is refused; a mode is accepted."""
    declared = Output(table="silver.x", mode=mode, keys=("k",) if mode == "merge" else ())
    context.outputs = (Output(table="silver.y"), declared)
    for name in ("silver.x", "Silver.X"):
        with pytest.raises(DataError, match=rf"the mode '{mode}', .* write to outputs\[1\], or to"):
            context.write([1], name)
    assert list(context.tables.tables) == ["bronze.raw"]
    context.write([1], "silver.y")
    context.write([2], {"table": "silver.x", "mode": "overwrite"})
    context.write([3], "silver.z")
    assert context.tables.tables["silver.x"] == [2]
    assert context.tables.tables["silver.z"] == [3]


def test_a_run_knows_the_modes_of_its_outputs(project):
    """In a run, a function that writes to its append output by name fails before it loses the table's rows."""
    output = {"table": "t.a", "mode": "append"}
    p = project(row("A", lambda context: context.write([1], "t.a"), outputs=[output]))
    (failed,) = p.run(retry=0).transformations.values()
    assert "a name alone overwrites the table" in str(failed.error)


def test_a_context_without_tables_says_so():
    """A context that a test made without an engine ends in one clear message."""
    context = ExecutionContext(engine="pandas", project="P", env="qat")
    for use in (lambda: context.read("a.b"), lambda: context.write([], "a.b")):
        with pytest.raises(DataError, match="this context has no tables"):
            use()


def test_what_it_reads_and_writes_is_logged_without_secrets(context):
    """The seed's lines say what is read and written; a password in a URL is not shown."""
    log = CapturedLog()
    with routed_output(), captured(log):
        context.read("bronze.raw")
        context.read("https://u:hunter2@h/x.csv?sig=hunter2")
        context.read({"sql": "SELECT 1", "name": "q"})
        context.write([1], "silver.x")
    assert log.text().splitlines() == [
        "  → Reading from bronze.raw",
        "  → Reading from https://u:***@h/x.csv?sig=***",
        "  → Reading from q",
        "  → Writing to silver.x",
    ]
    assert context.reads[1].name == "https://u:***@h/x.csv?sig=***"


def test_a_revoked_context_refuses_everything_it_begins(context):
    """After a cancel or a timeout, nothing is read or written any more, and the reason is said."""
    context.control.revoke("the run was cancelled")
    context.control.revoke("another reason")
    assert context.cancelled
    uses = [
        lambda: context.read("bronze.raw"),
        lambda: context.read({"sql": "SELECT 1"}),
        lambda: context.read("data/x.csv"),
        lambda: context.read_file("x.csv"),
        lambda: context.write([1], "silver.x"),
    ]
    for use in uses:
        with pytest.raises(RevokedError, match=r"^the run was cancelled$"):
            use()
    assert list(context.tables.tables) == ["bronze.raw"]


def test_a_refused_write_has_a_traceback_from_the_users_code_on(context):
    """If a function's own write was refused, the message names the table; its return value causes no message."""
    context.control.revoke("the run was cancelled")
    with pytest.raises(RevokedError) as caught:
        context.write([1], "silver.x")
    assert "test_context.py" in user_traceback(caught.value)
    ours = caught.value.with_traceback(caught.value.__traceback__.tb_next)
    assert user_traceback(ours) == ""


def test_a_control_that_is_not_revoked_allows_everything():
    """The check is cheap as long as the attempt is not revoked."""
    control = AttemptControl()
    control.check()
    assert control.reason is None


def test_the_current_context(context):
    """Inside the block, on its thread only, the context is the current one; blocks may nest."""
    seen = []
    assert get_current_context() is None
    with current_context(context):
        assert get_current_context() is context
        thread = threading.Thread(target=lambda: seen.append(get_current_context()))
        thread.start()
        thread.join()
        other = ExecutionContext(engine="pandas", project="Q", env="qat")
        with current_context(other):
            assert get_current_context() is other
        assert get_current_context() is context
    assert get_current_context() is None
    assert seen == [None]


def test_what_a_transformation_finds_in_its_context(project):
    """In a run the context says which row of which run it is, with the manifest's parameters."""
    seen = {}

    def fn(context):
        seen.update({name: getattr(context, name) for name in ("run_id", "transformation_id")})
        seen.update(parameters=dict(context.parameters), extras=context.extras, env=context.env)
        seen["current"] = get_current_context() is context

    p = project(
        row("A", fn, entity_1="Plant_A", entity_2="Dryer_1"), manifest={"parameters": {"a": 1}}
    )
    result = p.run()
    assert statuses(result) == {"A": "SUCCESS"}
    assert seen == {
        "run_id": result.run_id,
        "transformation_id": "A",
        "parameters": {"a": 1},
        "extras": {"plant": "Plant_A", "asset": "Dryer_1", "layer": "Silver_1"},
        "env": "qat",
        "current": True,
    }


@pytest.mark.parametrize("name", ["silver.X", "`silver`.`x`", "SILVER.x "])
def test_returned_frames_go_to_the_rows_outputs(project, name):
    """A returned {table: DataFrame} is written by the row's outputs, in any spelling of the name."""
    p = project(row("A", lambda: {name: [1, 2]}, outputs=[{"table": "Silver.x"}]))
    assert statuses(p.run()) == {"A": "SUCCESS"}
    assert p.tables.tables == {"silver.x": [1, 2]}


def test_arguments_are_each_attempts_own(project):
    """A function that changes its arguments does not change what its next attempt gets."""
    seen = []

    def fn(inputs, constants, outputs):
        seen.append((list(inputs), dict(constants["deep"]), len(outputs)))
        inputs.clear()
        constants["deep"]["x"] = 2
        outputs.clear()
        if len(seen) == 1:
            raise OSError("again")

    constants = {"deep": {"x": 1}, "retry": {"base_delay": 0, "jitter": 0}}
    p = project(row("A", fn, inputs=["a.b"], constants=constants, outputs=[{"table": "t.a"}]))
    result = p.run()
    assert statuses(result) == {"A": "SUCCESS"}
    assert seen == [(["a.b"], {"x": 1}, 1)] * 2
    assert len({r["config_hash"] for r in p.sink.records}) == 1


def test_the_manifests_parameters_are_not_a_transformations_to_change(project):
    """One transformation cannot change what another finds in its parameters."""
    seen = []

    def fn(context):
        seen.append(dict(context.parameters["limits"]))
        context.parameters["limits"].clear()

    project(row("A", fn), row("B", fn), manifest={"parameters": {"limits": {"a": 1}}}).run(
        max_workers=1
    )
    assert seen == [{"a": 1}] * 2
