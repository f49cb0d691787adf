"""Detect the encoding of a text file from its first bytes; an option overrides it."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

LONGEST_MARK = 4
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # first, because it begins with UTF-16's mark
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
_WITHOUT_MARK: dict[tuple[bool, ...], str] = {
    (True, False, True, False): "utf-16-le",
    (False, True, False, True): "utf-16-be",
}
"""The first bytes that are not zero, in text of ASCII letters."""


def encoding_of(start: bytes) -> str | None:
    """Detect the encoding of a file from its first four bytes; return None for the default, UTF-8.

    Windows writes "Unicode text" as UTF-16, mostly with a byte order mark. A file without a mark is
    UTF-16 if every second byte is zero, as in ASCII letters.
    """
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    return _WITHOUT_MARK.get(tuple(byte != 0 for byte in start[:LONGEST_MARK]))


def advice(options: Mapping[str, Any]) -> str:
    """Return advice for a file that is not in the encoding from *options*, or not in UTF-8."""
    if options.get("encoding"):
        return f"the option encoding={options['encoding']!r} is not the file's encoding"
    return "an option such as encoding='latin-1' (or 'cp1252') sets the encoding of the text"
