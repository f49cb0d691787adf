"""Read files that users write, up to a size: a parser that gets 100 MB takes minutes, or all memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MAX_SETTINGS = 1_000_000
MAX_MANIFEST = 10_000_000
MAX_REGISTRY = 64_000_000
MAX_TOML_REGISTRY = 10_000_000
"""The most bytes of ``odibi.toml``, a manifest, a registry file, and one in TOML, whose parser is slow."""


def read_bounded(path: Path, most: int, remedy: str) -> bytes:
    """Return the content of a file with at most *most* bytes.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it has more bytes. The message ends with *remedy*.
    """
    with path.open("rb") as file:
        content = file.read(most + 1)  # not its size: a pipe has none
    if len(content) > most:
        size = max(path.stat().st_size, len(content)) / 1e6
        raise ValueError(f"is {size:,.1f} MB, more than {most / 1e6:,.0f} MB: {remedy}")
    return content
