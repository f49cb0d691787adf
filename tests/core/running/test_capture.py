"""The output of a transformation goes to its own log, and other output elsewhere."""

from __future__ import annotations

import contextlib
import io
import logging
import logging.config
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fakes import row, statuses
from thorough import examples

from odibi_nb.core.running.capture import (
    MAX_LINE_LENGTH,
    MAX_LINES,
    CapturedLog,
    breakpoints_open,
    captured,
    real_stream,
    routed_output,
)
from odibi_nb.core.running.context import transformation_logger


def log_of(fn):
    """Return the log of *fn*."""
    log = CapturedLog()
    with routed_output(), captured(log):
        fn()
    return log.text()


def printing():
    print("one", 2)
    print("err", file=sys.stderr)
    sys.stdout.write("no newline")


def logging_lines():
    logger = transformation_logger("A")
    logger.info("info %s", 1)
    logger.log("info", "the seed's way")
    logger.log("WARNING", "a name in any case")
    logger.log(logging.ERROR, "a number")
    logger.log("nonsense", "an unknown name is info")
    logger.debug("not shown")
    logging.getLogger("users.own").warning("another logger")


@pytest.mark.parametrize(
    ("fn", "text"),
    [
        (printing, "one 2\nerr\nno newline"),
        (
            logging_lines,
            (
                "info 1\nthe seed's way\na name in any case\na number\nan unknown name is info\n"
                "another logger"
            ),
        ),
        (lambda: print("a\nb\n\nc"), "a\nb\n\nc"),
        (lambda: print("half ", end="") or print("and half"), "half and half"),
        (lambda: print("größe 🚀"), "größe 🚀"),
        (lambda: print("caf\udce9"), "caf\\udce9"),
        (
            lambda: print("https://u:hunter2@h/x token=hunter2 a=b"),
            "https://u:***@h/x token=*** a=b",
        ),
        (lambda: None, ""),
    ],
)
def test_what_is_captured(fn, text):
    """Printing and logging, by the seed's logger too; whole, in order, without secrets."""
    assert log_of(fn) == text


def test_a_traceback_that_is_logged_is_captured():
    """logger.exception keeps its traceback."""

    def fn():
        try:
            raise KeyError("x")
        except KeyError:
            logging.getLogger("users").exception("it failed")

    assert log_of(fn).splitlines()[0] == "it failed"
    assert log_of(fn).splitlines()[-1] == "KeyError: 'x'"


def test_many_lines_are_bounded():
    """Only the last lines are kept, however many there are; the first one says how many are not."""
    log, told = CapturedLog(lambda line: told.append(line)), []
    thousands = examples(50)
    for _ in range(thousands):
        log.write("x\n" * 1000)
    log.write("the end\n")
    lines = log.text().split("\n")
    assert len(lines) == MAX_LINES + 1
    assert lines[0] == f"… {1000 * thousands + 1 - MAX_LINES} earlier lines are not kept …"
    assert lines[-1] == "the end"
    assert len(told) <= MAX_LINES + 1


def test_endless_lines_are_bounded():
    """A line without an end is cut into pieces; a long one is cut off."""
    log = CapturedLog()
    for _ in range(100):
        log.write("x" * 1000)
    assert max(map(len, log.text().split("\n"))) <= MAX_LINE_LENGTH + 1000
    log.write("y" * 1_000_000 + "\n")
    assert len(log.text()) < 200_000


def test_lines_are_told_as_they_come():
    """Views get each complete line at once."""
    told = []
    log = CapturedLog(told.append)
    log.write("one\ntw")
    assert told == ["one"]
    log.write("o\nthree")
    assert told == ["one", "two"]
    assert log.text() == "one\ntwo\nthree"


def test_other_threads_print_where_they_did(capsys):
    """While a transformation is captured, others print to the screen."""
    log, begun, done = CapturedLog(), threading.Event(), threading.Event()

    def transformation():
        with captured(log):
            print("mine")
            begun.set()
            done.wait(5)
            print("mine too")

    with routed_output():
        thread = threading.Thread(target=transformation)
        thread.start()
        begun.wait(5)
        print("the user's")
        logging.getLogger("users").warning("not the transformation's")
        done.set()
        thread.join()
    assert log.text() == "mine\nmine too"
    assert capsys.readouterr().out == "the user's\n"


