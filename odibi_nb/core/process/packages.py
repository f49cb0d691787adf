"""Installed packages. Nothing here looks into JARs, which Spark puts on ``sys.path`` by the hundred."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odibi_nb.core.process.import_state import search_path

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import Distribution


def package_folders() -> list[str]:
    """Return the places on ``sys.path`` that can contain packages."""
    return [place for place in dict.fromkeys(search_path()) if not place.endswith(".jar")]


def all_packages() -> Iterable[Distribution]:
    """Return the installed packages in the order of ``sys.path``.

    ``importlib.metadata`` remembers 128 places. With more JARs than that, it reads all of them again
    for each package that it searches.
    """
    from importlib import metadata  # late: it imports all of email

    return metadata.distributions(path=package_folders())


def version_of(package: str) -> str | None:
    """Return the version of an installed *package*; None if it is not installed."""
    from importlib import metadata

    found = metadata.distributions(name=package, path=package_folders())
    return next((one.version for one in found), None)
