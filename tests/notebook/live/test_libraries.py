"""A thread imports the libraries that draw a live run. Forks and other imports do not disturb it."""

from __future__ import annotations

import subprocess
import sys

FETCH = """
import sys, threading
from odibi_nb.notebook.live import libraries
libraries.MODULES.update(plotly="slowly_imported")
"""
SLOWLY = """
import os, threading, time
going = open({going!r}, "w")
while not os.path.exists({go!r}): time.sleep(0.01)
done = True
"""


def run(folder, code):
    """Run *code* in a process with a module whose import takes as long as the code requires."""
    going, go = str(folder / "going"), str(folder / "go")
    (folder / "slowly_imported.py").write_text(SLOWLY.format(going=going, go=go))
    code = f"import os, time\nGOING, GO = {going!r}, {go!r}\n{FETCH}{code}"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


UNDER_WAY = """
libraries.LIBRARIES.fetch("plotly")
while not os.path.exists(GOING): time.sleep(0.01)
"""


def test_an_import_is_ready_when_it_is_complete(tmp_path):
    """A half-imported library is not ready, and asking for it again starts nothing."""
    code = """
print(libraries.LIBRARIES.ready("plotly"))
libraries.LIBRARIES.fetch("plotly")
open(GO, "w")
libraries.LIBRARIES.wait()
print(libraries.LIBRARIES.ready("plotly"), sys.modules["slowly_imported"].done)
"""
    assert run(tmp_path, UNDER_WAY + code) == ["False", "True", "True"]


def test_a_forked_child_finds_the_whole_library(tmp_path):
    """A fork during the import waits for its end, so that the child can import the module, too."""
    code = """
threading.Timer(0.2, open, (GO, "w")).start()
child = os.fork()
if not child:
    import slowly_imported
    os._exit(0 if slowly_imported.done else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run(tmp_path, UNDER_WAY + code) == ["0"]


def test_an_interpreter_that_ends_waits_for_the_import_but_not_for_ever(tmp_path):
    """An import that hangs does not keep the process alive."""
    assert (
        run(tmp_path, "libraries.LIBRARIES.wait.__func__.__defaults__ = (0.01,)" + UNDER_WAY) == []
    )


def test_a_library_that_cannot_be_imported_is_not_ready(tmp_path):
    """A failed import raises nothing, and the next run may try again."""
    code = """
libraries.MODULES["plotly"] = "there_is_no_such_module"
libraries.LIBRARIES.fetch("plotly")
libraries.LIBRARIES.wait()
print(libraries.LIBRARIES.ready("plotly"))
"""
    assert run(tmp_path, code) == ["False"]
