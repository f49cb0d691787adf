"""Changes of a row to the whole process end with it: other rows and the session go on as before."""

from __future__ import annotations

import asyncio
import builtins
import decimal
import gc
import logging
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import warnings
from pathlib import Path

import pytest
from fakes import row, statuses

from odibi_nb.core.process import process_parts

resource = pytest.importorskip("resource", reason="this system has none of it")


def clear_path():
    sys.path.clear()


def another_path():
    sys.path = []


def no_path():
    sys.path = None


def no_finders():
    sys.meta_path.clear()


def no_hooks():
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()


IMPORTS = [clear_path, another_path, no_path, no_finders, no_hooks]


def lists():
    return [(id(found), [*found]) for found in (sys.path, sys.meta_path, sys.path_hooks)]


@pytest.mark.parametrize("harm", IMPORTS)
def test_a_row_that_breaks_imports_harms_no_later_row(project, harm, tmp_path, monkeypatch):
    """Later rows and the session import as before, from the same `sys.path` with the same entries."""
    monkeypatch.syspath_prepend(str(tmp_path))
    module = f"imported_after_{harm.__name__}"
    (tmp_path / f"{module}.py").write_text("N = 7\n")
    before = lists()

    def late():
        assert __import__(module).N == 7

    result = project(row("A", harm), row("B", late, layer="Gold_1")).run()
    assert statuses(result) == {"A": "SUCCESS", "B": "SUCCESS"}
    assert lists() == before


def test_a_row_that_clears_the_path_harms_no_row_beside_it(project, tmp_path, monkeypatch):
    """A row that runs at the same time still finds its modules."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "imported_beside.py").write_text("N = 7\n")
    cleared, imported = threading.Event(), threading.Event()

    def clear():
        sys.path.clear()
        cleared.set()
        assert imported.wait(20)

    def beside():
        assert cleared.wait(20)
        assert __import__("imported_beside").N == 7
        imported.set()

    result = project(row("A", clear), row("B", beside)).run(max_workers=2)
    imported.set()
    assert statuses(result) == {"A": "SUCCESS", "B": "SUCCESS"}


def test_what_a_row_adds_to_the_path_stays(project, tmp_path, monkeypatch):
    """Sessions such as Spark's add folders for all rows, so only missing entries are put back."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = [*sys.path]

    def change():
        sys.path[:] = [str(tmp_path), *sys.path[3:]]

    project(row("A", change)).run()
    assert sys.path == [*before, str(tmp_path)]


def test_odd_entries_of_the_path_stop_no_plan(project, monkeypatch):
    """`sys.path` may have entries that are no folders, which Python skips."""
    monkeypatch.setattr(sys, "path", [5, None, *sys.path])
    assert statuses(project(row("A", lambda: None)).run()) == {"A": "SUCCESS"}


def lowered_limit():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, most))


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


class NoLoops(asyncio.DefaultEventLoopPolicy if sys.version_info < (3, 14) else object):
    pass


def refuse(*_args, **_keywords):
    raise PermissionError("replaced by a row")


def set_on(place, name, value):
    return lambda: setattr(place, name, value), lambda: getattr(place, name)


