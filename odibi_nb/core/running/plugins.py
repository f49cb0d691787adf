"""Plug-ins: entry points of installed packages, which register listeners with the HookManager."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from odibi_nb.core.process.packages import package_folders

if TYPE_CHECKING:
    from importlib import metadata

PLUGIN_GROUP = "odibi_nb.hooks"
SETTLED_SECONDS = 10.0
"""Seconds after the last change of a folder in which pip may still write to it."""


_Packages: TypeAlias = "tuple[tuple[str, tuple[metadata.EntryPoint, ...]], ...]"
_found: dict[str, tuple[int, _Packages]] = {}
"""The last change of a folder of ``sys.path``, and the packages in it with their plug-ins."""


def find_plugins() -> list[metadata.EntryPoint]:
    """Return the plug-ins of the installed packages.

    If two packages have one name, only the first on the path counts.

    ``importlib.metadata.entry_points`` reads a file of each installed package at every call. This
    function reads the files of a folder again only if the folder has changed, for example because pip
    has installed a package.
    """
    chosen: dict[str, tuple[metadata.EntryPoint, ...]] = {}
    for folder in package_folders():
        for name, plugins in _packages(folder):
            chosen.setdefault(name, plugins)
    return [plugin for plugins in chosen.values() for plugin in plugins]


def _packages(folder: str) -> _Packages:
    try:
        changed_ns = Path(folder or ".").stat().st_mtime_ns
    except OSError:
        return ()
    known = _found.get(folder)
    if known is not None and known[0] == changed_ns:
        return known[1]
    from importlib import metadata  # late: it imports all of email

    packages = tuple(
        (_name_of(package), tuple(package.entry_points.select(group=PLUGIN_GROUP)))
        for package in metadata.distributions(path=[folder])
    )
    # "" is the current folder, which may be another one at the next call.
    if folder and time.time_ns() - changed_ns > SETTLED_SECONDS * 1e9:
        _found[folder] = changed_ns, packages
    return packages


def _name_of(package: metadata.Distribution) -> str:
    """Return the name that all versions of a package share."""
    name: str | None = getattr(package, "_normalized_name", None)  # from the folder: reads no file
    return name or package.metadata["Name"]
