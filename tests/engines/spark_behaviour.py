"""Behaviour of the Spark engine on every kind of session, beyond the contract of all engines."""

import datetime as dt
import sqlite3
from decimal import Decimal

import msgspec
import pandas as pd
import pyarrow as pa
import pytest
from engines.contract import INFO, NOON, table
from engines.loaded_files import BIG, LoadedFiles
from engines.parallel_rows import runs
from fakes import row, statuses
from spark_sessions import engine as make_engine
from spark_sessions import make, rows_of

from odibi_nb.concatenation import NO_DATA
from odibi_nb.core.model.attempt_control import AttemptControl
from odibi_nb.core.model.checks import Rule
from odibi_nb.core.model.engine import Engine
from odibi_nb.core.model.transformation import Output, Transformation
from odibi_nb.core.running.context import ExecutionContext
from odibi_nb.core.running.returned import write_returned
from odibi_nb.engines.pandas.engine import PandasEngine
from odibi_nb.engines.pandas.frames import plain
from odibi_nb.engines.spark import writes as spark_writes
from odibi_nb.engines.spark.frames import storable
from odibi_nb.errors import DataError, RevokedError, TableNotFoundError
from odibi_nb.ingest import load_csv, load_sql


def interfering(frame, path, flag, times):
    """Return *frame*, whose column v is computed while another writer replaces the table at *path*."""
    from pyspark.sql.functions import udf

    def value(v):
        import contextlib
        from pathlib import Path

        import pyarrow as pa
        from deltalake import write_deltalake
        from deltalake.exceptions import CommitFailedError

        for number in range(times):
            with contextlib.suppress(FileExistsError):
                Path(f"{flag}{number}").touch(exist_ok=False)
                theirs = pa.table({"k": [1, 2], "v": ["theirs", "theirs"]})
                with contextlib.suppress(CommitFailedError):  # another row's has overtaken it
                    write_deltalake(path, theirs, mode="overwrite")
                break
        return v

    return frame.withColumn("v", udf(value, "string")("v"))