CHANGES = {
    "print": set_on(builtins, "print", refuse),
    "open": set_on(builtins, "open", refuse),
    "import": set_on(builtins, "__import__", refuse),
    "deleted": (lambda: delattr(builtins, "oct"), lambda: getattr(builtins, "oct", None)),
    "sleep": set_on(time, "sleep", refuse),
    "clock": set_on(time, "monotonic", None),
    "replace": set_on(os, "replace", refuse),
    "warn": set_on(warnings, "warn", None),
    "threads": (
        lambda: setattr(threading.Thread, "start", refuse),
        lambda: threading.Thread.start is refuse,
    ),
    "excepthook": set_on(sys, "excepthook", None),
    "displayhook": set_on(sys, "displayhook", None),
    "unraisablehook": set_on(sys, "unraisablehook", None),
    "stdin": set_on(sys, "stdin", None),
    "argv": set_on(sys, "argv", None),
    "environ": set_on(os, "environ", {}),
    "variable": (os.environ.clear, lambda: os.environ.get("PATH")),
    "zone": (
        lambda: (os.environ.update(TZ="Asia/Tokyo"), time.tzset()),
        lambda: (time.tzname, os.environ.get("TZ")),
    ),
    "settrace": (lambda: threading.settrace(refuse), lambda: threading._trace_hook),
    "setprofile": (lambda: threading.setprofile(refuse), lambda: threading._profile_hook),
    "filters": (lambda: setattr(warnings, "filters", []), lambda: [*warnings.filters]),
    "umask": (lambda: os.umask(0o777), umask),
    "recursion": (lambda: sys.setrecursionlimit(10**6), sys.getrecursionlimit),
    "switches": (lambda: sys.setswitchinterval(10), sys.getswitchinterval),
    "garbage": (
        lambda: (gc.disable(), gc.set_threshold(7), gc.set_debug(gc.DEBUG_UNCOLLECTABLE)),
        lambda: (gc.isenabled(), gc.get_threshold(), gc.get_debug()),
    ),
    "socket": (lambda: socket.setdefaulttimeout(1e-6), socket.getdefaulttimeout),
    "decimals": (
        lambda: setattr(decimal.DefaultContext, "prec", 2),
        lambda: decimal.DefaultContext.prec,
    ),
    "processes": (
        lambda: multiprocessing.set_start_method("spawn", force=True),
        lambda: multiprocessing.get_start_method(allow_none=True),
    ),
    "random": set_on(random, "random", None),
    "handle": (
        lambda: setattr(logging.Logger, "handle", refuse),
        lambda: logging.Logger.handle is refuse,
    ),
    "root": set_on(logging, "root", logging.RootLogger(logging.ERROR)),
    "factory": (lambda: logging.setLogRecordFactory(refuse), logging.getLogRecordFactory),
    "tempdir": set_on(tempfile, "tempdir", "/nowhere"),
    "limit": (lowered_limit, lambda: resource.getrlimit(resource.RLIMIT_NOFILE)),
    "folder": (lambda: os.chdir("/"), Path.cwd),
}
if sys.version_info < (3, 14):
    CHANGES["loops"] = (
        lambda: asyncio.set_event_loop_policy(NoLoops()),
        lambda: asyncio.events._event_loop_policy,
    )


@pytest.mark.parametrize("what", CHANGES)
def test_what_a_row_changes_for_all(project, what):
    """Later rows and the session find the whole process as it was before the row."""
    change, read = CHANGES[what]
    asyncio.events, tempfile.gettempdir()
    before, found = read(), []
    rows = row("A", change), row("B", lambda: found.append(read()), layer="Gold_1")
    result = project(*rows).run()
    assert statuses(result) == {"A": "SUCCESS", "B": "SUCCESS"}
    assert found == [before]
    assert read() == before


@pytest.mark.parametrize("without", [(), ("ctypes",)])
def test_a_run_in_a_folder_that_is_removed(project, tmp_path, monkeypatch, without):
    """A row that goes elsewhere leaves later rows in the run's folder, if it is there. No row fails.

    Some builds of Python have no ``ctypes``.
    """
    for name in without:
        monkeypatch.setitem(sys.modules, name, None)
    process_parts._getcwd.cache_clear()
    (tmp_path / "here é").mkdir()
    monkeypatch.chdir(tmp_path / "here é")
    found = []
    rows = [
        row("A", lambda: os.chdir("/")),
        row("B", lambda: found.append(Path.cwd()), layer="Gold_1"),
        row("C", lambda: Path.cwd().rmdir(), layer="Gold_2"),
        row("D", lambda: os.chdir("/"), layer="Gold_3"),
        row("E", lambda: None, layer="Gold_4"),
    ]
    result = project(*rows).run()
    process_parts._getcwd.cache_clear()
    assert {*statuses(result).values()} == {"SUCCESS"}
    assert found == [tmp_path / "here é"]


