"""``diff`` shows the changes of the data in the shell, in Python and as JSON, and writes nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import re
import shutil
import sys

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from real_project import make_project, registry_row

import odibi_nb
from odibi_nb import run_project
from odibi_nb.cli import main
from odibi_nb.core.model.provenance import OutputWritten, TableCommit
from odibi_nb.core.model.table_diff import RowDifference, TableDiff
from odibi_nb.core.model.version_pair import VersionPair, pair_of_commits, pair_of_outputs
from odibi_nb.engines.spark import session
from odibi_nb.errors import ConfigurationError, DataError
from odibi_nb.views.inspect.diff import Diff

FUNCTIONS = """
import pandas as pd


def load(constants):
    rows = constants["rows"]
    return pd.DataFrame({"id": range(rows), "v": [float(i) * constants["by"] for i in range(rows)]})


def double(inputs, context):
    frame = context.read(inputs[0])
    return frame.assign(v=frame["v"] * 2)
"""


def rows(count, by, env="qat"):
    first = registry_row("B1", "Bronze", "load", constants={"rows": count, "by": by}, env=env)
    second = registry_row("S1", "Silver_1", "double", ["bronze.x"], env=env)
    first["outputs"] = [{"table": "bronze.x", "keys": ["id"]}]
    second["outputs"] = [{"table": "silver.x"}]
    return [first, second]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A project that ran twice in qat and once in prod, and the two runs of qat."""
    folder = tmp_path_factory.mktemp("diff")
    place = {"engine": "pandas", "registry": "sqlite:///registry.db"}
    environments = {"qat": place, "prod": {**place, "lake": "lake_of_prod"}}
    runs = []
    for count, by in ((3, 1), (4, 2)):
        home = make_project(
            folder,
            [*rows(count, by), *rows(5, 1, "prod")],
            functions=FUNCTIONS,
            environments=environments,
        )
        runs.append(run_project("Plant One", manifest_path=home / "manifest.json").run_id)
    run_project("Plant One", "prod", manifest_path=home / "manifest.json")
    return folder, home, runs


@pytest.fixture
def here(ran, monkeypatch):
    """The folder above the project, as the working folder."""
    monkeypatch.chdir(ran[0])
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return ran


