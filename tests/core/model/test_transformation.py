"""Registry rows: what stands for what, and everything wrong with a row at once."""

from __future__ import annotations

import json
import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odibi_nb.core.model.query_tables import keys_read
from odibi_nb.core.model.retry import RetryPolicy
from odibi_nb.core.model.transformation import parse_row
from odibi_nb.errors import DataError, RevokedError

SEED_ROW = {
    "transformation_id": "SILVER_001",
    "project": "Energy Efficiency",
    "environment": "qat",
    "layer": "Silver_1",
    "entity_1": "Plant_A",
    "entity_2": "Dryer_1",
    "module": "odibi_functions.silver",
    "function": "clean_sensor_data",
    "inputs": '["bronze.raw_sensors"]',
    "constants": '{"drop_nulls": true}',
    "outputs": '[{"table": "silver.clean_sensors"}]',
    "enabled": 1,
}


def parsed(**columns):
    """The seed's row with these columns; it must be fine."""
    row, problems = parse_row({**SEED_ROW, **columns}, 1)
    assert [str(p) for p in problems] == []
    return row


def wrong(**columns):
    """Return the problems of the seed's row with these columns."""
    row, problems = parse_row({**SEED_ROW, **columns}, 1)
    assert row is None
    return [str(problem) for problem in problems]


def test_the_seeds_row():
    """The seed's row is understood as it stands."""
    row = parsed()
    assert row.inputs == ["bronze.raw_sensors"]
    assert row.constants == {"drop_nulls": True}
    assert row.outputs == [{"table": "silver.clean_sensors"}]
    assert [t.mode for t in row.targets] == ["overwrite"]
    assert (row.plant, row.asset) == ("Plant_A", "Dryer_1")
    assert row.qualified_function == "odibi_functions.silver.clean_sensor_data"
    assert row.enabled


def test_padded_text():
    """Blanks around names, as columns of fixed width have them, do not count."""
    row = parsed(transformation_id="S1  ", layer="Silver_1 ", module=" m", function="f ")
    assert (row.transformation_id, row.layer) == ("S1", "Silver_1")
    assert row.qualified_function == "m.f"


@pytest.mark.parametrize("nothing", [None, "", "  ", float("nan")])
def test_nothing_means_the_default(nothing):
    """SQL NULL, empty and blank text and the NaN of data frames stand for the default."""
    optional = ("entity_1", "entity_2", "entity_3", "inputs", "constants", "outputs", "step")
    row = parsed(**dict.fromkeys(optional, nothing), description=nothing)
    assert (row.inputs, row.constants, row.outputs, row.targets) == ([], {}, [], ())
    assert (row.plant, row.asset, row.entity_3, row.step) == (None, None, None, None)
    assert parsed(inputs="null", constants="null", outputs=" null ").constants == {}


@pytest.mark.parametrize(
    "column", ["transformation_id", "project", "environment", "layer", "module", "function"]
)
@pytest.mark.parametrize("nothing", [None, "", " "])
def test_required_columns(column, nothing):
    """Each required column that is empty is named, with the row's id or number."""
    where = "row number 1" if column == "transformation_id" else "row 'SILVER_001'"
    assert wrong(**{column: nothing}) == [f"column {column!r} is empty or missing - at {where}"]


def test_the_seeds_aliases():
    """Rows may come under the names of the seed's query, and in any case."""
    row = {k: v for k, v in SEED_ROW.items() if k not in {"transformation_id", "environment"}}
    row |= {"ID": "X", "Env": "prod", "PLANT": "P", "asset": "A"}
    del row["entity_1"], row["entity_2"]
    found, problems = parse_row(row, 1)
    assert problems == []
    assert (found.transformation_id, found.environment) == ("X", "prod")
    assert (found.plant, found.asset) == ("P", "A")


@pytest.mark.parametrize("first", [True, False])
def test_a_column_goes_before_its_alias(first):
    """A table that has a column `id` of its own keeps its `transformation_id`."""
    own = {"id": 17, "plant": "no"}
    row, problems = parse_row({**own, **SEED_ROW} if first else {**SEED_ROW, **own}, 1)
    assert problems == []
    assert (row.transformation_id, row.plant) == ("SILVER_001", "Plant_A")


