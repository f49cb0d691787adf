"""Edits of the same rows by several writers, in every kind of registry."""

from __future__ import annotations

import getpass
import json
import threading

import pytest
from registries import row, the_error
from spark_sessions import connect

from odibi_nb.errors import RegistryError
from odibi_nb.sources.file_registry import FileRegistry
from odibi_nb.sources.table import TableRegistry, registry_in_database
from odibi_nb.sources.upsert import Edit
from odibi_nb.storage.delta_table import DeltaRowTable
from odibi_nb.storage.spark_table import SparkRowTable

FILES = {"json": "r.json", "toml": "r.toml", "csv": "r.csv", "folder": "rows/"}


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "delta-rs", "sail", *FILES])
def kind(request):
    """Each kind of registry."""
    return request.param


@pytest.fixture(scope="module")
def spark(kind, tmp_path_factory):
    """The session, for the kinds that need one."""
    if kind != "sail":
        return None
    return connect(kind, tmp_path_factory.mktemp("spark")).spark


@pytest.fixture
def make(kind, spark, tmp_path, request):
    """Open the registry newly with every call."""
    if kind in FILES:
        return lambda: FileRegistry(tmp_path, FILES[kind], tmp_path / ".odibi")
    if kind == "sqlite":
        return lambda: registry_in_database(f"sqlite:///{tmp_path}/registry.db")
    if kind == "postgresql":
        url = request.getfixturevalue("postgres_url")
        return lambda: registry_in_database(url)
    path = f"{tmp_path}/lake/config_driven/transformationregistry"
    if spark is None:
        return lambda: TableRegistry(DeltaRowTable(path), "the registry")
    return lambda: TableRegistry(SparkRowTable(lambda: spark, "it", path=path), "the registry")


@pytest.fixture
def filled(make):
    """Opens a registry that has the rows A and B."""
    make().create(all_columns=True)
    make().upsert([row("A", constants={"x": 1}), row("B", constants={"x": 1})])
    return make


def changed(name, **columns):
    """A part of a row, with its key."""
    return {
        "transformation_id": name,
        "project": "Energy Efficiency",
        "environment": "qat",
        **columns,
    }


def stored(make):
    return {r["transformation_id"]: r for r in make().export()}


def test_the_second_edit_of_a_column_is_refused(filled, kind):
    """If a column has changed since it was read, the edit writes nothing, and the message has the change and its time."""
    read = tuple(filled().export())
    filled().upsert([changed("A", constants={"x": 2})])
    late = Edit(rows=(changed("A", constants={"x": 3}), changed("B", layer="Gold_1")), read=read)
    message = the_error(lambda: filled().change(late))
    assert "row 'A', constants" in message
    assert "it was {'x': 1}, it is now {'x': 2}" in message
    when = f"last written by {getpass.getuser()} on" if kind in FILES else "} (changed 20"
    assert when in message
    assert "another writer came first" in message
    assert (stored(filled)["A"]["constants"], stored(filled)["B"]["layer"]) == (
        '{"x":2}',
        "Silver_1",
    )


def test_edits_of_other_columns_both_hold(filled):
    """An edit writes only its own columns: two edits of different columns of a row both hold."""
    read = tuple(filled().export())
    filled().change(Edit(rows=(changed("A", enabled=0),), read=read))
    done = filled().change(Edit(rows=(changed("A", constants={"x": 3}),), read=read))
    assert len(done.updates) == 1
    found = stored(filled)["A"]
    assert (found["enabled"], json.loads(found["constants"])) == (0, {"x": 3})


def test_rows_that_come_and_go_between_reading_and_writing(filled):
    """Rows that another writer adds, deletes or changes at the same time are not doubled, revived or lost."""
    read = tuple(filled().export())
    a, b = read
    filled().change(Edit(read=read, delete=(a,)))
    filled().upsert([row("C", layer="Gold_1"), changed("B", enabled=0)])
    edits = {
        "was deleted after it was read": Edit(rows=(changed("A", layer="Gold_1"),), read=read),
        "was added by another writer": Edit(rows=(row("C"),), read=read),
        "it was 1, it is now 0": Edit(read=read, delete=(b,)),
    }
    for expected, edit in edits.items():
        assert expected in the_error(lambda edit=edit: filled().change(edit))
    assert not filled().change(Edit(read=read, delete=(a,)))  # it is gone, as was wanted
    assert {name: r["layer"] for name, r in stored(filled).items()} == {
        "B": "Silver_1",
        "C": "Gold_1",
    }


def test_many_at_once(filled):
    """Of four writers that read a row and change one column, one succeeds and the others get an error."""
    read = tuple(filled().export())
    start = threading.Barrier(4)
    ended: dict[int, str] = {}

    def work(number):
        edit = Edit(rows=(changed("A", constants={"x": 10 + number}), row("N")), read=read)
        start.wait(60)
        try:
            filled().change(edit)
            ended[number] = "done"
        except RegistryError as exc:
            ended[number] = str(exc)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [winner] = [number for number, text in ended.items() if text == "done"]
    assert all("came first" in text for number, text in ended.items() if number != winner)
    assert json.loads(stored(filled)["A"]["constants"]) == {"x": 10 + winner}
    assert sorted(r["transformation_id"] for r in filled().export()) == ["A", "B", "N"]


class BetweenReadAndCommit:
    """A table that another writer changes after it is read, before the first commit."""

    def __init__(self, table, change):
        self.table, self.change = table, change

    def __getattr__(self, name):
        return getattr(self.table, name)

    def merge(self, columns, decide):
        def decide_and_change(rows):
            merge = decide(rows)
            change, self.change = self.change, None
            if change is not None:
                change()
            return merge

        self.table.merge(columns, decide_and_change)


@pytest.mark.parametrize("name", ["delta-rs", "sail", "classic"])
def test_a_change_between_reading_and_the_commit(name, tmp_path):
    """The commit applies to the compared rows or is not made. Then the rows are compared again."""
    path = f"{tmp_path}/lake/registry"
    table = DeltaRowTable(path)
    if name != "delta-rs":
        spark = connect(name, tmp_path).spark
        table = SparkRowTable(lambda: spark, "it", path=path)
    registry = other = TableRegistry(DeltaRowTable(path), "the registry")
    registry.create()
    registry.upsert([row("A"), row("B"), row("D")])
    read = tuple(registry.export())

    def attempt(edit, *rows):
        between = BetweenReadAndCommit(table, lambda: other.upsert(rows))
        return TableRegistry(between, "the registry").change(edit)

    layer = Edit(rows=(changed("A", layer="Gold_1"),), read=read)
    assert "it is now 'Bronze'" in the_error(lambda: attempt(layer, changed("A", layer="Bronze")))
    new = Edit(rows=(row("N"),), read=read)
    assert "was added" in the_error(lambda: attempt(new, row("N", layer="Gold_1")))
    if name == "classic":  # the statement is Sail's, and takes seconds there
        return
    gone = Edit(read=read, delete=(read[2],))
    assert "it is now 0" in the_error(lambda: attempt(gone, changed("D", enabled=0)))
    off = Edit(rows=(changed("B", enabled=0),), read=read)
    assert len(attempt(off, changed("B", layer="Gold_1")).updates) == 1
    found = {r["transformation_id"]: (r["layer"], r["enabled"]) for r in registry.export()}
    assert found == {
        "A": ("Bronze", 1),
        "B": ("Gold_1", 0),
        "D": ("Silver_1", 0),
        "N": ("Gold_1", 1),
    }
