"""Declared outputs of a row are written, refused, or unchanged with a warning."""

from __future__ import annotations

import functools

import pandas as pd
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from fakes import row, statuses

from odibi_nb.core.model.tables import TableName
from odibi_nb.engines.pandas.engine import PandasEngine
from odibi_nb.views.run.gantt import gantt_of
from odibi_nb.views.run.state import snapshot_of
from odibi_nb.views.run.table import table_html

FRAME = pd.DataFrame({"a": [1]})
OUT = [{"table": "bronze.a"}]
OLD = pd.DataFrame({"a": [0]})


@pytest.fixture
def lake(tmp_path):
    """The folder of the tables."""
    return tmp_path / "lake"


@pytest.fixture
def run(project, lake):
    """Run rows on real Delta tables. *old* makes yesterday's tables first."""

    def go(*rows, old=(), manifest=None, **options):
        p = project(*rows, manifest=manifest)
        p.tables = PandasEngine(str(lake))
        for name in old:
            write_deltalake(str(lake / name.replace(".", "/")), OLD)
        return p.run(**options)

    return go


def content(lake, name="bronze.a"):
    """Return the rows of a table as lists, by column."""
    return PandasEngine(str(lake)).read(TableName.parse(name)).to_dict("list")


async def coroutine():
    return FRAME


@pytest.mark.parametrize("old", [(), ("bronze.a",)])
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: [{"a": 1}, {"a": 2}], "returned a list of 2 dict"),
        (list, "returned a list"),
        (lambda: pd.Series([1], name="a"), "returned a pandas Series"),
        (lambda: 7, "returned an int"),
        (lambda: "bronze.a", "returned a str"),
        (lambda: (FRAME, "x"), "returned a tuple of 2 DataFrame"),
        (lambda: {"rows": 3}, "returned a dict"),
        (lambda: {"a": [1]}, "returned a dict"),
        (lambda: {"bronze.b": FRAME}, "returned 'bronze.b', but its row's outputs are: bronze.a"),
        (lambda: {"bronze.a": FRAME, "b/c": 5}, "returned an int for 'b/c'"),
        (lambda: {"bronze.a": FRAME, "BRONZE.A": FRAME}, "more than one DataFrame for bronze.a"),
        (lambda: {"bronze.a": [1], "x": FRAME}, "returned a list of 1 int for 'bronze.a'"),
        (coroutine, "returned a coroutine"),
        (lambda: (x for x in "ab"), "returned a generator"),
        (lambda: FRAME.to_numpy(), "returned a numpy ndarray"),
    ],
)
def test_what_no_output_can_take_fails_the_row(run, lake, make, said, old):
    """A row whose result does not fit its output is FAILED, once, with the reason, and nothing is written."""
    result = run(row("A", lambda: make(), outputs=OUT, constants={"retry": 3}), old=old)
    failed = result.transformations["A"]
    assert failed.status.value == "FAILED"
    assert said in failed.reason
    assert failed.error_type == "DataError"
    assert failed.attempts == 1
    assert (content(lake) == {"a": [0]}) if old else not (lake / "bronze").exists()


def test_frames_of_other_libraries_are_told_how_to_become_ones(run):
    """For an object that resembles a DataFrame, the reason has the call that converts it."""

    class DataFrame:
        def to_arrow(self):
            return pa.table({"a": [1]})

    DataFrame.__module__ = "polars.dataframe.frame"
    spark = type("DataFrame", (), {"__module__": "pyspark.sql.connect.dataframe"})
    rows = [
        row("POLARS", lambda: DataFrame(), outputs=[{"table": "t.a"}]),
        row("SPARK", lambda: spark(), outputs=[{"table": "t.b"}]),
        row("SERIES", lambda: FRAME["a"], outputs=[{"table": "t.c"}]),
        row("WRITES", lambda context: context.write(DataFrame(), "t.d")),
    ]
    reasons = {name: t.reason for name, t in run(*rows).transformations.items()}
    assert reasons["POLARS"].endswith("which t.a cannot hold: use its .to_arrow()")
    assert "use its .toPandas(), or set" in reasons["SPARK"]
    assert reasons["SERIES"].endswith("which t.c cannot hold: use its .to_frame()")
    assert reasons["WRITES"].endswith("found DataFrame: use its .to_arrow()")