@pytest.mark.parametrize(
    "value",
    [
        *(1, True, 1.0, Decimal(1), Decimal("1.0"), b"\x01"),
        *("1", "1.0", "true", "TRUE", " True ", "yes", "Y", "on", "t"),
    ],
)
def test_enabled(value):
    """Every database's and file's way to say yes."""
    assert parsed(enabled=value).enabled is True


@pytest.mark.parametrize(
    "value",
    [
        *(0, False, 0.0, Decimal(0), b"\x00", None, "", float("nan")),
        *("0", "0.0", "false", "False", "no", "N", "off", "f"),
    ],
)
def test_disabled(value):
    """Every way to say no; nothing is no, as in the seed's WHERE enabled = 1."""
    assert parsed(enabled=value).enabled is False


@pytest.mark.parametrize("value", ["maybe", 2, "2", [1]])
def test_enabled_or_not_is_not_guessed(value):
    """A value that is neither yes nor no is a problem, not a row that silently never runs."""
    (problem,) = wrong(enabled=value)
    assert problem.startswith("expected 1 or 0, found")
    assert problem.endswith("at row 'SILVER_001', enabled")


@pytest.mark.parametrize(
    ("column", "text", "message"),
    [
        ("inputs", '["a", ]', "JSON is malformed: trailing comma in array (line 1, column 7)"),
        ("constants", '{"a": \n tru}', "JSON is malformed: invalid character (line 2, column 6)"),
        ("outputs", "[{", "JSON is malformed: it ends too early (line 1, column 3)"),
        ("constants", "{'a': 1}", "JSON is malformed: object keys must be strings (line 1"),
        ("inputs", b"[\xff]", "is not UTF-8"),
        ("inputs", "[" * 100_000, "JSON is nested too deeply"),
    ],
)
def test_malformed_json_names_row_column_and_place(column, text, message):
    """Malformed JSON names the row's id, the column, and line and column in its text."""
    (problem,) = wrong(**{column: text})
    assert problem.startswith(message)
    assert problem.endswith(f"- at row 'SILVER_001', {column}")


@pytest.mark.parametrize(
    ("column", "text", "message"),
    [
        ("inputs", "bronze.a", "found the text 'bronze.a': write [\"bronze.a\"]"),
        ("outputs", " bronze.a, b ", '\'bronze.a, b\': write ["bronze.a","b"]'),
        ("constants", "factor=2", 'an object in JSON, such as {"name": "value"}, found the text'),
        ("constants", "password=hunter2", "found the text 'password=***'"),
    ],
)
def test_text_without_json_is_shown_with_the_form_to_write(column, text, message):
    """A table's name where a list belongs is refused with the list to write, without secrets."""
    (problem,) = wrong(**{column: text})
    assert message in problem
    assert "malformed" not in problem
    assert problem.endswith(f"- at row 'SILVER_001', {column}")


def test_python_text_of_another_kind_gets_no_advice():
    """A tuple's text is that of a list; a list's text is no advice where an object is expected."""
    assert 'write ["bronze.a"],' in wrong(inputs="('bronze.a',)")[0]
    assert "write" not in wrong(constants="('a',)")[0]


@pytest.mark.parametrize(
    ("column", "text", "message"),
    [
        ("inputs", '{"a": 1}', "expected a list, found {'a': 1}"),
        ("inputs", '"bronze.raw"', "expected a list, found 'bronze.raw'"),
        ("constants", "[]", "expected an object, found []"),
        ("constants", "3", "expected an object, found 3"),
        ("outputs", '{"table": "t.t"}', "expected a list, found {'table': 't.t'}"),
        ("outputs", "true", "expected a list, found True"),
        ("constants", 3.5, "expected an object, found 3.5"),
    ],
)
def test_json_of_another_kind(column, text, message):
    """JSON that is not the list or object the column holds is said to be so."""
    assert wrong(**{column: text}) == [f"{message} - at row 'SILVER_001', {column}"]


def test_json_that_is_decoded_already():
    """Databases with a JSON type hand over objects; they are taken as they are."""
    row = parsed(inputs=["a.b"], constants={"x": 1}, outputs=[{"table": "t.t"}])
    assert (row.inputs, row.constants) == (["a.b"], {"x": 1})
    assert parsed(inputs=b'["a.b"]', constants=bytearray(b'{"x": 1}')).constants == {"x": 1}


