"""Queries, before Spark gets them."""

import pytest

from odibi_nb.engines.spark.query import in_catalog


@pytest.mark.parametrize(
    ("sql", "full"),
    [
        ("SELECT n FROM silver.t", "SELECT n FROM `c`.silver.t"),
        ("SELECT n FROM `silver` . `t`", "SELECT n FROM `c`.`silver` . `t`"),
        ("SELECT n FROM t", "SELECT n FROM `c`.`default`.t"),
        ("SELECT n FROM view", "SELECT n FROM view"),
        ("SELECT n FROM global_temp.t", "SELECT n FROM global_temp.t"),
        ("SELECT n FROM other.silver.t", "SELECT n FROM other.silver.t"),
        ("WITH t AS (SELECT 1 AS n) SELECT n FROM t", "WITH t AS (SELECT 1 AS n) SELECT n FROM t"),
        (
            "SELECT silver.n, 'silver.t' /* silver.t é😀 */ FROM silver.t AS silver -- silver.t",
            "SELECT silver.n, 'silver.t' /* silver.t é😀 */ FROM `c`.silver.t AS silver -- silver.t",
        ),
        (
            "SELECT '😀' FROM a.b WHERE x IN (SELECT y FROM c.d)",
            "SELECT '😀' FROM `c`.a.b WHERE x IN (SELECT y FROM `c`.c.d)",
        ),
        (
            "SELECT /*+ BROADCAST(t), SHUFFLE_HASH(a.b) */ * FROM a.b JOIN a.t",
            "SELECT /*+ BROADCAST(t), SHUFFLE_HASH(a.b) */ * FROM `c`.a.b JOIN `c`.a.t",
        ),
        (
            "SELECT * FROM a.b LATERAL VIEW explode(b.n) e AS n",
            "SELECT * FROM `c`.a.b LATERAL VIEW explode(b.n) e AS n",
        ),
        ("SELECT * FROM a.b VERSION AS OF 1", "SELECT * FROM `c`.a.b VERSION AS OF 1"),
        ("SELEC n FRM silver.t", "SELEC n FRM silver.t"),
    ],
)
def test_tables_of_a_query_get_their_catalog(sql, full):
    """Table names without a catalog get one, everywhere in the query, and nothing else changes."""
    assert in_catalog(sql, "c", lambda name: name == "view") == full
