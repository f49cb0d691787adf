"""``notify``: the channels of notifications, what waits for them, and a test message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odibi_nb.commands.opening import opened
from odibi_nb.core.text.counts import counted
from odibi_nb.errors import ConfigurationError
from odibi_nb.views.records import Records
from odibi_nb.wiring import make_frame, make_notifier

if TYPE_CHECKING:
    import argparse

    from odibi_nb.commands.face import Face
    from odibi_nb.listeners.notify.notifier import RunNotifier

COLUMNS = ("channel", "kind", "host", "reports", "limit", "waiting", "result")
DELIVERY_SECONDS = 60.0
"""Longest time for which the command waits for the messages of earlier runs."""


class Channels(Records):
    """The channels of an environment, as a table."""

    @property
    def exit_code(self) -> int:
        """Exit code: 1 if a message could not be sent, otherwise 0."""
        return int(any(row["result"].startswith("✖") for row in self.rows))


def notify(arguments: argparse.Namespace, face: Face) -> Channels:
    """List the channels and send what waits for them, or a test message."""
    del face
    with opened(arguments) as orchestrator:
        where = f"{orchestrator.project!r}, env {orchestrator.env}"
        if not orchestrator.config.notify:
            message = "has no channel: add 'notify' to the environment in the manifest"
            raise ConfigurationError(where, [message])
        notifier = make_notifier(orchestrator.place())
        channels = orchestrator.config.notify
        results = _tested(notifier) if arguments.test else _delivered(notifier)
        rows = [
            {
                "channel": name,
                "kind": channel.kind,
                "host": channel.host,
                "reports": ", ".join(channel.on),
                "limit": f"{channel.most} in {channel.per_seconds:g} s",
                "waiting": len(notifier.outboxes[name].waiting()),
                "result": results[name],
            }
            for name, channel in channels.items()
        ]
    return Channels(f"channels of {where}", COLUMNS, rows, make_frame)


def _tested(notifier: RunNotifier) -> dict[str, str]:
    made = {name: notifier.test(name) for name in notifier.outboxes}
    return {name: f"✖ {text}" if text else "✔ test message sent" for name, text in made.items()}


def _delivered(notifier: RunNotifier) -> dict[str, str]:
    before = {name: len(outbox.waiting()) for name, outbox in notifier.outboxes.items()}
    notifier.deliver()
    problems = notifier.finish_by_channel(DELIVERY_SECONDS)
    made = {}
    for name, outbox in notifier.outboxes.items():
        done = before[name] - len(outbox.waiting())
        good = f"✔ {counted(done, 'message')} sent" if done > 0 else ""
        made[name] = f"✖ {problems[name]}" if problems.get(name) else good
    return made