@pytest.mark.parametrize("kind", [lambda t: t, lambda t: t.to_batches()[0]])
@pytest.mark.parametrize("way", ["return", "write", "dict"])
def test_an_arrow_table_is_a_frame_like_another(run, lake, kind, way):
    """Arrow tables and batches are written with their types: numbers with gaps, maps and decimals, too."""
    table = pa.table(
        {
            "n": pa.array([1, None], pa.int8()),
            "m": pa.array([[("k", 2**60)], None], pa.map_(pa.string(), pa.int64())),
            "d": pa.array([None, 2], pa.decimal128(9, 2)),
            "l": pa.array([[1, None], []], pa.list_(pa.int64())),
        }
    )

    def give(context):
        if way == "write":
            return context.write(kind(table), "bronze.a")
        return kind(table) if way == "return" else {"bronze.A": kind(table)}

    checks = {"checks": [{"row_count": {"min": 2}}, {"accepted_values": {"n": [1]}}], "retry": 0}
    result = run(row("A", give, outputs=OUT, constants=checks))
    assert statuses(result) == {"A": "SUCCESS"}
    assert result.transformations["A"].rows_out == 2
    assert result.warnings == []
    stored = PandasEngine(str(lake))._arrow(TableName.parse("bronze.a"))
    assert stored.schema.types[:2] == table.schema.types[:2]
    assert stored.column("n").to_pylist() == [1, None]
    assert stored.column("m").to_pylist() == [[("k", 2**60)], None]
    assert stored.column("l").to_pylist() == [[1, None], []]


def by_itself(lake, mode="overwrite"):
    """A function that writes its table itself, like the original's."""
    return lambda: write_deltalake(str(lake / "bronze/a"), FRAME, mode=mode)


def test_an_output_that_nobody_wrote_is_a_warning_of_the_run(run):
    """A row that returns nothing and does not change its output is a SUCCESS with a warning that names both."""
    rows = [
        row("A", lambda: None, outputs=OUT),
        row("B", lambda: {"x": None}, outputs=[{"table": "b.b"}]),
    ]
    result = run(*rows, old=["bronze.a"], max_workers=1)
    assert statuses(result) == {"A": "SUCCESS", "B": "SUCCESS"}
    told = "output not written: the function neither returned nor wrote"
    to_do = 'return its DataFrame, or give the output "optional": true in the row'
    assert result.warnings == [
        f"A: bronze.a: {told} bronze.a, and the table is unchanged: {to_do}",
        f"B: b.b: {told} b.b, and the table does not exist: {to_do}",
    ]
    assert [c.status for c in result.transformations["A"].checks] == ["not written"]


def test_one_of_several_outputs_may_be_left_out_no_more_than_all(run):
    """A result for one output does not excuse the other, which gets a warning."""
    outputs = [{"table": "bronze.a"}, {"table": "bronze.b"}, {"table": "bronze.c"}]
    result = run(row("A", lambda: {"bronze.a": FRAME, "bronze.b": None}, outputs=outputs))
    assert [w.partition(": output")[0] for w in result.warnings] == ["A: bronze.b", "A: bronze.c"]


@pytest.mark.parametrize("mode", ["overwrite", "append"])
@pytest.mark.parametrize("manifest", [None, {"outputs_required": True}])
def test_a_function_may_write_its_output_by_itself(run, lake, mode, manifest):
    """A table that changes while the function runs, through any library, counts as written, without a warning."""
    result = run(row("A", by_itself(lake, mode), outputs=OUT), old=["bronze.a"], manifest=manifest)
    assert statuses(result) == {"A": "SUCCESS"}
    assert result.warnings == []


def test_a_table_that_is_made_anew_is_written(run, lake):
    """A function that removes its table's folder and writes version 0 again counts as having written it."""
    import shutil

    def anew():
        shutil.rmtree(lake / "bronze/a")
        write_deltalake(str(lake / "bronze/a"), FRAME)

    assert run(row("A", anew, outputs=OUT), old=["bronze.a"]).warnings == []


def test_who_has_written_its_outputs_may_return_what_it_likes(run, lake):
    """The runner ignores a count or a message that is returned beside written outputs, as in the seed."""

    def both(context):
        context.write(FRAME, "bronze.b")
        return by_itself(lake)() or 17

    result = run(row("A", both, outputs=[*OUT, {"table": "bronze.b"}]), row("B", lambda: 17))
    assert statuses(result) == {"A": "SUCCESS", "B": "SUCCESS"}
    assert result.warnings == []


def test_where_outputs_are_required_leaving_one_out_fails(run, lake):
    """With the manifest's `outputs_required`, such a row is FAILED and not retried, and its dependants are SKIPPED."""
    rows = [
        row("A", lambda: None, outputs=OUT, constants={"retry": 3}),
        row("B", lambda context: context.read("bronze.a"), inputs=["bronze.a"]),
        row("C", lambda: None, outputs=[{"table": "bronze.c", "optional": True}]),
    ]
    result = run(*rows, old=["bronze.a"], manifest={"outputs_required": True})
    assert statuses(result) == {"A": "FAILED", "B": "SKIPPED", "C": "SUCCESS"}
    failed = result.transformations["A"]
    assert failed.attempts == 1
    assert "bronze.a: output not written" in failed.reason
    assert 'give the output "optional": true in the row' in failed.reason
    assert result.warnings == []


