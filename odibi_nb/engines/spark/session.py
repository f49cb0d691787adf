"""Choose the Spark session of a run: an existing session, or our own.

An existing session (from Databricks, spark-submit, the notebook or ``auth_provider``) is used as it is
and never stopped. Our own session stays open for the process, so that the next run starts at once, and
is stopped when the process ends.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import logging
import os
import sys
import threading
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.tables import redact_url
from odibi_nb.core.process.compute import SHELL, Kind, find_compute, is_databricks
from odibi_nb.engines.optional_imports import check_installed
from odibi_nb.engines.spark import jvm as spark_jvm
from odibi_nb.engines.spark.connect import (
    check_reachable,
    connected,
    is_sail,
    require_connect,
    sail_url,
    stop_sail,
)
from odibi_nb.engines.spark.connection import CLASSIC, CONNECT, SAIL, Connection
from odibi_nb.engines.spark.databricks_connect import (
    DATABRICKS,
    OPTIONS,
    Workspace,
    check_databricks_connect,
    open_session,
    workspace_of,
)
from odibi_nb.engines.spark.session_loss import close_without_asking, is_connect_session, is_stopped
from odibi_nb.errors import EngineError, ManifestError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from odibi_nb.core.protocols import Place

_SUBMITTED = ("PYSPARK_GATEWAY_PORT", "SPARK_REMOTE")
_lock = threading.RLock()
_own: dict[tuple[Any, ...], Connection] = {}
_lost: weakref.WeakSet[Any] = weakref.WeakSet()
_kinds: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
"""Sessions of others, and what answers behind them."""


def connect(place: Place) -> Connection:
    """Return the session for *place*: the provider's session, the active session, or our own.

    Raises:
        EngineError: if no session exists and none can be started; with a remedy.
        ManifestError: if the environment's ``spark`` is wrong.
    """
    with _lock:
        found = existing(place)
        if found is not None:
            _check_delta(found)
            return _recognized(found)
        remote, settings = _wanted(place)
        if remote == SAIL:
            return _on_sail(place, settings)
        if isinstance(remote, Workspace):
            return _on_databricks(remote, settings)
        if remote:
            return _remote(remote, settings)
        return _local(place, settings)


def existing(place: Place) -> Connection | None:
    """Return the existing session that *place* would use, without starting one; None without one."""
    if place.session.spark is not None:
        return _foreign(place.session.spark, "the session of auth_provider")
    spark = active_session()
    if spark is None or _is_own(spark):
        return None
    return _foreign(spark, "the active session")


def runs(place: Place) -> bool:
    """Return True if a session that *place* could use already runs, without starting one."""
    with _lock:
        return existing(place) is not None or any(
            not is_stopped(connection.spark) for connection in _own.values()
        )


def planned(place: Place) -> str:
    """Describe the session that `connect` would return, without starting it.

    Raises:
        EngineError: if something is missing; with a remedy.
        ManifestError: if the environment's ``spark`` is wrong.
    """
    found = existing(place)
    if found is not None:
        return f"{found.why} ({found.kind}, Spark {found.spark.version}); it is never stopped"
    remote, settings = _wanted(place)
    if remote == SAIL:
        _check_sail()
        return "Sail, started in this process: environments.*.spark.remote is 'sail'"
    if isinstance(remote, Workspace):
        check_databricks_connect()
        return f"{remote}: environments.*.spark.remote is 'databricks'"
    if remote:
        require_connect()
        check_reachable(remote)
        return f"Spark Connect at {redact_url(remote)}: environments.*.spark.remote"
    if _is_submitted():
        return "the session of the platform that runs this process"
    versions, command = spark_jvm.check_versions(), spark_jvm.check_java()
    master = settings.get("spark.master", "local[*]")
    jars = "" if spark_jvm.has_jars() else f"; {spark_jvm.FIRST_START}"
    return f"a JVM of this machine, {master}: {versions}, java {command}{jars}"


def _wanted(place: Place) -> tuple[str | Workspace | None, dict[str, str]]:
    """Return the remote and the configuration from the environment's ``spark``."""
    raw = dict(place.config.spark)
    remote = raw.pop("remote", None) or raw.pop("spark.remote", None)
    where = f"$.environments.{place.env}.spark"
    own = {name: raw.pop(name) for name in OPTIONS if remote == DATABRICKS and name in raw}
    problems = [
        Problem(f"{where}.{name}", "is not a Spark setting: expected 'remote' or 'spark.…'")
        for name in raw
        if not name.startswith("spark.")
    ]
    if remote == DATABRICKS:
        remote, wrong = workspace_of(own, where)
        problems += wrong
    elif remote is not None and remote != SAIL and not str(remote).startswith("sc://"):
        expected = "expected 'sail', 'databricks' or 'sc://host:port'"
        problems.append(Problem(f"{where}.remote", f"{expected}, found {remote!r}"))
    if problems:
        raise ManifestError(str(place.manifest.path or "manifest"), problems)
    settings = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in raw.items()
    }
    return remote, settings


