"""Whether the folders of a run are still there: who moves them away moves the tables and logs, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from odibi_nb.core.runlog.journal import Journal


class Presence:
    """The project's folder and the run's own, as they were when the run began."""

    def __init__(self, project: Path, manifest: Path | None, journal: Journal) -> None:
        self._folder = project
        self._manifest = manifest
        self._journal = journal
        self._project = _identity(project)

    def lost(self) -> str:
        """Return which folder has been removed or renamed, and what that means; "" if none was."""
        found = _identity(self._folder)
        # A write makes a lake's folder again, and the project's with it; the manifest it does not.
        moved = self._manifest is not None and not self._manifest.exists()
        if found is None or (found != self._project and moved):
            gone = f"the project's folder {self._folder}"
        elif self._journal.is_gone():
            gone = f"the run's folder {self._journal.folder}"
        else:
            return ""
        return (
            f"{gone} was removed or renamed while the run went on: what it wrote since may be lost, or "
            "where no other run looks. Put the folder back, look at the tables, and run again"
        )


def _identity(folder: Path) -> tuple[int, int] | None:
    """Device and number of a folder; None if there is none. A share that fails has it still."""
    try:
        found = folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino
