"""A failure's frames as data."""

from __future__ import annotations

import json

from lazily import pd

from odibi_nb.core.running.failure_frames import (
    depth_in_libraries,
    frames_of,
    headline,
    user_trace,
)
from odibi_nb.core.running.worker import user_traceback


class Broken:
    def __repr__(self):
        raise RuntimeError("no")


def caught(fn, *args):
    """Return the exception of *fn*."""
    try:
        fn(*args)
    except Exception as exc:
        return exc
    raise AssertionError("nothing was raised")


def work(inputs, password, api_token="t0ken"):
    frame = pd.DataFrame({"site": ["A", "B"], "secret_key": ["s3cret", "t0p"]})
    constants = {"url": "postgresql://me:hunter2@host/db", "password": "hunter3"}
    series, many, odd = frame["site"], list(range(10**6)), Broken()
    return frame["nope"], constants, series, many, odd


def variables(error):
    frame = next(f for f in frames_of(error) if f.function == "work")
    return {v.name: v for v in frame.variables}


def test_a_frame_shows_code_arguments_and_tables():
    """The failing line among its neighbours, arguments first, DataFrames with shape, types and head."""
    error = caught(work, ["bronze.x"], "hush")
    frame = next(f for f in frames_of(error) if f.function == "work")
    assert (frame.line, 'return frame["nope"], constants, series, many, odd') in [
        (n, text.strip()) for n, text in frame.code
    ]
    assert [v.name for v in frame.variables][:3] == ["inputs", "password", "api_token"]
    assert [v.argument for v in frame.variables][:4] == [True, True, True, False]
    found = variables(error)
    assert found["frame"].summary == "DataFrame: 2 rows × 2 columns"
    assert "site: " in found["frame"].table
    assert "A" in found["frame"].table
    assert found["series"].summary.startswith("Series: 2 values of ")


def test_secrets_are_hidden():
    """Variables, columns, dictionary entries and URLs that look secret are not shown."""
    error = caught(work, ["bronze.x"], "hush")
    shown = repr(variables(error))
    for secret in ("hush", "t0ken", "s3cret", "t0p", "hunter2", "hunter3"):
        assert secret not in shown
    assert variables(error)["password"].summary == "***"


def test_a_broken_repr_and_a_long_list_cost_nothing():
    """A value that cannot be shown has a note; a long one is cut."""
    found = variables(caught(work, [], ""))
    assert "Broken" in found["odd"].summary
    assert len(found["many"].summary) < 200


def test_library_frames_have_no_variables():
    """Of frames of libraries only the place is told."""
    frames = frames_of(caught(work, [], ""))
    library = [f for f in frames if f.library]
    assert library
    assert not any(f.variables or f.code for f in library)


def test_an_error_without_a_message_can_be_told():
    """The headline is there whatever the exception class does."""

    class Odd(Exception):
        def __str__(self):
            raise RuntimeError("no")

    assert headline(Odd()) == "Odd: (its message cannot be shown: RuntimeError)"
    assert headline(KeyError("x")) == "KeyError: 'x'"
    assert (
        headline(ValueError("postgresql://me:hunter2@host"))
        == "ValueError: postgresql://me:***@host"
    )


def test_a_traceback_is_the_users_and_says_where_a_library_raised():
    """Of library frames the last remains; an error that led to another inside a library alone is left out."""
    text = user_traceback(caught(work, [], ""))
    assert 'return frame["nope"], constants' in text
    assert "get_loc" in text
    assert text.count("Traceback (most recent call last)") == 1
    assert "__getitem__" not in text
    assert text.rstrip().endswith("KeyError: 'nope'")


def test_a_cause_in_the_users_code_stays():
    """An error that the user's code converted to another one is shown with it."""

    def turned():
        try:
            work([], "")
        except KeyError as exc:
            raise ValueError("cannot work") from exc

    text = user_traceback(caught(turned))
    assert text.index("KeyError: 'nope'") < text.index("direct cause") < text.index("cannot work")


def raised_in_a_library():
    return json.loads("{")


def test_a_debugger_starts_in_the_users_own_frame():
    """It gets the traceback from the user's code on, and the number of library frames to go up."""
    error = caught(raised_in_a_library)
    trace = user_trace(error)
    assert trace.tb_frame.f_code.co_filename == __file__
    below = [frame.library for frame in frames_of(error)][::-1].index(False)
    assert below > 0
    assert depth_in_libraries(error) == below
    assert depth_in_libraries(caught(lambda: {}["x"])) == 0


def test_an_error_without_frames_of_the_user_leaves_a_debugger_where_it_is():
    """Without a traceback there is none to show; of library frames alone, none is left out."""
    assert user_trace(KeyError("x")) is None
    assert depth_in_libraries(KeyError("x")) == 0
    error = caught(json.loads, "{")
    inside = error.with_traceback(error.__traceback__.tb_next)
    assert user_trace(inside) is inside.__traceback__
    assert depth_in_libraries(inside) == 0


def test_a_secret_series_is_not_shown():
    """A Series whose name looks secret has a shape, and no values."""

    def reads(frame):
        column = frame["secret_key"]
        raise KeyError(len(column))

    error = caught(reads, pd.DataFrame({"secret_key": ["s3cret"]}))
    frame = next(f for f in frames_of(error) if f.function == "reads")
    found = {variable.name: variable for variable in frame.variables}
    assert found["column"].summary.startswith("Series: 1 value of ")
    assert found["column"].table == "***"
