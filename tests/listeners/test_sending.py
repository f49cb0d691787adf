"""Sending in the background."""

from __future__ import annotations

import threading
import time

import pytest

from odibi_nb.errors import OdibiError
from odibi_nb.listeners import sending
from odibi_nb.listeners.sending import BackgroundSender


def test_events_are_sent_in_order_and_then_closed():
    """All events are sent, in order, before `finish` returns. Closing comes last."""
    sent = []
    sender = BackgroundSender("events", sent.append, lambda seconds: sent.append("closed"))
    for number in range(100):
        sender.put(number)
    sender.finish()
    assert sent == [*range(100), "closed"]


def test_a_failure_does_not_stop_those_after_it():
    """Events that cannot be sent are counted, and reported with the reason at the end."""
    sent = []

    def send(event):
        if event == 1:
            raise OSError("refused")
        sent.append(event)

    sender = BackgroundSender("events", send)
    for number in range(3):
        sender.put(number)
    with pytest.raises(OdibiError, match=r"^1 of 3 events were not sent: OSError: refused$"):
        sender.finish()
    assert sent == [0, 2]


def test_what_takes_too_long_is_given_up(monkeypatch):
    """`finish` waits no longer than its limit. Events that are still queued then are never sent."""
    monkeypatch.setattr(sending, "FLUSH_SECONDS", 0.01)
    hold, closed, sent = threading.Event(), threading.Event(), []

    def send(event):
        hold.wait(10)
        sent.append(event)

    sender = BackgroundSender("events", send, lambda seconds: closed.set())
    for number in range(3):
        sender.put(number)
    with pytest.raises(OdibiError, match=r"^3 of 3 events were not sent: not done in 0\.01 s$"):
        sender.finish()
    hold.set()
    assert closed.wait(10)
    assert sent == [0]


def test_a_transport_that_is_not_done_when_closed_is_told():
    """If closing reports unsent events, so does `finish`."""
    sender = BackgroundSender("events", lambda event: None, lambda seconds: False)
    sender.put(1)
    with pytest.raises(OdibiError, match=r"^some events were not sent"):
        sender.finish()


def test_a_server_that_is_down_costs_little(monkeypatch):
    """The wait for a server that takes no events is shorter than for one that keeps taking them."""
    monkeypatch.setattr(sending, "SILENT_SECONDS", 0.05)
    hold, sent = threading.Event(), []

    def send(event):
        if event > 1:
            hold.wait(20)
        sent.append(event)

    sender = BackgroundSender("events", send)
    for number in range(4):
        sender.put(number)
    begun = time.monotonic()
    with pytest.raises(OdibiError, match=r"^2 of 4 events were not sent: not done in 0\.\d+ s$"):
        sender.finish()
    assert time.monotonic() - begun < sending.FLUSH_SECONDS / 2
    hold.set()


def test_a_library_that_ends_the_process_costs_an_event():
    """A transport that raises SystemExit is like one that cannot send."""

    def send(event):
        raise SystemExit(3)

    sender = BackgroundSender("events", send)
    sender.put(1)
    with pytest.raises(OdibiError, match=r"^1 of 1 events were not sent: SystemExit: 3$"):
        sender.finish()
