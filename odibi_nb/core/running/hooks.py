"""Pass the events of a run to listeners, which cannot change the run."""

from __future__ import annotations

import copy
import difflib
import logging
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.events import EventType
from odibi_nb.core.text.json import own_copy
from odibi_nb.core.text.object_text import safe_repr
from odibi_nb.core.text.redaction import error_text
from odibi_nb.errors import HookError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from odibi_nb.core.protocols import Hook

ANY_EVENT = "*"
EVENTS = tuple(event.value for event in EventType)
RENAMED = {
    "pipeline_start": EventType.RUN_START,
    "pipeline_end": EventType.RUN_END,
    "pre_transform": EventType.TRANSFORM_START,
    "post_transform": EventType.TRANSFORM_SUCCESS,
    "transform_end": EventType.TRANSFORM_SUCCESS,
    "pre_read": EventType.TRANSFORM_START,
    "post_read": EventType.TRANSFORM_SUCCESS,
    "pre_save": EventType.TRANSFORM_START,
    "post_save": EventType.TRANSFORM_SUCCESS,
    "on_error": EventType.TRANSFORM_FAILURE,
}
"""The original framework's event names, with the events of a run that replace them."""
CLOSE = 0.85
"""Minimum similarity of a name that counts as a misspelling of one of our events."""
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
"""Payload keys by which a listener can filter the events of a run."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A registered callable, with its event and its filters."""

    event: str
    fn: Hook
    filters: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Return the callable's name for warnings and `list_hooks`."""
        try:
            return str(getattr(self.fn, "__qualname__", None) or safe_repr(self.fn))
        except BaseException:  # noqa: BLE001  the listener's own code must not stop a run
            return f"a {type(self.fn).__name__}"

    def wants(self, payload: Mapping[str, Any]) -> bool:
        """Return True if *payload* matches all filters. Text is compared without case."""
        return all(_matches(payload.get(key), expected) for key, expected in self.filters.items())


def _matches(found: Any, expected: Any) -> bool:
    if isinstance(expected, (list, tuple, set, frozenset)):
        return any(_matches(found, one) for one in expected)
    if isinstance(found, str) and isinstance(expected, str):
        return found.casefold() == expected.casefold()
    return bool(found == expected)