@pytest.fixture
def odibi(capsys):
    """Call the command line. Return exit code, standard output and standard error."""

    def call(*words):
        code = main([*words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def contents(folder):
    """Each file of a folder, with a hash of its bytes."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if "__pycache__" not in path.parts
    }


def test_the_diff_of_a_run_is_that_of_each_table_it_wrote(here, odibi):
    """Each table has one line: versions and counts, by the keys of its output, or by whole rows without keys."""
    _, _, runs = here
    code, out, err = odibi("diff")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"diff of run {runs[1]} (success) · Plant One · env qat"
    assert "≠ bronze.x v0 → v1: +1 ~2 −0" in out
    assert "≠ silver.x v0 → v1: +3 −2" in out
    assert odibi("diff", runs[1], "silver.x")[1].count("→") == 1
    assert "bronze.x none → v0: +3 ~0 −0" in odibi("diff", runs[0])[1]
    assert "silver.x" not in odibi("diff", "last", "--select", "B1")[1]


def test_the_diff_of_a_table_is_its_last_change_or_between_versions(here, odibi):
    """The diff of one table shows changed columns and samples. The two versions may be in any order."""
    out = odibi("diff", "bronze.x")[1]
    assert "v1: WRITE by B1 in run" in out
    assert [line.split() for line in out.splitlines() if line.strip().startswith("v ")] == [
        ["v", "2", "2"]
    ]
    assert "id=2  v       2       4" in out
    assert "+0 ~2 −1" in odibi("diff", "BRONZE.x@1", "bronze.x@0")[1]
    assert "+3 ~0 −0" in odibi("diff", "bronze.x@0")[1]
    assert "(equal)" in odibi("diff", "bronze.x@1", "bronze.x")[1]
    sessions = {**session._own}
    assert odibi("diff", "bronze.x", "--engine", "spark")[1] == out
    assert session._own == sessions  # a lake on this machine needs no session
    assert "+1 ~2 −0" in odibi("diff", "bronze.x", "--keys", "ID, id")[1]


def test_two_environments_are_compared_table_by_table(here, odibi):
    """The diff of two environments has all tables of both, or the chosen ones. The first one is the earlier side."""
    out = odibi("diff", "--env", "qat", "prod")[1]
    assert out.splitlines()[0] == "diff of Plant One · env qat → prod"
    assert "bronze.x v1 → v0: +1 ~3 −0" in out
    assert "silver.x v1 → v0" in out
    assert "silver.x" not in odibi("diff", "--env", "qat", "prod", "--select", "B1")[1]
    assert "bronze.x" not in odibi("diff", "--env", "qat", "prod", "silver.x")[1]


def test_python_has_numbers_samples_and_a_frame(here):
    """`diff` returns the same as the command, by table."""
    _, home, runs = here
    found = odibi_nb.diff("Plant One", "last", manifest_path=home / "manifest.json")
    table = found.tables["bronze.x"]
    assert (table.added, table.removed, table.changed) == (1, 0, 2)
    assert table.rows.largest == {"v": 2.0}
    assert table.rows.added_rows == ({"id": 3, "v": 6.0},)
    assert table.rows.changed_rows[0].columns == {"v": (1.0, 2.0)}
    frame = found.to_frame()
    assert list(frame["table"]) == ["bronze.x", "silver.x"]
    assert list(frame["added"]) == [1, 3]
    html = found._repr_html_()
    assert html.count("<details>") == 2
    other = odibi_nb.diff(
        "Plant One", other_env="prod", select=["S1"], manifest_path=home / "manifest.json"
    )
    assert list(other.tables) == ["silver.x"]
    with pytest.raises(ConfigurationError, match=r"did not write silver\.z; it wrote bronze\.x"):
        odibi_nb.diff("Plant One", runs[0], "silver.z", manifest_path=home / "manifest.json")


def test_a_notebook_shows_tables_that_unfold(here, ipython):
    """The magic returns the comparison; its HTML escapes what tables hold, and hides secrets."""
    ipython.run_line_magic("load_ext", "odibi_nb")
    found = ipython.run_line_magic("odibi", "diff bronze.x")
    assert found.tables["bronze.x"].changed == 2
    rows = RowDifference(added=1, added_rows=({"<b>": "<script>", "api_password": "hunter2"},))
    diff = TableDiff(table="silver.<i>", before=None, after=0, rows=rows, notes=("<u>",))
    view = Diff(title="<h1>", tables={"silver.<i>": diff}, failures={"a": "<hr>"})
    for text in (view._repr_html_(), str(view), str(view.document())):
        assert "hunter2" not in text
    assert not re.search(
        "<(b|script|i|u|h1|hr)>(?!silver)", view._repr_html_().replace("<b>&lt;", "")
    )
    assert view.exit_code == view.document().exit_code == 1


def test_equal_tables_fold_into_one_line():
    """Of many tables a run changed few: the others are counted, and --all or a click lists them."""
    changed = TableDiff(table="b", before=0, after=1, rows=RowDifference(added=1))
    tables = {"b": changed}
    for name in ("a", "c"):
        tables[name] = TableDiff(table=name, before=3, after=4, notes=(f"note of {name}",))
    view = Diff(title="all", tables=tables)
    assert str(view).splitlines() == [
        "all",
        "  ≠ b v0 → v1: +1 −0",
        "  = 2 tables did not change: --all lists them",
    ]
    assert "<details><summary>= 2 tables did not change</summary>" in view._repr_html_()
    assert "= a v3 → v4: +0 −0 (equal)" in view._repr_html_()
    for text in (str(dataclasses.replace(view, with_equal=True)), view._repr_html_()):
        assert "note of a" in text
        assert "note of c" in text
    assert str(dataclasses.replace(view, tables={"a": tables["a"]})).count("\n") == 2


def test_a_diff_is_a_document(here, odibi):
    """The JSON document has the same numbers, and rows as objects."""
    found = json.loads(odibi("diff", "bronze.x", "--json")[1])
    table = found["tables"][0]
    assert (found["kind"], table["added"], table["changed"]) == ("diff", 1, 2)
    assert table["changed_columns"] == {"v": 2}
    assert table["changed_rows"][0] == {"key": {"id": 1}, "before": {"v": 1.0}, "after": {"v": 2.0}}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["silver.y"], 1, "table 'silver.y' does not exist"),
        (["a/b"], 2, "is neither a run nor a table"),
        (["20261128-1"], 2, "no run and no table '20261128-1'"),
        (["bronze.x@9"], 1, "bronze.x has no version 9: its newest is 1"),
        (["bronze.x", "silver.x"], 2, "expected TABLE, or two versions"),
        (["--env", "qa", "prod"], 2, "no environment 'qa' (did you mean 'qat'?)"),
        (["bronze.x", "--select", "B1"], 2, "chooses tables of a run or of two environments"),
        (["last", "--select", "NOPE"], 2, "NOPE"),
        (["bronze.x", "--keys", "nope"], 0, ""),
    ],
)
def test_a_mistake_is_one_message(here, odibi, words, code, message):
    """The message has the found value and the possible ones. A missing key gives a note."""
    found, out, err = odibi("diff", *words)
    assert (found, "Traceback" in err) == (code, False)
    assert message in err
    if not code:
        assert "key column 'nope' is not on both sides: whole rows are compared" in out


def test_a_diff_writes_nothing(here, odibi):
    """Lake, registry, run log and journals are byte for byte as before."""
    folder = here[0]
    before = contents(folder)
    for words in ([], ["bronze.x"], ["--env", "qat", "prod"], ["silver.nope"], ["last", "--json"]):
        odibi("diff", *words)
    for command in ("plan", "history", "doctor"):
        odibi(command, "--json")
    assert contents(folder) == before


def test_a_table_that_cannot_be_read_does_not_hide_the_others(tmp_path, odibi, monkeypatch):
    """The line of a table without its files has the reason, and the exit code is 1. A log without
    versions is no hindrance.
    """
    home = make_project(tmp_path, rows(3, 1), functions=FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    lake = home / "lake"
    run_project("Plant One")
    write_deltalake(str(lake / "silver" / "x"), pa.table({"id": [9], "v": [9.0]}), mode="append")
    run_project("Plant One")
    log = DeltaTable(str(lake / "config_driven" / "transformationrunlog"))
    log.update(updates={"outputs_written": "NULL"})
    gone = DeltaTable(str(lake / "bronze" / "x"), version=0).file_uris()
    for path in gone:
        (lake / "bronze" / "x" / path.rpartition("/")[2]).unlink()
    code, out, _ = odibi("diff")
    assert code == 1
    assert "✖ bronze.x: cannot be compared: bronze.x: v0 and v1 cannot be compared" in out
    assert "VACUUM" in out
    assert "≠ silver.x v1 → v2: +0 −1" in out
    with pytest.raises(DataError, match="VACUUM"):
        odibi_nb.diff("Plant One", "bronze.x")


def test_a_table_that_was_created_again_is_not_compared(tmp_path, odibi, monkeypatch):
    """A dropped and recreated table is another table, even if version numbers are equal."""
    home = make_project(tmp_path, rows(3, 1), functions=FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    run_project("Plant One")
    table = home / "lake" / "silver" / "x"
    shutil.rmtree(table)
    write_deltalake(str(table), pa.table({"id": [9], "v": [9.0]}))
    code, out, _ = odibi("diff")
    assert code == 1
    assert "silver.x: the run did not write version 0: the table was created again" in out


def test_versions_come_from_the_run_log_or_from_commits():
    """For several writes of a run, the first version before and the last version after them count."""

    def output(version, previous=None):
        return OutputWritten(
            table="silver.x", mode="append", version=version, previous_version=previous
        )

    assert pair_of_outputs([output(5, 4), output(8, 7)]) == VersionPair(4, 8)
    assert pair_of_outputs([output(0), output(1, 0)]) == VersionPair(None, 1)
    assert pair_of_outputs([output(None)]) is None
    commits = [TableCommit(table="t", version=v, run_id="r" * (v in (0, 2))) for v in (3, 2, 1, 0)]
    assert pair_of_commits(commits, "r") == VersionPair(None, 2)
    assert pair_of_commits(commits, "other") is None