def test_an_optional_output_is_not_spoken_of(run):
    """With `"optional": true` in an output, a row that does not change it gets no warning."""
    result = run(row("A", lambda: None, outputs=[{"table": "bronze.a", "optional": True}]))
    assert (statuses(result), result.warnings) == ({"A": "SUCCESS"}, [])


def test_the_mark_stands_in_table_and_gantt(run):
    """Run table and Gantt mark a row with an unchanged output with a sign and words, not by colour."""
    snapshot = snapshot_of(run(row("A", lambda: None, outputs=OUT), row("B", lambda: None)))
    told = "⚠ output not written: the function neither returned nor wrote bronze.a"
    table = table_html(snapshot)
    assert told in table
    assert "✔ SUCCESS ⚠" in table
    gantt = gantt_of(snapshot)
    assert any(line.startswith(told) for line in gantt.tooltip(gantt.segments[0]))
    assert [*gantt.labels] == ["⚠ A", "B"]


def test_one_that_was_told_to_end_and_leaves_its_output_was_cancelled(run, project, lake):
    """A row that returns without its output after a cancel is CANCELLED, so that a retry runs it."""
    import threading

    gate = threading.Event()
    p = project(row("A", lambda: gate.wait(10) and None, outputs=OUT))
    p.tables = PandasEngine(str(lake))
    orchestrator = p.orchestrator()
    orchestrator.hooks.register("transform_start", lambda _: (orchestrator.cancel("A"), gate.set()))
    assert statuses(orchestrator.run()) == {"A": "CANCELLED"}


# -- outputs of the function's own form ----------------------------------------------------------


@pytest.mark.parametrize(
    "outputs",
    [
        ["bronze.a"],
        ["s3://bucket/a"],
        [{"table": "bronze.a", "path": "/mnt/a", "format": "delta", "partition": ["day"]}],
        [{"table": "bronze.a", "mode": "errorifexists"}],
        [{"table": "bronze.a", "path": "x"}, {"table": "bronze.a", "path": "y"}],
        [{"container": "silver", "path_prefix": "a", "object_name": "t.delta"}],
        [{"table": "a/b/c"}, 5, None, {}],
        [{"table": "bronze.a", "mode": "merge", "key": "id"}],
    ],
)
def test_outputs_belong_to_a_function_that_writes_by_itself(run, lake, outputs):
    """A function that writes its tables itself gets outputs of any form unchanged, without a message."""
    seen = []

    def own(outputs):
        seen.append(outputs)
        by_itself(lake)()

    result = run(row("A", own, outputs=outputs))
    assert statuses(result) == {"A": "SUCCESS"}
    assert seen == [outputs]
    assert result.warnings == []


@pytest.mark.parametrize("old", [(), ("bronze.a",)])
@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("bronze.a", "expected an object, found 'bronze.a' - at row 'A', outputs[0]"),
        ({"table": "bronze.a", "mode": "apend"}, "(did you mean 'append'?)"),
        ({"table": "bronze.a", "path": "x"}, "unknown field 'path' - at row 'A', outputs[0].path"),
        ({"table": "s3://bucket/a"}, "is not a table name"),
    ],
)
def test_the_runner_does_not_write_to_outputs_that_it_does_not_understand(
    run, project, lake, output, said, old
):
    """A DataFrame returned for such an output fails the row before anything is written. The plan mentions it."""
    given = row("A", lambda: FRAME, outputs=[output])
    (notice,) = project(given).orchestrator().plan().notices
    assert said in notice
    result = run(given, old=old)
    assert said in result.transformations["A"].reason
    assert (content(lake) == {"a": [0]}) if old else not (lake / "bronze").exists()


def annotated() -> pd.DataFrame:
    return FRAME


