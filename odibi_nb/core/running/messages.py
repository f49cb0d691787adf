"""Messages to the coordinator: all that workers, transformations and other threads put on its inbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TypeAlias

    from odibi_nb.core.planning.schedule import Gate
    from odibi_nb.core.running.worker import AttemptEnded

    Message: TypeAlias = (
        "AttemptEnded | CancelRequested | EventEmitted | LayerFinished | LineWritten | LogFlushed"
        " | Said | Warned"
    )
    """`AttemptEnded`, which a worker makes, and the classes of this module."""


@dataclass(frozen=True, slots=True)
class LineWritten:
    """A transformation printed or logged a line."""

    transformation_id: str
    line: str


@dataclass(frozen=True, slots=True)
class EventEmitted:
    """A transformation emitted an event of its own, for the listeners."""

    event: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LayerFinished:
    """The work after a layer has ended: *gate* can open."""

    gate: Gate


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Somebody asks the run to end, or one transformation if *transformation_id* is given."""

    transformation_id: str | None


@dataclass(frozen=True, slots=True)
class LogFlushed:
    """The run log's *sink* has taken a batch of *records*."""

    sink: str
    records: int


@dataclass(frozen=True, slots=True)
class Said:
    """A line to show that is no event; *level* is a logging level's name."""

    level: str
    text: str


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning for the run's result."""

    text: str
