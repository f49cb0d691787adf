"""Check that the folders of a run still exist. If a user moves them, tables and logs move, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from odibi_nb.core.runlog.journal import Journal


class Presence:
    """The project's folder and the run's folder, as they were when the run began."""

    def __init__(self, project: Path, manifest: Path | None, journal: Journal) -> None:
        self._folder = project
        self._manifest = manifest
        self._journal = journal
        self._project = _identity(project)

    def lost(self) -> str:
        """Return a message if a folder has been removed or renamed, or else ""."""
        found = _identity(self._folder)
        if found is None or (found != self._project and self._has_lost_the_manifest()):
            gone = f"the project's folder {self._folder}"
        elif self._journal.is_gone():
            gone = f"the run's folder {self._journal.folder}"
        else:
            return ""
        return (
            f"{gone} was removed or renamed during the run: later writes may be lost or in the wrong "
            "folder. Put the folder back, check the tables, and run again"
        )

    def _has_lost_the_manifest(self) -> bool:
        # A write creates the lake's folder again, and with it the project's folder, but no manifest.
        return self._manifest is not None and _identity(self._manifest) is None


def _identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of *path*: None if it does not exist, (0, 0) if a share fails."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino
