"""The file of a report. It may replace an earlier report, but only if that was not changed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import uuid
from typing import TYPE_CHECKING

from odibi_nb.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

_MARK = re.compile(r"\A<!-- Made by odibi report, content ([0-9a-f]{16}) -->\n")
_MOST_BYTES = 100_000_000


def marked(body: str) -> str:
    """Return *body* below a comment with its hash, by which a later export recognises the file."""
    return f"<!-- Made by odibi report, content {_hash(body)} -->\n{body}"


def write_report(path: Path, body: str, *, force: bool = False) -> int:
    """Write a report to *path* as a whole, and return its number of bytes.

    Args:
        path: the file.
        body: the text of the report.
        force: also replace a file that odibi did not write, or that was changed since.

    Raises:
        ConfigurationError: if the file exists and is not an unchanged report, or cannot be written.
    """
    try:
        if os.path.lexists(path) and not path.is_file():  # a folder or a device, also with --force
            raise ConfigurationError(str(path), ["is not a file: choose another --out"])
        if not force and not _is_ours(path):
            message = (
                "exists, and is not an unchanged report of odibi: choose another --out, or --force"
            )
            raise ConfigurationError(str(path), [message])
        data = marked(body).encode("utf-8", "backslashreplace")
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}.new")
        try:
            new.write_bytes(data)
            if force:
                new.replace(path)
            else:
                _put(new, path)
        finally:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the path
        why = exc.strerror if isinstance(exc, OSError) and exc.strerror else exc
        raise ConfigurationError(str(path), [f"the report cannot be written: {why}"]) from exc
    return len(data)


def _put(new: Path, path: Path) -> None:
    """Move *new* to *path*, unless another process has just created that file."""
    if not os.path.lexists(path):
        try:
            os.link(new, path)
        except FileExistsError:
            if not _is_ours(path):
                raise
        except OSError:  # a file system without hard links
            pass
        else:
            return
    new.replace(path)


def _is_ours(path: Path) -> bool:
    """Return True if *path* does not exist, or is an unchanged report."""
    if not os.path.lexists(path):
        return True
    with path.open("rb") as file:
        text = file.read(_MOST_BYTES).decode("utf-8", errors="replace")
    mark = _MARK.match(text)
    return mark is not None and _hash(text[mark.end() :]) == mark[1]


def _hash(body: str) -> str:
    return hashlib.blake2b(body.encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()