def _recognized(connection: Connection) -> Connection:
    """Return *connection*. If Sail answers behind it, its kind becomes `SAIL`, because names and commands
    differ.

    A user can open a session on Sail, and the URL of a manifest can be that of a Sail server.
    """
    if connection.kind != CONNECT or is_databricks():
        return connection
    own = next((one for one in _own.values() if one.spark is connection.spark), None)
    kind = own.kind if own is not None else _kinds.get(connection.spark)
    if kind is None:
        kind = SAIL if is_sail(connection.spark) else CONNECT
        _kinds[connection.spark] = kind
    return replace(connection, kind=kind)


def _foreign(spark: Any, why: str) -> Connection:
    kind = CONNECT if is_connect_session(spark) else CLASSIC
    return Connection(spark, kind, own=False, why=why)


def _check_delta(connection: Connection) -> None:
    """Raise EngineError for a classic session without Delta Lake."""
    if connection.kind != CLASSIC or is_databricks():
        return
    if "Delta" not in str(connection.spark.conf.get("spark.sql.extensions", "")):
        raise EngineError(
            f"{connection.why} has no Delta Lake: build it with delta.configure_spark_with_delta_pip "
            "and io.delta.sql.DeltaSparkSessionExtension, or stop it (spark.stop()) and let the run "
            "start its own"
        )


def active_session() -> Any:
    """Return the active session of this process, of any origin; None without one."""
    if "pyspark" not in sys.modules or importlib.util.find_spec("pyspark.sql") is None:
        return None
    from pyspark.sql import SparkSession

    with contextlib.suppress(Exception):  # no session is active
        spark = SparkSession.getActiveSession() or SparkSession.active()
        return None if spark in _lost or is_stopped(spark) else spark
    return None


def _is_own(spark: Any) -> bool:
    return any(connection.spark is spark for connection in _own.values())


def _is_submitted() -> bool:
    """Return True if the platform that started this process has a session for it.

    Raises:
        EngineError: in a shell of a Databricks cluster, where a new session would be a local one without Delta.
    """
    if any(name in os.environ for name in _SUBMITTED):
        return True
    compute = find_compute()
    if compute.face == SHELL and compute.kind in (Kind.CLASSIC, Kind.CONTAINER):
        raise EngineError(
            f"this process has no Spark session ({compute}): a command of %sh or of the web terminal cannot use "
            "the session of a notebook: use %odibi in a notebook, a job (odibi export databricks), or "
            "--engine pandas"
        )
    return compute.kind not in (Kind.OWN, Kind.CONNECT)


def _local(place: Place, settings: Mapping[str, str]) -> Connection:
    check_installed("a local Spark session", "spark", "pyspark")
    if _is_submitted():
        from pyspark.sql import SparkSession

        spark = SparkSession.builder.appName(place.manifest.project).getOrCreate()
        return _foreign(spark, "the session of the platform that runs this process")
    key = (CLASSIC, tuple(sorted(settings.items())))
    for other, connection in _own.copy().items():
        if is_stopped(connection.spark):
            del _own[other]
    if key in _own:
        return _own[key]
    if any(connection.kind == CLASSIC for connection in _own.values()):
        raise EngineError(
            f"environments.{place.env}.spark asks for {dict(settings) or 'the defaults'}, but a Spark "
            "session with another configuration runs in this process, which can have one only: "
            "restart the kernel, or stop it (SparkSession.active().stop())"
        )
    _check_alone(CLASSIC)
    log = place.state_dir / "spark.log"
    configuration = {**spark_jvm.local_configuration(place.state_dir), **settings}
    spark = spark_jvm.start(place.manifest.project, configuration, log)
    return _keep(key, Connection(spark, CLASSIC, own=True, why="a JVM of this machine"))


