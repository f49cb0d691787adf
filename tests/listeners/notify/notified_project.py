"""A project on fakes whose runs notify channels; as a program, one whose process kills itself.

``python notified_project.py FOLDER URL MOMENT`` runs it, and sends SIGKILL to itself at that moment.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from fakes import FakeProject, row

from odibi_nb.listeners.notify import notifier, outbox, worker
from odibi_nb.wiring import make_notifier


class NotifiedProject(FakeProject):
    def __init__(self, folder, rows, channels, **manifest):
        environments = {"qat": {"notify": channels}}
        super().__init__(folder, rows, {"environments": environments, **manifest})

    def adapters(self):
        return replace(super().adapters(), notifier=make_notifier)


def broken():
    raise KeyError("ghi")


def project_with_failure(folder, url):
    on = ["run_failed", "run_abandoned", "row_failed"]
    channels = {"ops": {"kind": "webhook", "url": url, "on": on}}
    return NotifiedProject(Path(folder), [row("A", broken), row("B", lambda: None)], channels)


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def _die_at(moment):
    """Make the process die at *moment*."""
    if moment == "before the message is written":
        outbox.Outbox.put = die
    elif moment == "before it is sent":
        worker.send = die
    elif moment == "between claim and request":
        send = worker.send
        worker.send = lambda channel, letter, claim: send(
            channel, letter, lambda: claim() and die()
        )
    elif moment == "between answer and note":
        move = outbox.Outbox.move

        def noting(self, message, state, since=None):
            return die() if state == outbox.SENT else move(self, message, state, since)

        outbox.Outbox.move = noting
    elif moment == "before the run's end is reported":
        on_event = notifier.RunNotifier.on_event

        def ending(self, event):
            if event.type == "run_end":
                worker.ChannelWorker.finish(*self._workers.values(), float("inf"))
                die()
            on_event(self, event)

        notifier.RunNotifier.on_event = ending


if __name__ == "__main__":
    _die_at(sys.argv[3])
    project_with_failure(sys.argv[1], sys.argv[2]).run(retry=0)
    die()
