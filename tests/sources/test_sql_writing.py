"""The registry in an SQL database: creating and importing."""

from __future__ import annotations

import datetime as dt
import json

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from registries import execute, row, the_error

from odibi_nb.core.model.transformation import OPTIONAL_COLUMNS, SEED_COLUMNS
from odibi_nb.sources.files import read_rows, write_rows
from odibi_nb.sources.table import TableRegistry, registry_in_database


def columns_of(url: str) -> list[str]:
    """The columns of the registry's table, in order."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    inspector = sa.inspect(engine)
    [table] = inspector.get_table_names()
    return [column["name"] for column in inspector.get_columns(table)]


@pytest.fixture
def registry(database_url) -> TableRegistry:
    """A registry with an empty table."""
    registry = registry_in_database(database_url)
    registry.create()
    return registry


def test_create(database_url):
    """A new table has exactly the seed's columns in the seed's order; creating it again does nothing."""
    registry = registry_in_database(database_url)
    [done] = registry.create()
    assert done.startswith("created table TransformationRegistry: transformation_id, project, ")
    assert tuple(columns_of(database_url)) == SEED_COLUMNS
    assert registry.create() == []


def test_create_all(database_url):
    """With all columns, the optional ones follow the seed's."""
    registry_in_database(database_url).create(all_columns=True)
    assert tuple(columns_of(database_url)) == (*SEED_COLUMNS, *OPTIONAL_COLUMNS)


def test_create_makes_folders(tmp_path):
    """Creating makes an SQLite file with its folders."""
    registry_in_database("sqlite:///a/b/registry.db", folder=tmp_path).create()
    assert (tmp_path / "a/b/registry.db").is_file()


def test_create_where_nothing_can_be(tmp_path):
    """A folder that cannot be created gives one clear error."""
    (tmp_path / "a").touch()
    message = the_error(registry_in_database("sqlite:///a/b/registry.db", folder=tmp_path).create)
    assert f"the folder {tmp_path / 'a/b'} cannot be made" in message


def test_widen(registry, database_url):
    """Missing columns are added to a table, and its rows stay."""
    registry.upsert([row()])
    done = registry.create(all_columns=True)
    assert [line.split()[2] for line in done] == list(OPTIONAL_COLUMNS)
    assert registry.create(all_columns=True) == []
    [found] = registry.export()
    assert (found["transformation_id"], found["step"]) == ("T1", None)


def test_widen_with_rows(database_url):
    """Missing required columns can be added, too. The table's rows are then enabled."""
    execute(
        database_url,
        "CREATE TABLE TransformationRegistry (transformation_id TEXT, project TEXT, environment TEXT, layer TEXT)",
        "INSERT INTO TransformationRegistry VALUES ('T1', 'p', 'qat', 'Bronze')",
    )
    registry = registry_in_database(database_url)
    registry.create()
    assert [r["enabled"] for r in registry.export()] == [1]
    assert registry.census() == [("p", "qat", 1)]


@pytest.mark.parametrize("constants", [{"n": True}, {"n": 1.0}, {"n": [1, True]}, {"n": "1"}])
def test_a_value_of_another_type_is_a_change(registry, constants):
    """Python finds 1, 1.0 and true equal, but a function may not."""
    registry.upsert([row(constants={"n": 1})])
    assert registry.upsert([row(constants=constants)]) == (0, 1, 0)
    assert registry.upsert([row(constants=constants)]) == (0, 0, 1)


def test_same_id_in_two_environments(registry):
    """Each environment of each project may have an id once."""
    rows = [row(), row(environment="prod"), row(project="Other")]
    assert registry.upsert(rows) == (3, 0, 0)


def test_upsert(registry):
    """Rows are inserted, updated or left alone, depending on the differences."""
    assert registry.upsert([row("A", layer="Bronze"), row("B", enabled=0)]) == (2, 0, 0)
    assert registry.upsert([row("A", layer="Gold_1"), row("B", enabled=0), row("C")]) == (1, 1, 1)
    assert [(r["transformation_id"], r["layer"], r["enabled"]) for r in registry.export()] == [
        ("A", "Gold_1", 1),
        ("B", "Silver_1", 0),
        ("C", "Silver_1", 1),
    ]


def test_json_values(registry):
    """JSON is stored as compact text, given as text or as objects. Equal JSON is not a change."""
    as_objects = row(inputs=["s.t"], constants={"a": {"b": [1, "ü"]}}, outputs=[{"table": "s.u"}])
    as_text = row(
        inputs='["s.t"]', constants='{"a": {"b": [1, "\\u00fc"]}}', outputs='[ {"table":"s.u"} ]'
    )
    assert registry.upsert([as_objects]) == (1, 0, 0)
    [found] = registry.export()
    assert (found["inputs"], found["constants"]) == ('["s.t"]', '{"a":{"b":[1,"ü"]}}')
    assert registry.upsert([as_text]) == (0, 0, 1)


