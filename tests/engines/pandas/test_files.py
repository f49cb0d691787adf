"""Reading files with pandas: results, and refusals with their reasons."""

import datetime as dt
import gzip
import json
import sys
from decimal import Decimal
from pathlib import Path

import fsspec
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from engines.loaded_files import FirstValues

from odibi_nb.concatenation import NO_DATA
from odibi_nb.engines.pandas.engine import PandasEngine
from odibi_nb.engines.pandas.files import read_file
from odibi_nb.engines.pandas.frames import to_arrow
from odibi_nb.errors import DataError, EngineNotAvailableError

NOON = pd.Timestamp("2024-01-02 12:00", tz="UTC")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(name, text):
    """Write a file in the current folder."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)


def refusal(location, format, schema=None, options=None):
    """Return the message with which a file is refused: one line that begins with the location."""
    with pytest.raises(DataError) as caught:
        read_file(location, format, schema, options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestLoadedFiles(FirstValues):
    """Contents of files, as the pandas engine stores them."""

    @pytest.fixture
    def engine(self, tmp_path):
        """An engine over an empty lake."""
        return PandasEngine(str(tmp_path / "lake"))

    def stored(self, engine, frame):
        """Convert with `to_arrow`."""
        rows = to_arrow(frame, "t")
        return rows, {f.name for f in rows.schema if NO_DATA.encode() in (f.metadata or {})}


# CSV


def test_csv_columns_get_the_schemas_types(folder):
    """Every type of a schema, with gaps: text keeps zeros and NA, numbers and decimals their digits."""
    put(
        "a.csv",
        "id,i,n,x,f,b,t,d,m,rest\n"
        "007,1,9007199254740993,1.5,1.5,true,2024-01-02T13:00:00+01:00,2024-01-02,1.25,1\n"
        "NA,,NA,null,N/A,,,,,2\n",
    )
    schema = {
        "id": "string",
        "i": "int",
        "n": "BIGINT",
        "x": "double",
        "f": "float",
        "b": "boolean",
        "t": "timestamp",
        "d": "date",
        "m": "decimal(10, 2)",
    }
    frame = read_file("a.csv", "csv", schema)
    row = frame.iloc[0].to_dict()
    expected = ["007", 1, 9007199254740993, 1.5, 1.5, True, NOON, dt.date(2024, 1, 2)]
    assert [*row.values()] == [*expected, Decimal("1.25"), 1]
    assert frame["id"][1] == "NA"
    assert frame.iloc[1, 1:-1].isna().all()
    dtypes = {name: str(dtype) for name, dtype in frame.dtypes.items()}
    assert dtypes["i"] == "Int32"
    assert dtypes["n"] == "Int64"
    assert dtypes["f"] == "float32"
    assert dtypes["b"] == "boolean"
    assert dtypes["t"].endswith("UTC]")
    assert dtypes["m"].startswith("decimal128(10, 2)")


def test_columns_without_values_keep_the_schemas_types(folder):
    """A file with a header only still has typed columns, as a table made of it needs."""
    put("a.csv", "i,n,b,t,d,m,s\n")
    schema = {
        "i": "int",
        "n": "long",
        "b": "boolean",
        "t": "timestamp",
        "d": "date",
        "m": "decimal(5,1)",
        "s": "string",
    }
    types = to_arrow(read_file("a.csv", "csv", schema), "t").schema.types
    assert [*map(str, types)] == [
        "int32",
        "int64",
        "bool",
        "timestamp[us, tz=UTC]",
        "date32[day]",
        "decimal128(5, 1)",
        "string",
    ]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("int", ["1", " -2 ", "3.0", "+4"], ["1.5", "x", "3000000000"]),
        ("bigint", ["9223372036854775807"], ["9223372036854775808", "1e400"]),
        ("double", ["1e5", "-0.5", "inf"], ["1,5", "x"]),
        ("boolean", ["true", "No", "1", "0", "T"], ["2", "maybe"]),
        ("timestamp", ["2024-01-02", "2024-01-02 12:00:00.5", "20240102"], ["01/02/2024", "x"]),
        ("date", ["2024-01-02", "9999-12-31", "2024-01-02 00:00"], ["2024-01-02 05:00", "1.2.24"]),
        ("decimal(4,2)", ["1.25", "1e1", "-99.99"], ["1.255", "100", "x"]),
    ],
)
def test_values_that_do_not_fit_are_refused(folder, kind, good, bad):
    """A value that has no equal of its type is named with file, column, line and value."""
    put("good.csv", "v\n" + "\n".join(f'"{v}"' for v in good) + "\n")
    assert len(read_file("good.csv", "csv", {"v": kind})) == len(good)
    for value in bad:
        rows = [*good, value, *good, value]
        put("bad.csv", "v\n" + "\n".join(f'"{v}"' for v in rows) + "\n")
        text = refusal("bad.csv", "csv", {"v": kind})
        where = f"line {len(good) + 2}: {value!r} does not fit type {kind}"
        assert text.startswith(f"bad.csv, column 'v', {where}")


def test_the_line_is_the_files(folder):
    """Blank lines and line breaks inside fields are counted, as an editor counts them."""
    put("a.csv", 'id,n\n"a\nb",1\n\n"c",oops\n')
    assert "line 5: 'oops'" in refusal("a.csv", "csv", {"n": "int"})
    text = refusal("a.csv", "csv", {"n": "int"}, {"skiprows": 0})
    assert "row 2: 'oops'" in text


def test_dates_that_are_not_iso_need_a_format(folder):
    """01/02/2024 is refused until an option defines its order."""
    put("a.csv", "t\n01/02/2024\n")
    assert "date_format" in refusal("a.csv", "csv", {"t": "timestamp"})
    frame = read_file("a.csv", "csv", {"t": "timestamp"}, {"dayfirst": True})
    assert frame["t"][0] == pd.Timestamp("2024-02-01", tz="UTC")
    if int(pd.__version__.partition(".")[0]) >= 2:
        frame = read_file("a.csv", "csv", {"t": "date"}, {"date_format": "%d/%m/%Y"})
        assert frame["t"][0] == dt.date(2024, 2, 1)


def test_options_are_the_readers_and_hold_for_the_schema_too(folder):
    """The pandas options define separators, decimal commas and words for true."""
    put("a.csv", "# made by hand\nx;b\n1.000,5;ja\n-2;nein\n")
    options = {
        "sep": ";",
        "decimal": ",",
        "thousands": ".",
        "comment": "#",
        "true_values": ["ja"],
        "false_values": ["nein"],
    }
    frame = read_file("a.csv", "csv", {"x": "double", "b": "boolean"}, options)
    assert frame.to_dict("list") == {"x": [1000.5, -2.0], "b": [True, False]}


def test_unknown_options_are_refused(folder):
    """A misspelt option gets a suggestion. An option that does not concern the data is refused."""
    put("a.csv", "v\n1\n")
    assert "did you mean 'skiprows'" in refusal("a.csv", "csv", options={"skip_rows": 1})
    for name in ("filepath_or_buffer", "chunksize", "iterator"):
        assert "is refused" in refusal("a.csv", "csv", options={name: 1})
    assert refusal("a.csv", "csv", options={"skiprows": "x"}).startswith("a.csv: ")
    text = refusal("a.csv", "csv", {"v": "int"}, {"dtype": "str"})
    assert "either 'schema' or the option 'dtype'" in text


def test_a_schema_names_columns_and_types_that_exist(folder):
    """The errors about misspelt columns, types and formats suggest the nearest name."""
    put("a.csv", "sensor,value\nx,1\n")
    assert "'sensr', which schema names (did you mean 'sensor'?)" in refusal(
        "a.csv", "csv", {"sensr": "string"}
    )
    assert "did you mean 'string'" in refusal("a.csv", "csv", {"sensor": "strin"})
    assert "decimal(p,s)" in refusal("a.csv", "csv", {"sensor": "decimal(40,2)"})
    assert "did you mean 'csv'" in refusal("a.csv", "cvs")


def test_malformed_csv_is_refused(folder):
    """Too many fields, in one row or in all, no content, and foreign letters are errors."""
    put("one.csv", "a,b\n1,2\n1,2,3\n")
    put("all.csv", "a,b\n1,2,3\n4,5,6\n")
    put("empty.csv", "")
    put("latin.csv", "a\né\n".encode("latin-1"))
    put("packed.csv.gz", "not packed")
    assert "line 3" in refusal("one.csv", "csv")
    assert refusal("all.csv", "csv") == "all.csv: its rows have more fields than its header"
    assert refusal("empty.csv", "csv") == "empty.csv: the file is empty"
    assert "encoding='latin-1'" in refusal("latin.csv", "csv")
    assert refusal("packed.csv.gz", "csv").startswith("packed.csv.gz: ")
    assert read_file("latin.csv", "csv", None, {"encoding": "latin-1"})["a"][0] == "é"


def test_suffixes_say_how_csv_is_written(folder):
    """.tsv has tabs, .gz is unpacked, and a column without a name gets pandas' name for it."""
    put("a.tsv", "a\tb\n1\t2\n")
    put("b.csv.gz", gzip.compress(b",b\n007,2\n"))
    assert read_file("a.tsv", "csv").to_dict("list") == {"a": [1], "b": [2]}
    frame = read_file("b.csv.gz", "csv", {"Unnamed: 0": "string"})
    assert frame.to_dict("list") == {"Unnamed: 0": ["007"], "b": [2]}
    assert "row 1: '007' does" in refusal("b.csv.gz", "csv", {"Unnamed: 0": "date"})


