"""Open sessions on a Spark Connect server: a server at a URL, or Sail in this process."""

from __future__ import annotations

import contextlib
import os
import socket
import urllib.parse
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.tables import redact_url
from odibi_nb.engines.optional_imports import check_installed, reason
from odibi_nb.engines.spark.session_loss import forget_stopped_active
from odibi_nb.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

SAIL_TIMEOUT_SECONDS = 7 * 24 * 3600
"""Sail's timeout, raised because the default of 15 minutes without a request also ends long queries."""
CONNECT_PORT = 15002
REACH_SECONDS = 10
RETRIES_HERE = 6
"""Retries of a request to a server on this machine: about 20 s, instead of ten minutes.

A remote server may be scaled or restarted behind its address. A server on this machine does not return.
"""
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})
_server: list[Any] = []


def sail_url() -> str:
    """Return the URL of the Sail server in this process; the first call starts it."""
    if not _server:
        os.environ.setdefault("SAIL_SPARK__SESSION_TIMEOUT_SECS", str(SAIL_TIMEOUT_SECONDS))
        os.environ.setdefault("RUST_LOG", "error")
        from pysail.spark import SparkConnectServer

        server = SparkConnectServer("127.0.0.1", 0)
        server.start(background=True)
        _server.append(server)
    host, port = _server[0].listening_address
    return f"sc://{host}:{port}"


def stop_sail() -> None:
    """Stop Sail, if it was started."""
    for server in _server:
        with contextlib.suppress(Exception):  # it may have stopped already
            server.stop()
    _server.clear()


def connected(url: str, settings: Mapping[str, str]) -> Any:
    """Open a new session on the server at *url*.

    Raises:
        EngineError: if no server answers.
    """
    from pyspark.sql import SparkSession

    check_reachable(url)
    builder = SparkSession.builder.remote(url)
    for name, value in settings.items():
        builder = builder.config(name, value)
    forget_stopped_active()
    try:
        spark = builder.create()
        _limit_retries(spark, url)
        spark.version  # noqa: B018  the first request, which fails without a server
    except Exception as exc:
        raise EngineError(
            f"Spark Connect at {redact_url(url)} does not answer: {reason(exc)}"
        ) from exc
    return spark


def is_sail(spark: Any) -> bool:
    """Return True if the server of a Connect session is Sail; without an answer, False.

    Spark's ``version()`` returns a version and a revision. Sail's returns only the version of Sail, while its
    session's ``version`` is the version of Spark that it emulates.
    """
    with contextlib.suppress(Exception):
        text = str(spark.sql("SELECT version() AS v").collect()[0]["v"])
        return " " not in text and not text.startswith(str(spark.version))
    return False


def _limit_retries(spark: Any, url: str) -> None:
    if urllib.parse.urlsplit(url).hostname in _HERE:
        with contextlib.suppress(ImportError, AttributeError):  # clients before 4.0
            from pyspark.sql.connect.client.retries import DefaultPolicy

            spark.client.set_retry_policies([DefaultPolicy(max_retries=RETRIES_HERE)])


def check_reachable(url: str) -> None:
    """Raise EngineError if no server listens at *url*; pyspark would retry for ten minutes."""
    found = urllib.parse.urlsplit(url)
    try:
        place = (found.hostname or "localhost", found.port or CONNECT_PORT)
        socket.create_connection(place, timeout=REACH_SECONDS).close()
    except (OSError, ValueError) as exc:
        raise EngineError(f"Spark Connect at {redact_url(url)} does not answer: {exc}") from exc


def require_connect(extra: str = "spark") -> None:
    """Raise EngineNotAvailableError, naming *extra*, if a library that Connect needs is missing."""
    check_installed("a Spark Connect session", extra, "pyspark", "grpc", "pandas", "pyarrow")
