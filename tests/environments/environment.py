"""Environments of other versions: made by uv from a file of versions, kept until that changes."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock
from uv import find_uv_bin

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
KEPT = ROOT / ".environments"
EXTRAS = "excel,pandas,postgres,sql"
NOTEBOOK = ("ipykernel", "ipython", "ipywidgets", "plotly")
"""What a runtime brings itself, if its file names it: some have no plotly."""
TOOLS = ("hypothesis", "nbclient", "nbconvert", "pytest>=8.2")
"""What tests need and no runtime has; uv takes what goes with the rest."""
NO_NETWORK = re.compile(
    r"dns error|error sending request|Connection refused|Temporary", re.IGNORECASE
)
MINUTES = 10
IN_CI = os.environ.get("CI") == "true"


class Environment:
    """A virtual environment of the package, with the versions in ``NAME.txt`` beside this file.

    Attributes:
        name: such as ``dbr-17.3``.
        versions: libraries of the runtime that tests hold it to, by name.
        replaced_anyway: libraries of the runtime that tests cannot hold it to, by name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.constraints = HERE / f"{name}.txt"
        text = self.constraints.read_text()
        self.wanted = re.search(r"python: (\S+)", text)[1]
        self.versions = dict(re.findall(r"^([a-z][\w.-]*)==([\w.]+)", text, re.MULTILINE))
        own = (name for name in NOTEBOOK if name in self.versions)
        self.tools = (*TOOLS, *own, *re.findall(r"# also: (\S+)", text))
        self.replaced_anyway = dict(
            re.findall(r"^#   ([a-z][\w.-]*) ([\w.]+):", text, re.MULTILINE)
        )

    @functools.cached_property
    def base(self) -> str | None:
        """An interpreter of the runtime's version, if this machine has one."""
        return find_python(self.wanted)

    @property
    def version(self) -> str:
        """The Python that it has: the runtime's own where there is one."""
        return self.wanted if self.base else "{}.{}".format(*sys.version_info)

    @functools.cached_property
    def folder(self) -> Path:
        """Its folder, named after all that decides what is in it."""
        package, _, _ = (ROOT / "pyproject.toml").read_text().partition("[tool.")
        text = self.constraints.read_text()
        described = [text, package, self.version, EXTRAS, *self.tools]
        digest = hashlib.sha256("\n".join(described).encode()).hexdigest()[:12]
        return KEPT / f"{self.name}-{digest}"

    @property
    def python(self) -> Path:
        """Its interpreter, once `build` has made it."""
        return self.folder / "bin" / "python"

    def build(self) -> Environment:
        """Make it, unless it is there.

        Raises:
            pytest.skip.Exception: without a network or the right Python, except in CI.
            AssertionError: if uv cannot; with what it said.
        """
        KEPT.mkdir(exist_ok=True)
        with FileLock(KEPT / f"{self.name}.lock"):  # two processes may want it
            complete = self.folder / "complete"
            if not complete.exists():
                for old in KEPT.glob(f"{self.name}-*"):
                    shutil.rmtree(old)
                self._make()
                complete.touch()
        return self

    def _make(self) -> None:
        uv("venv", "--clear", "--python", self.base or sys.executable, str(self.folder))
        wheels = ("--only-binary", ":all:", "--no-binary", "odibi-nb")
        wanted = ("-c", str(self.constraints), "-e", f"{ROOT}[{EXTRAS}]", *self.tools)
        done = uv("pip", "install", "--python", str(self.python), *wheels, *wanted)
        if done.returncode and not IN_CI and self.base is None:
            pytest.skip(f"{self.name} has no wheels for Python {self.version}, and wants another")
        assert done.returncode == 0, f"{self.name} cannot be installed:\n{done.stderr}"

    def install_line(self, extras: Sequence[str], folder: Path) -> dict[str, str]:
        """Return the versions that an installation with *extras* would leave in the runtime.

        As pip does, the resolver keeps a library's version unless something refuses it. This installs
        nothing, and needs no interpreter of the runtime's version.

        Args:
            extras: extras of the package.
            folder: a folder for the resolver's file.
        """
        lock = folder / f"{self.name}.txt"
        now = {**self.replaced_anyway, **self.versions}
        lock.write_text("".join(f"{name}=={version}\n" for name, version in now.items()))
        named = [part for extra in extras for part in ("--extra", extra)]
        python = ("--python-version", self.wanted, "--python-platform", "x86_64-manylinux_2_28")
        plain = ("--no-header", "--no-annotate", "--no-strip-markers")
        done = uv(
            "pip", "compile", str(ROOT / "pyproject.toml"), *named, *python, *plain, "-o", str(lock)
        )
        assert done.returncode == 0, f"{self.name}: extras {extras}:\n{done.stderr}"
        return dict(re.findall(r"^([a-z][\w.-]*)==([\w.]+)", lock.read_text(), re.MULTILINE))

    def pytest(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run pytest in it, at the root of the repository. Return the process with its ``stdout``."""
        # CI: nothing may be skipped there, but these environments have no Spark and no Sail.
        # Each kernel would compile pandas again if the libraries' bytecode were not kept.
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


def uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run uv, which takes a tenth of pip's time, with the index that pip has.

    Raises:
        pytest.skip.Exception: without a network, except in CI.
    """
    # The resolver needs no interpreter. By default uv tries for seconds to download the runtime's version.
    settings = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1", "UV_PYTHON_DOWNLOADS": "never"}
    environ = {**settings, **os.environ}
    if index := _pips_index():
        environ.setdefault("UV_DEFAULT_INDEX", index)
    environ.pop("VIRTUAL_ENV", None)
    command = [find_uv_bin(), *arguments, "--quiet", "--no-config"]
    done = subprocess.run(
        command,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60 * MINUTES,
    )
    if done.returncode and not IN_CI and NO_NETWORK.search(done.stderr):
        pytest.skip("uv reaches no package index")
    return done


@functools.cache
def _pips_index() -> str:
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    return os.environ.get("PIP_INDEX_URL") or asked.stdout.strip()


def find_python(version: str) -> str | None:
    """Return an interpreter of Python *version*, of this machine or of its pyenv, or None."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [
        sys.executable,
        shutil.which(f"python{version}"),
        f"/usr/bin/python{version}",
        *sorted(map(str, pyenv.glob(f"{version}.*/bin/python"))),
    ]
    return next((c for c in candidates if c and _version_of(c) == version), None)


def _version_of(python: str) -> str:
    """Run the interpreter: pyenv may put broken ones into the path."""
    ask = "import sys; print('{}.{}'.format(*sys.version_info))"
    try:
        done = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


ENVIRONMENTS = {path.stem: Environment(path.stem) for path in sorted(HERE.glob("*.txt"))}
