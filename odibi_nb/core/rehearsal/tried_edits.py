"""The edits that successful trials of this process would make to the project's modules."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from odibi_nb.core.functions.module_edit import ModuleEdit

KEPT = 20


class TriedEdits:
    """The newest edit of each transformation. It holds texts alone: no frames, no DataFrames."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Path, str], ModuleEdit] = OrderedDict()

    def note(self, folder: Path, transformation_id: str, edit: ModuleEdit | None) -> None:
        """Store the edit of a trial; forget an older one if the trial has none, because it failed."""
        with self._lock:
            self._kept.pop((folder, transformation_id), None)
            if edit is not None:
                self._kept[folder, transformation_id] = edit
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)

    def find(self, folder: Path, transformation_id: str) -> ModuleEdit | None:
        """Return the edit of the transformation's last trial, if it succeeded."""
        with self._lock:
            return self._kept.get((folder, transformation_id))


TRIED = TriedEdits()
