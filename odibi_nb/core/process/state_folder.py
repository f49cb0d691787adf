"""The folder of a project's state: journals, locks, logs and code texts."""

from __future__ import annotations

import hashlib
from pathlib import Path

from odibi_nb.core.process.compute import is_databricks
from odibi_nb.core.process.private_files import DEFAULT_NAME

MOUNTS = (Path("/Workspace"), Path("/Volumes"), Path("/dbfs"))
"""Folders of Databricks in which each file operation is a request, and which may be read-only."""


def state_folder(folder: Path, configured: str | Path | None = None) -> Path:
    """Return the state folder of the project with its manifest in *folder*.

    The default is ``.odibi`` beside the manifest. If that is in one of `MOUNTS` on Databricks, the default is
    a folder of the user on the driver's disk: a Git folder of a job is read-only, and elsewhere a run would
    wait for thousands of requests.

    Args:
        folder: absolute path of the manifest's folder.
        configured: folder of the settings or of the caller.
    """
    if configured:
        return Path(configured)
    if is_databricks() and any(folder.is_relative_to(mount) for mount in MOUNTS):
        digest = hashlib.blake2b(str(folder).encode(), digest_size=4).hexdigest()
        return Path.home() / "odibi-state" / f"{folder.name}-{digest}" / DEFAULT_NAME
    return folder / DEFAULT_NAME
