"""The line of the user's code at which an attempt failed, as an event's payload has it."""

from __future__ import annotations

import msgspec

from odibi_nb.core.model.failure_place import FailurePlace, place_in


def test_a_place_comes_back_from_a_payload():
    """A place that was written to a journal is read back; without one there is none."""
    place = FailurePlace(file="silver.py", line=3, function="clean", hint="kwh")
    assert place_in(msgspec.to_builtins(place)) == place
    assert place_in(None) is None


def test_a_malformed_place_is_no_place():
    """A journal's line whose place has another form is shown without a place."""
    assert place_in({"file": "silver.py", "line": "three", "function": "clean"}) is None
    assert place_in("silver.py:3") is None
