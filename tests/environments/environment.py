"""Environments of other versions: made by pip from a file of constraints, kept until that changes."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
KEPT = ROOT / ".environments"
EXTRAS = "excel,notebook,pandas,postgres,sql"
TOOLS = ("hypothesis", "nbclient", "nbconvert", "pytest>=8.2")
"""What tests need and no runtime has; pip takes what goes with the rest."""
NO_NETWORK = re.compile(r"Failed to establish a new connection|Name or service not known|Temporary")
MINUTES = 10
IN_CI = os.environ.get("CI") == "true"


class Environment:
    """A virtual environment of the package and of what ``NAME.txt`` beside this file holds it to.

    Attributes:
        name: such as ``dbr-17.3``.
        python: its interpreter, once `build` has made it.
        version: the Python that it has: the runtime's own where there is one.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.constraints = HERE / f"{name}.txt"
        text = self.constraints.read_text()
        wanted = re.search(r"python: (\S+)", text)[1]
        self.base = find_python(wanted)
        self.version = wanted if self.base else "{}.{}".format(*sys.version_info)
        self.tools = (*TOOLS, *re.findall(r"# also: (\S+)", text))
        package, _, _ = (ROOT / "pyproject.toml").read_text().partition("[tool.")
        described = [text, package, self.version, EXTRAS, *self.tools]
        digest = hashlib.sha256("\n".join(described).encode()).hexdigest()[:12]
        self.folder = KEPT / f"{name}-{digest}"
        self.python = self.folder / "bin" / "python"
        self._complete = self.folder / "complete"

    def build(self) -> Environment:
        """Make it, unless it is there.

        Raises:
            pytest.skip.Exception: without a network or the right Python, except in CI.
            AssertionError: if pip cannot; with what it said.
        """
        KEPT.mkdir(exist_ok=True)
        with FileLock(KEPT / f"{self.name}.lock"):  # two processes may want it
            if not self._complete.exists():
                for old in KEPT.glob(f"{self.name}-*"):
                    shutil.rmtree(old)
                self._make()
                self._complete.touch()
        return self

    def _make(self) -> None:
        venv = [self.base or sys.executable, "-m", "venv", "--without-pip", str(self.folder)]
        subprocess.run(venv, check=True, capture_output=True)
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "--no-input"]
        done = subprocess.run(
            [
                *(*pip, "install", "--quiet", "--retries=2", "--disable-pip-version-check"),
                *("--only-binary=:all:", "--no-compile", "-c", str(self.constraints)),
                *("-e", f"{ROOT}[{EXTRAS}]", *self.tools),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60 * MINUTES,
        )
        said = done.stdout + done.stderr
        if done.returncode and not IN_CI and NO_NETWORK.search(said):
            pytest.skip(f"pip reaches no package index, so there is no {self.name}")
        if done.returncode and not IN_CI and self.base is None:
            pytest.skip(f"{self.name} has no wheels for Python {self.version}, and wants another")
        assert done.returncode == 0, f"{self.name} cannot be installed:\n{said}"

    def pytest(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run pytest in it, at the root of the repository; what it printed is its ``stdout``."""
        # CI: nothing may be skipped there, but these environments have no Spark and no Sail.
        # Each kernel would compile pandas anew if the libraries' bytecode were not kept.
        outside = {
            "PYTHONDONTWRITEBYTECODE",
            "CI",
            "PYTHONPATH",
            "VIRTUAL_ENV",
            "PYTEST_ADDOPTS",
            "PYTEST_CURRENT_TEST",
        }
        environ = {name: value for name, value in os.environ.items() if name not in outside}
        environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # anyio's, old, does not like a new pytest
        environ["ODIBI_TEST_FEW"] = "1"
        environ["PATH"] = f"{self.python.parent}{os.pathsep}{environ['PATH']}"
        command = [str(self.python), "-m", "pytest", "-q", "--tb=short", "--import-mode=importlib"]
        plugins = ["-p", "_hypothesis_pytestplugin", "-p", "no:cacheprovider", "-o", "addopts="]
        quiet = ["-W", "ignore::DeprecationWarning"]
        return subprocess.run(
            [*command, *plugins, *quiet, *arguments],
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


def find_python(version: str) -> str | None:
    """An interpreter of Python *version*, of this machine or of its pyenv; None if there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [
        sys.executable,
        shutil.which(f"python{version}"),
        f"/usr/bin/python{version}",
        *sorted(map(str, pyenv.glob(f"{version}.*/bin/python"))),
    ]
    return next((c for c in candidates if c and _version_of(c) == version), None)


def _version_of(python: str) -> str:
    """Asked of itself: what pyenv puts into the path may be there and not work."""
    ask = "import sys; print('{}.{}'.format(*sys.version_info))"
    try:
        done = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


ENVIRONMENTS = {path.stem: Environment(path.stem) for path in sorted(HERE.glob("*.txt"))}
