"""One run of a project and environment at a time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
from typing import TYPE_CHECKING

import filelock

from odibi_nb.core.decoding import utc_now
from odibi_nb.core.manifest import plain_slug
from odibi_nb.errors import RunLockedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def run_lock(state_dir: Path, project: str, env: str, run_id: str) -> Iterator[None]:
    """Hold the lock of *project* and *env* inside the block.

    The operating system frees it when its owner dies, so there is no stale lock to take over.

    Raises:
        RunLockedError: if another run holds it; says which.
    """
    folder = state_dir / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    # Names that look alike once they are plain are still different ones.
    exact = hashlib.blake2b(f"{project}\0{env}".encode(), digest_size=4).hexdigest()
    path = folder / f"{plain_slug(project)[:50]}-{plain_slug(env)[:50]}-{exact}.lock"
    owner = path.with_suffix(".json")
    lock = filelock.FileLock(str(path))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise RunLockedError(f"project {project!r}, env {env!r}", [_who(owner)]) from None
    try:
        owner.write_text(
            json.dumps(
                {
                    "run_id": run_id,
                    "pid": os.getpid(),
                    "host": socket.gethostname(),
                    "since": f"{utc_now():%Y-%m-%d %H:%M:%S} UTC",
                }
            ),
            encoding="utf-8",
        )
        yield
    finally:
        with contextlib.suppress(OSError):
            owner.unlink()
        lock.release()


def _who(owner: Path) -> str:
    try:
        facts = json.loads(owner.read_text(encoding="utf-8"))
        who = f"run {facts['run_id']} (process {facts['pid']} on {facts['host']}, since {facts['since']})"
        hint = f"wait for it, or end it: odibi cancel {facts['run_id']}"
    except (OSError, ValueError, KeyError):
        return "another run is going on; wait for it, or end it with odibi cancel"
    return f"{who} is going on; {hint}"
