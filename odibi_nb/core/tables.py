"""Names of tables, and of places in general: what is allowed, and what equals what."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORBIDDEN = re.compile(r"[/\\\x00-\x1f\x7f:*?\"<>|]")
_MAX_PARTS = 3
_SECRET = re.compile(
    r"(?i)(passw|pwd|secret|token|api_?key|access_?key|account_?key|sas|credential)"
)
REDACTED = "***"


class TableName(NamedTuple):
    """A table's name in parts: ``schema.table`` or ``catalog.schema.table``.

    Names are case-insensitive, as in Spark: equal names have equal `key`.
    """

    parts: tuple[str, ...]

    @classmethod
    def parse(cls, name: str) -> TableName:
        """Split *name* at its dots.

        Raises:
            DataError: if a part is empty, or could lead out of the lake.
        """
        parts = tuple(part.strip().strip("`") for part in name.split("."))
        wrong = not name.strip() or len(parts) > _MAX_PARTS
        if wrong or any(not part or _FORBIDDEN.search(part) for part in parts):
            raise DataError(
                f"{name!r} is not a table name: expected 'schema.table', "
                "without slashes, quotes or control characters"
            )
        return cls(parts)

    @property
    def key(self) -> str:
        """What equals what: the lower-case dotted name."""
        return ".".join(self.parts).lower()

    @property
    def path(self) -> str:
        """Where the table stands below the root of a lake, with ``/``; always lower-case.

        A name without a schema belongs to the schema ``default``, as in Spark.
        """
        parts = self.parts if len(self.parts) > 1 else ("default", *self.parts)
        return "/".join(parts).lower()

    def __str__(self) -> str:
        return ".".join(self.parts)


def is_location(text: str) -> bool:
    """Whether *text* names a file or folder rather than a table."""
    return "/" in text or "\\" in text


def map_location(text: str, locations: Mapping[str, str]) -> str:
    """Replace the longest prefix of *text* that *locations* maps; else return it as it is."""
    fits = [p for p in locations if text == p or text.startswith(p.rstrip("/") + "/")]
    if not fits:
        return text
    prefix = max(fits, key=len)
    rest = text[len(prefix.rstrip("/")) :].lstrip("/")
    return f"{locations[prefix].rstrip('/')}/{rest}" if rest else locations[prefix]


def redact_url(url: str) -> str:
    """Return *url* without its password and without values of secret-looking parameters."""
    parts = urlsplit(url)
    if not parts.scheme or not parts.netloc + parts.query:
        return url
    host = parts.netloc
    if "@" in host:
        user, _, host = host.rpartition("@")
        name, colon, _ = user.partition(":")
        host = f"{name}:{REDACTED}@{host}" if colon else f"{name}@{host}"
    query = "&".join(
        f"{item.partition('=')[0]}={REDACTED}" if _SECRET.search(item) else item
        for item in parts.query.split("&")
        if item
    )
    return urlunsplit(parts._replace(netloc=host, query=query))


def redact(value: object, key: str = "") -> object:
    """Return a copy of *value* in which whatever stands under a secret-looking key is hidden."""
    if key and _SECRET.search(key) and value not in (None, "", {}, []):
        return REDACTED
    if isinstance(value, dict):
        return {k: redact(v, str(k)) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact(v) for v in value]
    if isinstance(value, str) and "://" in value:
        return redact_url(value)
    return value
