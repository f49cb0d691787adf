"""The outbox: a file for each message to a channel, beside the journal of its run.

``<state>/runs/<run_id>/notify/<key>.<state>``, or ``<state>/notify/…`` for a run of another machine, moves through these states, each time by renaming it, which
only one process can do::

    todo      written before anything is sent
    sending   the receiver is about to get it. If the process dies now, it is not known whether the
              receiver has it, so it is sent again under the same key, marked as a possible repetition
    held      held back by the channel's limit, and not yet counted in a message
    sent      done; keeps a later process from writing the message again
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import filelock
import msgspec

from odibi_nb.core.process.state_files import make_folder, read_regular
from odibi_nb.core.runlog.journal import runs_folder
from odibi_nb.core.runlog.lock_owner import locks_work
from odibi_nb.core.text.json import as_json
from odibi_nb.listeners.notify.notice import Notice

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from odibi_nb.core.model.notification import Channel

FOLDER = "notify"
MOST_WAIT = 3_600.0
"""Longest wait that a receiver can ask for, in seconds."""
TODO, SENDING, HELD, SENT = "todo", "sending", "held", "sent"
STATES = (TODO, SENDING, HELD, SENT)
MOST_BYTES = 1 << 20
MOST_AGE = 7 * 86_400.0
"""Seconds after which an unsent message is dropped, because it has become useless."""


class _Written(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a file of the outbox."""

    channel: str
    notice: Notice


class _Pace(msgspec.Struct, frozen=True, kw_only=True):
    """The times at which a channel got messages, and the time until which its receiver wants none."""

    sent: tuple[float, ...] = ()
    not_before: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message in the outbox.

    Attributes:
        path: its file.
        key: name of the message, the same whenever it is sent.
        repeated: True if an earlier process may have sent it.
    """

    path: Path
    key: str
    notice: Notice
    repeated: bool


class Outbox:
    """The messages to one channel of one project and environment.

    Args:
        state_dir: folder of journals and locks.
        project: the project.
        env: the environment.
        name: the channel's name.
        channel: its settings.
    """

    def __init__(
        self, state_dir: Path, project: str, env: str, name: str, channel: Channel
    ) -> None:
        self._state_dir, self._where, self._channel = state_dir, (project, env, name), channel
        self.name = name
        place = as_json([project, env, name]).encode()
        self._own = state_dir / FOLDER / hashlib.blake2b(place, digest_size=8).hexdigest()

    def put(self, notice: Notice) -> None:
        """Write a message, unless the outbox has or had it.

        Raises:
            OSError: if it cannot be written.
        """
        folder = self._folder(notice.run_id)
        key = notice.key(self.name)
        if any((folder / f"{key}.{state}").exists() for state in STATES):
            return
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = folder / f"{key}.{uuid.uuid4().hex}.new"
        content = _Written(channel=self.name, notice=notice)
        descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123  the mode is set before the content
            file.write(msgspec.json.encode(content))
        new.replace(folder / f"{key}.{TODO}")

    def is_here(self, run_id: str) -> bool:
        """Return True if the run's folder is on this machine. An id from another machine may be any text."""
        own = runs_folder(self._state_dir) / run_id
        return run_id != ".." and own.name == run_id and own.is_dir()

    def _folder(self, run_id: str) -> Path:
        """Return a folder beside the run's journal; for a run of another machine, a separate folder."""
        if self.is_here(run_id):
            return runs_folder(self._state_dir) / run_id / FOLDER
        digest = hashlib.blake2b(run_id.encode(), digest_size=8).hexdigest()
        return self._state_dir / FOLDER / digest

    def waiting(self) -> list[Message]:
        """Return the messages to send, oldest first."""
        found = [*self._messages(SENDING), *self._messages(TODO)]
        return sorted(found, key=lambda message: (message.notice.time, message.key))

    def held(self) -> list[Message]:
        """Return the messages that were held back and that no message has counted."""
        return [*self._messages(HELD)]

    def _messages(self, state: str) -> Iterator[Message]:
        beside_journals = runs_folder(self._state_dir).glob(f"*/{FOLDER}/*.{state}")
        elsewhere = (self._state_dir / FOLDER).glob(f"*/*.{state}")
        for path in (*beside_journals, *elsewhere):
            content = read_regular(path, MOST_BYTES)
            if content is None:  # another process has just renamed it
                continue
            try:
                read = msgspec.json.decode(content, type=_Written)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                continue
            if (read.notice.project, read.notice.env, read.channel) == self._where:
                yield Message(
                    path=path, key=path.stem, notice=read.notice, repeated=state == SENDING
                )

    def move(self, message: Message, state: str, since: str | None = None) -> bool:
        """Move *message* to *state*. Return False if another process was faster.

        Args:
            message: the message.
            state: its new state.
            since: its present state, if it is not the one that `waiting` found.
        """
        path = message.path if since is None else message.path.with_suffix(f".{since}")
        target = message.path.with_suffix(f".{state}")
        if path == target:
            return path.exists()
        try:
            path.rename(target)
        except OSError:
            return False
        return True

    @contextlib.contextmanager
    def taken(self) -> Iterator[bool]:
        """Hold the channel inside the block, so that no other process sends its messages.

        Yield False if another process holds it. The operating system releases the lock of a process
        that dies.
        """
        make_folder(self._state_dir, self._own.parent)
        if not locks_work(self._own.parent):  # renaming still lets only one process send
            yield True
            return
        lock = filelock.FileLock(f"{self._own}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release(force=True)

    # -- the pace ------------------------------------------------------------------------------

    def wait_of(self) -> float:
        """Return the seconds for which the receiver wants no message."""
        return max(0.0, self._pace().not_before - time.time())

    def has_room(self, notice: Notice) -> bool:
        """Return True if the limit lets *notice* pass. The last place is for the end of a run."""
        most = self._channel.most
        if notice.event == "row_failed":
            most = max(1, most - 1)
        return len(self._pace().sent) < most

    def note_sent(self) -> None:
        """Count a sent message."""
        pace = self._pace()
        self._write(_Pace(sent=(*pace.sent, time.time()), not_before=pace.not_before))

    def note_wait(self, seconds: float) -> None:
        """Remember that the receiver wants no message for *seconds*."""
        self._write(_Pace(sent=self._pace().sent, not_before=time.time() + seconds))

    def _pace(self) -> _Pace:
        content = read_regular(self._own.with_suffix(".json"), MOST_BYTES)
        try:
            pace = msgspec.json.decode(content or b"{}", type=_Pace)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return _Pace()
        now = time.time()
        recent = (at for at in pace.sent if 0 <= now - at < self._channel.per_seconds)
        # A clock that was wrong must not silence a channel for years.
        wait = pace.not_before if pace.not_before - now <= MOST_WAIT else 0.0
        return _Pace(sent=tuple(recent), not_before=wait)

    def _write(self, pace: _Pace) -> None:
        path = self._own.with_suffix(".json")
        new = path.with_suffix(".new")
        with contextlib.suppress(OSError):  # the limit is not worth a message
            new.write_bytes(msgspec.json.encode(pace))
            new.replace(path)