def test_where_the_runner_must_write_such_outputs_are_problems_of_the_plan(project):
    """Outputs that the runner cannot parse are problems for functions annotated to return a
    DataFrame. Misspelt keys are problems for all.
    """
    rows = [
        row("A", annotated, outputs=["bronze.a"]),
        row("B", module="odibi_nb.ingest", function="load_csv", outputs=[{"table": "b.b", "x": 1}]),
        row("C", lambda: None, outputs=[{"tabel": "bronze.a"}]),
        row("D", lambda: None, outputs=[{"table": "../a"}]),
    ]
    problems = [str(p) for p in project(*rows).orchestrator().plan().problems]
    assert problems == [
        "unknown field 'tabel' (did you mean 'table'?) - at row 'C', outputs[0].tabel",
        "required field 'table' is missing - at row 'C', outputs[0]",
        (
            "'../a' is not a table name: expected 'schema.table', without slashes, quotes or control "
            "characters - at row 'D', outputs[0]"
        ),
        "expected an object, found 'bronze.a' - at row 'A', outputs[0]",
        "unknown field 'x' - at row 'B', outputs[0].x",
    ]


def test_tables_named_in_a_functions_own_form_order_rows(run, lake):
    """A row waits for the row whose outputs, in a form of its own, name the table that it reads."""
    calls = []

    def reads(context):
        calls.append(list(context.read("bronze.a")["a"]))

    rows = [
        row("B", reads, inputs=["bronze.a"]),
        row("A", by_itself(lake), outputs=["bronze.a"], layer="Silver_1"),
    ]
    assert statuses(run(*rows)) == {"A": "SUCCESS", "B": "SUCCESS"}
    assert calls == [[1]]


# -- wrappers ------------------------------------------------------------------------------------


def node(*names, to):
    """Adapt a function of Kedro's kind: DataFrames and parameters by position in, DataFrames out."""

    def decorate(fn):
        @functools.wraps(fn)
        def call(inputs, constants, context):
            frames = [context.read(source) for source in inputs]
            made = fn(*frames, *(constants[name] for name in names))
            made = made if isinstance(made, tuple) else (made,)
            return dict(zip(to, made, strict=True))

        return call

    return decorate


@node(to=["silver.companies"])
def preprocess_companies(companies: pd.DataFrame) -> pd.DataFrame:
    return companies.assign(rating=companies["rating"] / 100)


@node(to=["silver.shuttles"])
def preprocess_shuttles(shuttles: pd.DataFrame) -> pd.DataFrame:
    return shuttles.assign(price=shuttles["price"].astype(float))


@node("test_size", to=["gold.train", "gold.test"])
def split_data(companies: pd.DataFrame, shuttles: pd.DataFrame, test_size: int):
    both = companies.merge(shuttles, on="id")
    return both.iloc[test_size:], both.iloc[:test_size]


def test_nodes_of_kedro_run_with_one_decorator(run, lake):
    """Functions written for Kedro become transformations, unchanged, through one `functools.wraps` adapter."""

    def raw():
        return {
            "bronze.companies": pd.DataFrame({"id": [1, 2, 3], "rating": [50, 60, 70]}),
            "bronze.shuttles": pd.DataFrame({"id": [1, 2, 3], "price": [1, 2, 3]}),
        }

    def out(*names):
        return [{"table": name} for name in names]

    rows = [
        row("RAW", raw, layer="Bronze", outputs=out("bronze.companies", "bronze.shuttles")),
        row(
            "C", preprocess_companies, inputs=["bronze.companies"], outputs=out("silver.companies")
        ),
        row("S", preprocess_shuttles, inputs=["bronze.shuttles"], outputs=out("silver.shuttles")),
        row(
            "SPLIT",
            split_data,
            inputs=["silver.companies", "silver.shuttles"],
            constants={"test_size": 1, "retry": 0},
            outputs=out("gold.train", "gold.test"),
        ),
    ]
    result = run(*rows)
    assert set(statuses(result).values()) == {"SUCCESS"}
    assert result.warnings == []
    assert content(lake, "gold.test") == {"id": [1], "rating": [0.5], "price": [1.0]}
    assert content(lake, "gold.train")["id"] == [2, 3]


def test_a_function_may_keep_its_outputs_elsewhere(run):
    """An output with fields that only the function knows gets no warning."""
    own = [{"table": "silver.q", "path": "/mnt/q", "format": "delta"}]
    rows = [
        row("A", lambda: None, outputs=own),
        row("B", lambda: 17, outputs=[{**own[0], "table": "b"}]),
    ]
    result = run(*rows, manifest={"outputs_required": True})
    assert statuses(result) == {"A": "SUCCESS", "B": "SUCCESS"}
    assert result.warnings == []


def test_a_refused_return_is_told_without_our_own_frames(run):
    """The error about a result has no traceback: it would only show the runner's code."""
    failed = run(row("A", lambda: [1], outputs=OUT)).transformations["A"]
    assert failed.traceback == ""
    assert failed.reason.startswith(
        "DataError: the function returned a list of 1 int, which bronze.a"
    )
