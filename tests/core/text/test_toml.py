"""TOML of settings files and cells."""

from __future__ import annotations

import pytest

from odibi_nb.core.text.toml import decode_toml


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[B1]\na=1\n[B1]",
            "Cannot declare ('B1',) twice (at line 3, column 4): [B1] is declared first in line 1",
        ),
        ("[B1]\na=1\n[B2]\na=1\na=2", "(at line 5, column 4): a is declared first in line 4"),
        ("env='qat'\nenv = 'prod'", "(at line 2, column 13): env is declared first in line 1"),
        ("x = {a=1, a=2}", "Duplicate inline table key 'a' (at line 1, column 14)"),
        ("a = " + "[" * 20_000, "is nested too deeply"),
        ("a = " + "[" * 101 + "]" * 101, "is nested too deeply"),
        ("b = 1\n" + "a." * 150_000 + "a=1", "than 100: use fewer dots (at line 2)"),
        ("[" + "a." * 150_000 + "a]", "than 100: use fewer dots (at line 1)"),
        (
            "x={y=1," + '"a" . ' * 5_000 + "a=1}",
            "5,001 parts, more than 100: use fewer dots (at line 1)",
        ),
    ],
)
def test_what_is_there_twice(text, message):
    """A table or key that occurs twice is named with both places; hostile nesting is one message."""
    with pytest.raises(ValueError) as wrong:
        decode_toml(text)
    assert str(wrong.value).endswith(message)


def test_many_dots_that_are_no_key():
    """Numbers, sentences and places in values may have any number of dots in a line."""
    numbers = ", ".join(["1.5"] * 500)
    assert decode_toml(f"a = [{numbers}]\nb = 'https://x.y.z/..'") == {
        "a": [1.5] * 500,
        "b": "https://x.y.z/..",
    }
    sentences = "One. " * 500
    assert decode_toml(f"a = \"{sentences}\"\nb = '{sentences}'") == dict.fromkeys("ab", sentences)