def test_left_out_columns(registry):
    """A column that a row leaves out does not change. None empties it."""
    registry.upsert([row(entity_1="Plant_A", entity_2="Dryer_1", enabled=0)])
    assert registry.upsert([row(entity_1=None)]) == (0, 1, 0)
    [found] = registry.export()
    assert (found["entity_1"], found["entity_2"], found["enabled"]) == (None, "Dryer_1", 0)


def test_spelling_of_the_project(registry):
    """A project in another case is the same project; an environment is not."""
    registry.upsert([row()])
    assert registry.upsert([row(project="ENERGY EFFICIENCY", layer="Bronze")]) == (0, 1, 0)
    assert registry.upsert([row(environment="QAT")]) == (1, 0, 0)
    assert len(registry.fetch("Energy Efficiency", "qat")) == 1


def test_aliases(registry):
    """Rows may use the aliases of the seed's query."""
    renamed = {"id": "T1", "env": "qat", "plant": "Plant_A", "asset": "Dryer_1"}
    others = {k: v for k, v in row().items() if k not in ("transformation_id", "environment")}
    assert registry.upsert([{**others, **renamed}]) == (1, 0, 0)
    assert registry.export()[0]["entity_2"] == "Dryer_1"


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (True, 1),
        (False, 0),
        ("yes", 1),
        ("FALSE", 0),
        ("1", 1),
        (0, 0),
        (None, 1),
        ("", 1),
        (1.0, 1),
        (b"\0", 0),
    ],
)
def test_enabled(registry, value, stored):
    """Every usual word for yes and no is stored as 1 or 0. A row without a value is enabled."""
    registry.upsert([row(enabled=value)])
    assert [r["enabled"] for r in registry.export()] == [stored]


def test_padded_text(postgres_url):
    """Blanks around text are neither stored nor a difference to padded text of a database."""
    columns = ", ".join(f"{name} CHAR(60)" for name in SEED_COLUMNS)
    execute(postgres_url, f"CREATE TABLE TransformationRegistry ({columns})")
    registry = registry_in_database(postgres_url)
    assert registry.upsert([row(" T1 ", entity_1=" ", entity_2="Dryer_1 ")]) == (1, 0, 0)
    assert registry.upsert([row("T1", entity_2=" Dryer_1")]) == (0, 0, 1)
    [found] = registry.fetch("Energy Efficiency", "qat")
    assert (found["transformation_id"].rstrip(), found["entity_1"]) == ("T1", None)


def test_columns_of_type_json(postgres_url):
    """A JSON column's text is read unparsed, so that a duplicate key is found, and never written."""
    kinds = {"inputs": "JSONB", "constants": "JSON", "outputs": "JSONB"}
    columns = ", ".join(f"{name} {kinds.get(name, 'TEXT')}" for name in SEED_COLUMNS)
    execute(postgres_url, f"CREATE TABLE TransformationRegistry ({columns})")
    registry = registry_in_database(postgres_url)
    wanted = row("A", inputs=["s.t"], constants={"a": {"b": 1}}, outputs=[{"table": "s.u"}])
    assert registry.upsert([wanted]) == (1, 0, 0)
    assert registry.upsert([wanted]) == (0, 0, 1)
    twice = '{"checks": [1], "checks": []}'
    message = the_error(lambda: registry.upsert([row("B", constants=twice)]))
    assert "a column of type JSON keeps only one of them: key 'checks' occurs twice" in message
    execute(postgres_url, f"UPDATE TransformationRegistry SET constants = '{twice}'")
    [found] = registry.fetch("Energy Efficiency", "qat")
    assert found["constants"] == twice
    assert registry.upsert([wanted]) == (0, 1, 0)


def test_all_or_nothing(registry):
    """One error has all problems of all rows, and nothing is written."""
    registry.upsert([row("OLD")])
    rows = [
        row("OLD", layer="Bronze"),
        row("A", inputs="[1,"),
        row("B", outputs=[{"tabel": "s.t"}]),
        {"transformation_id": "C"},
        row("D", enabled="perhaps"),
        row("E"),
        row("E", project="energy EFFICIENCY"),
        row("F", stepp=1),
        row("G", description="d"),
    ]
    before = registry.export()
    message = the_error(lambda: registry.upsert(rows))
    for expected in (
        "row 'A', inputs",
        "row 'B', outputs[0].tabel",
        "column 'module' is empty or missing - at row 'C'",
        "expected 1 or 0, found 'perhaps' - at row 'D', enabled",
        "occurs twice - at row 'E'",
        "unknown column 'stepp'",
        "no column 'description'; `odibi registry init --all-columns` adds it",
    ):
        assert expected in message
    assert registry.export() == before