def test_a_run_in_the_background_leaves_what_cells_change(project, tmp_path, monkeypatch):
    """While a run goes on in the background, other cells may change the process: it stays changed."""
    monkeypatch.chdir(tmp_path)
    started, changed = threading.Event(), threading.Event()

    def wait():
        started.set()
        assert changed.wait(20)

    running = project(row("A", wait))
    thread = threading.Thread(target=running.run)
    thread.start()
    assert started.wait(20)
    os.chdir(tmp_path.parent)
    monkeypatch.setattr(sys, "displayhook", refuse)
    changed.set()
    thread.join()
    assert Path.cwd() == tmp_path.parent
    assert sys.displayhook is refuse


def test_a_low_recursion_limit_harms_no_later_row(project):
    """A row that sets a limit too low for other functions loses it at its end."""
    before = sys.getrecursionlimit()

    def deep(level=300):
        return level and deep(level - 1)

    rows = row("A", lambda: sys.setrecursionlimit(150)), row("B", lambda: deep(), layer="Gold_1")
    result = project(*rows).run()
    assert result.transformations["B"].status == "SUCCESS"
    assert sys.getrecursionlimit() == before


def test_the_thread_of_a_row_is_left_as_it_was(project):
    """A tracer, a profiler or blocked signals of one row are not those of the next row on its thread."""
    found = []

    def state():
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        return sys.gettrace(), sys.getprofile(), blocked

    def change():
        sys.settrace(lambda *_: None)
        sys.setprofile(lambda *_: None)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    first, second = row("A", lambda: found.append(state())), row("B", change, layer="Silver_1")
    third = row("C", lambda: found.append(state()), layer="Gold_1")
    first["layer"] = "Bronze"
    assert set(statuses(project(first, second, third).run(max_workers=1)).values()) == {"SUCCESS"}
    assert found[0] == found[1]


def test_a_row_that_replaces_the_process_id_does_not_end_the_process(project, monkeypatch):
    """A run knows by its process id whether it is a forked child. It does not ask a row's function for it."""
    monkeypatch.setattr(os, "getpid", os.getpid)
    rows = row("A", lambda: setattr(os, "getpid", lambda: 1)), row("B", os.getppid, layer="Gold_1")
    assert set(statuses(project(*rows).run()).values()) == {"SUCCESS"}


HOOKS = {
    "stack": lambda: threading.stack_size(32768),
    "excepthook": lambda: setattr(sys, "excepthook", None),
    "settrace": lambda: threading.settrace(refuse),
    "setprofile": lambda: threading.setprofile(refuse),
}


@pytest.mark.parametrize("hook", HOOKS)
def test_later_threads_start_while_other_rows_run(project, hook):
    """A row that breaks the start of threads is mended at its end, even if another row is still running."""
    harmed, started, size = threading.Event(), threading.Event(), threading.stack_size()

    def beside():
        harmed.set()
        assert started.wait(20)

    def harm():
        assert harmed.wait(20)
        HOOKS[hook]()

    def later():
        assert threading.stack_size() == size  # before a thread with a small one ends the process
        thread = threading.Thread(target=started.set)
        thread.start()
        thread.join()

    rows = [
        row("A", beside),
        row("B", harm, outputs=[{"table": "s.b"}]),
        row("C", later, inputs=["s.b"]),
    ]
    result = project(*rows).run(max_workers=2)
    assert set(statuses(result).values()) == {"SUCCESS"}


