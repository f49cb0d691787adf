"""Messages to the coordinator: all that workers, transformations and other threads put on its inbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from odibi_nb.core.planning.schedule import Gate

if TYPE_CHECKING:
    from typing import TypeAlias

    from odibi_nb.core.running.worker import AttemptEnded

    Message: TypeAlias = (
        "AttemptEnded | CancelRequested | EventEmitted | LayerFinished | LineWritten | LogFlushed"
        " | Said | Warned"
    )
    """`AttemptEnded`, which a worker makes, and the classes of this module."""


class LineWritten(msgspec.Struct, frozen=True):
    """A transformation printed or logged a line."""

    transformation_id: str
    line: str


class EventEmitted(msgspec.Struct, frozen=True):
    """A transformation emitted an event of its own, for the listeners."""

    event: str
    payload: dict[str, Any]


class LayerFinished(msgspec.Struct, frozen=True):
    """The work after a layer has ended: *gate* can open."""

    gate: Gate


class CancelRequested(msgspec.Struct, frozen=True):
    """Somebody asks the run to end, or one transformation if *transformation_id* is given."""

    transformation_id: str | None


class LogFlushed(msgspec.Struct, frozen=True):
    """The run log's *sink* has taken a batch of *records*."""

    sink: str
    records: int


class Said(msgspec.Struct, frozen=True):
    """A line to show that is no event; *level* is a logging level's name."""

    level: str
    text: str


class Warned(msgspec.Struct, frozen=True):
    """A warning for the run's result."""

    text: str