def test_everything_wrong_at_once():
    """All columns of a row are looked at, whatever is wrong with the first."""
    problems = wrong(
        module=None,
        inputs=[5, {"tabel": "x"}, "a.b.c.d"],
        constants="[",
        outputs=[{"table": "t"}, {"mode": "append"}],
        step="one",
    )
    assert [p.partition(" - at row 'SILVER_001'")[2] for p in problems] == [
        "",
        ", constants",
        ", inputs[0]",
        ", inputs[1]",
        ", inputs[2]",
        ", outputs[1]",
        ", step",
    ]


@pytest.mark.parametrize(
    "item",
    [
        "bronze.raw",
        "adls://raw/sensors.csv",
        "data/x.csv",
        {"table": "bronze.raw"},
        {"path": "data/x.csv", "format": "csv", "schema": {"x": "int"}},
        {"type": "query", "sql": "SELECT 1", "name": "q"},
    ],
)
def test_forms_of_inputs(item):
    """Tables, places and queries, as text or objects; the function gets them as they are."""
    assert parsed(inputs=[item]).inputs == [item]


@pytest.mark.parametrize(
    "item",
    [
        "",
        5,
        None,
        [],
        {},
        {"type": "query"},
        {"table": None},
        {"table": 5},
        {"table": "../up"},
        {"table": "a/b"},
        {"path": ""},
        {"sql": None},
        {"sql": 5},
        "a.b\0",
        'a."b"',
    ],
)
def test_inputs_that_name_nothing(item):
    """An input that is no table, place or query is a problem with its place in the list."""
    (problem,) = wrong(inputs=["a.b", item])
    assert problem.endswith("- at row 'SILVER_001', inputs[1]")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("silver.x", "expected an object, found 'silver.x' - at row 'SILVER_001', outputs[0]"),
        ({}, "required field 'table' is missing - at row 'SILVER_001', outputs[0]"),
        (
            {"table": 3},
            "expected `str`, got `int`, found 3 - at row 'SILVER_001', outputs[0].table",
        ),
        (
            {"table": "t.t", "mode": "apend"},
            (
                "expected 'overwrite' or 'append' or 'merge', found 'apend' (did you mean 'append'?)"
                " - at row 'SILVER_001', outputs[0].mode"
            ),
        ),
        (
            {"table": "t.t", "mode": "merge"},
            (
                "mode 'merge' needs 'keys', the columns that identify a row"
                " - at row 'SILVER_001', outputs[0]"
            ),
        ),
        (
            {"table": "t.t", "mode": "merge", "key": ["id"]},
            "unknown field 'key' (did you mean 'keys'?) - at row 'SILVER_001', outputs[0].key",
        ),
        (
            {"table": "t.t", "keys": "id"},
            "expected `array`, got `str`, found 'id' - at row 'SILVER_001', outputs[0].keys",
        ),
        (
            {"table": "t.t", "mode": "append", "skip_unchanged": True},
            (
                "'skip_unchanged' needs mode 'overwrite', found 'append'"
                " - at row 'SILVER_001', outputs[0]"
            ),
        ),
    ],
)
def test_outputs(output, message):
    """A problem of an output has its place and a suggestion."""
    assert wrong(outputs=[output]) == [message]


def test_a_null_in_an_output_means_the_default():
    """An output with nulls, as tools write them, is the same as one without these fields."""
    (output,) = parsed(outputs=[{"table": "t.t", "mode": None, "keys": None}]).targets
    assert (output.table, output.mode, output.keys) == ("t.t", "overwrite", ())


@pytest.mark.parametrize(
    "table", ["../../etc/passwd", "a/b", "a..b", "a.b\0", 'a."b"', "a.'b'", "", "a.b.c.d", "s3://x"]
)
def test_tables_that_lead_out_of_the_lake(table):
    """An output's name that could lead out of the lake is refused before anything runs."""
    (problem,) = wrong(outputs=[{"table": table}])
    assert "is not a table name" in problem
    assert problem.endswith("- at row 'SILVER_001', outputs[0]")


@pytest.mark.parametrize(
    ("value", "step"), [(2, 2), ("2", 2), (2.0, 2), (Decimal(2), 2), ("2.0", 2), (-1, -1)]
)
def test_step(value, step):
    """A step is a whole number, however the database hands it over."""
    assert parsed(step=value).step == step


