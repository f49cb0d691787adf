"""Ready-made listeners. Each module has a function `register(hooks)`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odibi_nb.core.running.hooks import ANY_EVENT

if TYPE_CHECKING:
    from odibi_nb.core.protocols import Hook
    from odibi_nb.core.running.hooks import HookManager


def register_once(hooks: HookManager, listener: Hook, *, replace: bool) -> None:
    """Register *listener* for every event, unless a listener of its type is registered.

    Entry points are called for each run, even if the HookManager still has their listeners.

    Args:
        hooks: where to register the listener.
        listener: called with every payload.
        replace: replace an earlier listener instead of keeping it.
    """
    earlier = [
        listed["callback"]
        for listed in hooks.list_hooks().get(ANY_EVENT, [])
        if type(listed["callback"]) is type(listener)
    ]
    if earlier and not replace:
        return
    for one in earlier:
        hooks.unregister(ANY_EVENT, one)
    hooks.register(ANY_EVENT, listener)
