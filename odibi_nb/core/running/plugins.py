"""Listeners of installed packages: entry points that take the HookManager."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from importlib import metadata

PLUGIN_GROUP = "odibi_nb.hooks"
SETTLED_SECONDS = 10.0
"""A folder that changed later than this may be one that pip still writes to."""


class _Found(NamedTuple):
    """The packages in a folder of ``sys.path``, each with its plug-ins, when the folder was last changed."""

    changed_ns: int
    packages: tuple[tuple[str, tuple[metadata.EntryPoint, ...]], ...]


_found: dict[str, _Found] = {}


def find_plugins() -> list[metadata.EntryPoint]:
    """Return the plug-ins of the installed packages; of packages of one name, the first on the path counts.

    ``importlib.metadata.entry_points`` reads a file of each installed package, at every call. This reads
    those of a folder again only after the folder has changed, as it does when pip installs something.
    """
    chosen: dict[str, tuple[metadata.EntryPoint, ...]] = {}
    for folder in dict.fromkeys(sys.path):
        for name, plugins in _packages(folder):
            chosen.setdefault(name, plugins)
    return [plugin for plugins in chosen.values() for plugin in plugins]


def _packages(folder: str) -> tuple[tuple[str, tuple[metadata.EntryPoint, ...]], ...]:
    try:
        changed_ns = Path(folder or ".").stat().st_mtime_ns
    except OSError:
        return ()
    known = _found.get(folder) if folder else None
    if known is not None and known.changed_ns == changed_ns:
        return known.packages
    from importlib import metadata  # late: it imports all of email

    packages = tuple(
        (_name_of(package), tuple(package.entry_points.select(group=PLUGIN_GROUP)))
        for package in metadata.distributions(path=[folder])
    )
    if folder and time.time_ns() - changed_ns > SETTLED_SECONDS * 1e9:
        _found[folder] = _Found(changed_ns, packages)
    return packages


def _name_of(package: metadata.Distribution) -> str:
    """Return the name that two versions of one package have in common."""
    name: str | None = getattr(package, "_normalized_name", None)  # of the folder: reads no file
    return name or package.metadata["Name"]
