"""Files that an export makes: write them, compare them with the disk, and respect edits by hand.

The first line of each file names the command and has a hash of the rest. So a later export can
distinguish its own files from files that a person wrote or changed, and refuses to replace the latter.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from odibi_nb.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_HASH = re.compile(r"\A# .* content ([0-9a-f]{16})\n")
_MOST_BYTES = 10_000_000


class FileState(str, Enum):
    """State of an exported file on disk, compared with the file that an export would write now."""

    MISSING = "missing"
    SAME = "same"
    OUTDATED = "outdated"
    EDITED = "edited by hand"
    FOREIGN = "not made by odibi export"


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """File of an export.

    Attributes:
        path: place of the file.
        command: command that makes the file, as its first line names it.
        body: text of the file below its first line.
    """

    path: Path
    command: str
    body: str

    @property
    def text(self) -> str:
        """The whole text of the file."""
        command = " ".join(self.command.split())
        return f"# Made by {command}: change the project and export again. content {_hash(self.body)}\n{self.body}"

    def state(self) -> FileState:
        """Compare the file on disk with this one.

        Raises:
            ConfigurationError: if the file cannot be read.
        """
        found = self._on_disk()
        if found is None:
            return FileState.MISSING
        if found == self.text:
            return FileState.SAME
        made = _HASH.match(found)
        if made is None:
            return FileState.FOREIGN
        return FileState.OUTDATED if _hash(found[made.end() :]) == made[1] else FileState.EDITED

    def difference(self) -> str:
        """Return a unified diff from the file on disk to this one; "" if they are equal."""
        found = self._on_disk() or ""
        lines = difflib.unified_diff(
            found.splitlines(), self.text.splitlines(), f"{self.path}", "an export now", lineterm=""
        )
        return "\n".join(lines)

    def _on_disk(self) -> str | None:
        try:
            with self.path.open("rb") as file:
                content = file.read(_MOST_BYTES)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise ConfigurationError(str(self.path), [f"cannot be read: {exc.strerror}"]) from exc
        return content.decode("utf-8", errors="replace").replace("\r\n", "\n")


def write_all(files: Sequence[ExportedFile], *, force: bool = False) -> list[str]:
    """Write *files* that are missing or outdated, and return one line for each file.

    Args:
        files: the files of the export.
        force: also replace files that a person wrote or changed.

    Raises:
        ConfigurationError: if a person wrote or changed one of the files, or one cannot be written. In
            the first case nothing was written.
    """
    states = {file.path: file.state() for file in files}
    if not force:
        kept = (FileState.EDITED, FileState.FOREIGN)
        problems = [
            f"{path} is {state.value}: see the difference with --check, replace it with --force"
            for path, state in states.items()
            if state in kept
        ]
        if problems:
            raise ConfigurationError("export", problems)
    lines = []
    for file in files:
        if states[file.path] is FileState.SAME:
            lines.append(f"unchanged  {file.path}")
            continue
        _write(file)
        lines.append(f"written    {file.path}")
    return lines


def differences(files: Iterable[ExportedFile]) -> list[str]:
    """Return a line with the state of each file that an export would change, and its difference."""
    lines = []
    for file in files:
        state = file.state()
        if state is FileState.SAME:
            continue
        lines.append(f"{file.path} is {state.value}")
        if state is not FileState.MISSING:
            lines.append(file.difference())
    return lines


def _write(file: ExportedFile) -> None:
    new = file.path.with_name(f".{file.path.name}.{os.getpid()}.new")
    try:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(file.text, encoding="utf-8", newline="\n")
        new.replace(file.path)
    except OSError as exc:
        new.unlink(missing_ok=True)
        reason = f"cannot be written: {exc.strerror}"
        raise ConfigurationError(str(file.path), [reason]) from exc


def _hash(body: str) -> str:
    return hashlib.blake2b(body.encode(), digest_size=8).hexdigest()