class HookManager:
    """The listeners of a run, called in the order of their registration on the thread that emits.

    If a listener raises, the run reports it and calls the listener again for the next event. Every
    listener gets its own copy of the payload.
    """

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._facts: Callable[[], Mapping[str, Any]] | None = None
        self._later: Callable[[str, dict[str, Any]], None] | None = None

    def bound_to(
        self, facts: Callable[[], Mapping[str, Any]], later: Callable[[str, dict[str, Any]], None]
    ) -> HookManager:
        """Return the same listeners for a transformation's function. It may emit on any thread.

        Args:
            facts: returns the facts that complete the payloads.
            later: takes an event's name and payload, for delivery on the run's own thread.
        """
        bound = copy.copy(self)  # keeps a user's subclass, and shares the list of listeners
        bound._facts, bound._later = facts, later  # noqa: SLF001  one of our own
        return bound

    def register(self, event: str, fn: Any, filters: Mapping[str, Any] | None = None) -> Any:
        """Call *fn* with the payload of every *event* from now on. ``"*"`` means all events.

        If the name is very similar to an event of the run, or is the original framework's name for one,
        a warning suggests the name that was probably meant.

        Args:
            event: one of `EventType`'s values, ``"*"``, or the name of an event that a function emits.
            fn: called with one dict.
            filters: payload key to value, or to a collection of values; all keys must match. For an
                event that a function emits, any key of its payload is allowed.

        Returns:
            *fn*, for a later call of `unregister`.

        Raises:
            HookError: if the event is not text, a filter key of a run's event is unknown, or *fn* is not
                callable.
        """
        name, problems = _named(event)
        if not callable(fn):
            problems.append(f"a listener must be callable, found {safe_repr(fn):.60}")
        elif isinstance(fn, type):
            problems.append(
                f"a listener must be a function or an object that can be called, and {fn.__name__} is a "
                f"class: register {fn.__name__}()"
            )
        restrictions: Any = {} if filters is None else filters
        if not isinstance(restrictions, Mapping):
            problems.append(f"filters must be a dict, found {restrictions!r:.60}")
            restrictions = {}
        problems += [
            f"unknown filter {key!r}"
            + (did_you_mean(str(key), FILTER_KEYS) or f": one of {', '.join(FILTER_KEYS)}")
            for key in restrictions
            if key not in FILTER_KEYS and (name in EVENTS or name == ANY_EVENT)
        ]
        if problems:
            raise HookError("hooks.register", problems)
        if name != ANY_EVENT and (hint := _hint(name)):
            warnings.warn(hint, stacklevel=2)
        self._listeners.append(Listener(name, fn, dict(restrictions)))
        return fn

    def unregister(self, event: str, fn: Hook) -> bool:
        """Stop calling *fn* for *event*. Return True if it was registered."""
        name = event.value if isinstance(event, EventType) else str(event)
        kept = [x for x in self._listeners if not (x.event == name and x.fn == fn)]
        found = len(kept) < len(self._listeners)
        self._listeners[:] = kept
        return found

    def list_hooks(self) -> dict[str, list[dict[str, Any]]]:
        """Return the listeners by event, each with `callback`, `name` and `filters`."""
        listed: dict[str, list[dict[str, Any]]] = {}
        for x in self._listeners:
            listed.setdefault(x.event, []).append(
                {"callback": x.fn, "name": x.name, "filters": dict(x.filters)}
            )
        return listed

    def emit(
        self,
        event: str,
        payload: Mapping[str, Any] | None = None,
        on_error: Callable[[Listener, BaseException], None] | None = None,
    ) -> None:
        """Call every listener of *event* whose filters match *payload*.

        A function can emit events with names of its own, from any of its threads. In a run, HookManager
        adds the facts that every payload has, and the run's own thread calls the listeners soon after.

        Args:
            event: one of `EventType`'s values, or a name of the caller's own.
            payload: the facts of the event.
            on_error: called with every listener that raises, and its exception; if None, the exception
                is logged.

        Raises:
            HookError: if *event* is not text or is ``"*"``, or *payload* is not a dict.
        """
        name, problems = _named(event)
        given: Any = {} if payload is None else payload
        if not isinstance(given, Mapping):
            problems.append(f"a payload must be a dict, found {payload!r:.60}")
        if name == ANY_EVENT:
            problems.append("'*' means all events: emit one of them, or one of your own")
        if problems:
            raise HookError("hooks.emit", problems)
        if self._facts is None or self._later is None:
            self._deliver(name, given, on_error)
            return
        if hint := _hint(name):
            warnings.warn(hint, stacklevel=2)
        self._later(name, {"event": name, **self._facts(), **own_copy(given)})

    def _deliver(
        self,
        event: str,
        payload: Mapping[str, Any],
        on_error: Callable[[Listener, BaseException], None] | None = None,
    ) -> None:
        """Call the listeners of *event* on this thread."""
        for listener in tuple(self._listeners):
            if listener.event in (event, ANY_EVENT):
                try:
                    if listener.wants(payload):
                        listener.fn(own_copy(payload))
                except BaseException as exc:
                    # A run passes on_error, so no exception ends it. It gets interrupts elsewhere.
                    if on_error is None and isinstance(exc, KeyboardInterrupt):
                        raise
                    (on_error or _log)(listener, exc)


def _named(event: Any) -> tuple[str, list[str]]:
    """Return the event's name, and its problems."""
    if isinstance(event, EventType):
        return event.value, []
    if isinstance(event, str) and event.strip():
        return event, []
    return "", [f"an event's name must be text, found {event!r:.60}"]


def _hint(name: str) -> str:
    """Return a hint if *name* is probably a misspelled event of a run, or else ""."""
    if name in EVENTS:
        return ""
    if name in RENAMED:
        return (
            f"no run emits {name!r}, the original framework's name: "
            f"the event is called {RENAMED[name].value!r} here"
        )
    if re.search(r"[.:/]", name):
        return ""
    close = difflib.get_close_matches(name.casefold(), EVENTS, n=1, cutoff=CLOSE)
    return f"no run emits {name!r} (did you mean {close[0]!r}?)" if close else ""


def _log(listener: Listener, exc: BaseException) -> None:
    """Log the exception of a listener outside a run."""
    logging.getLogger("odibi_nb.hooks").warning(
        "listener %s on %r raised %s", listener.name, listener.event, error_text(exc)
    )
