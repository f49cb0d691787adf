"""Notebook support for load, try and debug: variables, the next cell and IPython's debugger."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from odibi_nb.core.process.compute import is_databricks
from odibi_nb.core.running.capture import breakpoints_open
from odibi_nb.core.running.failure_frames import depth_in_libraries, headline, user_trace
from odibi_nb.core.running.held_memory import size_text
from odibi_nb.core.running.kept_failures import FAILURES
from odibi_nb.notebook.environment import can_answer, has_kernel

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from odibi_nb.core.running.kept_failures import Failure
    from odibi_nb.debugging import LoadedTransformation

WORTH_SAYING = 50_000_000
"""Bytes held by variables of failed functions from which on a run or trial mentions them."""


def check_name(name: str | None) -> None:
    """Raise UsageError if *name* cannot be a variable."""
    if name is not None and not name.isidentifier():
        raise UsageError(f"%odibi load: --as {name!r} is not a variable's name")


def put_into(shell: Any, loaded: LoadedTransformation, name: str | None) -> None:
    """Put the loaded values into the user's namespace, or all of them into the variable *name*.

    Print a summary and offer the function's source as the next cell. The summary names the user's
    variables that were replaced, but not variables from an earlier load.
    """
    values = loaded.namespace() if name is None else {name: loaded}
    replaced = [key for key in values if _is_users(shell, key)]
    shell.push(values)
    _put.clear()
    _put.update({key: id(value) for key, value in values.items()})
    print(loaded.summary() if name is None else f"{name}: {loaded.summary()}")
    if replaced:
        noun = "variable" if len(replaced) == 1 else "variables"
        other = "another name after --as" if name else "--as NAME"
        print(
            f"⚠️ replaced your {noun} {', '.join(replaced)}: {other} puts all of it into one variable "
            "of that name"
        )
    for line in (*loaded.problems, *loaded.notes):
        print(line)
    if not loaded.cell:
        return
    if can_insert_cells(shell):
        shell.set_next_input(loaded.cell, replace=False)
        print(f"the next cell has its source, from {loaded.file}")
    else:
        print(f"its source, from {loaded.file}, to edit in a cell:\n\n{loaded.cell}")


_put: dict[str, int] = {}
"""The variables of the last load: names to the identities of their values."""


def _is_users(shell: Any, name: str) -> bool:
    """Return True if the user assigned the variable *name*, not IPython or the last load."""
    value = shell.user_ns.get(name, _put)
    if value is _put or shell.user_ns_hidden.get(name, _put) is value:
        return False
    return _put.get(name) != id(value)


def say_what_is_held() -> None:
    """Print the memory that variables of failed functions hold, if it is large."""
    held = FAILURES.held()
    if held >= WORTH_SAYING:
        print(
            f"failed functions' variables ({size_text(held)}) stay in memory for %odibi debug: "
            "%odibi debug --forget releases them"
        )


def can_insert_cells(shell: Any) -> bool:
    """Return True if the front end accepts text for a next cell.

    Databricks does not accept it, and a job has no front end.
    """
    return has_kernel(shell) and can_answer(shell) and not is_databricks()


def can_debug(shell: Any) -> bool:
    """Return True if a person can answer the debugger's prompts."""
    if not has_kernel(shell):
        return bool(sys.stdin and sys.stdin.isatty())
    return can_answer(shell)


def breakpoints(shell: Any, command: str) -> AbstractContextManager[None]:
    """Let ``breakpoint()`` open IPython's debugger during ``try``, if a person can answer it."""
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
        debugger.cmdqueue.append(f"up {below}")  # start in the user's own frame
    debugger.interaction(None, user_trace(failure.error))
