"""Suggestions of messages for an unknown name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odibi_nb.core.model.tables import TableName
from odibi_nb.engines.lake import Lake
from odibi_nb.errors import closest, did_you_mean

KNOWN = ["Silver.CleanSensors", "bronze.raw", "GOLD_001"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("bronze.rwa", " (did you mean 'bronze.raw'?)"),
        ("silver.cleansensors", " (did you mean 'Silver.CleanSensors'?), which differs in case"),
        ("gold_001", " (did you mean 'GOLD_001'?)"),
        ("GOLD_001 ", " (did you mean 'GOLD_001'?), which differs in blanks"),
        ("GOLD_001\u00a0", " (did you mean 'GOLD_001'?), which differs in blanks"),
        (
            "GOLD_\u200b001",
            r" (did you mean 'GOLD_001'?), which looks the same, but 'GOLD_\u200b001' has U+200B ZERO WIDTH SPACE",
        ),
        (
            "br\u043enze.raw",
            r" (did you mean 'bronze.raw'?), which looks the same, but 'br\u043enze.raw' has U+043E CYRILLIC SMALL LETTER O",
        ),
        ("Silver.CleanSensors", ""),
        ("nothing like it", ""),
    ],
)
def test_a_hint_says_what_differs(name, hint):
    """A name that looks like a known one gets a hint about the difference. A known one gets none."""
    assert did_you_mean(name, KNOWN) == hint


@given(st.lists(st.text(max_size=8), max_size=5), st.integers(0, 4))
def test_no_name_is_proposed_for_itself(known, which):
    """The suggestion is never the name itself."""
    for name in known:
        assert closest(name, known) is None
        other = name.upper() if which % 2 else f"{name}x"
        assert closest(other, known) != other


def test_a_table_in_a_folder_of_another_case(tmp_path):
    """For a table whose folder has capital letters, the message has the folder and a remedy."""
    log = tmp_path / "Silver" / "CleanSensors" / "_delta_log"
    log.mkdir(parents=True)
    (log / f"{0:020}.json").touch()
    error = Lake(str(tmp_path)).not_found(TableName.parse("Silver.CleanSensors"))
    assert "its folder is Silver/CleanSensors" in str(error)
    assert str(error).endswith("rename it to silver/cleansensors")
    assert "did you mean" not in str(error)
    assert "did you mean" in str(
        Lake(str(tmp_path)).not_found(TableName.parse("Silver.CleanSensor"))
    )
