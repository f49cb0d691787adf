"""Views of records give rows by number, and the DataFrame's own ways to select."""

from __future__ import annotations

from lazily import pd

from odibi_nb.views.records import Records


def test_a_condition_selects_as_in_a_data_frame():
    """Numbers and slices select rows; a name or a condition is passed on to the DataFrame."""
    rows = [{"run_id": "a", "status": "success"}, {"run_id": "b", "status": "failed"}]
    records = Records("runs", ("run_id", "status"), rows, lambda columns, rows: pd.DataFrame(rows))
    assert records[0] == rows[0]
    assert records[-1:] == rows[1:]
    assert records[records["status"] == "failed"]["run_id"].tolist() == ["b"]