def test_empty_columns_need_no_place(registry):
    """A missing column of the table is no problem while no row has a value for it."""
    assert registry.upsert([row(step=None, description="")]) == (1, 0, 0)


def test_refused_by_the_database(postgres_url):
    """If the database refuses one row, none is written, and the error has the reason."""
    registry = registry_in_database(postgres_url)
    registry.create()
    message = the_error(lambda: registry.upsert([row("A"), row("B" * 101)]))
    assert "value too long" in message
    assert "NUL" in the_error(lambda: registry.upsert([row("A"), row("B", entity_1="a\0b")]))
    assert registry.export() == []


def test_read_only_file(tmp_path):
    """A refusal by the database is one error for SQLite, too."""
    url = f"sqlite:///{tmp_path}/registry.db"
    registry_in_database(url).create()
    execute(
        url,
        "CREATE TRIGGER no BEFORE INSERT ON TransformationRegistry BEGIN SELECT RAISE(FAIL, 'no'); END",
    )
    message = the_error(lambda: registry_in_database(url).upsert([row()]))
    assert message == f"TransformationRegistry in {url}: no"
    assert "must not have a NUL character" in the_error(
        lambda: registry_in_database(url).upsert([row("\ud800")])
    )


def test_stamps(registry):
    """If the table has them, created_at is set once and updated_at with every change, never from rows."""
    registry.create(all_columns=True)
    early = dt.datetime(2000, 1, 1, tzinfo=dt.timezone.utc)
    registry.upsert([row(created_at=early, updated_at="nonsense")])
    [first] = registry.export()
    assert str(first["created_at"]) == str(first["updated_at"]) > "2026"
    assert registry.upsert([row(created_at=early)]) == (0, 0, 1)
    assert registry.upsert([row(layer="Bronze")]) == (0, 1, 0)
    [second] = registry.export()
    assert second["created_at"] == first["created_at"]
    assert str(second["updated_at"]) > str(first["updated_at"])


def test_export(registry):
    """An export has one project, one environment, or all, and is ordered."""
    registry.upsert([row("B"), row("A"), row("A", environment="prod"), row("A", project="Other")])

    def ids(*selected):
        return [
            (r["project"], r["environment"], r["transformation_id"])
            for r in registry.export(*selected)
        ]

    energy = "Energy Efficiency"
    assert ids() == [
        (energy, "prod", "A"),
        (energy, "qat", "A"),
        (energy, "qat", "B"),
        ("Other", "qat", "A"),
    ]
    assert ids("energy efficiency") == [
        (energy, "prod", "A"),
        (energy, "qat", "A"),
        (energy, "qat", "B"),
    ]
    assert ids(None, "prod") == [(energy, "prod", "A")]


@pytest.mark.parametrize("suffix", [".json", ".csv"])
def test_through_a_file(registry, database_url, tmp_path, suffix):
    """Importing an export again changes nothing. Importing it elsewhere makes the same table."""
    registry.create(all_columns=True)
    registry.upsert(
        [
            row(
                "A",
                inputs=["s.t", {"sql": "SELECT 'ü', \"x\"\nFROM s.t"}],
                constants={"n": None},
                step=2,
            ),
            row(
                "B",
                entity_1=" ,\"';\r\n",
                description="=1+1",
                enabled=0,
                outputs=[{"table": "s.u"}],
            ),
            row("C", constants='{"a":1}'),
        ]
    )
    path = tmp_path / f"rows{suffix}"
    write_rows(path, registry.export())
    assert registry.upsert(read_rows(path)) == (0, 0, 3)
    copy = registry_in_database("sqlite:///copy.db", folder=tmp_path)
    copy.create(all_columns=True)
    assert copy.upsert(read_rows(path)) == (3, 0, 0)

    def facts(rows):
        return [{k: v for k, v in r.items() if k not in ("created_at", "updated_at")} for r in rows]

    assert facts(copy.export()) == facts(registry.export())


letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.text(letters, min_size=1, max_size=40).map(str.strip).filter(bool)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    id_=texts,
    project=texts,
    env=texts,
    entity=texts,
    constants=st.dictionaries(texts, values, max_size=3),
)
def test_any_text(registry, id_, project, env, entity, constants):
    """Any text and JSON of a row is read back, and importing it again changes nothing."""
    wanted = row(id_, project=project, environment=env, entity_1=entity, constants=constants)
    registry.upsert([wanted])
    assert registry.upsert([wanted]) == (0, 0, 1)
    [found] = [r for r in registry.fetch(project, env) if r["transformation_id"] == id_]
    assert (found["environment"], found["entity_1"]) == (env, entity)
    assert json.loads(found["constants"]) == constants
