"""What the notebook adds to load, try and debug: variables, the next cell, IPython's debugger."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from odibi_nb.core.capture import breakpoints_open
from odibi_nb.core.postmortem import depth_in_libraries, headline, user_trace
from odibi_nb.notebook.environment import can_answer, has_kernel

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from odibi_nb.core.failures import Failure
    from odibi_nb.debugging import LoadedTransformation


def check_name(name: str | None) -> None:
    """Raises UsageError if *name* cannot be a variable."""
    if name is not None and not name.isidentifier():
        raise UsageError(f"%odibi load: --as {name!r} is not a variable's name")


def put_into(shell: Any, loaded: LoadedTransformation, name: str | None) -> None:
    """Put what was loaded into the user's namespace, or all of it under *name*; say so, offer the cell."""
    if name is None:
        shell.push(loaded.namespace())
        print(loaded.summary())
    else:
        shell.push({name: loaded})
        print(f"{name}: {loaded.summary()}")
    for line in (*loaded.problems, *loaded.notes):
        print(line)
    if not loaded.cell:
        return
    if can_insert_cells(shell):
        shell.set_next_input(loaded.cell, replace=False)
        print(f"the next cell has its source, from {loaded.file}")
    else:
        print(f"its source, from {loaded.file}, to edit in a cell:\n\n{loaded.cell}")


def can_insert_cells(shell: Any) -> bool:
    """Whether the front end takes text for a next cell: not Databricks, and nobody is none."""
    databricks = bool(os.environ.get("DATABRICKS_RUNTIME_VERSION"))
    return has_kernel(shell) and can_answer(shell) and not databricks


def can_debug(shell: Any) -> bool:
    """Whether a debugger's questions would reach a person."""
    if not has_kernel(shell):
        import sys

        return bool(sys.stdin and sys.stdin.isatty())
    return can_answer(shell)


def breakpoints(shell: Any, command: str) -> AbstractContextManager[None]:
    """Let ``breakpoint()`` in what ``try`` calls open IPython's debugger, where somebody can answer."""
    if command != "try" or not can_debug(shell):
        return contextlib.nullcontext()
    return breakpoints_open(lambda frame: shell.debugger_cls().set_trace(frame))


def post_mortem(shell: Any, failure: Failure) -> None:
    """Open IPython's debugger where the transformation failed."""
    where = f" in run {failure.run_id}" if failure.run_id else ""
    print(f"✖ {failure.transformation_id} failed{where}\n{headline(failure.error)}")
    print("(u: up, d: down, p NAME: print, l: the code, q: quit)")
    debugger = shell.debugger_cls()
    debugger.reset()
    below = depth_in_libraries(failure.error)
    if below:
        debugger.cmdqueue.append(f"up {below}")  # the user's own line is what one wants to see
    debugger.interaction(None, user_trace(failure.error))
