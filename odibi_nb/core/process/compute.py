"""The compute that this process runs on: a machine outside Databricks, or one of Databricks' kinds.

The rest of the package asks this module instead of looking at environment variables. Sources of the
rules: clusters with Databricks Container Services do not set ``DATABRICKS_RUNTIME_VERSION`` but have the
file ``/databricks/DBR_VERSION`` (as MLflow's ``databricks_utils`` reads it); on serverless compute the
version begins with ``client.``; the context of a notebook or job comes from the module ``dbruntime``.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION_VARIABLE = "DATABRICKS_RUNTIME_VERSION"
VERSION_FILE = Path("/databricks/DBR_VERSION")
JOB = "job"
"""The face of a task of a Databricks job."""
SHELL = "shell"
"""The face of a process beside the notebook, such as a command of ``%sh``."""
_MAX_VERSION = 100  # characters; a version has about 10


class Kind(str, Enum):
    """Kinds of compute, with their names in messages.

    Attributes:
        OWN: a machine that is not Databricks'.
        CONNECT: a machine that is not Databricks', in a process that uses Databricks Connect.
        CLASSIC: the driver of a Databricks cluster.
        CONTAINER: the driver of a Databricks cluster with Databricks Container Services.
        SERVERLESS: Databricks' serverless compute.
    """

    OWN = "not Databricks"
    CONNECT = "Databricks Connect from a machine of its own"
    CLASSIC = "Databricks cluster"
    CONTAINER = "Databricks cluster with a container of its own"
    SERVERLESS = "Databricks serverless compute"


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Compute of a process.

    Attributes:
        kind: the kind of compute.
        version: version of the Databricks runtime; "" elsewhere.
        face: ``notebook``, ``job`` or ``shell`` on Databricks; "" elsewhere.
        notebook_path: path of the notebook in the workspace, if it is known.
        user: name of the workspace user, if it is known.
        job_id: id of the job, if it is known.
    """

    kind: Kind
    version: str = ""
    face: str = ""
    notebook_path: str = ""
    user: str = ""
    job_id: str = ""

    def __str__(self) -> str:
        version = f" {self.version}" if self.version else ""
        return ", ".join(filter(None, [f"{self.kind.value}{version}", self.face]))


def is_databricks(environ: Mapping[str, str] | None = None) -> bool:
    """Return True if this process runs on Databricks' machines."""
    return bool(_version(os.environ if environ is None else environ)[0])


def has_databricks_session() -> bool:
    """Return True if this process has a Spark session of Databricks, on its machines or by its Connect."""
    return "databricks.connect" in sys.modules or is_databricks()


def find_compute(environ: Mapping[str, str] | None = None) -> Compute:
    """Return the compute of this process.

    Args:
        environ: environment variables; the process's if None.
    """
    version, from_file = _version(os.environ if environ is None else environ)
    if not version:
        connects = "databricks.connect" in sys.modules
        return Compute(kind=Kind.CONNECT if connects else Kind.OWN)
    if version.startswith("client."):
        kind = Kind.SERVERLESS
    else:
        kind = Kind.CONTAINER if from_file else Kind.CLASSIC
    context = _context()
    if context is None:
        return Compute(kind=kind, version=version, face=SHELL)
    return Compute(
        kind=kind,
        version=version,
        face=JOB if getattr(context, "isInJob", False) is True else "notebook",
        notebook_path=_text(context, "notebookPath"),
        user=_text(context, "user"),
        job_id=_text(context, "jobId"),
    )


def _version(environ: Mapping[str, str]) -> tuple[str, bool]:
    """Return the version of the Databricks runtime, "" elsewhere, and whether a file has it."""
    if named := environ.get(VERSION_VARIABLE):
        return named, False
    try:
        with VERSION_FILE.open(encoding="utf-8", errors="replace") as file:
            return file.read(_MAX_VERSION).strip(), True
    except OSError:
        return "", False


def _context() -> Any:
    """Return Databricks' context of this notebook or job; None in a shell."""
    try:
        return import_module("dbruntime.databricks_repl_context").get_context()
    except Exception:  # noqa: BLE001  the module is Databricks' own and has no documentation
        return None


def _text(context: Any, name: str) -> str:
    value = getattr(context, name, None)
    return "" if value is None else str(value)