# JSON


def test_json_is_records_or_lines(folder):
    """JSON is an array of records, or one record per line if suffix or option select it. Types stay."""
    records = [{"id": "007", "n": 1, "x": 0.1, "date": "2024-01-02"}, {"id": "8", "x": 1.5}]
    put("a.json", json.dumps(records))
    lines = "\n".join(map(json.dumps, records)) + "\n"
    for name in ("a.jsonl", "a.ndjson", "b.json"):
        put(name, lines)
    put("c.jsonl.gz", gzip.compress(lines.encode()))
    frames = [read_file(name, "json") for name in ("a.json", "a.jsonl", "a.ndjson", "c.jsonl.gz")]
    frames.append(read_file("b.json", "json", None, {"lines": True}))
    for frame in frames:
        assert frame["id"].tolist() == ["007", "8"]
        assert frame["x"].tolist() == [0.1, 1.5]
        assert frame["date"][0] == "2024-01-02"
    typed = read_file("a.json", "json", {"n": "bigint", "date": "date"})
    assert typed["n"][0] == 1
    assert typed["n"].isna()[1]
    assert typed["date"][0] == dt.date(2024, 1, 2)


def test_malformed_json_is_refused(folder):
    """An error about JSON has line and column."""
    put("a.json", '[{"a": 1},\n {"a":]')
    put("b.jsonl", '{"a": 1}\n{"a":\n')
    put("lines.json", '{"a": 1}\n{"a": 2}\n')
    put("empty.json", "")
    put("empty.jsonl", "")
    put("mixed.json", '[{"a": 1}, {"a": "x"}]')
    assert "line 2, column 7" in refusal("a.json", "json")
    assert "line 2" in refusal("b.jsonl", "json")
    assert '{"lines": true}' in refusal("lines.json", "json")
    for name in ("empty.json", "empty.jsonl"):
        assert refusal(name, "json") == f"{name}: the file is empty"
    text = refusal("mixed.json", "json", {"a": "int"})
    assert text == "mixed.json, column 'a', row 2: 'x' does not fit type int"
    assert "give a Series" in refusal("mixed.json", "json", options={"typ": "series"})