class SparkBehaviour(LoadedFiles):
    """The tests; a subclass gives `connection` and `engine`."""

    def stored(self, engine, frame):
        """Convert with `storable`."""
        frame = storable(frame, "t", "UTC")
        guesses = {f.name for f in frame.schema.fields if NO_DATA in f.metadata}
        return plain(frame.toArrow()), guesses

    @pytest.fixture
    def spark(self, connection):
        """The session."""
        return connection.spark

    @pytest.fixture
    def pandas(self, engine):
        """The pandas engine over the same lake."""
        return PandasEngine(engine._lake.root)

    def put(self, engine, spark, rows, name="silver.t", **how):
        """Write rows."""
        return engine.write(make(spark, rows), Output(table=name, **how), INFO)

    def test_a_spark_row_may_return_pandas_and_arrow(self, engine, spark):
        """A Spark row may return pandas and Arrow tables. A type that Spark cannot hold is refused by its column."""
        one = msgspec.convert(
            {
                **dict.fromkeys(("transformation_id", "project", "environment", "layer"), "A"),
                **dict.fromkeys(("module", "function"), "f"),
                "targets": [{"table": "silver.t"}],
            },
            Transformation,
        )
        context = ExecutionContext(
            engine="spark", project="P", env="qat", spark=spark, tables=engine
        )
        frame = pd.DataFrame({"k": [1, 2], "s": ["x", None]})
        for given in (frame, pa.Table.from_pandas(frame), make(spark, [{"k": 1, "s": "x"}])):
            assert write_returned(given, one, context) == ""
        assert rows_of(engine.read(table("silver.t"))) == [{"k": 1, "s": "x"}]
        assert "a pandas Series, which silver.t cannot hold" in write_returned(
            frame["k"], one, context
        )
        for odd, said in (
            (pd.DataFrame({"k": [1, "x"]}), "silver.t, column 'k': it mixes values"),
            (pa.table({"d": pa.array([1], pa.duration("s"))}), "silver.t"),
        ):
            with pytest.raises(DataError, match=said):
                write_returned(odd, one, context)
        assert rows_of(engine.read(table("silver.t"))) == [{"k": 1, "s": "x"}]

    def test_outputs_of_a_run(self, engine, spark, tmp_path):
        """A Spark row may write its output itself. Without a write it gets a warning, and a returned count fails it."""

        def by_itself(spark):
            path = f"{engine._lake.root}/silver/own"
            make(spark, [{"k": 1}]).write.format("delta").mode("append").save(path)

        rows = [
            row("OWN", by_itself, outputs=[{"table": "silver.own"}]),
            row(
                "LEFT",
                lambda spark: make(spark, [{"k": 1}]) and None,
                outputs=[{"table": "silver.t"}],
            ),
            row(
                "COUNT",
                lambda spark: make(spark, [{"k": 1}]).count(),
                outputs=[{"table": "silver.u"}],
            ),
            row("PANDAS", lambda: pd.DataFrame({"k": [1]}), outputs=[{"table": "silver.p"}]),
        ]
        self.put(engine, spark, [{"k": 0}])
        result = runs(engine, tmp_path)(*rows, max_workers=1)
        assert statuses(result) == {
            **dict.fromkeys(("LEFT", "OWN", "PANDAS"), "SUCCESS"),
            "COUNT": "FAILED",
        }
        assert [text.partition(": output")[0] for text in result.warnings] == ["LEFT: silver.t"]
        assert "an int, which silver.u cannot hold" in result.transformations["COUNT"].reason
        assert rows_of(engine.read(table("silver.p"))) == [{"k": 1}]

    def test_pandas_reads_what_spark_wrote(self, engine, spark, pandas):
        """A pandas row reads values of every kind that Spark writes, appends and merges."""
        sql = (
            "SELECT 1L AS k, 1.50BD AS amount, 'é' AS `größe`, DATE'2024-01-02' AS d, "
            "TIMESTAMP'2024-01-02 12:00:00Z' AS t, TIMESTAMP_NTZ'2024-01-02 12:00:00' AS naive, "
            "CAST(NULL AS double) AS x, array(1L, 2L) AS many"
        )
        engine.write(spark.sql(sql), Output(table="silver.t"), INFO)
        engine.write(spark.sql(sql), Output(table="silver.t", mode="append"), INFO)
        merged = Output(table="silver.u", mode="merge", keys=("k",))
        engine.write(make(spark, [{"k": 1, "v": "old"}, {"k": 2, "v": "same"}]), merged, INFO)
        engine.write(make(spark, [{"k": 1, "v": "new"}]), merged, INFO)
        frame = pandas.read(table("silver.t"))
        assert len(frame) == 2
        row = frame.iloc[0]
        assert (row["k"], row["amount"], row["größe"]) == (1, Decimal("1.50"), "é")
        assert (row["d"], row["t"], row["naive"]) == (dt.date(2024, 1, 2), NOON, NOON)
        assert pd.isna(row["x"])
        assert list(row["many"]) == [1, 2]
        assert sorted(pandas.read(table("silver.u"))["v"]) == ["new", "same"]

    def test_spark_reads_and_goes_on_with_what_pandas_wrote(self, engine, spark, pandas):
        """Spark rows read, query, append to and merge into a table that a pandas row made."""
        frame = pd.DataFrame(
            {"k": [1, 2], "x": [1.5, None], "s": ["é", None], "t": pd.to_datetime([NOON, None])}
        )
        pandas.write(frame, Output(table="silver.t"), INFO)
        assert rows_of(engine.query("SELECT count(*) AS n, max(t) AS t FROM silver.t")) == [
            {"n": 2, "t": NOON}
        ]
        more = [{"k": 3, "x": 2.5, "s": "z", "t": NOON}]
        self.put(engine, spark, more, mode="append")
        self.put(engine, spark, [{**more[0], "s": "y"}], mode="merge", keys=("k",))
        assert rows_of(engine.read(table("silver.t"))) == [
            {"k": 1, "x": 1.5, "s": "é", "t": NOON},
            {"k": 2, "x": None, "s": None, "t": None},
            {**more[0], "s": "y"},
        ]
        assert len(pandas.read(table("silver.t"))) == 3

    def test_rows_are_counted_without_another_pass(self, engine, spark):
        """The number of rows written comes from the commit's metrics, the number of rows of a table from its log."""
        rows = [{"k": 1}, {"k": 2}]
        assert self.put(engine, spark, rows) == 2
        assert self.put(engine, spark, rows, mode="append") == 2
        assert self.put(engine, spark, [{"k": 2}, {"k": 9}], "silver.m", mode="append") == 2
        assert self.put(engine, spark, rows, "silver.m", mode="merge", keys=("k",)) == 2
        frame = engine.read(table("silver.t"))
        assert engine.row_count(frame) == 4
        assert engine.row_count(frame.filter("k = 1")) is None

    def test_tables_are_known_to_the_session(self, engine, spark):
        """``spark.table`` finds every table of the lake, from any writer, and after a change."""
        self.put(engine, spark, [{"k": 1}], "silver.known")
        assert rows_of(spark.table("silver.known")) == [{"k": 1}]
        self.put(engine, spark, [{"k": "a"}], "silver.known", schema_mode="overwrite")
        assert rows_of(spark.table("silver.known")) == [{"k": "a"}]

    def test_another_lake_has_other_tables(self, engine, spark, connection, tmp_path):
        """The same name in another project's lake is that lake's table, and no file is lost."""
        self.put(engine, spark, [{"k": 1}])
        other = make_engine(connection, tmp_path / "other")
        self.put(other, spark, [{"k": 2}])
        assert rows_of(other.query("SELECT * FROM silver.t")) == [{"k": 2}]
        assert rows_of(engine.query("SELECT * FROM silver.t")) == [{"k": 1}]
        assert rows_of(other.read(table("silver.t"))) == [{"k": 2}]

    @pytest.mark.parametrize(
        "sql",
        [
            "DROP TABLE silver.t",
            "INSERT INTO silver.t VALUES (1)",
            "FROM silver.t INSERT OVERWRITE TABLE silver.u SELECT *",
            "WITH x AS (SELECT 1) INSERT INTO silver.t SELECT * FROM x",
            "SELECT 1; DROP TABLE silver.t",
            "SET spark.sql.ansi.enabled = false",
            "",
        ],
    )
    def test_only_one_select_is_a_query(self, engine, sql):
        """Anything but one SELECT is refused before it runs."""
        with pytest.raises(DataError, match="must be one SELECT"):
            engine.query(sql)

    @pytest.mark.parametrize(
        "source",
        [
            "csv.`{path}`",
            "CSV . `{path}`",
            "text.secret",
            "parquet.`secret`",
            "`csv`.`secret.csv`",
            "IDENTIFIER('csv.`{path}`')",
            "read_files('{path}')",
            "delta.`{path}`",
            "(SELECT * FROM json.`{path}`)",
            "(SELECT reflect('java.lang.System', 'getProperty', 'user.home') AS a)",
            "(SELECT java_method('java.lang.System', 'getenv', 'PATH') AS a)",
            "(SELECT TRANSFORM(1) USING 'cat' AS (a))",
        ],
    )
    def test_a_query_sees_no_files(self, engine, tmp_path, source):
        """Paths and formats in the place of tables, Java and scripts are refused."""
        (tmp_path / "secret.csv").write_text("a\nhidden\n")
        with pytest.raises(DataError, match=r"is not a table|only reads") as caught:
            engine.query(f"SELECT * FROM {source.format(path=tmp_path / 'secret.csv')}")
        assert "hidden" not in str(caught.value)

    def test_a_schema_may_be_called_like_a_format(self, engine, spark):
        """A table of the lake is found under any schema name, where Sail would read a file instead."""
        self.put(engine, spark, [{"k": 1}], "json.events")
        if engine.connection.kind == "sail":
            with pytest.raises(DataError, match="is not a table"):
                engine.query("SELECT e.k FROM json.events AS e")
            return
        assert rows_of(engine.query("SELECT e.k FROM json.events AS e")) == [{"k": 1}]

    def test_a_database_is_loaded_through_the_driver(self, engine, spark, tmp_path, monkeypatch):
        """load_sql gives a Spark DataFrame with the columns' types; too many rows are refused."""
        with sqlite3.connect(tmp_path / "erp.db") as database:
            database.execute("CREATE TABLE orders (id INTEGER, price REAL, day TEXT)")
            database.executemany(
                "INSERT INTO orders VALUES (?, ?, ?)", [(1, 1.5, "mo"), (2, None, None)]
            )
        database.close()
        context = ExecutionContext(
            engine=Engine.SPARK,
            project="P",
            env="e",
            tables=engine,
            folder=str(tmp_path),
            connections={"erp": "sqlite:///erp.db"},
        )
        constants = {"connection": "erp", "query": "SELECT * FROM orders ORDER BY id"}
        shape = {"rename": {"id": "order_id"}, "add": {"site": "A"}}
        frame = load_sql([], {**constants, **shape}, [], context)
        assert rows_of(frame) == [
            {"order_id": 1, "price": 1.5, "day": "mo", "site": "A"},
            {"order_id": 2, "price": None, "day": None, "site": "A"},
        ]
        context.write(frame, "bronze.orders")
        assert context.rows_in == 2
        monkeypatch.setattr("odibi_nb.ingest.MOST_ON_SPARK", 1)
        with pytest.raises(DataError, match="more than 1 rows, too many for the driver"):
            load_sql([], constants, [], context)

    def test_a_missing_table_is_answered_with_the_nearest(self, engine, spark):
        """The error about a misspelt table has a suggestion."""
        self.put(engine, spark, [{"k": 1}], "silver.sensors")
        for ask in (
            lambda: engine.read(table("silver.sensor")),
            lambda: engine.query("SELECT * FROM silver.sensor"),
        ):
            with pytest.raises(TableNotFoundError, match=r"did you mean 'silver\.sensors'"):
                ask()

    def test_names_that_delta_refuses_are_refused_clearly(self, engine, spark):
        """A blank in a column's name is an error that proposes another name."""
        with pytest.raises(DataError, match=r"'a b' has ' ' in its name.*rename it.*'a_b'"):
            self.put(engine, spark, [{"a b": 1}])
        assert not engine.exists(table("silver.t"))

    def test_intervals_are_refused_clearly(self, engine, spark):
        """A type that tables cannot store is an error that proposes another type."""
        frame = spark.sql("SELECT INTERVAL '1' DAY AS pause")
        with pytest.raises(DataError, match="'pause': a table cannot store intervals"):
            engine.write(frame, Output(table="silver.t"), INFO)

    def test_a_merge_that_another_write_overtook_is_done_again(self, engine, spark, tmp_path):
        """If another writer commits during a merge, the merge starts over on the new version."""
        self.put(engine, spark, [{"k": 1, "v": "old"}])
        frame = make(spark, [{"k": 1, "v": "ours"}, {"k": 3, "v": "ours"}])
        path = engine._lake.uri(table("silver.t"))
        frame = interfering(frame, path, str(tmp_path / "flag"), times=1)
        engine.write(frame, Output(table="silver.t", mode="merge", keys=("k",)), INFO)
        assert rows_of(engine.read(table("silver.t"))) == [
            {"k": 1, "v": "ours"},
            {"k": 2, "v": "theirs"},
            {"k": 3, "v": "ours"},
        ]

    def test_a_write_that_is_always_overtaken_is_one_message(
        self, engine, spark, tmp_path, monkeypatch
    ):
        """If other writers keep changing the table, the write gives up, and the table keeps their rows."""
        monkeypatch.setattr(spark_writes, "_CONFLICT_TRIES", 2)
        self.put(engine, spark, [{"k": 1, "v": "old"}])
        path = engine._lake.uri(table("silver.t"))
        frame = interfering(make(spark, [{"k": 1, "v": "ours"}]), path, str(tmp_path / "f"), 50)
        with pytest.raises(DataError) as caught:
            engine.write(frame, Output(table="silver.t"), INFO)
        start = "silver.t: other writers kept changing the table; nothing was written: "
        assert str(caught.value).startswith(start)
        assert "\n" not in str(caught.value)
        assert [row["v"] for row in rows_of(engine.read(table("silver.t")))] == ["theirs"] * 2

    def test_types_that_hold_all_values_are_taken(self, engine, spark):
        """Narrower numbers go into wider columns; wider ones are refused, not cut."""
        engine.write(spark.sql("SELECT 1L AS k, 1.5D AS x"), Output(table="silver.t"), INFO)
        narrow = spark.sql("SELECT 2 AS k, CAST(2.5 AS float) AS x")
        engine.write(narrow, Output(table="silver.t", mode="append"), INFO)
        assert rows_of(engine.read(table("silver.t"))) == [{"k": 1, "x": 1.5}, {"k": 2, "x": 2.5}]
        engine.write(spark.sql("SELECT 1 AS k"), Output(table="silver.n"), INFO)
        with pytest.raises(DataError, match=r"'k' \(int in the table, bigint in the frame\)"):
            wide = spark.sql("SELECT 3000000000L AS k")
            engine.write(wide, Output(table="silver.n", mode="append"), INFO)

    def test_a_revoked_attempt_raises_revoked(self, engine, spark):
        """In a cancelled attempt, any error of Spark counts as the revocation."""
        control = AttemptControl()

        def attempt():
            with engine.attempt_scope(INFO, (), control):
                control.revoke("cancelled")
                spark.sql("SELECT no_such_column").collect()

        with pytest.raises(RevokedError, match="cancelled"):
            attempt()

    def test_files_have_the_types_that_pandas_finds(self, engine, tmp_path):
        """Columns without a name, text that looks like a time, and whole numbers are the same on both engines."""
        path = tmp_path / "a.csv"
        path.write_text(",n,x,when,flag\n007,1,1.5,2024-01-02 12:00:00,true\n008,2,,x,false\n")
        asked = {"format": "csv", "schema": {"Unnamed: 0": "string"}}
        frame = engine.read_file(str(path), **asked)
        assert frame.columns == ["Unnamed: 0", "n", "x", "when", "flag"]
        assert list(engine.schema(frame).values()) == [
            "string",
            "bigint",
            "double",
            "string",
            "boolean",
        ]
        assert rows_of(frame)[0]["Unnamed: 0"] == "007"

    def test_json_is_read_in_both_forms(self, engine, tmp_path):
        """An array of records and a record per line give the same rows."""
        (tmp_path / "a.json").write_text('[{"a": 1, "b": "x"}, {"a": null, "b": "y"}]')
        (tmp_path / "a.jsonl").write_text('{"a": 1, "b": "x"}\n{"a": null, "b": "y"}\n')
        expected = [{"a": 1, "b": "x"}, {"a": None, "b": "y"}]
        for name in ("a.json", "a.jsonl"):
            frame = engine.read_file(
                str(tmp_path / name), format="json", schema={"a": "bigint", "b": "string"}
            )
            assert rows_of(frame) == expected

    def test_parquet_excel_and_delta_are_read(self, engine, spark, tmp_path):
        """The other formats give the rows that were written, with the schema's types."""
        frame = pd.DataFrame({"k": [1, 2], "s": ["x", "y"]})
        frame.to_parquet(tmp_path / "a.parquet")
        frame.to_excel(tmp_path / "a.xlsx", index=False)
        self.put(engine, spark, frame.to_dict("records"), "silver.t")
        places = {
            "parquet": tmp_path / "a.parquet",
            "excel": tmp_path / "a.xlsx",
            "delta": f"{engine._lake.root}/silver/t",
        }
        for kind, place in places.items():
            read = engine.read_file(str(place), format=kind, schema={"k": "double"})
            assert rows_of(read) == [{"k": 1.0, "s": "x"}, {"k": 2.0, "s": "y"}]

    def test_sources_with_other_types_change_no_value(self, engine, tmp_path):
        """A source without values takes the types of the others. A number that a float rounds is refused."""
        rows = {"e": "5,", "n": "1,7", "x": "1,abc", "f": "0.5,1", "b": f"{BIG},1"}
        for name, line in rows.items():
            (tmp_path / f"{name}.csv").write_text(f"id,v\n{line}\n")
        where = {"project": "P", "env": "qat", "folder": str(tmp_path)}
        context = ExecutionContext(engine=Engine.SPARK, tables=engine, **where)

        def load(*names):
            constants = {"source": [f"{name}.csv" for name in names]}
            return load_csv(inputs=[], constants=constants, outputs=[], context=context)

        found = rows_of(load("e", "n", "f"))
        assert found == [{"id": 0.5, "v": 1}, {"id": 1.0, "v": 7}, {"id": 5.0, "v": None}]
        with pytest.raises(DataError, match=r'bigint, string\): give "schema"'):
            load("n", "x")
        with pytest.raises(Exception, match=f"{BIG} in column id is rounded"):
            load("b", "f").collect()

    def test_a_misspelt_file_is_answered_with_the_nearest(self, engine, tmp_path):
        """The error about a missing file names a similar file."""
        (tmp_path / "sensors.csv").write_text("a\n1\n")
        with pytest.raises(DataError, match=r"sensor\.csv: no such file.*'sensors\.csv'"):
            engine.read_file(str(tmp_path / "sensor.csv"), format="csv")

    def test_data_checks_judge_as_on_pandas(self, engine, spark, pandas):
        """Every kind of rule gives the numbers and samples that the pandas engine gives."""
        rows = [
            {"k": 1, "s": "OK", "x": 5.0, "t": NOON},
            {"k": 1, "s": "odd", "x": -1.0, "t": None},
            {"k": 2, "s": None, "x": None, "t": NOON - dt.timedelta(days=1)},
        ]
        rules = [
            Rule(kind="not_null", text="not_null(s, x)", columns=("s", "x")),
            Rule(kind="unique", text="unique(k)", columns=("k",)),
            Rule(kind="accepted_values", text="accepted", columns=("s",), values=("OK", "it's")),
            Rule(kind="between", text="between(x)", columns=("x",), low=0, high=10.5),
            Rule(kind="between", text="between(t)", columns=("t",), low="2024-01-02"),
            Rule(kind="row_count", text="row_count"),
            Rule(kind="fresh", text="fresh(t)", columns=("t",)),
        ]
        ours = engine.measure(make(spark, rows), rules)
        theirs = pandas.measure(pd.DataFrame(rows), rules)
        assert ours == theirs
        assert [m.failed for m in ours] == [1, 2, 1, 1, 1, 0, 0]
        assert ours[-1].newest == NOON

    def test_rows_that_break_a_rule_are_set_apart(self, engine, spark):
        """The good rows keep their columns. The others have the broken rules and the time."""
        rules = [
            Rule(kind="not_null", text="not_null(s)", columns=("s",)),
            Rule(kind="between", text="it's low", columns=("k",), low=2),
        ]
        frame = make(spark, [{"k": 1, "s": None}, {"k": 1, "s": "x"}, {"k": 2, "s": "y"}])
        good, bad = engine.split(frame, rules)
        assert rows_of(good) == [{"k": 2, "s": "y"}]
        told = sorted(row["_failed_checks"] for row in rows_of(bad))
        assert told == ["it's low", "not_null(s); it's low"]
        assert engine.schema(bad)["_quarantined_at"] == "timestamp"

    def test_a_rule_that_does_not_fit_its_column_is_one_message(self, engine, spark):
        """Comparing a number with text is an error that names the rule."""
        rule = Rule(kind="between", text="between(k)", columns=("k",), low="abc")
        with pytest.raises(DataError, match=r"between\(k\) cannot be checked"):
            engine.measure(make(spark, [{"k": 1}]), [rule])
