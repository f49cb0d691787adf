"""Listeners that are ready-made: each module has a function `register(hooks)`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odibi_nb.core.running.hooks import ANY_EVENT

if TYPE_CHECKING:
    from odibi_nb.core.protocols import Hook
    from odibi_nb.core.running.hooks import HookManager


def register_once(hooks: HookManager, listener: Hook, *, replace: bool) -> None:
    """Let *listener* hear every event, unless one of its type does already.

    Plug-ins are asked anew at each run, also for a HookManager that had them in the run before.

    Args:
        hooks: where to register it.
        listener: called with every payload.
        replace: take an earlier one away rather than keep it.
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
