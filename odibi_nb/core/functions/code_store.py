"""Texts of code and configurations by their hash, in the state folder.

The run log has only hashes. With the texts, a later comparison can name what changed. Each text is
stored once, in a file that only its owner can read. If a text cannot be stored or read, a comparison
knows only that something changed.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import uuid
from typing import TYPE_CHECKING, Any

from odibi_nb.core.process.state_files import (
    is_in_the_way,
    make_folder,
    move_file,
    open_at_end,
    read_regular,
    set_aside,
)
from odibi_nb.core.text.json import as_json, decode_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from odibi_nb.core.functions.code_hash import Code

FOLDER = "code"
BATCH = 200
_HASH = re.compile(r"[0-9a-f]{16}")


class CodeStore:
    """Store of code and configurations in a project's state folder. Several processes may use it."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.folder = state_dir / FOLDER
        self._file = self.folder / "configurations.txt"
        self._lock = threading.Lock()
        self._known: dict[str, bytes | None] | None = None
        self._kept: set[str] = set()
        self._pending: list[bytes] = []

    def keep_code(self, code: Code) -> None:
        """Store the parts of *code* and their texts, unless they are stored already."""
        if not code.digest or code.digest in self._kept:
            return
        self._kept.add(code.digest)
        if self._path(code.digest, "json").exists():
            return
        for digest, text in code.texts.items():
            self._write(digest, "txt", text)
        self._write(code.digest, "json", as_json(dict(code.parts)))

    def keep_config(self, digest: str, make: Callable[[], Mapping[str, Any]]) -> None:
        """Store the configuration that *make* returns, without secrets, unless it is stored already.

        All configurations are lines of one file, because a project has thousands of rows. They are
        written in batches: see `flush`.
        """
        with self._lock:
            if digest in self._configs():
                return
            line = f"{digest} {as_json(dict(make()))}\n"
            self._configs()[digest] = None
            self._pending.append(line.encode("utf-8", "replace"))
            if len(self._pending) >= BATCH:
                self._write_pending()

    def flush(self) -> None:
        """Write the configurations that are not written yet."""
        with self._lock:
            self._write_pending()

    def _write_pending(self) -> None:
        if not self._pending:
            return
        with contextlib.suppress(OSError):
            make_folder(self.state_dir, self.folder)
            if is_in_the_way(self._file):
                set_aside(self.state_dir, self._file)
            with os.fdopen(open_at_end(self._file), "ab") as file:
                file.write(b"".join(self._pending))
        self._pending.clear()

    def parts(self, digest: str) -> dict[str, str] | None:
        """Return the parts of the code with the hash *digest*; None if they are not stored."""
        return _object(self._read(digest, "json"))

    def text(self, digest: str) -> str | None:
        """Return the source text with the hash *digest*; None if it is not stored."""
        data = self._read(digest, "txt")
        return None if data is None else data.decode("utf-8", "replace")

    def config(self, digest: str) -> dict[str, Any] | None:
        """Return the configuration with the hash *digest*; None if it is not stored."""
        with self._lock:
            if self._configs().get(digest) is None:
                self._known = None  # a process may have stored it since the last look
            return _object(self._configs().get(digest))

    def _configs(self) -> dict[str, bytes | None]:
        """Return the stored configurations as text, by hash; None for a configuration that this process wrote."""
        if self._known is None:
            data = read_regular(self._file) or b""
            lines = [line.partition(b" ") for line in data.splitlines()]
            self._known = {head.decode("ascii", "replace"): text for head, _, text in lines}
        return self._known

    def _path(self, digest: str, kind: str) -> Path:
        return self.folder / f"{digest}.{kind}"

    def _read(self, digest: str, kind: str) -> bytes | None:
        return read_regular(self._path(digest, kind)) if _HASH.fullmatch(digest) else None

    def _write(self, digest: str, kind: str, text: str) -> None:
        path = self._path(digest, kind)
        if not _HASH.fullmatch(digest) or path.exists():
            return
        part = self.folder / f".{uuid.uuid4().hex}.part"
        try:
            make_folder(self.state_dir, self.folder)
            with open(part, "xb", opener=_private) as file:
                file.write(text.encode("utf-8", "replace"))
            move_file(part, path)
        except OSError:  # only the explanation of a later change is lost
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def _object(data: bytes | None) -> dict[str, Any] | None:
    """Return the JSON object in *data*; None if it holds none, as after a torn write."""
    try:
        value = None if data is None else decode_json(data)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
