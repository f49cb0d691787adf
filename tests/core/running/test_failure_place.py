"""The place where an attempt failed: the user's own line, and a column that it may have meant."""

from __future__ import annotations

import gc
import weakref

import pytest
from lazily import pd

from odibi_nb.core.running.failure_place import place_of


def caught(call, *arguments):
    try:
        call(*arguments)
    except Exception as exc:
        return exc
    raise AssertionError("it did not raise")


FRAME = {"ghi_w_m2": [1.0], "Temp": [2.0], "pressure": [3.0]}


@pytest.mark.parametrize(
    ("column", "hint"),
    [
        ("ghi", "did you mean ghi_w_m2?"),
        ("temp", "did you mean Temp?"),
        ("presure", "did you mean pressure?"),
        ("wind", ""),
        ("", ""),
        (7, ""),
        (["Temp", "ghi"], "did you mean ghi_w_m2?"),
    ],
)
def test_a_missing_column_names_the_likeliest(column, hint):
    """Of the columns of the DataFrame that pandas looked in; without a likely one there is no question."""

    def mine():
        return pd.DataFrame(FRAME)[column]

    place = place_of(caught(mine))
    assert (place.function, place.hint) == ("mine", hint)
    assert place.file == __file__


def test_groups_sorts_and_merges_look_in_a_frame_too():
    """The DataFrame is found in pandas' own frames, however the column was asked for."""
    frame = pd.DataFrame(FRAME)
    for call in (
        lambda: frame.groupby("ghi"),
        lambda: frame.groupby("Temp")["ghi"],
        lambda: frame.sort_values("ghi"),
        lambda: frame.merge(frame, on="ghi"),
    ):
        assert place_of(caught(call)).hint == "did you mean ghi_w_m2?"


def test_a_dict_without_the_key_gets_no_columns():
    """A KeyError of the user's own dict is not about the columns of a frame beside it."""

    def mine():
        frame = pd.DataFrame(FRAME)
        return {"ghi_w_m2": frame}["ghi"]

    assert place_of(caught(mine)).hint == ""


def test_strange_errors_have_no_place():
    """An error without a traceback, or with arguments that cannot be read, costs nothing."""
    assert place_of(KeyError("ghi")) is None

    class Evil(str):
        __slots__ = ()

        def casefold(self):
            raise RuntimeError

    def mine():
        return pd.DataFrame(FRAME)[Evil("ghi")]

    assert place_of(caught(mine)).hint == ""


def test_a_frame_that_cannot_be_looked_at_costs_nothing():
    """If the columns of a library's own DataFrame cannot be read any more, the failure has no place."""

    class Connected(pd.DataFrame):
        closed = False

        def __getattribute__(self, name):
            if name == "columns" and Connected.closed:
                raise ConnectionError("the connection is closed")
            return super().__getattribute__(name)

    def mine():
        return Connected(FRAME)["ghi"]

    error = caught(mine)
    assert place_of(error).hint == "did you mean ghi_w_m2?"
    Connected.closed = True
    assert place_of(error) is None


def test_no_frame_is_kept():
    """The place holds names alone: when the error goes, so does the DataFrame."""
    frame = pd.DataFrame(FRAME)
    seen = weakref.ref(frame)

    def mine(data):
        return data["ghi"]

    error = caught(mine, frame)
    place = place_of(error)
    del frame, error
    gc.collect()
    assert seen() is None
    assert place.hint