@pytest.mark.parametrize("value", ["one", 2.5, math.inf, [1], "2.5", True, 10**400])
def test_a_step_that_is_no_whole_number(value):
    """A step is not rounded."""
    (problem,) = wrong(step=value)
    assert problem.startswith("expected a whole number, found")


def test_secrets_of_a_malformed_row_are_not_shown():
    """A message about a malformed value shows no password."""
    for columns in (
        {"constants": '["postgresql://u:hunter2@h/db"]'},
        {"inputs": '{"password": "hunter2"}'},
        {"inputs": [{"password": "hunter2"}]},
        {"outputs": [{"table": {"url": "https://u:hunter2@h"}}]},
    ):
        assert "hunter2" not in "".join(wrong(**columns))


def test_other_columns_do_not_matter():
    """A row of 200 columns is the same transformation."""
    assert parsed(**{f"column_{i}": i for i in range(200)}) == parsed()


def test_numbers_as_ids():
    """An id that is a number in the database is the same id as text."""
    assert parsed(transformation_id=17).transformation_id == "17"


# -- config_hash -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "columns",
    [
        {"module": "other"},
        {"function": "other"},
        {"inputs": '["bronze.other"]'},
        {"inputs": '["bronze.raw_sensors", "bronze.other"]'},
        {"constants": '{"drop_nulls": false}'},
        {"constants": '{"drop_nulls": 1}'},
        {"outputs": '[{"table": "silver.clean_sensors", "mode": "append"}]'},
        {"entity_1": "Plant_B"},
        {"entity_2": None},
        {"step": 1},
        {"layer": "Gold_1"},
    ],
)
def test_the_hash_changes_with_the_configuration(columns):
    """Every change of a row's behaviour changes its hash."""
    assert parsed(**columns).config_hash() != parsed().config_hash()


@pytest.mark.parametrize(
    "columns",
    [
        {"description": "other", "updated_at": "2025-01-01", "created_at": "2025-01-01"},
        {"inputs": ' [ "bronze.raw_sensors" ] '},
        {"constants": {"drop_nulls": True}},
        {"enabled": "yes"},
        {"transformation_id": "SILVER_002"},
    ],
)
def test_the_hash_stays_with_the_configuration(columns):
    """Notes, blanks and the form in which JSON comes do not change the hash."""
    assert parsed(**columns).config_hash() == parsed().config_hash()


@given(st.permutations(["a", "b", "c"]))
def test_the_hash_does_not_depend_on_order_of_keys(order):
    """The same constants in another order are the same configuration."""
    constants = json.dumps({key: {"x": 1, "y": 2} for key in order})
    expected = parsed(constants='{"a":{"y":2,"x":1},"b":{"x":1,"y":2},"c":{"x":1,"y":2}}')
    assert parsed(constants=constants).config_hash() == expected.config_hash()


# -- which tables a row reads ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "keys"),
    [
        ("Bronze.Raw", {"bronze.raw"}),
        (" bronze.raw ", {"bronze.raw"}),
        ("`bronze`.`raw`", {"bronze.raw"}),
        ({"table": "BRONZE.RAW"}, {"bronze.raw"}),
        ("raw", {"default.raw"}),
        ("adls://bronze.raw/x.csv", set()),
        ({"path": "bronze.raw"}, set()),
        ({"sql": "SELECT * FROM bronze.raw r JOIN Silver.Clean c ON r.x = c.x"}, None),
        ({"sql": 'SELECT "bronze"."raw".x FROM `silver`.`clean`, bronze.raw'}, None),
        ({"sql": "SELECT 'bronze.raw' -- silver.clean\n/* bronze.raw */ FROM x"}, set()),
        ({"sql": "SELECT 'it''s bronze.raw' FROM silver.clean -- don't"}, {"silver.clean"}),
        ({"sql": "SELECT * FROM bronze . raw"}, {"bronze.raw"}),
        ({"sql": "SELECT * FROM [bronze].[raw]"}, {"bronze.raw"}),
        ({"sql": "SELECT * FROM bronze.raw_2, xbronze.raw"}, set()),
        ({"sql": "SELECT * FROM raw"}, {"default.raw"}),
        ({"sql": "SELECT * FROM default.raw"}, {"default.raw"}),
    ],
)
def test_the_tables_a_row_reads(item, keys):
    """Tables by any spelling; queries by the tables they mention, not in literals or comments."""
    known = {"bronze.raw", "silver.clean", "default.raw"}
    found = parsed(inputs=[item]).input_keys(known)
    assert found == ({"bronze.raw", "silver.clean"} if keys is None else keys)