def test_two_transformations_do_not_mix():
    """Each of two that run at a time has its own lines."""
    logs, gate = {name: CapturedLog() for name in "AB"}, threading.Barrier(2)

    def transformation(name):
        with captured(logs[name]):
            for _ in range(100):
                gate.wait(5)
                print(name)

    with routed_output():
        threads = [threading.Thread(target=transformation, args=(name,)) for name in "AB"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for name in "AB":
        assert logs[name].text() == "\n".join([name] * 100)


def streams():
    return sys.stdout, sys.stderr, tuple(logging.getLogger().handlers)


def test_streams_are_put_back():
    """After a run, standard output, standard error and logging are what they were."""
    before = streams()
    with contextlib.suppress(KeyError), routed_output():
        assert vars(sys)["stdout"] is not before[0]
        raise KeyError
    assert streams() == before


def test_streams_are_put_back_when_runs_overlap():
    """Two runs that overlap, whichever ends first, leave the streams as they were."""
    before = streams()
    for first, second in ((0, 1), (1, 0)):
        runs = [routed_output(), routed_output()]
        for run in runs:
            run.__enter__()
        runs[first].__exit__(None, None, None)
        assert log_is_captured()
        runs[second].__exit__(None, None, None)
        assert streams() == before


def log_is_captured():
    log = CapturedLog()
    with captured(log):
        print("x")
    return log.text() == "x"


def test_output_that_is_redirected_meanwhile():
    """A redirection around or inside a run works as without one, and outlives it in peace."""
    before, inside, around = streams(), io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(around):
        with routed_output():
            print("around")
            with contextlib.redirect_stdout(inside):
                print("inside")
        print("after")
    assert (around.getvalue(), inside.getvalue()) == ("around\nafter\n", "inside\n")
    run = routed_output()
    run.__enter__()
    with contextlib.redirect_stdout(inside):
        run.__exit__(None, None, None)
        print("still inside")
    assert "still inside" in inside.getvalue()
    with routed_output():
        assert log_is_captured()
    print("works")
    sys.stdout = before[0]


def test_the_screen_itself():
    """Views can write to the screen while output is routed."""
    screen = sys.stdout
    assert real_stream() is screen
    with routed_output(), captured(CapturedLog()):
        assert real_stream() is screen
        assert sys.stdout.encoding == screen.encoding
        assert sys.stdout.isatty() == screen.isatty()
        assert sys.stdout.writable()
        sys.stdout.flush()


def test_a_run_keeps_each_transformations_log(project, capsys):
    """Each result has its own transformation's lines; nothing of them is on the screen unasked."""

    def fn(context):
        print("printed", context.transformation_id)
        context.logger.log("info", "logged")

    result = project(row("A", fn), row("B", fn)).run(log_level="WARNING")
    assert statuses(result) == {"A": "SUCCESS", "B": "SUCCESS"}
    for name in "AB":
        assert result.transformations[name].log == f"printed {name}\nlogged"
    assert "printed" not in capsys.readouterr().out


def test_a_forgotten_router_leaves_the_stream_alone():
    """A router that is collected after its stream was closed causes no warning."""
    import io

    from odibi_nb.core.running.capture import _Router

    stream = io.StringIO()
    router = _Router("stdout", stream)
    router.close()
    assert not stream.closed
    stream.close()
    router.close()  # what Python does when it forgets an object like this


# -- what rows do to the process --------------------------------------------------------------------


def at_a_time(*fns):
    """Run *fns* as rows of one run, at a time; their logs."""
    logs = [CapturedLog() for _ in fns]

    def one(log, fn):
        with captured(log):
            fn()

    with routed_output():
        threads = [threading.Thread(target=one, args=pair) for pair in zip(logs, fns, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    return [log.text() for log in logs]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_rows_that_redirect_at_the_same_time(order, capsys):
    """Each row gets what it printed into its own buffer, and the process' streams are never changed."""
    both, texts = threading.Barrier(2), [io.StringIO(), io.StringIO()]
    first_is_done = threading.Event()

    def row_of(number):
        def fn():
            with contextlib.redirect_stdout(texts[number]):
                both.wait(10)
                print("into", number)
                if number == order[1]:
                    first_is_done.wait(10)
            print("out of", number)
            first_is_done.set()

        return fn

    before = streams()
    assert at_a_time(row_of(0), row_of(1)) == ["out of 0", "out of 1"]
    assert [text.getvalue() for text in texts] == ["into 0\n", "into 1\n"]
    assert streams() == before
    print("VISIBLE")
    assert capsys.readouterr().out == "VISIBLE\n"


def test_a_row_that_changes_the_process(tmp_path, monkeypatch):
    """Streams, log handlers, folder, filters and locale are those of before, whatever a row leaves."""
    import locale
    import os
    import warnings

    def state():
        root, loggers = logging.getLogger(), logging.getLogger("users.own")
        names = (Path.cwd(), locale.setlocale(locale.LC_ALL), warnings.showwarning)
        return (
            *streams(),
            threading.excepthook,
            root.level,
            root.manager.disable,
            loggers.disabled,
            [*warnings.filters],
            names,
        )

    def fn():
        sys.stdout = sys.stderr = io.StringIO()
        print("lost in a buffer of its own")
        logging.basicConfig(force=True, stream=io.StringIO(), level=logging.DEBUG)
        logging.getLogger("users.own").disabled = True
        logging.disable(logging.CRITICAL)
        os.chdir(tmp_path)
        warnings.simplefilter("error")
        warnings.showwarning = print
        locale.setlocale(locale.LC_ALL, "C")
        threading.excepthook = print

    monkeypatch.chdir(tmp_path.parent)
    logging.getLogger("users.own")
    before = state()
    at_a_time(fn, lambda: None)
    assert state() == before


def test_a_row_that_takes_the_hook_of_threads_ends_no_run(project, monkeypatch):
    """Python starts no thread without `threading.excepthook`. Later rows start nevertheless."""
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)

    def take():
        threading.excepthook = None

    rows = [row("A", take), *(row(name, lambda: None, layer="Gold_1") for name in "BCD")]
    result = project(*rows).run(max_workers=4)
    assert statuses(result) == dict.fromkeys("ABCD", "SUCCESS")


SETTINGS = {
    "basicConfig": lambda: logging.basicConfig(
        force=True, stream=io.StringIO(), level=logging.ERROR
    ),
    "disable": lambda: logging.disable(logging.CRITICAL),
    "level": lambda: logging.getLogger().setLevel(100),
    "dictConfig": lambda: logging.config.dictConfig({"version": 1}),
    "shutdown": lambda: (logging.getLogger().handlers.clear(), logging.shutdown()),
}


@pytest.mark.parametrize("how", SETTINGS)
def test_a_row_that_sets_up_logging_takes_no_records_from_later_rows(project, how):
    """Later rows keep their log, theirs and ours, in the same run."""
    users = logging.getLogger("users.later")

    def later():
        users.warning("heard")
        return [1]

    rows = (row("A", SETTINGS[how]), row("B", later, outputs=[{"table": "s.b"}]))
    result = project(*rows).run(max_workers=1)
    assert statuses(result) == {"A": "SUCCESS", "B": "SUCCESS"}
    assert result.transformations["B"].log.split("\n") == ["heard", "  → Writing to s.b"]


@pytest.mark.parametrize("how", SETTINGS)
def test_a_row_that_sets_up_logging_takes_no_records_from_rows_beside_it(how):
    """A row that runs at the same time keeps its records, its level and the handlers of the user."""
    gate, users = threading.Barrier(2), logging.getLogger("users.beside")

    def reset():
        gate.wait(20)
        SETTINGS[how]()
        gate.wait(20)
        gate.wait(20)

    def beside():
        gate.wait(20)
        gate.wait(20)
        users.warning("heard")
        users.info("below the level of before")
        transformation_logger("B").info("ours")
        gate.wait(20)

    assert at_a_time(reset, beside)[1] == "heard\nours"


@pytest.mark.parametrize("quiet", [logging.disable, lambda: logging.getLogger().setLevel(100)])
def test_a_row_can_make_its_own_log_quiet(quiet):
    """A level that a row sets for all loggers holds for its own log."""

    def fn():
        logging.getLogger("users.noisy").warning("before")
        quiet()
        logging.getLogger("users.noisy").warning("after")

    assert at_a_time(fn, lambda: None)[0] == "before"


def test_a_rows_own_handler_writes_each_record_once():
    """If a row sets up logging to its standard error, its log has each record once, in that format."""

    def fn():
        logging.basicConfig(force=True, format="%(name)s: %(message)s")
        logging.getLogger("users.formatted").warning("once")

    assert at_a_time(fn) == ["users.formatted: once"]


def test_a_file_that_a_row_has_closed_gets_later_records(tmp_path, monkeypatch):
    """`basicConfig(force=True)` closes the user's handlers. Records after the row are in their files again."""
    handler = logging.FileHandler(tmp_path / "log", mode="w")
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    logging.getLogger("users").warning("before")
    at_a_time(SETTINGS["basicConfig"])
    logging.getLogger("users").warning("after")
    handler.close()
    assert (tmp_path / "log").read_text() == "before\nafter\n"


def test_logging_is_the_same_after_a_run():
    """A run replaces methods of logging, and puts them back."""

    def methods():
        logger = logging.Logger
        return logger.isEnabledFor, logger.callHandlers, logger.setLevel, logging.Manager.disable

    before = methods()
    with routed_output():
        assert methods() != before
    assert methods() == before


def test_a_library_that_wraps_logging_in_a_run_hears_the_next_run_too():
    """A run leaves methods of logging that a library has wrapped, and later rows still have their records."""
    plain, ours, heard = logging.Logger.callHandlers, [], []

    def wraps():
        with routed_output():
            ours.append(logging.Logger.callHandlers)

            def wrapper(logger, record):
                heard.append(record.msg)
                ours[0](logger, record)

            logging.Logger.callHandlers = wrapper

    thread = threading.Thread(target=wraps)
    thread.start()
    thread.join()
    try:
        assert log_of(lambda: logging.getLogger("users").warning("said")) == "said"
        assert heard == ["said"]
    finally:
        logging.Logger.callHandlers = ours[0]
        with routed_output():
            pass
    assert logging.Logger.callHandlers is plain


def test_a_row_without_handlers_is_still_heard():
    """A row that removed every log handler takes no records from the rows that start after it."""

    def silence():
        logging.getLogger().handlers.clear()

    log = CapturedLog()
    with routed_output():
        with captured(CapturedLog()):
            silence()
        with captured(log):
            logging.getLogger("users").warning("heard")
    assert log.text() == "heard"


def test_warnings_of_others_are_shown_while_rows_run(monkeypatch, capsys):
    """Without a log handler Python shows warnings on stderr, and a run in progress does not change that."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with routed_output():
        logging.getLogger("users.other").warning("of somebody else")
    assert "of somebody else" in capsys.readouterr().err


# -- a row's own threads and processes --------------------------------------------------------------


def test_a_rows_threads_belong_to_it(capsys):
    """Threads, thread pools and timers of a row print and log into its log, also in a shared pool."""
    from concurrent.futures import ThreadPoolExecutor
    from multiprocessing.pool import ThreadPool

    shared = ThreadPoolExecutor(1)

    def speak(name):
        print("printed in", name)
        logging.getLogger("their.client").warning("logged in %s", name)

    def row_of(letter):
        def fn():
            thread = threading.Thread(target=speak, args=(f"thread {letter}",))
            thread.start()
            thread.join()
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(speak, [f"pool {letter}"]))
            with ThreadPool(1) as pool:
                pool.map(speak, [f"ThreadPool {letter}"])
            shared.submit(speak, f"shared {letter}").result()

        return fn

    for letter, text in zip("AB", at_a_time(row_of("A"), row_of("B")), strict=True):
        wanted = {
            f"{what} in {kind} {letter}"
            for what in ("printed", "logged")
            for kind in ("thread", "pool", "ThreadPool", "shared")
        }
        assert set(text.splitlines()) == wanted
    shared.shutdown()
    assert "printed" not in capsys.readouterr().out


def test_a_thread_that_outlives_its_row(capsys):
    """Output of a row's thread after the end of the row is shown, during the run and after it."""
    go, done = threading.Event(), threading.Event()

    def later():
        go.wait(10)
        print("a late word")
        done.set()

    with routed_output():
        with captured(CapturedLog()) as _:
            threading.Thread(target=later).start()
        go.set()
        done.wait(10)
    assert capsys.readouterr().out == "a late word\n"


def child_speaks(number):
    print("child got", number, end="")
    print(" and", "more")
    logging.getLogger("their.client").warning("child %s logged", number)
    print("no end of line", end="")
    return number * number


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="nothing can be forked here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_rows_forked_processes_belong_to_it():
    """Output and logs of a process pool's workers are in the log of the row that forked them."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    fork = multiprocessing.get_context("fork")

    def executor():
        with ProcessPoolExecutor(2, mp_context=fork) as pool:
            assert list(pool.map(child_speaks, range(3))) == [0, 1, 4]

    def pool():
        with fork.Pool(2) as workers:
            assert workers.map(child_speaks, range(3)) == [0, 1, 4]

    for text in at_a_time(executor, pool):
        for number in range(3):
            assert f"child got {number} and more" in text
            assert f"child {number} logged" in text


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("\x1b[31mred\x1b[0m \x1b]0;title\x07done", "red done"),
        ("".join(f"\rloading {i:3d}%" for i in range(101)) + "\n", "loading 100%"),
        ("".join(f"loading {i}%\r" for i in range(101)) + "\n", "loading 100%"),
        ("a line of Windows\r\nand one more\r\n", "a line of Windows\nand one more"),
        ("\a\b\x00 odd \x9b31m", "\\x07\\x08\\x00 odd "),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("tab\tstays", "tab\tstays"),
        ("\x1b[", ""),
    ],
)
def test_what_steers_a_terminal(printed, shown):
    """Colours and titles are left out, of a progress bar the last state stays, the rest is spelled out."""
    for pieces in ([printed], list(printed)):
        log = CapturedLog()
        for piece in pieces:
            log.write(piece)
        assert log.text() == shown


# -- debuggers ----------------------------------------------------------------------------------------


def stops():
    print("before")
    breakpoint()  # noqa: T100
    print("after")


def test_a_breakpoint_without_a_debugger_is_skipped(monkeypatch):
    """Python's own debugger would wait forever for an answer, so the log gets the place of the breakpoint."""
    monkeypatch.setattr(sys, "breakpointhook", sys.__breakpointhook__)
    before, skipped, after = log_of(stops).splitlines()
    assert (before, after) == ("before", "after")
    assert skipped.startswith(f"breakpoint() at {__file__}:{stops.__code__.co_firstlineno + 2} was")


def test_a_debugger_of_the_users_own_is_called(monkeypatch):
    """A hook that the user has set is called inside rows and beside them."""
    called = []
    monkeypatch.setattr(sys, "breakpointhook", called.append)
    with routed_output():
        breakpoint("beside a row")  # noqa: T100
        with captured(CapturedLog()):
            breakpoint("in a row")  # noqa: T100
    assert called == ["beside a row", "in a row"]


def test_a_debugger_that_is_open_gets_the_screen(monkeypatch, capsys):
    """The debugger of a trial is called with the frame that stops. From then on the user sees all output."""
    monkeypatch.setattr(sys, "breakpointhook", sys.__breakpointhook__)
    log, frames = CapturedLog(), []
    with breakpoints_open(frames.append), routed_output(), captured(log):
        stops()
    assert [frame.f_code.co_name for frame in frames] == ["stops"]
    before, shown = log.text().splitlines()
    assert before == "before"
    assert shown.endswith("later output is shown immediately")
    assert capsys.readouterr().out == "after\n"


# -- what code does to the streams --------------------------------------------------------------------


def test_text_alone_can_be_written():
    """A standard stream refuses other values in a row as it does outside, and the row continues."""

    def fn():
        with pytest.raises(TypeError, match="argument must be str, not bytes"):
            sys.stdout.write(b"bytes")
        print("text")

    assert log_of(fn) == "text"


def test_a_record_that_cannot_be_formatted_stops_no_row(monkeypatch):
    """As in Python's own logging, the error is shown, and the next records arrive."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])

    def fn():
        logging.getLogger("users").warning("%d rows", "many")
        logging.getLogger("users").warning("%d rows", 3)

    lines = log_of(fn).splitlines()
    assert lines[-1] == "3 rows"
    assert any("TypeError: %d format" in line for line in lines)


def test_streams_that_were_stored_in_a_run_are_no_screen():
    """If a row stores its stream and others put it back later, views still find the screen behind it."""
    screen = sys.stdout
    with routed_output():
        with captured(CapturedLog()):
            stored = sys.stdout
        sys.stdout = stored
        assert real_stream() is screen
    assert stored is not screen
    try:
        sys.stdout = stored
        assert real_stream() is screen
    finally:
        sys.stdout = screen


def test_streams_are_asked_for_while_a_run_ends():
    """A thread that has begun to read or to set a standard stream can do it after the end of the run."""
    screen = sys.stdout
    with routed_output():
        place = type(sys).stdout
    assert place.fget(sys) is screen
    try:
        place.fset(sys, other := io.StringIO())
        assert sys.stdout is other
    finally:
        sys.stdout = screen


def test_a_run_leaves_what_others_have_replaced():
    """C code replaces streams directly, and libraries wrap functions: both outlive a run in a thread."""
    screen, hook = vars(sys)["stdout"], sys.breakpointhook
    start, submit = threading.Thread.start, ThreadPoolExecutor.submit
    other, ended = io.StringIO(), threading.Event()

    def wrapped(function):
        return lambda *arguments: function(*arguments)

    def replaced():
        return (
            vars(sys)["stdout"],
            threading.Thread.start,
            ThreadPoolExecutor.submit,
            sys.breakpointhook,
        )

    def run():
        with routed_output():
            vars(sys)["stdout"] = other
            threading.Thread.start = wrapped(threading.Thread.start)
            ThreadPoolExecutor.submit = wrapped(ThreadPoolExecutor.submit)
            sys.breakpointhook = wrapped(sys.breakpointhook)
            now.extend(replaced())
        ended.set()

    now = []
    thread = threading.Thread(target=run)
    try:
        thread.start()
        thread.join()
        found = replaced()
        assert ended.is_set()
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(lambda: "still works").result() == "still works"
    finally:
        vars(sys)["stdout"], sys.breakpointhook = screen, hook
        threading.Thread.start, ThreadPoolExecutor.submit = start, submit
    assert [*found] == now


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing can be forked here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_that_outlives_its_row(capfd):
    """Its output is shown on the screen, whether it was forked in the row or by the row's thread later."""
    heard, go = threading.Event(), os.pipe()

    class Screen(io.StringIO):
        def write(self, text):
            found = super().write(text)
            if "a late word" in self.getvalue():
                heard.set()
            return found

    screen, row_ended, children = Screen(), threading.Event(), []

    def forked_later():
        row_ended.wait(30)
        child = os.fork()
        if child == 0:
            os.write(1, b"from a thread's child\n")
            os._exit(0)
        children.append(child)

    with contextlib.redirect_stdout(screen), routed_output():
        with captured(CapturedLog()):
            thread = threading.Thread(target=forked_later)
            thread.start()
            child = os.fork()
            if child == 0:
                os.read(go[0], 1)
                print("a late word", flush=True)
                os._exit(0)
        row_ended.set()
        thread.join()
        os.write(go[1], b"x")
        assert heard.wait(30)
    for one in (child, *children):
        assert os.waitpid(one, 0)[1] == 0
    for end in go:
        os.close(end)
    assert capfd.readouterr().out == "from a thread's child\n"