def _remote(url: str, settings: Mapping[str, str]) -> Connection:
    require_connect()

    def opened() -> Connection:
        spark = connected(url, {"spark.sql.session.timeZone": "UTC", **settings})
        why = f"Spark Connect at {redact_url(url)}"
        return _recognized(Connection(spark, CONNECT, own=True, why=why))

    return _kept((CONNECT, url, tuple(sorted(settings.items()))), opened)


def _on_databricks(workspace: Workspace, settings: Mapping[str, str]) -> Connection:
    """Return a Databricks session. It is not ours alone, because its catalogs also have other people's tables."""

    def opened() -> Connection:
        spark = open_session(workspace, settings)
        return Connection(spark, CONNECT, own=False, why=str(workspace))

    return _kept((CONNECT, workspace, tuple(sorted(settings.items()))), opened)


def _on_sail(place: Place, settings: Mapping[str, str]) -> Connection:
    """Return a separate session for each lake, because Sail's catalog belongs to its session."""
    _check_sail()

    def opened() -> Connection:
        warehouse = str(place.state_dir / "spark-warehouse")
        defaults = {"spark.sql.session.timeZone": "UTC", "spark.sql.warehouse.dir": warehouse}
        spark = connected(sail_url(), {**defaults, **settings})
        return Connection(spark, SAIL, own=True, why="Sail in this process")

    key = (SAIL, str(place.state_dir), place.env, tuple(sorted(settings.items())))
    return _activated(_kept(key, opened))


def _activated(connection: Connection) -> Connection:
    """Make a session the result of ``SparkSession.getActiveSession`` on this thread."""
    # pyspark does this for the first session only, and has no public function for it.
    on_this_thread = getattr(type(connection.spark), "_active_session", None)
    if on_this_thread is not None:
        on_this_thread.session = connection.spark
    return connection


def _check_alone(kind: str) -> None:
    """Raise EngineError for a JVM session beside a Connect session: pyspark cannot have both."""
    if any((other.kind == CLASSIC) != (kind == CLASSIC) for other in _own.values()):
        raise EngineError(
            f"a Spark session of another kind runs in this process, so {kind!r} cannot start: "
            "restart the kernel"
        )


def _check_sail() -> None:
    check_installed("Sail", "sail", "pysail")
    require_connect("sail")


def _kept(key: tuple[Any, ...], opened: Callable[[], Connection]) -> Connection:
    """Return our session with this *key*, which begins with its kind; if none runs, keep a new one."""
    if key in _own and not is_stopped(_own[key].spark):
        return _own[key]
    _check_alone(key[0])
    return _keep(key, opened())


def _keep(key: tuple[Any, ...], connection: Connection) -> Connection:
    if not _own:
        atexit.register(stop_own)
    _quieten()
    _own[key] = connection
    return connection


def _quieten() -> None:
    """Keep pyspark from logging every failed query as pages of JSON; it raises the error anyway."""
    with contextlib.suppress(ImportError):  # before pyspark 4
        from pyspark.logger import PySparkLogger

        for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
            PySparkLogger.getLogger(name).setLevel(logging.CRITICAL + 1)
    logging.getLogger("pyspark.sql.connect.client.logging").setLevel(logging.CRITICAL + 1)


def forget(connection: Connection) -> None:
    """Forget a session that has ended, so that the next run gets another one."""
    with _lock:
        _lost.add(connection.spark)
        keys = [key for key, own in _own.items() if own is connection]
        for key in keys:
            del _own[key]
    if keys and is_connect_session(connection.spark):
        close_without_asking(connection.spark)


def stop_own() -> None:
    """Stop our own sessions, and Sail."""
    with _lock:
        for connection in _own.values():
            with contextlib.suppress(Exception):  # the session may have ended already
                connection.spark.stop()
        _own.clear()
        stop_sail()
        os.environ.pop("SPARK_CONNECT_MODE_ENABLED", None)
