"""Names of tables, and of places in general: what is allowed, and what equals what."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from odibi_nb.core.text.redaction import REDACTED, redact, redact_url
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "DEFAULT_SCHEMA",
    "REDACTED",
    "TableName",
    "is_location",
    "longest_prefix",
    "map_location",
    "redact",
    "redact_url",
]

DEFAULT_SCHEMA = "default"
DELTA_LOG = "_delta_log"
"""The folder of a Delta table that has its log; no table may stand in it, or be it."""
_PLAIN = re.compile(r"\w{1,60}(\.\w{1,60}){0,2}")
"""Nearly every name; the general rule, below, allows them too."""
_FORBIDDEN = re.compile(r"[/\\\x00-\x1f\x7f:*?\"'<>|;]")
_MAX_PARTS = 3
_MAX_BYTES = 255  # of a file's name


class TableName(NamedTuple):
    """A table's name in parts: ``schema.table`` or ``catalog.schema.table``.

    Names are case-insensitive, as in Spark: equal names have equal `key`.
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
        wrong = not name.strip() or len(parts) > _MAX_PARTS
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
        """What equals what: the lower-case dotted name, with its schema."""
        return self.path.replace("/", ".")

    @property
    def path(self) -> str:
        """Where the table stands below the root of a lake, with ``/``; always lower-case.

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
    """`TableName.key` of *name*.

    Raises:
        DataError: if it is not a table's name.
    """
    return TableName.parse(name).key


def is_location(text: str) -> bool:
    """Whether *text* names a file or folder rather than a table."""
    return "/" in text or "\\" in text


def longest_prefix(text: str, prefixes: Iterable[str]) -> str | None:
    """Return the longest of *prefixes* that *text* is, or is below; None if there is none."""
    fits = [p for p in prefixes if text == p or text.startswith(p.rstrip("/") + "/")]
    return max(fits, key=len) if fits else None


def map_location(text: str, locations: Mapping[str, str]) -> str:
    """Replace the longest prefix of *text* that *locations* maps; else return it as it is."""
    prefix = longest_prefix(text, locations)
    if prefix is None:
        return text
    rest = text[len(prefix.rstrip("/")) :].lstrip("/")
    return f"{locations[prefix].rstrip('/')}/{rest}" if rest else locations[prefix]
