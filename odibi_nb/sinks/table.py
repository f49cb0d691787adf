"""The run log in Delta tables that only a Spark session reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.log_columns import RECORD_COLUMNS, RUN_COLUMNS
from odibi_nb.core.protocols import BaseLogSink
from odibi_nb.storage.row_values import restored_rows, stored_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odibi_nb.core.protocols import Row
    from odibi_nb.storage.spark_table import SparkTable

_KEY = (("transformation_id", "string"), ("attempt", "int"))
_DURATIONS = (("transformation_id", "string"), ("duration_seconds", "double"))


class SparkLogSink(BaseLogSink):
    """A Delta table of attempts and one of runs, through a Spark session.

    Every write is one commit: Spark takes a quarter of a second or more for each, so what it gets
    are the run log's batches. A table that lacks columns, such as the seed's, is widened; one whose
    columns have other types keeps them. When a run ends, many small files become one.
    """

    def __init__(self, log: SparkTable, runs: SparkTable, name: str) -> None:
        """Nothing is read or written yet.

        Args:
            log: the attempts' table.
            runs: the runs' table.
            name: what messages call both.
        """
        self.name = name
        self._log = log
        self._runs = runs

    def write(self, records: list[Row]) -> None:
        """Append *records* in one commit.

        Raises:
            DataError: if the table cannot take them; it is as it was.
        """
        if records:
            self._log.append(stored_rows(records, RECORD_COLUMNS), RECORD_COLUMNS)

    def write_run(self, record: Row) -> None:
        """Append the record of a run that ended, and compact both tables if that is due.

        Raises:
            DataError: if the table cannot take it; it is as it was.
        """
        self._runs.append(stored_rows([record], RUN_COLUMNS), RUN_COLUMNS)
        self._log.compact()
        self._runs.compact()

    def written(self, run_id: str) -> set[tuple[str, int]]:
        """(transformation_id, attempt) that the table has of *run_id*.

        Raises:
            DataError: if the table cannot be read.
        """
        rows = self._of_runs(_KEY, [run_id])
        return {(row["transformation_id"], row["attempt"] or 0) for row in rows}

    def runs(self, limit: int) -> list[Row]:
        """The newest *limit* runs, newest first; none while there is no table.

        Raises:
            DataError: if the table cannot be read.
        """

        def newest(frame: Any) -> Any:
            order = [frame["start_time"].desc(), frame["run_id"].desc()]
            if "run_number" in frame.columns:  # a table of an older version has none
                order.insert(0, frame["run_number"].desc_nulls_last())
            return frame.orderBy(*order).limit(limit)

        return restored_rows(self._runs.select(RUN_COLUMNS, newest), RUN_COLUMNS)

    def attempts(self, run_ids: Sequence[str]) -> list[Row]:
        """The records of the given runs, oldest first; none while there is no table.

        Raises:
            DataError: if the table cannot be read.
        """
        order = ("start_time", "transformation_id", "attempt")
        return restored_rows(self._of_runs(RECORD_COLUMNS, run_ids, order), RECORD_COLUMNS)

    def durations(self, run_ids: Sequence[str]) -> list[tuple[str, float]]:
        """(transformation_id, seconds) of the successes in these runs.

        Raises:
            DataError: if the table cannot be read.
        """
        rows = self._of_runs(_DURATIONS, run_ids, status="SUCCESS")
        return [
            (row["transformation_id"], row["duration_seconds"])
            for row in rows
            if row["duration_seconds"] is not None
        ]

    def _of_runs(
        self,
        columns: Sequence[tuple[str, str]],
        run_ids: Sequence[str],
        order: Sequence[str] = (),
        status: str = "",
    ) -> list[Row]:
        """Records of these runs; none of a table from before there were run ids, such as the seed's."""

        def refine(frame: Any) -> Any:
            if "run_id" not in frame.columns:
                return frame.limit(0)
            found = frame.where(frame["run_id"].isin(list(run_ids)))
            if status:
                found = found.where(found["status"] == status)
            return found.orderBy(*order) if order else found

        return self._log.select(columns, refine) if run_ids else []
