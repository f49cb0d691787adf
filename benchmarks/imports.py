"""Cost of imports, and a check that they load no heavy library. Each import is a new process."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.figures import Figure, compared, shown
from benchmarks.timing import seconds_of, side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_TO_LOAD = 0.025
"""Seconds that ``%load_ext odibi_nb`` may add to a kernel's start."""
KERNEL = "import ipykernel.zmqshell, IPython.core.completer"
"""The import of the modules that a kernel has imported before the first cell."""
HEAVY = ("pandas", "plotly", "pyspark", "IPython", "sqlalchemy", "deltalake")


def imports(turns: int) -> Iterator[Figure]:
    """Measure import times in turns, each in a new interpreter.

    The first line is the whole process, beside one that imports nothing. In the others the new
    process measures its import itself, because starting Python takes longer than most of them.
    ``%load_ext odibi_nb`` imports `odibi_nb.notebook.magic` into a kernel, which has imported its shell
    and its completer already: so these are imported first, and only the magic is measured. It is set
    against IPython's own import.
    """
    ours, bare, lazy, used, msgspec, magic, ipython = side_by_side(
        [
            lambda: seconds_of(lambda: _python("import odibi_nb")),
            lambda: seconds_of(lambda: _python("pass")),
            lambda: _import_seconds("import odibi_nb"),
            lambda: _import_seconds("from odibi_nb import run_project"),
            lambda: _import_seconds("import msgspec"),
            lambda: _import_seconds("import odibi_nb.notebook.magic", before=KERNEL),
            lambda: _import_seconds("import IPython"),
        ],
        turns,
    )
    yield compared("python -c 'import odibi_nb'", ours, bare, peer="python -c pass")
    yield compared("import odibi_nb", lazy, msgspec, peer="import msgspec")
    yield compared("from odibi_nb import run_project", used, msgspec, peer="import msgspec")
    load = compared("%load_ext odibi_nb (its imports)", magic, ipython, peer="import IPython")
    yield replace(load, wanted=f"≤ {shown(MOST_TO_LOAD)}", holds=median(magic) <= MOST_TO_LOAD)
    for statement in ("import odibi_nb", "from odibi_nb import run_project"):
        yield _loads_nothing_heavy(statement)


def _loads_nothing_heavy(statement: str) -> Figure:
    """Return the libraries of `HEAVY` that *statement* loads."""
    code = f"{statement}; import sys; print(*[n for n in {HEAVY!r} if n in sys.modules])"
    names = _python(code).split()
    return Figure(
        name=f"heavy libraries that '{statement}' loads",
        ours=", ".join(names) or "none",
        baseline=f"of {', '.join(HEAVY)}",
        wanted="none",
        holds=not names,
    )


def _import_seconds(statement: str, before: str = "pass") -> float:
    clock = "__import__('time').perf_counter"
    return float(_python(f"{before}\nt = {clock}()\n{statement}\nprint({clock}() - t)"))


def _python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
