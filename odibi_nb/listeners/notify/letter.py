"""A message as it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from odibi_nb.listeners.notify.notice import Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message as it is sent.

    Attributes:
        key: the same whenever the message is sent, so that a receiver can recognise a repetition.
        held: number of messages that were held back since the last one.
        repeated: True if the receiver may have it already.
    """

    notice: Notice
    key: str
    held: int = 0
    repeated: bool = False
