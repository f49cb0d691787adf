"""A Spark session, with its kind and its origin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CLASSIC, CONNECT, SAIL = "classic", "connect", "sail"


@dataclass(frozen=True, slots=True)
class Connection:
    """A Spark session, its kind and its origin.

    Attributes:
        spark: the session.
        kind: ``classic``, ``connect`` or ``sail``.
        own: True if this package opened the session; its catalog has only our tables then.
        why: the session's origin, for messages.
    """

    spark: Any
    kind: str
    own: bool
    why: str

    @property
    def is_connect(self) -> bool:
        """True if the session has no JVM that Python can reach."""
        return self.kind != CLASSIC
