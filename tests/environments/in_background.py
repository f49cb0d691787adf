"""Tests in other environments, each in a process of its own beside the tests that run here.

``python in_background.py NAME`` builds an environment and runs its tests.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from environments.environment import ENVIRONMENTS, ROOT

TABLES = ("tests/engines", "tests/sinks/test_delta.py")
CORE = ("tests/core", "tests/views", *TABLES)
HEART = tuple(
    f"tests/core/test_{name}.py" for name in ("manifest", "plan", "runner", "orchestrator")
)
NOTEBOOK = "tests/notebook"
A_KERNEL = f"{NOTEBOOK}/test_kernel.py::test_a_run_ends_as_a_picture_and_a_table[widgets]"
MANY_KERNELS = [
    f"--ignore={NOTEBOOK}/test_{name}.py"
    for name in ("background", "debugging", "debugging_notebook")
]
KERNELS = [*MANY_KERNELS, f"--ignore={NOTEBOOK}/test_kernel.py"]
TESTS = {
    "dbr-17.3": [(*CORE, *MANY_KERNELS, NOTEBOOK)],
    "dbr-14.3": [(*CORE, *KERNELS, NOTEBOOK), (A_KERNEL,)],
    "dbr-15.4": [(*HEART, *TABLES, *KERNELS, NOTEBOOK), (A_KERNEL,)],
    "dbr-16.4": [(*HEART, *TABLES, *KERNELS, NOTEBOOK), (A_KERNEL,)],
}
"""All of the core with the oldest and the newest; every kernel takes seconds, so most run one."""
AT_ONCE = 2
SKIPPED = 77


class InBackground:
    """The tests of *names*, two at a time and at the lowest priority: they take what nobody wants."""

    def __init__(self, names: set[str], folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._stopped = False
        self._processes: list[subprocess.Popen] = []
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._codes = {name: self._pool.submit(self._run, name) for name in TESTS if name in names}

    def result(self, name: str) -> tuple[int, str]:
        """Wait for the tests of *name*: their exit code, and what they said."""
        code = self._codes[name].result()
        return code, self._log(name).read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """End whatever still runs."""
        with self._lock:
            self._stopped = True
            for process in self._processes:
                process.stdin.close()  # see `_end_with_parent`
        self._pool.shutdown(cancel_futures=True)

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _run(self, name: str) -> int:
        command = ["nice", "-n", "19", sys.executable, __file__, name]
        with self._log(name).open("w", encoding="utf-8") as log:
            with self._lock:
                if self._stopped:
                    return SKIPPED
                process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT
                )
                self._processes.append(process)
            return process.wait()


def main(name: str) -> int:
    """Build the environment and run its tests; `SKIPPED` where that cannot be done here."""
    try:
        environment = ENVIRONMENTS[name].build()
    except pytest.skip.Exception as exc:
        print(exc, flush=True)
        return SKIPPED
    return max(environment.pytest(*tests) for tests in TESTS[name])


def _end_with_parent() -> None:
    """Whoever began this holds the other end of the pipe, and lets go of it when it is killed, too."""
    os.read(
        sys.stdin.fileno(), 1
    )  # not by sys.stdin: its lock would be held when this process ends
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    os.chdir(ROOT)
    # A group, but no session of its own: Linux may share its time by sessions, and forget who is nice.
    os.setpgrp()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(main(sys.argv[1]))
