"""Import the libraries that draw a live run on a thread of their own, so that a run never waits for its
picture.

Plotly's figure takes more than a second of processor time to import. The thread begins after the plan
is made. `import_late` is not used, because an engine that imports its own library would wait for Plotly.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import sys
import threading

from odibi_nb.core.process.forks import at_fork
from odibi_nb.notebook.environment import PLOTLY, WIDGETS

MODULES = {WIDGETS: "ipywidgets", PLOTLY: "plotly.graph_objs._figurewidget"}
"""The module that each picture needs. The second one imports everything that Plotly's live figure uses."""
REST_SECONDS = 0.004
"""Rest before each imported module: without it, a transformation in pure Python shares the interpreter half and half."""
PATIENCE_SECONDS = 5.0
"""Longest wait of a fork, or of the interpreter's end, for an import in progress."""


class Libraries:
    """The imports of one process, one at a time and on a thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._importing = threading.Lock()
        self._threads: dict[str, threading.Thread] = {}
        self._held = False
        self._hurry = threading.Event()

    def ready(self, name: str) -> bool:
        """Return True if *name*, a key of `MODULES`, is imported completely."""
        module = sys.modules.get(MODULES[name])
        spec = getattr(module, "__spec__", None)
        return module is not None and not getattr(spec, "_initializing", False)

    def fetch(self, *names: str) -> None:
        """Start the imports of *names*, in this order, unless they are complete or in progress."""
        with self._lock:
            missing = [name for name in names if not self.ready(name) and not self._is_coming(name)]
            if not missing:
                return
            # A daemon: a kernel that ends must not wait for an import that hangs.
            thread = threading.Thread(
                target=self._import, args=(missing,), name="odibi-libraries", daemon=True
            )
            self._threads |= dict.fromkeys(missing, thread)
            thread.start()

    def wait(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait for the imports in progress, at most *seconds* for each."""
        self._hurry.set()
        for thread in {*self._threads.values()}:
            thread.join(seconds)

    def _is_coming(self, name: str) -> bool:
        thread = self._threads.get(name)
        return thread is not None and thread.is_alive()

    def _import(self, names: list[str]) -> None:
        for name in names:
            # A library that cannot be imported leaves the picture that needs none.
            with self._importing, _Rests(self._hurry), contextlib.suppress(Exception):
                importlib.import_module(MODULES[name])

    def before_fork(self) -> None:
        """Wait for an import in progress to end. In the child the import would stay incomplete, and its module
        locked.

        The wait has a limit: the forking thread may be inside an import that ours waits for.
        """
        self._hurry.set()
        self._held = self._importing.acquire(timeout=PATIENCE_SECONDS)

    def after_fork(self) -> None:
        """Let imports continue, in the parent and in the child."""
        if self._held:
            self._held = False
            self._importing.release()


class _Rests:
    """A finder that finds nothing. It pauses before each module that the thread of its creation imports.

    In a ``with`` block, other threads run in these pauses.

    Args:
        hurry: ends all pauses.
    """

    def __init__(self, hurry: threading.Event) -> None:
        self._thread, self._hurry = threading.get_ident(), hurry

    def __enter__(self) -> None:
        sys.meta_path.insert(0, self)

    def __exit__(self, *_: object) -> None:
        sys.meta_path.remove(self)

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Pause, and leave the module to the other finders."""
        del name, path, target
        if threading.get_ident() == self._thread:
            self._hurry.wait(REST_SECONDS)


LIBRARIES = Libraries()
at_fork(
    before=LIBRARIES.before_fork,
    after_in_parent=LIBRARIES.after_fork,
    after_in_child=LIBRARIES.after_fork,
)
atexit.register(LIBRARIES.wait)
