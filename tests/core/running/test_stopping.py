"""Work in libraries that a run has to stop."""

from __future__ import annotations

import subprocess
import sys

LATE = """
import atexit

def late():  # called after the handlers that are registered later
    from odibi_nb.core.running.stopping import stoppable
    from odibi_nb.errors import RevokedError
    try:
        with stoppable(lambda: None):
            print("it began")
    except RevokedError as exc:
        print(exc)

atexit.register(late)
import odibi_nb.core.running.stopping
"""


def test_no_work_begins_while_the_process_exits():
    """Native threads abort a process that exits, so a thread that still runs begins no work in a library."""
    ended = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, check=True)
    assert ended.stdout == "the process exits\n"
