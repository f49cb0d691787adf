"""Secrets and parameters of Databricks, through the ``dbutils`` of the notebook or job.

Each runtime from 13 on has ``databricks.sdk.runtime``, whose ``dbutils`` works in notebooks, and in Python
and wheel tasks.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from odibi_nb.core.process.compute import has_databricks_session


def find_secret(place: str) -> str:
    """Return the secret at *place*, ``scope/key``.

    Raises:
        LookupError: if it cannot be read; contains the reason.
    """
    scope, slash, key = place.partition("/")
    if not (scope and slash and key):
        raise LookupError("expected ${secret:scope/key}")
    return _asked(lambda dbutils: dbutils.secrets.get(scope=scope, key=key), "a secret")


def find_parameter(name: str) -> str:
    """Return the value of the widget or job parameter *name*.

    Raises:
        LookupError: if it cannot be read; contains the reason.
    """
    return _asked(lambda dbutils: dbutils.widgets.get(name), "a parameter")


def _asked(ask: Any, what: str) -> str:
    if not has_databricks_session():
        raise LookupError(f"{what} of Databricks: this machine has none")
    try:
        return str(ask(import_module("databricks.sdk.runtime").dbutils))
    except Exception as exc:  # dbutils raises the JVM's errors, or its own
        reason = " ".join(str(exc).split())[:200] or type(exc).__name__
        raise LookupError(f"{what} of Databricks cannot be read: {reason}") from exc
