"""TOML of settings files and cells."""

from __future__ import annotations

import pytest

from odibi_nb.core.text.toml import decode_toml


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[B1]\na=1\n[B1]",
            "Cannot declare ('B1',) twice (at line 3, column 4): [B1] is first in line 1",
        ),
        ("[B1]\na=1\n[B2]\na=1\na=2", "(at line 5, column 4): a is first in line 4"),
        ("env='qat'\nenv = 'prod'", "(at line 2, column 13): env is first in line 1"),
        ("x = {a=1, a=2}", "Duplicate inline table key 'a' (at line 1, column 14)"),
        ("a = " + "[" * 20_000, "is nested too deeply"),
    ],
)
def test_what_is_there_twice(text, message):
    """A table or key that is there twice is named with both places; hostile nesting is one message."""
    with pytest.raises(ValueError) as wrong:
        decode_toml(text)
    assert str(wrong.value).endswith(message)
