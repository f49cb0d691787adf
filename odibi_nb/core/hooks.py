"""Telling listeners what happens, without letting them change it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.core.decoding import own_copy
from odibi_nb.core.events import EventType
from odibi_nb.errors import HookError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from odibi_nb.core.protocols import Hook

ANY_EVENT = "*"
FILTER_KEYS = (
    "project",
    "env",
    "layer",
    "engine",
    "plant",
    "asset",
    "transformation_id",
    "module",
    "function",
    "status",
)
"""Payload keys that a listener can be restricted to."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A registered callable: which event it listens to, and which payloads it wants."""

    event: str
    fn: Hook
    filters: Mapping[str, Any]

    @property
    def name(self) -> str:
        """How warnings and `list_hooks` name it."""
        return str(getattr(self.fn, "__qualname__", None) or repr(self.fn))

    def wants(self, payload: Mapping[str, Any]) -> bool:
        """Whether *payload* has what the filters ask for; text is compared without case."""
        return all(_matches(payload.get(key), wanted) for key, wanted in self.filters.items())


def _matches(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, (list, tuple, set, frozenset)):
        return any(_matches(found, one) for one in wanted)
    if isinstance(found, str) and isinstance(wanted, str):
        return found.casefold() == wanted.casefold()
    return bool(found == wanted)


class HookManager:
    """Calls listeners in the order of their registration, on the thread that emits.

    A listener that raises is reported to the run and goes on being called; every listener gets its
    own copy of the payload.
    """

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def register(self, event: str, fn: Any, filters: Mapping[str, Any] | None = None) -> Any:
        """Call *fn* with the payload of every *event* from now on; ``"*"`` means all events.

        Args:
            event: one of `EventType`'s values, or ``"*"``.
            fn: called with one dict.
            filters: payload key to value, or to a collection of values; all must match.

        Returns:
            *fn*, so that it can be unregistered.

        Raises:
            HookError: if the event or a filter key is unknown, or *fn* cannot be called.
        """
        problems = []
        name = event.value if isinstance(event, EventType) else str(event)
        events = [e.value for e in EventType]
        if name != ANY_EVENT and name not in events:
            problems.append(
                f"unknown event {name!r}"
                + (did_you_mean(name, events) or f": one of {', '.join(events)} or '*'")
            )
        if not callable(fn):
            problems.append(f"a listener must be callable, found {fn!r:.60}")
        wanted: Any = {} if filters is None else filters
        if not isinstance(wanted, Mapping):
            problems.append(f"filters must be a dict, found {wanted!r:.60}")
            wanted = {}
        problems += [
            f"unknown filter {key!r}"
            + (did_you_mean(str(key), FILTER_KEYS) or f": one of {', '.join(FILTER_KEYS)}")
            for key in wanted
            if key not in FILTER_KEYS
        ]
        if problems:
            raise HookError("hooks.register", problems)
        self._listeners.append(Listener(name, fn, dict(wanted)))
        return fn

    def unregister(self, event: str, fn: Hook) -> bool:
        """Stop calling *fn* for *event*; whether it was registered."""
        name = event.value if isinstance(event, EventType) else str(event)
        kept = [x for x in self._listeners if not (x.event == name and x.fn == fn)]
        found = len(kept) < len(self._listeners)
        self._listeners = kept
        return found

    def list_hooks(self) -> dict[str, list[dict[str, Any]]]:
        """Event to its listeners, each with `callback`, `name` and `filters`."""
        listed: dict[str, list[dict[str, Any]]] = {}
        for x in self._listeners:
            listed.setdefault(x.event, []).append(
                {"callback": x.fn, "name": x.name, "filters": dict(x.filters)}
            )
        return listed

    def emit(
        self,
        event: str,
        payload: Mapping[str, Any],
        on_error: Callable[[Listener, BaseException], None] | None = None,
    ) -> None:
        """Call every listener of *event* whose filters match *payload*.

        Args:
            event: one of `EventType`'s values.
            payload: what happened.
            on_error: told of every listener that raises, and what it raised.

        Raises:
            HookError: if *event* is unknown.
        """
        try:
            name = EventType(event).value
        except ValueError:
            hint = did_you_mean(str(event), [e.value for e in EventType])
            raise HookError("hooks.emit", [f"unknown event {event!r}{hint}"]) from None
        for listener in tuple(self._listeners):
            if listener.event in (name, ANY_EVENT):
                try:
                    if listener.wants(payload):
                        listener.fn(own_copy(payload))
                except KeyboardInterrupt:  # the user's, not the listener's
                    raise
                except BaseException as exc:  # noqa: BLE001  whatever it is, the run goes on
                    if on_error is not None:
                        on_error(listener, exc)
