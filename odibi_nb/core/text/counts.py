"""Write numbers of things."""

from __future__ import annotations


def counted(number: int, one: str, several: str = "") -> str:
    """Return *number* with its noun: ``1 row``, ``2,000 rows``. *several* is *one* with an ``s`` by default."""
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"
