"""Users' objects whose methods raise unexpected exceptions: they cost a text, never the run."""

from __future__ import annotations

import sys
import threading

import pytest
from fakes import row, statuses

from odibi_nb.core.running.failure_frames import frames_of, headline
from odibi_nb.core.running.hooks import HookManager
from odibi_nb.core.running.kept_failures import FAILURES
from odibi_nb.core.text.json import MAX_DEPTH, as_json, decode_json
from odibi_nb.core.text.object_text import safe_repr, safe_str
from odibi_nb.engines.optional_imports import load_installed, reason, require
from odibi_nb.errors import HookError, PlanError

RAISED = [SystemExit(3), KeyboardInterrupt(), RecursionError(), GeneratorExit(), None]


def broken(base, raised):
    """An instance of a class derived from *base* whose methods all raise *raised*, or return a number."""

    def method(*_args):
        if raised is None:
            return 5
        raise raised

    names = ("__str__", "__repr__", "__bool__", "__len__", "__eq__", "__hash__", "__format__")
    return type("Broken", (base,), dict.fromkeys(names, method))()


@pytest.mark.parametrize("raised", RAISED, ids=repr)
def test_a_row_that_fails_with_a_broken_exception(project, raised, monkeypatch):
    """The row is FAILED with its error's class, the others run, and its frames can be looked at."""
    monkeypatch.setattr(FAILURES, "limit", 5)
    monkeypatch.setattr("odibi_nb.core.running.failure_frames._is_library", lambda *_: False)

    def fn():
        thing = broken(object, raised)
        things = [broken(base, raised) for base in (list, dict, str, bytes)]
        raise broken(ValueError, raised) from (
            broken(OSError, raised) if thing is not things else None
        )

    result = project(row("A", fn, constants={"retry": 0}), row("B", lambda: None)).run()
    assert statuses(result) == {"A": "FAILED", "B": "SUCCESS"}
    failed = result.transformations["A"]
    assert failed.error_type == "Broken"
    assert "its message cannot be shown" in failed.error_message
    assert "in fn" in failed.traceback
    assert "cannot be shown" in headline(failed.error)
    assert reason(failed.error)
    (frame,) = [view for view in frames_of(failed.error) if view.function == "fn"]
    assert {variable.name for variable in frame.variables} >= {"thing"}
    FAILURES.clear()


def raising(*_args):
    raise SystemExit(3)


class NoAttributes(Exception):
    """An exception with a broken proxy's attributes."""

    __getattribute__ = raising


class NoClass(Exception):
    """An exception that does not say what it is."""

    __class__ = property(raising)


class NoTraceback(Exception):
    """An exception that hides where it was raised."""

    __traceback__ = property(raising, lambda *_: None)


class NoName(Exception, metaclass=type("Nameless", (type,), {"__name__": property(raising)})):
    """An exception of a class without a name."""


@pytest.mark.parametrize(
    "kind", [NoAttributes, NoClass, NoTraceback, NoName], ids=lambda k: repr(k)[-15:]
)
def test_a_row_fails_whose_exception_cannot_be_read(project, kind):
    """An exception whose attributes raise is a failure like another, and leaves no row without an answer."""

    def fn():
        raise kind

    rows = (row("A", fn, constants={"retry": 0, "timeout_seconds": 20}), row("B", lambda: None))
    result = project(*rows).run()
    assert statuses(result) == {"A": "FAILED", "B": "SUCCESS"}
    failed = result.transformations["A"]
    assert failed.error_type.startswith("No")
    assert "the error cannot be shown: its class raises SystemExit" in failed.error_message
    assert "in fn" in failed.traceback


@pytest.mark.parametrize(
    "kind", [NoAttributes, NoClass, NoTraceback, NoName], ids=lambda k: repr(k)[-15:]
)
def test_a_row_fails_whose_cause_cannot_be_read(project, kind):
    """So for an exception that was raised from such a one."""

    def fn():
        try:
            raise kind
        except BaseException as exc:
            raise ValueError("too cold") from exc

    result = project(row("A", fn, constants={"retry": 0, "timeout_seconds": 20})).run()
    failed = result.transformations["A"]
    assert (failed.error_type, failed.error_message) == ("ValueError", "too cold")
    assert "the error cannot be shown" in failed.traceback


@pytest.mark.parametrize("raised", RAISED, ids=repr)
def test_the_text_of_any_object(raised):
    """Every object has a text, whatever ``__str__`` and ``__repr__`` do; a subclass of str becomes plain text."""
    thing = broken(object, raised)
    assert "cannot be shown" in safe_str(thing)
    assert "cannot be shown" in safe_repr(thing)
    assert "cannot be shown" in as_json({"x": thing})
    odd = type("Odd", (str,), {"__str__": lambda self: self, "split": None})("text")
    assert type(safe_str(odd)) is str
    assert safe_str(odd) == "text"


def test_libraries_are_imported_one_at_a_time(tmp_path, monkeypatch):
    """Two workers that need libraries for the first time never see one that is half there."""
    monkeypatch.syspath_prepend(tmp_path)
    text = "import sys\nsys.odd_libraries += 1\nassert sys.odd_libraries == 1\n"
    text += "sys.odd_wait.wait(0.2)\nsys.odd_libraries -= 1\ncomplete = True\n"
    for name in ("odd_library_a", "odd_library_b"):
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setattr(sys, "odd_libraries", 0, raising=False)
    monkeypatch.setattr(sys, "odd_wait", threading.Event(), raising=False)
    found = []

    def worker(name):
        found.append(require(name, "a test").complete)

    names = ["odd_library_a", "odd_library_b"] * 2
    threads = [threading.Thread(target=worker, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [True] * 4
    load_installed("odd_library_a", "no_such_library_at_all")


def test_a_row_that_names_a_class(project):
    """A class would only be constructed, and nothing of it called: one message says what to do."""

    class Clean:
        def __call__(self, inputs):
            raise AssertionError

    with pytest.raises(PlanError, match=r"A is a class: a row needs a function, or .* a = A\(\)"):
        project(row("A", Clean)).run()
    assert statuses(project(row("A", lambda: None)).run()) == {"A": "SUCCESS"}


def test_a_listener_that_is_a_class():
    """A class would only be constructed for every event: it is refused where it is registered."""
    with pytest.raises(HookError, match=r"Odd is a class: register Odd\(\)"):
        HookManager().register("run_end", type("Odd", (), {"__init__": lambda self, payload: None}))


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 900, 5_000, 100_000])
@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}")])
def test_json_that_is_nested_deeply(depth, begin, end):
    """However deep, it is one message: everything that walks through what was decoded calls itself."""
    with pytest.raises(ValueError, match=r"^JSON is nested too deeply"):
        decode_json(begin * depth + "1" + end * depth)
    assert decode_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
