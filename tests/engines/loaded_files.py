"""Contents of files that every engine must load alike: the same values and types."""

import codecs
import datetime as dt
import gzip
import json
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from engines.contract import INFO, table
from openpyxl import Workbook

from odibi_nb.core.model.transformation import Output
from odibi_nb.engines.delta.schema import type_name
from odibi_nb.engines.pandas.engine import PandasEngine
from odibi_nb.errors import DataError

UTC = dt.timezone.utc
BIG = 2**53 + 1
FAR = dt.datetime(9999, 12, 31, tzinfo=UTC)
FIRST = dt.datetime(1, 1, 1, tzinfo=UTC)
GUESS = "no values"
"""The type of a column that never had a value."""


def parquet(path, columns, **how):
    """Write a Parquet file of Arrow arrays."""
    pq.write_table(pa.table(columns), path, **how)


def workbook(path, *rows):
    """Write a workbook of one sheet."""
    book = Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)


def put(path, content):
    """Write a file: text, bytes, JSON's values, a workbook's rows or a Parquet file's columns."""
    if path.suffix == ".xlsx":
        workbook(path, *content)
    elif path.suffix == ".parquet":
        parquet(path, content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))


CSV = "c,i,b,x,w,t,n\nNA,1,true,1.5,12345678901234567890,a,\nDE,,,NA,1,,\nnull,9007199254740993,False,,,None,\n"
MIXED_UP = {
    "c": ("string", ["NA", "DE", "null"]),
    "i": ("bigint", [1, None, BIG]),
    "b": ("boolean", [True, None, False]),
    "x": ("double", [1.5, None, None]),
    "w": ("decimal(38, 0)", [Decimal(12345678901234567890), Decimal(1), None]),
    "t": ("string", ["a", None, "None"]),
    "n": (GUESS, [None, None, None]),
}
FILES = {
    "text, and numbers with gaps": ("a.csv", CSV, {}, MIXED_UP),
    "declared text": (
        "a.csv",
        "id,code,i\n007,NA,7\n,N/A,\n 8,nan,NULL\n",
        {"id": "string", "code": "string", "i": "bigint"},
        {
            "id": ("string", ["007", None, " 8"]),
            "code": ("string", ["NA", "N/A", "nan"]),
            "i": ("bigint", [7, None, None]),
        },
    ),
    "declared columns without values": (
        "a.csv",
        "s,i,d\n,,\n",
        {"s": "string", "i": "int", "d": "date"},
        {"s": ("string", [None]), "i": ("int", [None]), "d": ("date", [None])},
    ),
    "numbers beyond a float's range": (
        "a.csv",
        "x,y\n1e400,1e300\n1,inf\n",
        {},
        {"x": ("string", ["1e400", "1"]), "y": ("double", [1e300, float("inf")])},
    ),
    "a header only": ("a.csv", "id,v\n", {}, {"id": (GUESS, []), "v": (GUESS, [])}),
    "the first and the last day": (
        "a.csv",
        "d,t\n0001-01-01,0001-01-01T00:00:00\n9999-12-31,9999-12-31T00:00:00\n",
        {"d": "date", "t": "timestamp"},
        {"d": ("date", [FIRST.date(), FAR.date()]), "t": ("timestamp", [FIRST, FAR])},
    ),
    "packed": (
        "a.csv.gz",
        gzip.compress(b"a,b\n007,NA\n"),
        {"a": "string"},
        {"a": ("string", ["007"]), "b": ("string", ["NA"])},
    ),
    "quotes and backslashes in quotes": (
        "a.csv",
        'v,n\n"say ""hi"", you",1\n"c:\\",2\n',
        {},
        {"v": ("string", ['say "hi", you', "c:\\"]), "n": ("bigint", [1, 2])},
    ),
    "UTF-16": (
        "a.csv",
        "id,name\n1,Zoé\n".encode("utf-16"),
        {},
        {"id": ("bigint", [1]), "name": ("string", ["Zoé"])},
    ),
    "JSON with nulls": (
        "a.json",
        [
            {"id": BIG, "s": 7, "b": True, "n": None, "x": 1.5, "l": [BIG, None], "m": []},
            {"id": None, "s": None, "b": None, "n": None, "x": 2, "l": [], "m": []},
        ],
        {"s": "string"},
        {
            "id": ("bigint", [BIG, None]),
            "s": ("string", ["7", None]),
            "b": ("boolean", [True, None]),
            "n": (GUESS, [None, None]),
            "x": ("double", [1.5, 2.0]),
            "l": ("list<bigint>", [[BIG, None], []]),
            "m": (None, [[], []]),
        },
    ),
    "JSON's long decimals and text as written": (
        "a.json",
        '[{"d": 12345678901234567890.123, "s": 7.50}, {"d": 1, "s": {"a": [1.5, null, "é"]}}]',
        {"d": "decimal(38,3)", "s": "string"},
        {
            "d": ("decimal(38, 3)", [Decimal("12345678901234567890.123"), Decimal("1.000")]),
            "s": ("string", ["7.50", '{"a": [1.5, null, "é"]}']),
        },
    ),
    "a record per line, with a byte order mark": (
        "a.jsonl",
        codecs.BOM_UTF8 + f'{{"id": {BIG}}}\n{{"id": null}}\n'.encode(),
        {"id": "bigint"},
        {"id": ("bigint", [BIG, None])},
    ),
    "JSON with a byte order mark": (
        "a.json",
        codecs.BOM_UTF8 + b'[{"id": 1}]',
        {},
        {"id": ("bigint", [1])},
    ),
    "JSON in UTF-16": ("a.json", '[{"id": 1}]'.encode("utf-16"), {}, {"id": ("bigint", [1])}),
    "one JSON object": (
        "a.json",
        {"id": 1, "name": "x"},
        {},
        {"id": ("bigint", [1]), "name": ("string", ["x"])},
    ),
    "JSON without records": ("a.json", [], {"n": "int"}, {"n": ("int", [])}),
    "Parquet with nulls": (
        "a.parquet",
        {
            "i": pa.array([BIG, None], pa.int64()),
            "j": pa.array([1, None], pa.int16()),
            "u": pa.array([2**64 - 1, None], pa.uint64()),
            "b": pa.array([True, None]),
            "d": pa.array([Decimal("1.50"), None], pa.decimal128(10, 2)),
            "m": pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
            "l": pa.array([[1, None], None], pa.list_(pa.int32())),
            "s": pa.array([None, None], pa.string()),
            "day": pa.array([dt.date(1, 1, 1), None], pa.date32()),
        },
        {},
        {
            "i": ("bigint", [BIG, None]),
            "j": ("smallint", [1, None]),
            "u": ("decimal(20, 0)", [Decimal(2**64 - 1), None]),
            "b": ("boolean", [True, None]),
            "d": ("decimal(10, 2)", [Decimal("1.50"), None]),
            "m": ("map<string, bigint>", [[("a", 1)], []]),
            "l": ("list<int>", [[1, None], None]),
            "s": ("string", [None, None]),
            "day": ("date", [dt.date(1, 1, 1), None]),
        },
    ),
    "whole numbers of Parquet as text": (
        "a.parquet",
        {"i": pa.array([7, None], pa.int64())},
        {"i": "string"},
        {"i": ("string", ["7", None])},
    ),
    "a workbook's years, days and gaps": (
        "a.xlsx",
        [["site", 2023, dt.datetime(2024, 1, 1), "id"], ["NA", 1, 2, 7], [None, None, 3.5, "#N/A"]],
        {},
        {
            "site": ("string", ["NA", None]),
            "2023": ("bigint", [1, None]),
            "2024-01-01": ("double", [2.0, 3.5]),
            "id": ("bigint", [7, None]),
        },
    ),
    "numbers and text in a workbook's column": (
        "a.xlsx",
        [["id", "2023"], ["007", 1], [15, None], [None, 2]],
        {"id": "string", "2023": "double"},
        {"id": ("string", ["007", "15", None]), "2023": ("double", [1.0, None, 2.0])},
    ),
}