@given(st.text(alphabet="ab.'\"-/* \n`", max_size=40))
def test_any_sql_has_names(sql):
    """The search for names ends for any text."""
    assert isinstance(keys_read(f"SELECT {sql}", "pandas", {"default.a"})[0], set)


# -- retry -------------------------------------------------------------------------------------


def test_the_seeds_delays():
    """Three retries after 2, 4 and 8 seconds, plus jitter; never more than the maximum."""
    policy = RetryPolicy()
    assert policy.max_retries == 3
    assert [policy.delay(n, 0.0) for n in (1, 2, 3)] == [2.0, 4.0, 8.0]
    assert policy.delay(1, 1.0) == 3.0
    assert policy.delay(5000, 0.0) == 60.0


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_delays_are_bounded(failures, part):
    """However often it failed, the wait is between nothing and maximum plus jitter."""
    policy = RetryPolicy()
    assert 0 <= policy.delay(failures, part) <= policy.max_delay + policy.jitter


class Transient(OSError):
    pass


@pytest.mark.parametrize(
    ("error", "allowed"),
    [
        (OSError(), True),
        (Transient(), True),
        (ValueError(), True),
        (KeyError(), False),
        (IndexError(), False),
        (ModuleNotFoundError(), False),
        (TypeError(), False),
        (ZeroDivisionError(), False),
        (UnboundLocalError(), False),
        (IndentationError(), False),
        (DataError(), False),
        (RevokedError(), False),
        (type("AnalysisException", (Exception,), {})(), False),
    ],
)
def test_what_a_retry_can_mend(error, allowed):
    """Errors of the program are final, those of the world are tried again; subclasses included."""
    assert RetryPolicy().allows(error, 0) is allowed
    assert not RetryPolicy(max_retries=2).allows(error, 2)


def test_retry_on_goes_before_never_retry():
    """With retry_on only what it names is tried again, even what never_retry names."""
    policy = RetryPolicy(retry_on=("KeyError", "OSError"))
    assert policy.allows(KeyError(), 0)
    assert policy.allows(Transient(), 0)
    assert not policy.allows(ValueError(), 0)


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "ü\udfff"])
def test_an_id_that_no_log_can_keep_is_a_problem(name):
    """A transformation_id with a NUL or half a surrogate pair cannot be told apart in every run log."""
    _, problems = parse_row(dict(SEED_ROW, transformation_id=name), 1)
    assert [p.message for p in problems] == [
        "a transformation_id must not have a NUL character or half a surrogate pair"
    ]


@pytest.mark.parametrize(
    ("column", "text", "message"),
    [
        ("constants", '"{\\"a\\": 1}"', 'it was encoded twice; store {"a":1} itself'),
        ("inputs", '"[\\"s.t\\"]"', 'it was encoded twice; store ["s.t"] itself'),
        (
            "constants",
            "{'a': None, 'b': True}",
            'Python text, whose quotes are not JSON\'s: write {"a":null',
        ),
        ("inputs", "['s.t']", 'write ["s.t"], as json.dumps(value), not str(value) does'),
        ("inputs", '["{\\"table\\": \\"s.t\\"}"]', 'encoded twice; store {"table":"s.t"} itself'),
        ("constants", "{'password': 'hunter2'}", 'write {"password":"***"}'),
        ("constants", '"{\\"password\\": \\"hunter2\\"}"', 'store {"password":"***"} itself'),
        (
            "constants",
            '{"a": 1, "b": {"c": 1, "c": 2}}',
            "key 'c' occurs twice: line 1, column 16 and",
        ),
    ],
)
def test_json_as_people_store_it(column, text, message):
    """JSON encoded twice, Python's own text, and a key twice each get a message that says what to do."""
    [problem] = wrong(**{column: text})
    assert message in problem
    assert "hunter2" not in problem
