"""The functions that the benchmarks' registry rows name."""

from __future__ import annotations

import time
from typing import Any

SLEEP_SECONDS = 0.01


def nothing() -> None:
    """Do nothing."""


def pass_on(inputs, context):
    """Read the first input and return it, to be written to the row's output."""
    return context.read(inputs[0])


def table_of_ten() -> Any:
    """Return a DataFrame of ten rows."""
    import pandas as pd

    return pd.DataFrame({"x": range(10)})


def sleep() -> None:
    """Wait for 10 ms, as a query elsewhere would."""
    time.sleep(SLEEP_SECONDS)


def wait() -> None:
    """Wait for 100 ms."""
    time.sleep(10 * SLEEP_SECONDS)


def say(context) -> None:
    """Print a line."""
    print("nothing to do for", context.transformation_id)


def spark_job(spark) -> int:
    """Add up hashes on one task, about a second of one core."""
    return spark_table(spark).collect()[0][0]


def spark_table(spark):
    """The sum of hashes, as a table of one row that has not been computed yet."""
    return spark.range(0, 120_000_000, 1, 1).selectExpr("sum(hash(id, id + 1) % 1000) AS total")


def spark_tasks(spark, constants) -> None:
    """Tasks of 50 ms that need no CPU, after a while; in an own pool, or in one for all."""
    time.sleep(constants["after"])
    if not constants["pools"]:
        spark.sparkContext.setLocalProperty("spark.scheduler.pool", "all of them")
    tasks = constants["tasks"]
    wait = "java_method('java.lang.Thread', 'sleep', 50L)"
    spark.range(0, tasks, 1, tasks).selectExpr(f"{wait} AS waited").collect()
