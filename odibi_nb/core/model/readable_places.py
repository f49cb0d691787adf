"""Files and URLs that registry rows may read.

Rows are untrusted, and a read alone can do harm: a caching file system writes files, and a cloud URL
makes its library request keys from the machine's metadata address. So rows may only name plain places,
without storage options. A manifest that limits the modules of rows also limits their places.
"""

from __future__ import annotations

import glob
import itertools
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from odibi_nb.core.model.manifest import DEFAULT_LAKE
from odibi_nb.core.model.tables import is_location, map_location
from odibi_nb.core.model.transformation import INGEST_MODULE
from odibi_nb.core.text.name_lists import some_of
from odibi_nb.core.text.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from odibi_nb.core.model.manifest import EnvironmentConfig, ProjectManifest
    from odibi_nb.core.model.transformation import Transformation

SETTING = "allowed_locations"
WRAPPERS = frozenset(
    {
        *("simplecache", "filecache", "blockcache", "cached", "async_wrapper", "asyncwrapper"),
        *("zip", "tar", "libarchive", "reference", "dir", "generic", "dask"),
    }
)
"""fsspec's file systems that wrap another file system and may write local files."""
_LOCAL = frozenset({"file", "local"})
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://")
_ODD = re.compile(r"[\x00-\x1f\x7f]")
_WILD = re.compile(r"[*?\[{]")
_BRACES = re.compile(r"\{([^{}]*)\}")
_PARTS = re.compile(r"[/\\,{}?#]")
_WEB = frozenset({"http", "https"})
_HIDDEN: dict[str, Any] = {"include_hidden": True} if sys.version_info >= (3, 11) else {}
_MOST_PATTERNS = 64
_SHOWN = 6
URL_REFUSAL = (
    "the constant 'url' is refused, because the manifest limits the places that rows may read "
    "(transformation_modules, allowed_locations): add the database to "
    "environments.<env>.connections and give its name as 'connection'"
)


def locate(location: str, locations: Mapping[str, str], folder: str) -> str:
    """Return the path or URL of *location*, given the environment's *locations* and the project's folder."""
    mapped = map_location(location, locations)
    return mapped if "://" in mapped else os.path.join(folder, mapped)  # noqa: PTH118  stays text


def allowed_places(manifest: ProjectManifest, config: EnvironmentConfig) -> tuple[str, ...] | None:
    """Return the folders and URLs below which rows may read; None if they may read anywhere.

    The result contains the manifest's ``allowed_locations``, or the project's folder if only
    ``transformation_modules`` is set. It also contains the lake and the targets of ``locations``,
    because the manifest itself names them.
    """
    named = manifest.allowed_locations
    if named is None:
        if not manifest.transformation_modules:
            return None
        named = (".",)
    lake = config.lake or DEFAULT_LAKE
    stores = [] if lake.partition(":")[0] == "catalog" else [lake]
    places = (*named, *config.locations.values(), *stores)
    return tuple(dict.fromkeys(locate(place, {}, str(manifest.folder)) for place in places))


@dataclass(frozen=True)
class Reach:
    """Places that the rows of one environment may read.

    Attributes:
        locations: the environment's prefixes.
        folder: the project's folder.
        allowed: the result of `allowed_places`.
    """

    locations: Mapping[str, str]
    folder: str
    allowed: tuple[str, ...] | None

    def locate(self, location: str) -> str:
        """Return the path or URL of *location*."""
        return locate(location, self.locations, self.folder)

    def problems(self, row: Transformation) -> list[tuple[str, str]]:
        """Return (field, message) for each place that *row* names but may not read."""
        found: list[tuple[str, str]] = []
        if row.module != INGEST_MODULE and all(map(_is_table, row.inputs)):
            return found  # quickly: nearly all of a plan's thousands of rows end here
        for where, location, options in _named_by(row):
            why = storage_refusal(options) or self.refusal(location, deep=False)
            if why:
                found.append((where, why))
        if row.module == INGEST_MODULE and self.allowed is not None and row.constants.get("url"):
            found.append(("constants.url", URL_REFUSAL))
        return found

    def refusal(self, location: str, *, deep: bool = True) -> str:
        """Return the reason why a row may not read *location*; "" if it may.

        Args:
            location: as the row spells it.
            deep: also follow the links in folders and the files that patterns match.
        """
        if self.allowed is None and "::" not in location and _scheme(location) not in WRAPPERS:
            return ""  # quickly: a plan checks thousands of rows
        real = self.locate(location)
        scheme = _scheme(real)
        if scheme and ("::" in location or (real == location and scheme in WRAPPERS)):
            return (
                f"{redact_text(location)}: chained file systems (such as 'simplecache::') are refused, because they "
                "can write files of this machine: name the plain path or URL"
            )
        if self.allowed is None or self._allows(real, deep=deep):
            return ""
        names = some_of([redact_text(place) for place in self.allowed], _SHOWN)
        return (
            f"{redact_text(location)}: outside the locations that rows may read ({names}): "
            f"add its folder or URL to the manifest's '{SETTING}'"
        )

    @cached_property
    def _roots(self) -> list[str]:
        paths = [_local_path(place) for place in self.allowed or ()]
        return [os.path.normcase(os.path.realpath(path)) for path in paths if path is not None]

    def _allows(self, real: str, *, deep: bool) -> bool:
        if _ODD.search(real):
            return False
        if _local_path(real) is None:
            return any(_url_is_below(real, place) for place in self.allowed or ())
        # Libraries decode the text differently, so every reading of it must be inside.
        paths = [path for path in map(_local_path, _readings(real)) if path is not None]
        return all(self._is_inside(e) for p in paths for e in _leads_to(p, deep=deep))

    def _is_inside(self, path: str) -> bool:
        real = os.path.normcase(os.path.realpath(path))
        return any(
            real == root or real.startswith(root.rstrip(os.sep) + os.sep) for root in self._roots
        )


