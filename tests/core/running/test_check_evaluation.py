"""Checks whose data has nothing to judge."""

from __future__ import annotations

from fakes import row, statuses
from lazily import pd

from odibi_nb.engines.pandas.engine import PandasEngine


def test_a_column_without_a_time_is_not_fresh(project, tmp_path):
    """If all values of the column are missing, the check fails, and the message says so."""

    def fn():
        return pd.DataFrame({"at": pd.to_datetime(pd.Series([None, None]), utc=True)})

    checks = {"checks": [{"fresh": {"at": "2 days"}}], "retry": 0}
    p = project(row("A", fn, outputs=[{"table": "t.a"}], constants=checks))
    p.tables = PandasEngine(str(tmp_path / "lake"))
    result = p.run()
    assert statuses(result) == {"A": "FAILED"}
    assert "the column has no value" in result.transformations["A"].reason