def name_of(kind):
    """Return the tests' name of an Arrow type."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list<{name_of(kind.value_type)}>"
    if pa.types.is_map(kind):
        return f"map<{name_of(kind.key_type)}, {name_of(kind.item_type)}>"
    return type_name(kind).replace("large_", "")


def found_in(rows, guesses):
    """Column to the name of its type and its values, of an Arrow table."""
    return {
        field.name: (
            GUESS if field.name in guesses else name_of(field.type),
            rows[field.name].to_pylist(),
        )
        for field in rows.schema
    }


class LoadedFiles:
    """The tests; the subclass gives `engine` and *self.stored*."""

    def stored(self, engine, frame):
        """Return the stored *frame* as an Arrow table, and the columns whose types are guesses."""
        raise NotImplementedError

    @pytest.mark.parametrize("what", FILES)
    def test_files_are_loaded_with_the_values_and_types_that_they_have(
        self, engine, tmp_path, what
    ):
        """A file gives the same values and types on every engine, and no value passes through a float."""
        name, content, schema, expected = FILES[what]
        put(tmp_path / name, content)
        form = {"jsonl": "json", "xlsx": "excel"}.get(name.split(".")[1], name.split(".")[1])
        frame = engine.read_file(str(tmp_path / name), format=form, schema=schema)
        found = found_in(*self.stored(engine, frame))
        for column, (kind, _) in expected.items():
            if kind is None:
                found[column] = (None, found[column][1])
        assert found == expected

    @pytest.mark.parametrize(
        ("lines", "value", "kind"),
        [
            ("1\nx", "1.5", "int"),
            ("1.255", "1.255", "decimal"),
            ("maybe", '"maybe"', "boolean"),
            ("9223372036854775808", "9223372036854775808", "bigint"),
            ("true", "true", "double"),
        ],
    )
    def test_a_value_that_does_not_fit_is_refused_and_not_changed(
        self, engine, tmp_path, lines, value, kind
    ):
        """A declared column refuses a value that its type cannot represent, with column and value."""
        put(tmp_path / "a.csv", f"v\n{lines}\n")
        put(tmp_path / "a.json", f'[{{"v": {value}}}]')
        schema = {"v": "decimal(4,2)" if kind == "decimal" else kind}
        for form in ("csv", "json"):
            with pytest.raises(Exception, match=f"column 'v'.*does not fit type {kind}"):
                self.stored(
                    engine,
                    engine.read_file(str(tmp_path / f"a.{form}"), format=form, schema=schema),
                )

    @pytest.mark.parametrize(("number", "kind"), [("1e39", "float"), ("-1e400", "double")])
    def test_a_number_beyond_a_floats_range_is_refused(self, engine, tmp_path, number, kind):
        """A declared column of floats refuses a number that would become infinite; inf stays infinite."""
        put(tmp_path / "a.csv", f"v\n{number}\n")
        put(tmp_path / "a.json", f'[{{"v": {number}}}, {{"v": 0.1}}, {{"v": null}}]')
        shown = number.replace("e", r"e\+?")
        for form in ("csv", "json"):
            with pytest.raises(
                Exception, match=f"column 'v'.*{shown} does not fit type {kind}|'{number}' does"
            ):
                self.stored(
                    engine,
                    engine.read_file(str(tmp_path / f"a.{form}"), format=form, schema={"v": kind}),
                )
        put(tmp_path / "a.json", '[{"v": 0.1}, {"v": null}, {"v": 3}, {"v": -2.5e-7}]')
        frame = engine.read_file(str(tmp_path / "a.json"), format="json", schema={"v": "double"})
        rows, _ = self.stored(engine, frame)
        assert sorted(rows["v"].to_pylist(), key=str) == [-2.5e-07, 0.1, 3.0, None]
        put(tmp_path / "a.csv", "v\n-inf\n")
        frame = engine.read_file(str(tmp_path / "a.csv"), format="csv", schema={"v": kind})
        rows, _ = self.stored(engine, frame)
        assert rows["v"].to_pylist() == [float("-inf")]

    @pytest.mark.parametrize("kind", ["bigint", "double", "decimal(20,0)"])
    def test_times_are_no_numbers(self, engine, tmp_path, kind):
        """A schema that declares a Parquet file's times and days as numbers is refused, not counted in units."""
        at = dt.datetime(2026, 1, 2, tzinfo=UTC)
        parquet(tmp_path / "a.parquet", {"at": pa.array([at]), "day": pa.array([at.date()])})
        for name in ("at", "day"):
            with pytest.raises(
                DataError, match=f"column '{name}'.* does not fit type {kind.split('(')[0]}"
            ):
                engine.read_file(str(tmp_path / "a.parquet"), format="parquet", schema={name: kind})

    def test_the_first_values_give_a_column_its_type(self, engine, tmp_path):
        """If the first file has no value in a column, numbers of the second file are appended, and no row is lost."""
        self.check_first_values(engine, tmp_path, "append", [(1, 2.5), (5, None)])

    def check_first_values(self, engine, tmp_path, mode, left):
        """Load a file without values, one with, and the first again; *left* is there after the second."""
        first, second = tmp_path / "1.csv", tmp_path / "2.csv"
        first.write_text("id,v\n" if mode == "overwrite" else "id,v\n5,\n")
        second.write_text("id,v\n1,2.5\n")
        how = Output(table="silver.t", mode=mode, keys=("id",) if mode == "merge" else ())
        for path in (first, second, first):
            engine.write(engine.read_file(str(path), format="csv"), how, INFO)
            found = self.lake(engine).read(table("silver.t"))
            if path == second:
                assert min(found.itertuples(index=False, name=None)) == left[0]
                assert len(found) == len(left)
        assert {name: str(kind) for name, kind in found.dtypes.items()} == {
            "id": "int64",
            "v": "float64",
        }
        with pytest.raises(DataError, match=r"'v' \(double in the table, string in the frame\)"):
            second.write_text("id,v\n1,x\n")
            engine.write(engine.read_file(str(second), format="csv"), how, INFO)

    def test_a_declared_type_is_kept_without_values(self, engine, tmp_path):
        """A column that the schema declares as text stays text, also without any value."""
        path = tmp_path / "a.csv"
        path.write_text("v\n,\n".replace(",", '""'))
        how = Output(table="silver.t")
        frame = engine.read_file(str(path), format="csv", schema={"v": "string"})
        engine.write(frame, how, INFO)
        path.write_text("v\n1\n")
        with pytest.raises(DataError, match=r"'v' \(string in the table, bigint in the frame\)"):
            engine.write(engine.read_file(str(path), format="csv"), how, INFO)

    def lake(self, engine):
        """The pandas engine over the same lake."""
        return PandasEngine(engine._lake.root)


class FirstValues(LoadedFiles):
    """The other modes, for engines whose writes take no seconds."""

    def test_a_replaced_table_has_the_new_types(self, engine, tmp_path):
        """If the first file has no rows, the second file's rows replace the table, with their types."""
        self.check_first_values(engine, tmp_path, "overwrite", [(1, 2.5)])

    def test_merged_values_give_a_column_its_type(self, engine, tmp_path):
        """If the first file has no value in a column, numbers of the second file are merged, and no row is lost."""
        self.check_first_values(engine, tmp_path, "merge", [(1, 2.5), (5, None)])