def _is_table(item: Any) -> bool:
    return isinstance(item, str) and not is_location(item)


def _named_by(row: Transformation) -> list[tuple[str, str, Any]]:
    """Return the field, location and options of each file that *row* names."""
    named: list[tuple[str, str, Any]] = []
    for i, item in enumerate(row.inputs):
        if isinstance(item, str):
            if is_location(item):
                named.append((f"inputs[{i}]", item, None))
        elif item.get("path") and not item.get("table") and not item.get("sql"):
            named.append((f"inputs[{i}]", str(item["path"]), item.get("options")))
    if row.module == INGEST_MODULE:
        given = row.constants.get("source")
        sources = given if isinstance(given, list) else [given]
        options = row.constants.get("options")
        named += [("constants.source", s, options) for s in sources if isinstance(s, str) and s]
    return named


def storage_refusal(options: Any) -> str:
    """Return the reason to refuse a row's reader *options*; "" if they are allowed."""
    if not isinstance(options, Mapping) or "storage_options" not in options:
        return ""
    return (
        "option 'storage_options' cannot come from a row: name the location in the manifest, "
        "environments.<env>.location_options"
    )


def _readings(text: str) -> set[str]:
    """Return *text* in the forms that libraries may read: unchanged, decoded, without backslashes."""
    found = decoded(text)
    return found | {one.replace("\\", "") for one in found} if os.sep == "/" else found


def decoded(text: str) -> set[str]:
    """Return *text* as it is, percent-decoded once, and percent-decoded twice."""
    once = unquote(text)
    return {text, once, unquote(once)}


def _scheme(text: str) -> str:
    found = _SCHEME.match(text)
    return found[1].lower() if found else ("?" if "://" in text else "")


def _local_path(text: str) -> str | None:
    """Return the path that *text* names on this machine; None for the URL of another system."""
    scheme = _scheme(text)
    if not scheme:
        return text
    if scheme not in _LOCAL:
        return None
    host, slash, path = text.partition("://")[2].partition("/")
    # fsspec reads file://x/y as the relative path x/y.
    return slash + path if host.lower() in {"", "localhost", "127.0.0.1"} else f"{host}/{path}"


def _leads_to(path: str, *, deep: bool) -> Iterator[str]:
    """Yield *path*, or the fixed folder of a pattern; if *deep*, also its matches and their links."""
    wild = _WILD.search(path)
    if not wild:
        yield path
        yield from _links_below(path) if deep else ()
        return
    cut = path.rfind("/", 0, wild.start()) + 1
    yield path[:cut]
    if ".." in _PARTS.split(path[cut:]):
        yield os.sep  # a pattern with ".." is always refused
    if not deep:
        return
    patterns = [path, *itertools.islice(_unbraced(path), _MOST_PATTERNS + 1)]
    if len(patterns) > _MOST_PATTERNS:
        yield os.sep  # a pattern with so many choices is always refused
    else:
        yield from _all_links([path])  # a name may look like a pattern
        for pattern in patterns:
            yield from _all_links(_matches(pattern))


def _all_links(paths: Iterable[str]) -> Iterator[str]:
    for found in paths:
        yield found
        yield from _links_below(found)


def _matches(pattern: str) -> Iterator[str]:
    """Yield the paths that a reader finds with *pattern*.

    Spark's ``[^a]`` means ``[!a]``. fsspec searches all folders for ``**``. Both match names that
    begin with a dot.
    """
    for one in dict.fromkeys([pattern, pattern.replace("[^", "[!")]):
        yield from glob.iglob(one, recursive=True, **_HIDDEN)  # noqa: PTH207


def _unbraced(pattern: str) -> Iterator[str]:
    """Yield the patterns to which Spark expands ``{a,b}`` in *pattern*."""
    found = _BRACES.search(pattern)
    if not found:
        yield pattern
        return
    for choice in found[1].split(","):
        yield from _unbraced(pattern[: found.start()] + choice + pattern[found.end() :])


def _links_below(folder: str) -> Iterator[str]:
    """Yield the symbolic links below *folder*, which readers of folders follow."""
    if not os.path.isdir(folder):  # noqa: PTH112  paths stay text
        return
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            entry = os.path.join(parent, name)  # noqa: PTH118
            if os.path.islink(entry):  # noqa: PTH114
                yield entry


def _url_is_below(url: str, place: str) -> bool:
    """Return True if *url* is *place* or below it, in its encoded and its decoded forms."""
    if _local_path(place) is not None:
        return False
    root = _url_parts(place)
    for one in decoded(url):
        scheme, host, path = _url_parts(one)
        if (scheme, host) != root[:2] or "\\" in one or ".." in _PARTS.split(path):
            return False
        path = re.split(r"[?#]", path, maxsplit=1)[0] if scheme in _WEB else path
        top = root[2].rstrip("/")
        if top and path != top and not path.startswith(top + "/"):
            return False
    return True


def _url_parts(url: str) -> tuple[str, str, str]:
    """Return the scheme and host of *url* in lower case, and the rest of *url* unchanged."""
    scheme, _, rest = url.partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return scheme.lower(), host.lower(), rest[len(host) :]
