"""Parameters of SQL rows: each value becomes one literal, whatever it holds."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odibi_nb.core.model.sql_parameters import bind

DIALECTS = ("duckdb", "databricks")


def problems(sql, dialect="duckdb", **values):
    return bind(sql, values, dialect).problems


def text(sql, dialect="duckdb", **values):
    bound = bind(sql, values, dialect)
    assert bound.problems == ()
    return bound.text


@pytest.mark.parametrize(
    ("sql", "values", "expected"),
    [
        ("SELECT :n", {"n": 3}, "SELECT 3"),
        ("SELECT 1-:n", {"n": -3}, "SELECT 1-(-3)"),
        ("SELECT :n", {"n": 1.5}, "SELECT 1.5e0"),
        ("SELECT :n", {"n": None}, "SELECT NULL"),
        ("SELECT :n", {"n": True}, "SELECT TRUE"),
        ("SELECT :n", {"n": "it's"}, "SELECT 'it''s'"),
        ("SELECT :n", {"n": dt.date(2024, 2, 29)}, "SELECT CAST('2024-02-29' AS DATE)"),
        (
            "SELECT :n",
            {"n": dt.datetime(2024, 2, 29, 12, tzinfo=dt.timezone.utc)},
            "SELECT CAST('2024-02-29 12:00:00+00:00' AS TIMESTAMPTZ)",
        ),
        ("SELECT x IN (:n)", {"n": ["a", 1]}, "SELECT x IN ('a', 1)"),
        ("SELECT x IN :n", {"n": ["a"]}, "SELECT x IN ('a')"),
        ("SELECT x NOT IN :n", {"n": []}, "SELECT x NOT IN (SELECT NULL WHERE 1 = 0)"),
        ("SELECT x IN (1, :n, 2)", {"n": [3, 4]}, "SELECT x IN (1, 3, 4, 2)"),
        ("SELECT a BETWEEN :from AND :to", {"from": 1, "to": 2}, "SELECT a BETWEEN 1 AND 2"),
        ("SELECT {'a':n, b: :n}, l[1:n], x::int", {"n": 7}, "SELECT {'a':n, b: 7}, l[1:n], x::int"),
        ("SELECT ':n', \":n\", :n -- :n", {"n": 7}, "SELECT ':n', \":n\", 7 -- :n"),
    ],
)
def test_a_parameter_becomes_a_literal_of_its_type(sql, values, expected):
    """Text, numbers, booleans, null, dates and lists become literals; other colons stay."""
    assert text(sql, **values) == expected


def test_spark_gets_odd_texts_as_bytes():
    """Spark replaces ${…} inside of literals and reads backslashes by a setting, so both are hidden."""
    assert text("SELECT :n", "databricks", n="plain ü") == "SELECT 'plain ü'"
    for odd in ("it's", "C:\\new", "${env:HOME}"):
        found = text("SELECT :n", "databricks", n=odd)
        assert found == f"SELECT CAST(X'{odd.encode().hex().upper()}' AS STRING)"


@pytest.mark.parametrize(
    ("sql", "values", "message"),
    [
        (
            "SELECT 1,\n  :sinse",
            {"since": 1},
            "line 2, column 3: unknown parameter :sinse (did you",
        ),
        ("SELECT :a", {}, "line 1, column 8: unknown parameter :a: no constant has this name"),
        ("SELECT 1", {"a": 1}, "constant 'a' is not used: the query has no :a"),
        ("SELECT ?", {}, "a parameter must have a name, such as :since: ? and :1 have none"),
        ("SELECT :a", {"a": {}}, "parameter :a must be text, a number, true, false, null, a date"),
        ("SELECT :a", {"a": "\0"}, "parameter :a has a NUL character"),
        ("SELECT :a", {"a": float("inf")}, "parameter :a must be a finite number"),
        ("SELECT :a", {"a": [1]}, "line 1, column 8: parameter :a is a list, which may only foll"),
        ("SELECT * FROM :a", {"a": "t"}, ":a: a parameter is not allowed at this place in a query"),
        ("SELECT :a,\n :a == == 3", {"a": "long"}, "line 2, column 8: syntax error near '=='"),
        ("SELECT 'a", {}, "cannot be read as SQL: a quote or a comment does not end"),
        ("SELECT 1; SELECT 2", {}, "must be one SELECT"),
    ],
)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_wrong_parameter_is_one_message(dialect, sql, values, message):
    """A typing error in a query or its parameters is one message, with line and column."""
    (found,) = problems(sql, dialect, **values)
    assert found.startswith(message)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(DIALECTS))
def test_no_text_leaves_its_literal(value, dialect):
    """A query has the same tree with any text as with a harmless one."""
    import sqlglot

    bound = bind("SELECT a FROM t WHERE b = :v AND c IN (:l)", {"v": value, "l": [value]}, dialect)
    if "\0" in value:
        assert bound.problems
        return
    (tree,) = sqlglot.parse(bound.text, dialect=dialect)
    literals = {node.this for node in tree.find_all(sqlglot.exp.Literal, sqlglot.exp.HexString)}
    assert len(literals) == 1
    found = literals.pop()
    assert found == value or bytes.fromhex(found).decode() == value


def test_places_are_those_of_the_query_as_written():
    """A place behind a parameter is that of the text before its value was put in."""
    sql = "SELECT :a, x FROM t"
    bound = bind(sql, {"a": "quite a long text"}, "duckdb")
    assert bound.original(bound.text.index("x FROM")) == sql.index("x FROM")
    assert bound.original(0) == 0


def test_a_field_that_is_spelled_like_a_parameter_stays():
    """Databricks reads a colon after an expression as a field of JSON, also behind a blank."""
    sql = "SELECT :a, CASE WHEN x THEN y END :b FROM t"
    assert text(sql, "databricks", a=1) == sql.replace(":a", "1")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_query_without_end_is_one_message(dialect):
    """Nesting that no parser can follow is one message, and no crash."""
    sql = "SELECT :a, " + "(" * 5_000 + "1" + ")" * 5_000
    assert problems(sql, dialect, a=1) == ("is nested too deeply",)


def test_a_call_that_the_parser_cannot_read_is_one_message():
    """An error of the parser without a place is one message, too."""
    (found,) = problems("SELECT :a, DATE_TRUNC()", "databricks", a=1)
    assert found.startswith("cannot be parsed: ")