def test_each_row_has_its_own_decimal_settings(project):
    """A precision that a row sets holds for its own numbers, not for other rows nor for the session."""
    decimal.getcontext()
    set_, read = threading.Event(), threading.Event()
    seen = []

    def coarse():
        decimal.getcontext().prec = 2
        set_.set()
        assert read.wait(20)
        seen.append(str(decimal.Decimal(1) / 3))

    def fine():
        assert set_.wait(20)
        seen.append(str(decimal.Decimal(1) / 3))
        read.set()

    result = project(row("A", coarse), row("B", fine)).run(max_workers=2)
    assert statuses(result) == {"A": "SUCCESS", "B": "SUCCESS"}
    assert seen == ["0." + 28 * "3", "0.33"]
    assert decimal.getcontext().prec == 28


HARM_TO_FILES = {
    "closed": "os.close(0); os.close(1); os.close(2)",
    "redirected": "null = os.open(os.devnull, os.O_RDWR); [os.dup2(null, n) for n in (0, 1, 2)]",
    "closed by a library in C": "import ctypes; [ctypes.CDLL(None).close(n) for n in (0, 1, 2)]",
    "redirected by a library in C": (
        "import ctypes; null = os.open(os.devnull, os.O_RDWR); "
        "[ctypes.CDLL(None).dup2(null, n) for n in (0, 1, 2)]"
    ),
}


@pytest.mark.parametrize("harm", HARM_TO_FILES.values(), ids=HARM_TO_FILES)
def test_closed_and_redirected_standard_files(harm):
    """After the row, the next opened file does not get descriptor 1, and the session can print again."""
    code = f"""
        import os, sys
        sys.path.insert(0, {str(Path(__file__).parents[2])!r})
        import pathlib, tempfile
        from fakes import FakeProject, row, statuses
        def harm():
            {harm}
        def later():
            with open(os.devnull) as file:
                assert file.fileno() > 2, file.fileno()
        folder = pathlib.Path(tempfile.mkdtemp())
        rows = row("A", harm), row("B", later, layer="Gold_1")
        result = FakeProject(folder, [*rows]).run()
        print(statuses(result), flush=True)
        os.write(2, b"and errors")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.stdout == "{'A': 'SUCCESS', 'B': 'SUCCESS'}\n"
    assert done.stderr.endswith("and errors")


def test_the_number_of_a_closed_standard_file_is_not_given_away(project, tmp_path):
    """Even the row itself cannot open a file as descriptor 0 after it closed that: prints would go into it."""
    kept, numbers = os.dup(0), []

    def harm():
        os.close(0)
        with (tmp_path / "data").open("wb") as file:
            numbers.append(file.fileno())

    before, close = os.fstat(0), os.close
    try:
        result = project(row("A", harm), row("B", os.getppid)).run()
        assert set(statuses(result).values()) == {"SUCCESS"}
        assert 0 not in numbers
        assert os.path.samestat(os.fstat(0), before)
        assert os.close is close
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def test_a_file_that_took_a_standard_number_keeps_it(project, tmp_path):
    """If a row closed descriptor 0 and opened a file, the file keeps the number: its data must not go elsewhere."""
    kept, files = os.dup(0), []

    def harm():
        open(0, "rb").close()
        files.append((tmp_path / "data").open("w+b", buffering=0))
        files[0].write(b"first, ")

    def later():
        files[0].write(b"second")

    try:
        result = project(row("A", harm), row("B", later, layer="Gold_1")).run()
        assert statuses(result) == {"A": "SUCCESS", "B": "SUCCESS"}
        assert files[0].fileno() == 0
        assert (tmp_path / "data").read_bytes() == b"first, second"
    finally:
        files[0].close()
        os.dup2(kept, 0)
        os.close(kept)


@pytest.mark.parametrize("module", ["asyncio.events", "tempfile"])
def test_a_module_whose_import_is_blocked_keeps_no_run_from_starting(project, monkeypatch, module):
    """None in ``sys.modules`` blocks an import. The settings of such a module are not restored."""
    p = project(row("A", lambda: None))
    monkeypatch.setitem(sys.modules, module, None)
    assert statuses(p.run()) == {"A": "SUCCESS"}
