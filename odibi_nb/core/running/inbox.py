"""Messages that workers, transformations and other threads put on the coordinator's inbox."""

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
    """`AttemptEnded`, which a worker sends, and the classes of this module."""


class LineWritten(msgspec.Struct, frozen=True):
    """A line that a transformation printed or logged."""

    transformation_id: str
    line: str


class EventEmitted(msgspec.Struct, frozen=True):
    """An event that a transformation emitted for the listeners."""

    event: str
    payload: dict[str, Any]


class LayerFinished(msgspec.Struct, frozen=True):
    """The end of the work after a layer: *gate* can open."""

    gate: Gate


class CancelRequested(msgspec.Struct, frozen=True):
    """A request to end the run, or one transformation if *transformation_id* is given."""

    transformation_id: str | None


class LogFlushed(msgspec.Struct, frozen=True):
    """A batch that the run log's *sink* has stored; *records* is the number of its records."""

    sink: str
    records: int


class Said(msgspec.Struct, frozen=True):
    """A line to show that is not an event; *level* is the name of a logging level."""

    level: str
    text: str


class Warned(msgspec.Struct, frozen=True):
    """A warning for the run's result."""

    text: str
