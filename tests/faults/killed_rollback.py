"""Runs and rollbacks that kill their own process at a chosen commit.

Stands in a module of its own because a fork server imports it, and what it needs, once.
"""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path

import deltalake  # noqa: F401  imported before the fork, so that each process starts at once
import pandas as pd  # noqa: F401
import pyarrow as pa  # noqa: F401
import pyarrow.pandas_compat  # noqa: F401
import sqlalchemy.dialects.sqlite  # noqa: F401

import odibi_nb.api
import odibi_nb.core.running.orchestrator
import odibi_nb.engines.pandas.engine
import odibi_nb.sinks.table
import odibi_nb.sources.table
import odibi_nb.storage.delta_table
import odibi_nb.storage.sql_table
from odibi_nb.engines.delta import restore, writes


def _killing(function, number: int, *, after: bool):
    """Return *function*, whose call number *number* kills the process, before or after its work."""
    calls = itertools.count()

    def killing(*args, **keywords):
        last = next(calls) == number
        if last and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*args, **keywords)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return killing


def roll_back_until(path: str, number: int, after: bool) -> None:
    """Roll back the last run; die at the restore of table number *number*."""
    restore.restore = _killing(restore.restore, number, after=after)
    odibi_nb.api.rollback("Plant One", manifest_path=Path(path), log_level="CRITICAL")


def run_until(path: str, number: int, after: bool, dies_in_recovery: bool = False) -> None:
    """Run atomically; die at write number *number*, or at that restore of an earlier run's tables."""
    if dies_in_recovery:
        restore.restore = _killing(restore.restore, number, after=after)
    else:
        writes._write = _killing(writes._write, number, after=after)
    odibi_nb.api.run_project(
        "Plant One",
        manifest_path=Path(path),
        log_level="CRITICAL",
        # Without a restore to die in, this is a run that writes the old rows again.
        overrides={f"B{n}": {"rows": 3 if dies_in_recovery else 5} for n in range(10)},
        atomic=True,
    )


def run_whole(path: str) -> None:
    """Run atomically; a row kills the process."""
    odibi_nb.api.run_project(
        "Plant One", manifest_path=Path(path), log_level="CRITICAL", atomic=True
    )