def test_an_empty_array_has_the_schemas_columns(folder):
    """A file without records is not an error: the schema gives its columns."""
    put("a.json", "[]")
    frame = read_file("a.json", "json", {"n": "int"})
    assert (list(frame.columns), len(frame)) == (["n"], 0)


# Parquet, Excel, Delta


def test_parquet_files_and_folders(folder):
    """A file, a folder of files, and a folder partitioned by folders; other files are passed over."""
    frame = pd.DataFrame({"n": [1, 2], "p": ["x", "y"]})
    (folder / "files").mkdir()
    frame.to_parquet("files/b.parquet")
    frame.to_parquet("files/a.parquet")
    put("files/_SUCCESS", "")
    frame.to_parquet("parts", partition_cols=["p"])
    assert read_file("files/a.parquet", "parquet")["n"].tolist() == [1, 2]
    assert read_file("files", "parquet")["n"].tolist() == [1, 2, 1, 2]
    assert read_file("parts", "parquet")["p"].tolist() == ["x", "y"]
    assert read_file("files/a.parquet", "parquet", None, {"columns": ["n"]}).columns == ["n"]
    assert read_file("files/a.parquet", "parquet", {"n": "string"})["n"].tolist() == ["1", "2"]


def test_malformed_parquet_is_refused(folder):
    """Truncated and empty files are named."""
    pd.DataFrame({"n": [1]}).to_parquet("a.parquet")
    put("cut.parquet", (folder / "a.parquet").read_bytes()[:-20])
    put("empty.parquet", "")
    assert refusal("cut.parquet", "parquet").startswith("cut.parquet: ")
    assert refusal("empty.parquet", "parquet") == "empty.parquet: the file is empty"


