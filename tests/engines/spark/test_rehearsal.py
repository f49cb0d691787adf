"""Keeping the rows of a Spark DataFrame, with and without Spark's support for it, without Spark."""

from __future__ import annotations

import pytest

from odibi_nb.engines.spark.connection import CONNECT, Connection
from odibi_nb.engines.spark.rehearsal import kept

CONNECTION = Connection(spark=None, kind=CONNECT, own=False, why="")


class Frame:
    """A DataFrame whose session raises *error* for `localCheckpoint`."""

    def __init__(self, error):
        self.error = error

    def localCheckpoint(self, eager):
        raise self.error


class OldFrame:
    """A DataFrame of Spark Connect before 4.0."""


def test_where_nothing_can_be_kept_rows_are_computed_each_time():
    """Databricks' serverless compute, and Spark Connect before 4, keep no rows: this is not a failure."""
    for frame in (OldFrame(), Frame(RuntimeError("[NOT_SUPPORTED_WITH_SERVERLESS] PERSIST"))):
        assert kept(CONNECTION, frame) is frame


def test_what_computing_the_rows_raises_is_raised():
    """An error in the user's rows fails the trial."""
    with pytest.raises(RuntimeError, match="DIVIDE_BY_ZERO"):
        kept(CONNECTION, Frame(RuntimeError("[DIVIDE_BY_ZERO] Division by zero")))
