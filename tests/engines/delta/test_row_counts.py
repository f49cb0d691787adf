"""Counts of rows from the metrics of commits."""

import pytest

from odibi_nb.engines.delta.row_counts import rows_after


def info(operation, parameters=None, **metrics):
    return {
        "operation": operation,
        "operationParameters": parameters or {},
        "operationMetrics": {name: str(count) for name, count in metrics.items()},
    }


WHOLE = info("WRITE", {"mode": "Overwrite"}, numOutputRows=7)
APPEND = info("WRITE", {"mode": "Append"}, numOutputRows=3)
MERGE = info("MERGE", numTargetRowsInserted=2, numTargetRowsUpdated=9, numTargetRowsDeleted=1)
DELETE = info("DELETE", numDeletedRows=4)


@pytest.mark.parametrize(
    ("commits", "rows"),
    [
        ([WHOLE], 7),
        ([APPEND, APPEND, WHOLE, APPEND], 13),
        ([DELETE, MERGE, info("OPTIMIZE"), info("UPDATE", numUpdatedRows=5), WHOLE], 4),
        ([APPEND], None),  # the history is cut before a whole write
        ([info("RESTORE"), WHOLE], None),
        ([info("WRITE", {"mode": "Overwrite"}, numOutputRows=1), WHOLE], None),  # of a part
        ([info("DELETE"), WHOLE], None),
        ([info("MERGE"), WHOLE], None),
        ([{"operation": "WRITE", "operationMetrics": "torn"}, WHOLE], None),
        ([], None),
    ],
)
def test_the_rows_of_a_table_follow_from_its_commits_or_are_not_known(commits, rows):
    """From the last write of all rows on, each commit has a known change; otherwise there is no number."""
    assert rows_after(commits, lambda commit: commit is WHOLE) == rows
