"""Names of tables and other places: valid forms, and equality."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from odibi_nb.core.text.redaction import redact, redact_url
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "DEFAULT_SCHEMA",
    "TableName",
    "is_location",
    "longest_prefix",
    "map_location",
    "redact",
    "redact_url",
]

DEFAULT_SCHEMA = "default"
DELTA_LOG = "_delta_log"
"""Folder that contains a Delta table's log; no part of a table's name may be equal to it."""
_PLAIN = re.compile(r"\w{1,60}(\.\w{1,60}){0,2}")
"""Fast test that nearly all names pass; the general rule below allows them too."""
_FORBIDDEN = re.compile(r"[/\\\x00-\x1f\x7f:*?\"'<>|;]")
MOST_PARTS = 3
_MAX_BYTES = 255  # of a file's name


class TableName(NamedTuple):
    """A table's name in parts: ``schema.table`` or ``catalog.schema.table``.

    Names are case-insensitive, as in Spark. Names of the same table have the same `key`.
    """

    parts: tuple[str, ...]

    @classmethod
    @lru_cache(maxsize=1 << 14)
    def parse(cls, name: str) -> TableName:
        """Split *name* at its dots.

        Raises:
            DataError: if a part is empty, or could lead out of the lake.
        """
        if _PLAIN.fullmatch(name) and DELTA_LOG not in name.lower():
            return cls(tuple(name.split(".")))
        parts = tuple(part.strip().strip("`") for part in name.split("."))
        wrong = not name.strip() or len(parts) > MOST_PARTS
        if wrong or any(_unusable(part) for part in parts):
            raise DataError(
                f"{name!r:.300} is not a table name: expected 'schema.table', "
                "without slashes, quotes or control characters"
            )
        if any(part.lower() == DELTA_LOG for part in parts):
            raise DataError(
                f"{name!r:.300} is not a table name: {DELTA_LOG} is where Delta keeps a table's log"
            )
        return cls(parts)

    @property
    def key(self) -> str:
        """Lower-case dotted name with its schema, for comparison of names."""
        return self.path.replace("/", ".")

    @property
    def path(self) -> str:
        """Path of the table below the root of a lake, in lower case, with ``/``.

        A name without a schema belongs to the schema `DEFAULT_SCHEMA`, as in Spark.
        """
        parts = self.parts if len(self.parts) > 1 else (DEFAULT_SCHEMA, *self.parts)
        return "/".join(parts).lower()

    def __str__(self) -> str:
        return ".".join(self.parts)


def _unusable(part: str) -> bool:
    return (
        not part
        or bool(_FORBIDDEN.search(part))
        or len(part.encode("utf-8", "replace")) > _MAX_BYTES
    )


@lru_cache(maxsize=1 << 14)
def table_key(name: str) -> str:
    """Return the `TableName.key` of *name*.

    Raises:
        DataError: if *name* is not a table's name.
    """
    return TableName.parse(name).key


def is_location(text: str) -> bool:
    """Return True if *text* names a file or folder rather than a table."""
    return "/" in text or "\\" in text


def longest_prefix(text: str, prefixes: Iterable[str]) -> str | None:
    """Return the longest of *prefixes* that equals *text* or is a parent of it; None without any."""
    fits = [p for p in prefixes if text == p or text.startswith(p.rstrip("/") + "/")]
    return max(fits, key=len) if fits else None


def map_location(text: str, locations: Mapping[str, str]) -> str:
    """Replace the longest prefix of *text* that *locations* maps; without one, return *text*."""
    prefix = longest_prefix(text, locations)
    if prefix is None:
        return text
    rest = text[len(prefix.rstrip("/")) :].lstrip("/")
    return f"{locations[prefix].rstrip('/')}/{rest}" if rest else locations[prefix]
