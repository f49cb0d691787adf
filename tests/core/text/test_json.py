"""JSON: what comes back, where errors are, and text of any value."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odibi_nb.core.text.json import as_json, decode_config, decode_json

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(json_values)
def test_json_comes_back(value):
    """Decoding returns the encoded value."""
    assert decode_json(as_json(value)) == value
    assert decode_json(json.dumps(value)) == value


@given(st.binary(max_size=40))
def test_any_bytes_are_json_or_one_line(data):
    """Any bytes are decoded, or refused with a message of one line."""
    try:
        decode_json(data)
        said = "line "
    except ValueError as exc:
        said = str(exc)
    assert "line " in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"a": 1,}', "line 1, column 9"),
        ('{"a": 1,\n "b": }', "line 2, column 7"),
        ('{"é": tru}', "line 1, column 11"),
        ('{"a": 1', "line 1, column 8"),
        ('{\n"a": [1,\n', "line 3, column 1"),
        (b'["a", "\xff"]', "line 1, column 8"),
        ('{"a": NaN}', "line 1, column 7"),
    ],
)
def test_malformed_json_has_a_line_and_a_column(text, place):
    """A syntax error names line and column, in characters, also where the text just ends."""
    with pytest.raises(ValueError, match=place):
        decode_json(text)


@pytest.mark.parametrize("text", ["", "  \n ", b""])
def test_nothing_is_not_json(text):
    """Empty text is called empty."""
    with pytest.raises(ValueError, match="empty"):
        decode_json(text)


def test_a_byte_order_mark_is_no_error():
    """Windows editors put a byte order mark before JSON; it is passed over."""
    assert decode_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}
    assert decode_json('\ufeff{"a": 1}') == {"a": 1}


@pytest.mark.parametrize("text", ['\ufeff{"ab": 1, "ab": 2}', b'\xef\xbb\xbf{"ab": 1, "ab": 2}'])
def test_a_byte_order_mark_is_in_no_column(text):
    """The places of duplicate keys are the places that an editor shows: it does not count the mark."""
    with pytest.raises(ValueError, match="line 1, column 2 and line 1, column 11"):
        decode_config(text)


def test_bottomless_json_is_malformed():
    """JSON nested deeper than Python goes is an error of the JSON, not of the program."""
    with pytest.raises(ValueError, match="nested"):
        decode_json("[" * 100_000)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a"}, '["a"]'),
        (Decimal("1.50"), '"1.50"'),
        (dt.datetime(2025, 1, 2, tzinfo=dt.timezone.utc), '"2025-01-02T00:00:00Z"'),
        ({1: ValueError("x")}, '{"1":"x"}'),
        (float("nan"), "null"),
    ],
)
def test_whatever_json_does_not_know_becomes_text(value, text):
    """Sets become lists; what JSON has no form for becomes its text."""
    assert as_json(value) == text


def test_canonical_json_does_not_depend_on_order():
    """Asked for canonical text, equal objects give equal text."""
    one, two = {"b": [1, {"y": 1, "x": 2}], "a": 1}, {"a": 1, "b": [1, {"x": 2, "y": 1}]}
    assert as_json(one, canonical=True) == as_json(two, canonical=True)
    assert as_json(one) != as_json(two)


def test_text_that_is_no_unicode_can_be_encoded():
    """A file name that is not UTF-8, as in an error message, does not stop the encoding."""
    assert decode_json(as_json({"error": "caf\udce9.csv"})) == {"error": "caf\\udce9.csv"}


def test_a_number_that_is_too_large_is_one_message():
    """A number outside of the range of numbers is refused with the parser's words."""
    with pytest.raises(ValueError, match="Number out of range"):
        decode_json('{"n": 1e400}')


class Broken:
    """A number of a library, such as an array without dimensions, that cannot give its value."""

    shape = ()

    def item(self):
        raise RuntimeError("the value is on another device")

    def __str__(self):
        return "a number elsewhere"


def test_a_number_that_cannot_be_read_becomes_text():
    """A value that fails when it is converted is written as its text, and fails no run log."""
    assert as_json({"n": Broken()}) == '{"n":"a number elsewhere"}'