def test_excel_cells_keep_their_types(folder):
    """Text that looks like a number stays text. The schema decides about a column with both."""
    frame = pd.DataFrame({"id": ["007", "008"], "mixed": ["007", 8], "n": [1, 2], "d": [NOON] * 2})
    with pd.ExcelWriter("a.xlsx") as book:
        frame.assign(d=frame["d"].dt.tz_localize(None).dt.normalize()).to_excel(
            book, sheet_name="May", index=False
        )
    back = read_file("a.xlsx", "excel", {"mixed": "string", "d": "date"}, {"sheet_name": "May"})
    assert back["id"].tolist() == ["007", "008"]
    assert back["mixed"].tolist() == ["007", "8"]
    assert str(back["n"].dtype) == "int64"
    assert back["d"].tolist() == [dt.date(2024, 1, 2)] * 2
    assert "row 1: '007'" in refusal("a.xlsx", "excel", {"id": "date"})
    assert "May2" in refusal("a.xlsx", "excel", options={"sheet_name": "May2"})
    assert "give a dict, not one table" in refusal("a.xlsx", "excel", options={"sheet_name": None})
    put("b.xlsx", "hi")
    assert refusal("b.xlsx", "excel").startswith("b.xlsx: ")


def test_a_missing_excel_library_is_named(folder, monkeypatch):
    """Without openpyxl the error names the extra that installs it."""
    pd.DataFrame({"a": [1]}).to_excel("a.xlsx", index=False)
    for name in [n for n in sys.modules if n.partition(".")[0] == "openpyxl"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(EngineNotAvailableError, match=r"odibi-nb\[excel\]"):
        read_file("a.xlsx", "excel")


def test_delta_tables_are_read_by_their_paths(folder):
    """A location can be a Delta table anywhere, at the newest or an older version, and no other folder."""
    write_deltalake("t", pa.table({"n": [1]}))
    write_deltalake("t", pa.table({"n": [2]}), mode="overwrite")
    put("other/notes.txt", "")
    path = str(folder / "t")
    assert read_file(path, "delta")["n"].tolist() == [2]
    assert read_file(path, "delta", {"n": "string"}, {"version": 0})["n"].tolist() == ["1"]
    assert "version" in refusal(path, "delta", options={"version": 7})
    assert refusal("nope", "delta") == "nope: no Delta table found"
    assert "it is not a Delta table" in refusal("other", "delta")
    assert "unknown option 'sep'" in refusal("t", "delta", options={"sep": ";"})


# Places


def test_folders_and_globs_are_read_in_order(folder):
    """Files are sorted by name and read one after the other; an error names the file it is in."""
    put("raw/b.csv", "id,n\n2,x\n")
    put("raw/a.csv", "id,n\n1,1\n")
    put("raw/_c.csv", "ignored\n1\n")
    put("raw/d.md", "ignored\n")
    put("raw/header_only.csv", "id,n\n")
    for location in ("raw", "raw/[ab].csv"):
        assert read_file(location, "csv", {"id": "string"})["id"].tolist() == ["1", "2"]
        assert "b.csv, column 'n', line 2" in refusal(location, "csv", {"n": "int"})
    assert "no .csv/.tsv/.txt file is there" in refusal("raw/*.tsv", "csv")
    put("none/x.md", "")
    assert "is there" in refusal("none", "parquet")


def test_a_missing_file_gets_a_suggestion(folder):
    """The nearest name in the same folder is suggested."""
    put("raw/sensors.csv", "a\n1\n")
    assert "no such file (did you mean 'sensors.csv'?)" in refusal("raw/sensor.csv", "csv")
    assert "no such file" in refusal("raw/sensors.csv/x.csv", "csv")


def test_urls_are_read_through_fsspec(folder):
    """Files, packed files, folders and globs of a file system that fsspec knows."""
    memory = fsspec.filesystem("memory")
    memory.pipe("/raw/a.csv", b"id,n\n1,2\n")
    memory.pipe("/raw/b.csv", b"id,n\n3,x\n")
    memory.pipe("/packed/a.csv.gz", gzip.compress(b"id\n1\n"))
    memory.pipe("/empty/a.csv", b"")
    pd.DataFrame({"n": [1]}).to_parquet("a.parquet")
    memory.pipe("/p/a.parquet", (folder / "a.parquet").read_bytes())
    try:
        assert read_file("memory://raw/a.csv", "csv")["n"].tolist() == [2]
        assert read_file("memory://raw/*.csv", "csv")["id"].tolist() == [1, 3]
        assert read_file("memory://raw", "csv")["id"].tolist() == [1, 3]
        assert read_file("memory://packed/a.csv.gz", "csv")["id"].tolist() == [1]
        assert read_file("memory://p/a.parquet", "parquet")["n"].tolist() == [1]
        assert refusal("memory://raw/c.csv", "csv") == "memory://raw/c.csv: no such file"
        assert refusal("memory://empty/a.csv", "csv") == "memory://empty/a.csv: the file is empty"
        text = refusal("memory://raw/*.csv", "csv", {"n": "int"})
        assert text.startswith("memory://raw/b.csv, column 'n', line 2: 'x'")
    finally:
        memory.rm("/", recursive=True)


@pytest.mark.parametrize(
    "location", ["abfss://raw@acc.dfs.core.windows.net/a.csv", "az://raw/a.csv"]
)
def test_a_missing_azure_driver_names_the_extra(location, monkeypatch):
    """Without adlfs the error names the extra that installs it."""
    monkeypatch.setitem(sys.modules, "adlfs", None)
    with pytest.raises(EngineNotAvailableError, match=r"odibi-nb\[azure\]"):
        read_file(location, "csv")


def test_unknown_urls_are_refused_without_their_secrets():
    """An unknown scheme points to locations; passwords and tokens in a URL are hidden."""
    text = refusal("adls://raw/a.csv", "csv")
    assert "adls://" in text
    assert "'locations'" in text
    text = refusal("nosuch://me:hush@host/a.csv?token=hush", "csv")
    assert "hush" not in text
    assert text.startswith("nosuch://me:***@host/a.csv?token=***: ")
