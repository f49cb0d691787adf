"""Signals while a run may not be interrupted halfway, and while it runs."""

from __future__ import annotations

import os
import signal
import sys
import threading

import pytest

from odibi_nb.core.process.interrupts import InterruptsHeldBack, interrupts_as_requests

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are of POSIX")


@pytest.fixture
def seen():
    """The signals that reached the handlers from before the block: SIGINT and SIGTERM."""
    found = []
    numbers = signal.SIGINT, signal.SIGTERM
    before = [signal.signal(n, lambda number, _frame: found.append(number)) for n in numbers]
    yield found
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def interrupt():
    signal.raise_signal(signal.SIGINT)


def test_an_interrupt_is_delayed_until_the_end_of_the_block(seen):
    """A SIGINT in the block takes effect after it, once, in the handler from before."""
    with InterruptsHeldBack():
        interrupt()
        interrupt()
        assert seen == []
    assert seen == [signal.SIGINT]


def test_a_delayed_interrupt_takes_effect_where_it_may(seen):
    """A delayed SIGINT takes effect in a wait, or where the block lets interrupts through; a new one does at once."""
    with InterruptsHeldBack() as held:
        interrupt()
        held.sleep(0)
        assert seen == [signal.SIGINT]
        interrupt()
        with held.let_through():
            assert len(seen) == 2
            interrupt()
            assert len(seen) == 3
            interrupt()
            assert len(seen) == 4
        interrupt()
        assert len(seen) == 4
    assert len(seen) == 5


def test_an_error_of_the_block_is_not_replaced_by_the_interrupt(seen):
    """If the block raises, its error counts, and the delayed SIGINT has no effect."""
    with pytest.raises(KeyError), InterruptsHeldBack():
        interrupt()
        raise KeyError
    assert seen == []


@pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.SIG_IGN], ids=["default", "ignored"])
def test_handlers_that_are_no_functions_are_honoured(handler, seen):
    """A SIGINT that would end the process raises KeyboardInterrupt; an ignored one stays ignored."""
    before = signal.signal(signal.SIGINT, handler)
    try:
        with InterruptsHeldBack() as held:
            interrupt()
            if handler == signal.SIG_DFL:
                with pytest.raises(KeyboardInterrupt), held.let_through():
                    raise AssertionError("went on")
            else:
                with held.let_through():
                    pass
        assert signal.getsignal(signal.SIGINT) == handler
    finally:
        signal.signal(signal.SIGINT, before)


def on_another_thread(call):
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def test_another_thread_has_no_interrupts(seen):
    """Signals reach the main thread only: on another thread both blocks leave the handlers alone."""
    asked, found = [], []
    before = signal.getsignal(signal.SIGINT)

    def both():
        with InterruptsHeldBack() as held, interrupts_as_requests(lambda: asked.append(1), 2):
            held.raise_pending()
            found.append(signal.getsignal(signal.SIGINT))

    on_another_thread(both)
    assert found == [before]
    assert asked == []


def test_interrupts_are_requests_until_the_patience_ends(seen):
    """Each SIGINT is a request; after as many as the patience, the next one raises KeyboardInterrupt."""
    asked = []
    with pytest.raises(KeyboardInterrupt), interrupts_as_requests(lambda: asked.append(1), 2):
        interrupt()
        interrupt()
        assert len(asked) == 2
        interrupt()
    assert len(asked) == 3
    interrupt()
    assert seen == [signal.SIGINT]


def test_a_signal_to_end_is_two_requests_and_ends_the_process_afterwards(seen):
    """A scheduler's SIGTERM first asks twice, and takes its effect from before when the block has ended."""
    asked = []
    with interrupts_as_requests(lambda: asked.append(1), 2):
        signal.raise_signal(signal.SIGTERM)
        assert len(asked) == 2
        assert seen == []
    assert seen == [signal.SIGTERM]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing can be forked here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_the_handlers_from_before_all_blocks(seen):
    """In nested blocks, a child gets back the handlers from before the outer one, and so does its parent in the end."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with InterruptsHeldBack(), interrupts_as_requests(list, 2):
        child = os.fork()
        if child == 0:
            found = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
            os._exit(0 if found == before else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()).isdisjoint({signal.SIGINT, signal.SIGTERM})
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
