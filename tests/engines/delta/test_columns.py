"""The values of a Delta table are in their own columns, in whatever order the library returns them."""

from __future__ import annotations

import pandas as pd
from engines.contract import INFO, table

from odibi_nb.core.model.transformation import Output
from odibi_nb.engines.pandas.engine import PandasEngine


def test_a_partitioned_table_that_got_a_column_has_each_value_in_its_own(tmp_path):
    """delta-rs 1.1 returns partition columns last, although the schema has a later column."""
    engine = PandasEngine(str(tmp_path / "lake"))
    output = Output(table="silver.t", partition_by=("p",), mode="append", schema_mode="merge")
    engine.write(pd.DataFrame({"p": ["x"], "a": ["1"]}), output, INFO)
    engine.write(pd.DataFrame({"p": ["y"], "a": ["2"], "c": ["3"]}), output, INFO)
    read = engine.read(table("silver.t"))
    rows = sorted(zip(read["p"], read["a"], read["c"].fillna(""), strict=True))
    assert rows == [("x", "1", ""), ("y", "2", "3")]
