"""Open a session on a Databricks cluster or on serverless compute, through Databricks Connect.

Databricks Connect is a library of Databricks. It brings a ``pyspark`` of its own, which takes the place of
Apache Spark's, and its version must not be newer than the runtime's. So it is not an extra of this package.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.core.text.redaction import redact_text
from odibi_nb.engines.optional_imports import reason
from odibi_nb.errors import EngineError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

DATABRICKS = "databricks"
OPTIONS = ("profile", "cluster", "serverless")


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """The workspace and compute of a Databricks session, from the environment's ``spark``.

    Attributes:
        profile: profile of the file ``~/.databrickscfg``; "" for Databricks' own search.
        cluster: id of a cluster; "" for serverless compute, or for the profile's cluster.
        serverless: True for serverless compute.
    """

    profile: str = ""
    cluster: str = ""
    serverless: bool = False

    def __str__(self) -> str:
        compute = f"cluster {self.cluster}" if self.cluster else "the profile's cluster"
        compute = "serverless compute" if self.serverless else compute
        return (
            f"Databricks Connect to {compute}{f', profile {self.profile}' if self.profile else ''}"
        )


def workspace_of(options: Mapping[str, Any], where: str) -> tuple[Workspace, list[Problem]]:
    """Return the workspace that *options* name, and their problems.

    Args:
        options: the environment's ``spark``, limited to the keys in `OPTIONS`.
        where: the path of ``spark`` in the manifest.
    """
    problems = [
        Problem(f"{where}.{name}", f"expected a text, found {options[name]!r}")
        for name in ("profile", "cluster")
        if name in options and not (isinstance(options[name], str) and options[name].strip())
    ]
    serverless = options.get("serverless", False)
    if not isinstance(serverless, bool):
        problems.append(
            Problem(f"{where}.serverless", f"expected true or false, found {serverless!r}")
        )
    elif serverless and "cluster" in options:
        problems.append(
            Problem(f"{where}.cluster", "cannot be combined with 'serverless': name one")
        )
    found = Workspace(
        profile=str(options.get("profile", "")),
        cluster=str(options.get("cluster", "")),
        serverless=serverless is True,
    )
    return found, problems


def check_databricks_connect() -> None:
    """Raise EngineError if Databricks Connect is not installed. Imports nothing of it but its parent."""
    try:
        found = importlib.util.find_spec("databricks.connect")
    except (ImportError, ValueError):  # no package `databricks` at all
        found = None
    if found is None:
        raise EngineError(
            '"remote": "databricks" needs Databricks Connect, which is not installed: pip install '
            "'databricks-connect==VERSION.*' with the version of the cluster's runtime, in an environment "
            "without pyspark, which it would replace"
        )


def open_session(workspace: Workspace, settings: Mapping[str, str]) -> Any:
    """Open a session in *workspace*.

    Raises:
        EngineError: if Databricks Connect is missing, or no session can be opened.
    """
    check_databricks_connect()
    try:
        from databricks.connect import DatabricksSession

        builder = DatabricksSession.builder
        if workspace.profile:
            builder = builder.profile(workspace.profile)
        if workspace.serverless:
            builder = builder.serverless(True)
        elif workspace.cluster:
            builder = builder.clusterId(workspace.cluster)
        spark = builder.getOrCreate()
        spark.version  # noqa: B018  the first request, which fails without compute
        for name, value in settings.items():
            spark.conf.set(name, value)
    except Exception as exc:
        raise EngineError(
            f"{workspace}: no session can be opened: {redact_text(reason(exc))}; check it with "
            "'databricks auth login' and 'databricks clusters list'"
        ) from exc
    return spark
