"""What a transformation prints and logs is its own; what others print is theirs."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import threading

import pytest
from fakes import row, statuses

from odibi_nb.core.capture import (
    MAX_LINE_LENGTH,
    MAX_LINES,
    CapturedLog,
    captured,
    real_stream,
    routed_output,
)
from odibi_nb.core.context import transformation_logger


def log_of(fn):
    """What *fn* leaves in its log."""
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


def test_a_million_lines_are_bounded():
    """Only the last lines are kept, however many there are; the first one says how many are not."""
    log, told = CapturedLog(lambda line: told.append(line)), []
    for _ in range(1000):
        log.write("x\n" * 1000)
    log.write("the end\n")
    lines = log.text().split("\n")
    assert len(lines) == MAX_LINES + 1
    assert lines[0] == f"… {1_000_001 - MAX_LINES} earlier lines are not kept …"
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
    """Whoever shows the run hears of each complete line at once."""
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
        assert streams() != before
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
    """Whoever shows a run can reach the screen, whatever is routed."""
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
    """When a router is forgotten after its stream was closed, nobody hears of it."""
    import io

    from odibi_nb.core.capture import _Router

    stream = io.StringIO()
    router = _Router(stream)
    router.close()
    assert not stream.closed
    stream.close()
    router.close()  # what Python does when it forgets an object like this
